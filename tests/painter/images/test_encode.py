"""Files of pictures: rounded once, tagged as sRGB, the same on every run."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.ExifTags import IFD
from tests.painter.deep import values
from tests.painter.files import exact

from stylewatch_painter.errors import SaveError
from stylewatch_painter.images import encode as encode_module
from stylewatch_painter.images.encode import encode, png_of, suffix, tiff_of
from stylewatch_painter.images.metadata import NO_TAGS, Tags
from stylewatch_painter.stage import Pixels

FORMATS = ["png", "jpg", "webp", "tiff"]
WRITERS = {"png": png_of, "tiff": tiff_of}


def shades() -> Pixels:
    rows, columns = np.mgrid[0:12, 0:20].astype(np.float32)
    return np.stack([10 * columns, 15 * rows, 255 - 10 * columns], axis=-1)


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize("format", WRITERS)
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
def test_files_contain_no_date(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = encode(shades(), format=format)
    fresh = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    later = fresh[:24] + b"\x08\x00" + fresh[26:]  # made in the year 2048
    made = type("Later", (), {"__init__": lambda *_: None, "tobytes": lambda _: later})
    encode_module._srgb.cache_clear()
    monkeypatch.setattr(ImageCms, "ImageCmsProfile", made)
    assert encode(shades(), format=format) == before


def test_what_a_format_cannot_hold_is_refused() -> None:
    infinite = shades()
    infinite[3, 4, 1] = np.inf
    with pytest.raises(SaveError, match="no numbers; paint again"):
        encode(infinite)
    for format, width in (("jpg", 65501), ("webp", 16384)):
        with pytest.raises(SaveError, match=rf"{format} holds at most .* {width}x1; choose png"):
            encode(np.zeros((1, width, 3), dtype=np.float32), format=format)
        with pytest.raises(SaveError, match=f"{format} holds 8 bits a channel, 16 go into png and"):
            encode(shades(), format=format, depth=16)
    with pytest.raises(SaveError, match="no format 'bmp'; there are png, jpg, webp, tiff"):
        encode(shades(), format="bmp")


@pytest.mark.parametrize("format", WRITERS)
@pytest.mark.parametrize("channels", [3, 4])
def test_16_bits_survive(format: str, channels: int) -> None:
    for shape in ((9, 14), (1, 1), (700, 40)):
        picture = values(channels, shape)
        assert np.array_equal(exact(WRITERS[format](picture, b"profile", NO_TAGS)), picture)


def test_bands_of_a_png_give_the_same_file(monkeypatch: pytest.MonkeyPatch) -> None:
    ramp = np.repeat(np.arange(0, 60_000, 20, dtype=np.uint16), 3).reshape(50, 60, 3)
    before = png_of(ramp, b"", NO_TAGS)
    monkeypatch.setattr("stylewatch_painter.images.encode._BAND", 400)
    assert png_of(ramp, b"", NO_TAGS) == before


@pytest.mark.parametrize("format", WRITERS)
def test_profile_resolution_and_exif_are_written(format: str) -> None:
    tags = Tags((300, 150), {271: "Lumen"}, {36867: "2020:01:02 03:04:05"}, {1: "N"})
    image = opened(WRITERS[format](values(), b"a profile", tags))
    assert image.info["icc_profile"] == b"a profile"
    assert image.info["dpi"] == pytest.approx((300, 150), abs=0.02)
    image.load()
    exif = image.getexif()
    assert exif[271] == "Lumen" and exif.get_ifd(IFD.GPSInfo)[1] == "N"
    assert exif.get_ifd(IFD.Exif)[36867] == "2020:01:02 03:04:05"
