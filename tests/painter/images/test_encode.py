"""Files of pictures: rounded once, tagged as sRGB, the same on every run."""

import io
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.ExifTags import IFD
from tests.painter.deep import values
from tests.painter.files import decoded

from stylewatch_painter.errors import SaveError
from stylewatch_painter.images.encode import Depth, encode, suffix
from stylewatch_painter.images.metadata import Tags
from stylewatch_painter.stage import Pixels

FORMATS = ["png", "jpg", "webp", "tiff"]
LOSSLESS = ["png", "tiff"]


def shades() -> Pixels:
    rows, columns = np.mgrid[0:12, 0:20].astype(np.float32)
    return np.stack([10 * columns, 15 * rows, 255 - 10 * columns], axis=-1)


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize("format", LOSSLESS)
def test_lossless_formats_round_and_clip(format: str) -> None:
    levels = [-3.0, 0.4, 0.6, 100.49, 254.6, 300.0]
    pixels = np.array(levels, dtype=np.float32).reshape(1, 2, 3)
    rounded, cut = (
        np.asarray(opened(encode(pixels, format=format, rounding=rounding))).ravel().tolist()
        for rounding in ("round", "truncate")
    )
    assert rounded == [0, 0, 1, 100, 255, 255]
    assert cut == [0, 0, 0, 100, 254, 255]


def test_best_quality_webp_is_lossless() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.float32)
    for quality, is_same in ((99, False), (100, True)):
        content = encode(noise, format="webp", quality=quality)
        assert np.array_equal(np.asarray(opened(content)), noise) == is_same


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_holds_the_picture_and_srgb(format: str) -> None:
    alpha = None if format == "jpg" else np.full((12, 20), 0.5, dtype=np.float32)
    picture = opened(encode(shades(), format=format, alpha=alpha))
    assert picture.size == (20, 12) and suffix(format) == f".{format}"
    assert picture.mode == ("RGB" if format == "jpg" else "RGBA")
    assert np.abs(np.asarray(picture.convert("RGB")).astype(int) - shades()).mean() < 12
    profile = ImageCms.ImageCmsProfile(io.BytesIO(picture.info["icc_profile"]))
    assert "sRGB" in ImageCms.getProfileDescription(profile)


@pytest.mark.parametrize("format", FORMATS)
def test_files_contain_no_date(format: str) -> None:
    first = encode(shades(), format=format)
    made = "import sys, numpy, pickle; from stylewatch_painter.images.encode import encode; "
    made += "sys.stdout.buffer.write(encode(pickle.load(sys.stdin.buffer), format=sys.argv[1]))"
    later = subprocess.run(
        [sys.executable, "-c", made, format],
        input=pickle.dumps(shades()),
        stdout=subprocess.PIPE,
        env={**os.environ, "TZ": "Asia/Tokyo"},
        check=True,
    )
    assert later.stdout == first


def test_what_a_format_cannot_hold_is_refused() -> None:
    infinite = shades()
    infinite[3, 4, 1] = np.inf
    with pytest.raises(SaveError, match="not numbers; paint again"):
        encode(infinite)
    for format, width in (("jpg", 65501), ("webp", 16384)):
        with pytest.raises(SaveError, match=rf"{format} holds at most .* {width}x1; choose png"):
            encode(np.zeros((1, width, 3), dtype=np.float32), format=format)
        with pytest.raises(SaveError, match=f"{format} holds 8 bits a channel, 16 go into png and"):
            encode(shades(), format=format, depth=16)
    with pytest.raises(SaveError, match="no format 'bmp'; there are png, jpg, webp, tiff"):
        encode(shades(), format="bmp")


@pytest.mark.parametrize("has_alpha", [False, True], ids=["opaque", "alpha"])
@pytest.mark.parametrize(
    ("format", "depth", "error"),
    [("png", 8, 0), ("png", 16, 0), ("tiff", 8, 0), ("tiff", 16, 0), ("webp", 8, 0), ("jpg", 8, 9)],
)
def test_what_is_written_is_read_again(
    format: str, depth: Depth, error: float, has_alpha: bool
) -> None:
    most = (1 << depth) - 1
    levels = values(4, (70, 40)) >> (16 - depth)
    if format == "jpg":  # which has no alpha, and few colors next to each other
        levels[..., :3], levels[..., 3] = 3 * np.mgrid[0:70, 0:40][0][..., None], most
    pixels = (levels[..., :3] * (255 / most)).astype(np.float32)
    alpha = (levels[..., 3] / most).astype(np.float32) if has_alpha else None
    picture = decoded(encode(pixels, format=format, depth=depth, alpha=alpha, quality=100))
    if picture.alpha is None:
        assert np.abs(picture.pixels - pixels).max() <= error + 1e-3
        assert picture.converted == ()
    else:
        assert np.array_equal(np.rint(picture.alpha * most), levels[..., 3])
        seen = levels[..., 3] == most
        assert np.array_equal(np.rint(picture.pixels * most / 255)[seen], levels[..., :3][seen])
    assert (picture.alpha is None) == (not has_alpha or format == "jpg")


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("format", FORMATS)
def test_resolution_and_exif_are_written(format: str, depth: Depth) -> None:
    if depth == 16 and format not in LOSSLESS:
        return
    tags = Tags((300, 150), {271: "Lumen"}, {36867: "2020:01:02 03:04:05"}, {1: "N"})
    content = encode(shades(), format=format, depth=depth, tags=tags)
    assert decoded(content).tags.dpi == pytest.approx((300, 150), abs=0.02)
    image = opened(content)
    image.load()
    exif = image.getexif()
    if format == "tiff":  # libvips writes none
        assert 271 not in exif
        return
    assert exif[271] == "Lumen" and exif.get_ifd(IFD.GPSInfo)[1] == "N"
    assert exif.get_ifd(IFD.Exif)[36867] == "2020:01:02 03:04:05" and exif[274] == 1


def test_messages_of_libvips_do_not_reach_python(caplog: pytest.LogCaptureFixture) -> None:
    """In the callback for them the exception of a signal would be lost, and the signal with it."""
    caplog.set_level("DEBUG")
    encode(np.zeros((40, 50, 3), np.float32), format="png")
    assert not [record for record in caplog.records if "threadpool" in record.getMessage()]
