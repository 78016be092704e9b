"""Written files are rounded once, tagged as sRGB and the same each time; their metadata."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.ExifTags import GPS, IFD, Base
from tests.painter.deep import values
from tests.painter.files import decoded, saved

from stylewatch_painter.errors import DivergedError, SaveError
from stylewatch_painter.images.encode import Depth, encode, suffix
from stylewatch_painter.images.metadata import MOST, NO_TAGS, Tags, tags_of
from stylewatch_painter.stage import Pixels


def shades() -> Pixels:
    rows, columns = np.mgrid[0:12, 0:20].astype(np.float32)
    return np.stack([10 * columns, 15 * rows, 255 - 10 * columns], axis=-1)


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_lossless_formats_round_and_clip(format: str) -> None:
    levels = [-3.0, 0.4, 0.6, 100.49, 254.6, 300.0]
    pixels = np.array(levels, dtype=np.float32).reshape(1, 2, 3)
    rounded, cut = (
        np.asarray(opened(encode(pixels, format=format, rounding=rounding))).ravel().tolist()
        for rounding in ("round", "truncate")
    )
    assert rounded == [0, 0, 1, 100, 255, 255]
    assert cut == [0, 0, 0, 100, 254, 255]


def test_values_are_clipped_before_they_are_laid_over_white() -> None:
    dark, half = np.full((8, 8, 3), -100, dtype=np.float32), np.full((8, 8), 0.5, np.float32)
    assert np.abs(np.asarray(opened(encode(dark, format="jpg", alpha=half))) - 127.5).max() < 2


def test_what_a_format_cannot_hold_is_refused() -> None:
    infinite = shades()
    infinite[3, 4, 1] = np.inf
    for format in ("png", "jpg"):
        with pytest.raises(DivergedError, match="not numbers; paint again"):
            encode(infinite, format=format, alpha=np.ones((12, 20), np.float32))
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
    file = encode(pixels, format=format, depth=depth, alpha=alpha, quality=100)
    profile = ImageCms.ImageCmsProfile(io.BytesIO(opened(file).info["icc_profile"]))
    assert "sRGB" in ImageCms.getProfileDescription(profile) and suffix(format) == f".{format}"
    picture = decoded(file)
    if picture.alpha is None:
        assert np.abs(picture.pixels - pixels).max() <= error + 1e-3
        assert picture.converted == ()
    else:
        assert np.array_equal(np.rint(picture.alpha * most), levels[..., 3])
        seen = levels[..., 3] == most
        assert np.array_equal(np.rint(picture.pixels * most / 255)[seen], levels[..., :3][seen])
    assert (picture.alpha is None) == (not has_alpha or format == "jpg")


@pytest.mark.parametrize("format", ["png", "jpg", "webp", "tiff"])
def test_resolution_and_exif_are_written(format: str) -> None:
    tags = Tags((300, 150), {271: "Lumen"}, {36867: "2020:01:02 03:04:05"}, {1: "N"})
    content = encode(shades(), format=format, tags=tags)
    for each in (content, encode(shades(), format=format, tags=Tags((300, 150)))):
        assert decoded(each).tags.dpi == pytest.approx((300, 150), abs=0.02)
    image = opened(content)
    image.load()
    exif = image.getexif()
    if format == "tiff":  # libvips writes none
        assert 271 not in exif
        return
    assert exif[271] == "Lumen" and exif.get_ifd(IFD.GPSInfo)[1] == "N"
    assert exif.get_ifd(IFD.Exif)[36867] == "2020:01:02 03:04:05" and exif[274] == 1


# Metadata


def through(exif: Image.Exif, format: str = "JPEG") -> Tags:
    return decoded(saved(Image.new("RGB", (4, 3)), format, exif=exif)).tags


def camera() -> Image.Exif:
    exif = Image.Exif()
    exif[Base.Make], exif[Base.Copyright], exif[Base.ImageDescription] = "Lumen", "Ada", "home"
    exif[Base.Orientation], exif[Base.XResolution], exif[Base.ResolutionUnit] = 6, 72.0, 2
    shot = exif.get_ifd(IFD.Exif)
    shot[Base.DateTimeOriginal], shot[Base.BodySerialNumber] = "2020:01:02 03:04:05", "77"
    shot[Base.MakerNote], shot[Base.ExifImageWidth] = b"secret", 4000
    exif.get_ifd(IFD.GPSInfo)[GPS.GPSLatitudeRef] = "N"
    return exif


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_exposure_tags_are_read_and_safe_drops_place_and_serial_numbers(format: str) -> None:
    tags = through(camera(), format)
    assert tags.main == {Base.Make: "Lumen", Base.Copyright: "Ada", Base.ImageDescription: "home"}
    assert set(tags.shot) == {Base.DateTimeOriginal, Base.BodySerialNumber}
    assert tags.place == {GPS.GPSLatitudeRef: "N"} and not tags.damaged
    safe = tags.kept("safe")
    assert set(safe.main) == {Base.Make, Base.Copyright}
    assert set(safe.shot) == {Base.DateTimeOriginal} and not safe.place and safe.dpi == tags.dpi
    assert tags.kept("all") == tags and tags.kept("none") == NO_TAGS


def test_exif_is_upright_and_srgb() -> None:
    original, exif = camera(), Image.Exif()
    original[Base.Artist] = "Käthe".encode()
    exif.load(through(original).exif())
    assert exif[Base.Orientation] == 1 and exif.get_ifd(IFD.Exif)[Base.ColorSpace] == 1
    assert exif[Base.Artist].encode("latin-1").decode() == "Käthe"
    original[Base.ResolutionUnit], original[Base.YResolution] = 3, 100.0  # per centimeter
    assert through(original, "WEBP").dpi == pytest.approx((254, 182.88))  # turned
    assert NO_TAGS.exif() == Tags((300, 300)).exif() == b""


def test_text_about_the_exposure_keeps_its_bytes() -> None:
    name = "Zürich ƒ/1.4".encode().decode("latin-1")  # as Pillow reads any text
    for _ in range(2):
        tags = tags_of(Tags(shot={Base.LensModel: name}, place={GPS.GPSMapDatum: name}).exif())
        name = tags.shot[Base.LensModel]
        assert name.encode("latin-1").decode() == "Zürich ƒ/1.4"
        assert tags.place[GPS.GPSMapDatum] == name


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_dots_per_inch_are_turned_with_the_picture(format: str) -> None:
    for orientation, wanted in ((1, (240, 120)), (3, (240, 120)), (6, (120, 240))):
        exif = Image.Exif()
        exif[Base.Orientation], exif[Base.ResolutionUnit] = orientation, 2
        exif[Base.XResolution], exif[Base.YResolution] = 240.0, 120.0
        data = saved(Image.new("RGB", (4, 3)), format, exif=exif, dpi=(240, 120))
        assert decoded(data).tags.dpi == pytest.approx(wanted, abs=0.1)


def test_absurd_values_are_dropped_and_damaged_exif_is_ignored() -> None:
    assert tags_of(b"", (float("nan"), 1)).dpi is None
    exif = camera()
    exif.get_ifd(IFD.Exif)[Base.UserComment] = bytes(MOST)
    tags = through(exif, "PNG")
    assert Base.UserComment not in tags.shot and Base.DateTimeOriginal in tags.shot
    assert len(tags.exif()) < MOST + 5_000
    assert tags_of(b"Exif\0\0not a TIFF file", (72, 72)) == Tags((72, 72), damaged=True)
