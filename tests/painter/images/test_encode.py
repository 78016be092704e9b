"""Files of pictures: rounded once, tagged as sRGB, the same on every run."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.ExifTags import IFD
from tests.painter.deep import Deep, values
from tests.painter.images.test_decode import read

from stylewatch_painter.errors import SaveError
from stylewatch_painter.images import encode as encode_module
from stylewatch_painter.images.encode import (
    Beside,
    Depth,
    encode,
    format_of,
    png_of,
    suffix,
    tiff_of,
)
from stylewatch_painter.images.metadata import UNTOLD, Tags
from stylewatch_painter.stage import Pixels

FORMATS = ["png", "jpg", "webp", "tiff"]


def shades(height: int = 12, width: int = 20) -> Pixels:
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.stack([10 * columns, 15 * rows, 255 - 10 * columns], axis=-1)


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_lossless_formats_are_exact(format: str) -> None:
    values = [-3.0, 0.4, 0.6, 100.49, 254.6, 300.0]
    pixels = np.array(values, dtype=np.float32).reshape(1, 2, 3)
    assert np.asarray(opened(encode(pixels, format=format))).ravel().tolist() == [
        0, 0, 1, 100, 255, 255,
    ]  # fmt: skip


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_holds_the_picture_and_srgb(format: str) -> None:
    picture = opened(encode(shades(), format=format))
    assert picture.size == (20, 12)
    assert np.abs(np.asarray(picture.convert("RGB")).astype(int) - shades()).mean() < 12
    profile = ImageCms.ImageCmsProfile(io.BytesIO(picture.info["icc_profile"]))
    assert "sRGB" in ImageCms.getProfileDescription(profile)


@pytest.mark.parametrize("format", FORMATS)
def test_files_contain_no_date(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = encode(shades(), format=format)
    fresh = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    later = fresh[:24] + b"\x08\x00" + fresh[26:]  # made in the year 2048

    class Later:
        def __init__(self, _: object) -> None: ...
        def tobytes(self) -> bytes:
            return later

    encode_module._srgb.cache_clear()
    monkeypatch.setattr(ImageCms, "ImageCmsProfile", Later)
    assert encode(shades(), format=format) == before


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    pixels = shades()
    pixels[3, 4, 1] = value
    with pytest.raises(SaveError, match="no numbers; paint again"):
        encode(pixels)


@pytest.mark.parametrize(("format", "width"), [("jpg", 65501), ("webp", 16384)])
def test_too_long_side_is_refused(format: str, width: int) -> None:
    with pytest.raises(SaveError, match=rf"{format} holds at most .* {width}x1; choose png"):
        encode(np.zeros((1, width, 3), dtype=np.float32), format=format)


def test_suffixes_and_formats_match() -> None:
    assert [suffix(format) for format in FORMATS] == [".png", ".jpg", ".webp", ".tiff"]
    names = ["a.png", "b.JPG", "c.jpeg", "d.webp", "e.tif", "f.tiff"]
    assert [format_of(Path(name)) for name in names] == [
        "png", "jpg", "jpg", "webp", "tiff", "tiff",
    ]  # fmt: skip


def test_unknown_format_is_refused() -> None:
    for ask in (lambda: suffix("bmp"), lambda: encode(shades(), format="bmp")):
        with pytest.raises(SaveError, match=r"'bmp' is of no format.*png, jpg, webp, tiff"):
            ask()
    with pytest.raises(SaveError, match=r"out\.xyz: suffix '\.xyz'"):
        format_of(Path("somewhere/out.xyz"))


@pytest.mark.parametrize("format", ["jpg", "webp"])
def test_16_bits_need_a_deep_format(format: str) -> None:
    with pytest.raises(SaveError) as caught:
        encode(shades(), format=format, depth=16)
    assert str(caught.value) == f"{format} holds 8 bits a channel, 16 go into png and tiff"


def test_best_quality_webp_is_lossless() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.float32)
    files = {quality: encode(noise, format="webp", quality=quality) for quality in (99, 100)}
    away = {one: np.abs(np.asarray(opened(data)) - noise).max() for one, data in files.items()}
    assert away[100] == 0 and away[99] > 0


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("format", ["png", "tiff"])
def test_alpha_and_depth_are_deterministic(format: str, depth: Depth) -> None:
    beside = Beside(np.full((12, 20), 0.5, dtype=np.float32), Tags((300, 300), {271: "Lumen"}))
    once, again = (encode(shades(), format=format, depth=depth, beside=beside) for _ in range(2))
    assert once == again and opened(once).mode == "RGBA"


def ramp() -> Deep:
    """Each value a little more than the one before."""
    return np.repeat(np.arange(0, 60_000, 20, dtype=np.uint16), 3).reshape(50, 60, 3)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("shape", [(9, 14), (1, 1), (300, 3)])
def test_png_round_trip(channels: int, shape: tuple[int, int]) -> None:
    picture = values(channels, shape)
    data = png_of(picture, b"profile", UNTOLD)
    Image.open(io.BytesIO(data)).verify()
    assert np.array_equal(read(data), picture)


def test_bands_give_the_same_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    before = png_of(ramp(), b"", UNTOLD)
    monkeypatch.setattr("stylewatch_painter.images.encode._BAND", 400)
    assert np.array_equal(read(png_of(ramp(), b"", UNTOLD)), ramp())
    assert png_of(ramp(), b"", UNTOLD) == before


def test_png_has_profile_resolution_and_exif() -> None:
    image = Image.open(io.BytesIO(png_of(values(), b"a profile", Tags((300, 150), {271: "Lumen"}))))
    assert image.info["icc_profile"] == b"a profile"
    assert image.info["dpi"] == pytest.approx((300, 150), abs=0.02)
    image.load()
    assert image.getexif()[271] == "Lumen"


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("shape", [(9, 14), (1, 1), (700, 40)])
def test_tiff_round_trip(channels: int, shape: tuple[int, int]) -> None:
    picture = values(channels, shape)
    assert np.array_equal(read(tiff_of(picture, b"profile", UNTOLD)), picture)


def test_tiff_has_profile_resolution_and_exif() -> None:
    told = Tags((300, 150), {271: "Lumen"}, {36867: "2020:01:02 03:04:05"}, {1: "N"})
    image = Image.open(io.BytesIO(tiff_of(values(), b"a profile", told)))
    assert image.info["icc_profile"] == b"a profile" and image.info["dpi"] == (300, 150)
    exif = image.getexif()
    assert exif[271] == "Lumen" and exif.get_ifd(IFD.GPSInfo)[1] == "N"
    assert exif.get_ifd(IFD.Exif)[36867] == "2020:01:02 03:04:05"
