"""A file becomes a picture with its digest, or an error with the file's name and advice."""

import hashlib
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import compress

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.painter import deep, profiles
from tests.painter.files import decoded, near, refusal, saved

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.decode import HIDDEN, NeededSize, long_side
from stylewatch_painter.images.read import (
    FILLED,
    picture_size,
    read,
)
from stylewatch_painter.images.vips import vips
from stylewatch_painter.size import Size

LOSSLESS = ["PNG", "TIFF", "BMP", "PPM"]
PROFILE = "colors from profile 'hand made' to sRGB"
LEFT_OUT = "color profile left out, it is damaged or does not fit: taken as sRGB"


def noise(height: int = 40, width: int = 60) -> Image.Image:
    values = np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def uniform(mode: str, color: tuple[int, ...], side: int = 8) -> Image.Image:
    return Image.frombytes(mode, (side, side), bytes(color) * side**2)


# Files


def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    makers: list[tuple[Callable[[Path], object], str]] = [
        (lambda path: path.mkdir(), "is a folder"),
        (os.mkfifo, "is a pipe or a device"),
        (lambda path: path.touch(), "is empty"),
        (lambda path: path.write_text("Dear diary,\n"), "holds text, not a picture"),
        (lambda path: path.write_text(f"x{'é' * 9000}"), "holds text, not a picture"),
        (lambda path: path.symlink_to("nowhere"), "is not there"),
    ]
    for number, (make, reason) in enumerate(makers):
        make(tmp_path / f"{number}.jpg")
        with pytest.raises(PictureError, match=rf"^{number}\.jpg .*{reason}"):
            read(tmp_path / f"{number}.jpg")


def test_picture_has_size_and_digest(tmp_path: Path) -> None:
    path, link = tmp_path / "photo.png", tmp_path / "link.png"
    noise().save(path)
    link.symlink_to(path)
    picture = read(link)
    assert picture.size == (60, 40) and picture.alpha is None and picture.converted == ()
    assert picture.pixels.dtype == np.float32
    assert np.array_equal(picture.pixels, np.asarray(noise()))
    assert picture.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("format", "options"),
    [
        *((format, {}) for format in ("JPEG", "WEBP", "GIF", "AVIF", "MPO", *LOSSLESS)),
        ("JPEG", {"progressive": True}),
        ("TIFF", {"compression": "tiff_lzw", "strip_size": 6000}),
    ],
)
def test_damaged_files_are_refused_in_full_and_reduced(
    format: str, options: dict[str, Any]
) -> None:
    data = saved(Image.fromarray(shades()), format, **options)
    assert decoded(data).size == (331, 203)
    for share in (0.02, 0.9):
        for size in (None, needed(20)):
            assert "damaged" in refusal(data[: int(share * len(data))], size)


def test_a_jpeg_has_the_values_that_pillow_reads(tmp_path: Path) -> None:
    """Recipes that follow a source to the last bit rely on these values."""
    path = tmp_path / "a.jpg"
    for options in ({}, {"progressive": True}, {"subsampling": 0}):
        noise().save(path, **options)
        assert np.array_equal(read(path).pixels, np.asarray(Image.open(path)))


def test_too_large_picture_is_refused_by_its_header() -> None:
    for size, shown in (
        ((6_400, 6_400), "41 MP; the limit is 40 MP (limits.max_pixels)"),
        ((1, 100_001), "1x100001 pixels; the limit for a side is 100,000 pixels: crop it"),
    ):
        head = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
        data = deep.chunked((b"IHDR", head), (b"IDAT", compress(b"\0")))
        assert refusal(data) == f"photo is {shown}"


def test_damaged_exif_costs_no_picture_and_is_noted() -> None:
    for format in ("WEBP", "JPEG"):
        damaged = decoded(saved(noise(), format, exif=b"Exif\0\0garbage"))
        assert damaged.tags.damaged and damaged.converted == ()


def test_exif_orientation_is_applied() -> None:
    upright = np.array([[10, 20, 30], [40, 50, 60]], dtype=np.uint8)
    stored = [upright, np.fliplr(upright), np.rot90(upright, 2), np.flipud(upright), upright.T,
              np.rot90(upright), np.rot90(upright, 2).T, np.rot90(upright, 3)]  # fmt: skip
    for orientation, values in enumerate(stored, 1):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image = Image.fromarray(np.stack([values] * 3, axis=-1))
        result = decoded(saved(image, "PNG", exif=exif))
        assert np.array_equal(result.pixels[..., 0], upright)
        turned = (f"turned upright (EXIF orientation {orientation})",) if orientation > 1 else ()
        assert result.converted == turned


def test_heic_is_read_with_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pillow_heif

    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("RGB", (64, 48), (200, 30, 40))
    pillow_heif.from_pillow(image).save(tmp_path / "made.heic", exif=exif.tobytes())
    result = read(tmp_path / "made.heic")
    assert result.size == picture_size(tmp_path / "made.heic") == (48, 64)
    assert result.converted == ("turned upright (box irot or imir)",)
    assert near(result.pixels[20, 20], (200, 30, 40), 6)
    assert "HEIF" not in Image.OPEN, "what Pillow opens elsewhere in the process is unchanged"
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    sentence = refusal((tmp_path / "made.heic").read_bytes())
    assert "is a HEIC picture" in sentence and "[heic]'`, or save it" in sentence


# Colors


def test_hidden_colors_are_filled_from_the_nearest() -> None:
    image = Image.new("RGBA", (3, 1), (255, 0, 0, 0))  # red that nobody sees
    image.putpixel((1, 0), (100, 50, 0, 51))
    image.putpixel((2, 0), (9, 8, 7, 255))
    picture = decoded(saved(image, "PNG"))
    pixels, alpha = picture.pixels, picture.alpha
    assert alpha is not None and alpha.dtype == np.float32
    assert np.allclose(alpha, [[0, 0.2, 1]])
    assert np.allclose(pixels[0, 2], [9, 8, 7])
    assert (pixels[0, :2, 0] < 101).all() and (pixels[0, 0] > [9, 8, 0]).any()
    assert pixels.dtype == np.float32 and picture.converted == (FILLED,)
    for format in ("PNG", "TIFF", "WEBP"):
        hidden = Image.new("RGBA", (3, 1), (255, 0, 0, 0))
        options = {"lossless": True, "exact": True} if format == "WEBP" else {}
        nothing_seen = decoded(saved(hidden, format, **options))
        assert near(nothing_seen.pixels, (255, 0, 0)) and nothing_seen.alpha is None
        assert nothing_seen.converted == (HIDDEN,), "law 19"


@pytest.mark.parametrize(("format", "clear"), [("PNG", bytes([0, 102])), ("GIF", 0)])
def test_palette_with_transparency(format: str, clear: object) -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    picture = decoded(saved(image, format, transparency=clear))
    assert picture.alpha is not None and picture.alpha[0, [0, 2]].tolist() == [0, 1]
    assert picture.pixels[0, 0, 0] < 128 and near(picture.pixels[0, 2], (0, 0, 255))
    assert picture.converted == ("palette to RGB", FILLED)
    if format == "PNG":
        assert picture.pixels[0, 1, 1] > 102 and np.isclose(picture.alpha[0, 1], 0.4)


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_becomes_srgb(format: str) -> None:
    # In a JPEG the inks are stored inverted, as Adobe's programs do.
    options = {"quality": 100} if format == "JPEG" else {}
    picture = decoded(saved(uniform("CMYK", (51, 0, 255, 102)), format, **options))
    assert near(picture.pixels, (133, 137, 1), 3)
    assert picture.converted == ("CMYK to RGB without a profile",)
    inks = {(0, 0, 0, 0): 255, (255, 0, 0, 0): 119, (0, 255, 255, 0): 119, (0, 0, 0, 255): 0}
    for ink, gray in inks.items():
        profile = profiles.cmyk(darkest=40 if gray == 0 else 0)
        picture = decoded(saved(uniform("CMYK", ink), format, icc_profile=profile))
        assert near(picture.pixels, (gray,) * 3, 3), "black-point compensation"
        assert picture.converted == ("CMYK to RGB", PROFILE)
    damaged = decoded(saved(uniform("CMYK", (9, 9, 9, 9)), format, icc_profile=b"damaged"))
    assert damaged.converted[0].endswith("taken as plain CMYK")


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_a_profile_that_cannot_be_used_is_left_out(format: str) -> None:
    image = Image.new("RGB", (8, 8), (200, 120, 60))
    broken = bytearray(profiles.rgb())
    broken[36:40] = b"oops"
    for profile in (b"nonsense", profiles.gray(1.8), bytes(broken)):
        picture = decoded(saved(image, format, icc_profile=profile))
        assert near(picture.pixels, (200, 120, 60), 2) and picture.converted == (LEFT_OUT,)


def test_the_profile_of_floats_is_left_out() -> None:
    gray = Image.fromarray(np.full((4, 6), 0.5, np.float32))
    picture = decoded(saved(gray, "TIFF", icc_profile=profiles.gray(1.8)))
    assert picture.converted[0] == LEFT_OUT and near(picture.pixels, (127.5,) * 3)


def test_gray_and_16_bits_follow_their_profile() -> None:
    values = np.arange(25_700, 26_215, 8)
    image = Image.fromarray(values[None].astype(np.uint16))
    picture = decoded(saved(image, "PNG", icc_profile=profiles.gray(gamma=1.0)))
    srgb = 255 * (1.055 * (values / 65535) ** (1 / 2.4) - 0.055)
    assert np.abs(picture.pixels[0, :, 0] - srgb).max() < 1 and picture.converted == (PROFILE,)
    assert len(np.unique(picture.pixels[0, :, 0])) == len(values), "without rounding to 8 bits"
    profile = (b"iCCP", b"hand made\0\0" + compress(profiles.rgb()))
    both = [decoded(deep.png(deep.values(), *chunks)) for chunks in ((), (profile,))]
    assert both[1].converted == (PROFILE,) and len(np.unique(both[1].pixels)) > 300
    assert np.abs(both[0].pixels - both[1].pixels).max() > 3


# Large pictures, decoded reduced


def needed(side: int) -> NeededSize:
    """A size for small pictures that count as large."""
    return NeededSize(long_side(side), above=100)


def shades(channels: int = 3, shape: tuple[int, int] = (203, 331)) -> NDArray[np.uint8]:
    """Slopes with grain; the fourth channel is an alpha from 0 to opaque."""
    height, width = shape
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    slopes = np.stack([x, y, (x + y) / 2, np.clip(3 * x - 1, 0, 1)][:channels], axis=-1)
    grain = np.random.default_rng(4).normal(0, 4, slopes.shape) * (slopes > 0)
    return np.clip(255 * slopes + grain, 0, 255).astype(np.uint8)


def means(values: NDArray[Any], side: int) -> NDArray[Any]:
    """The means over boxes of that side, except boxes that the edges cut."""
    height, width, channels = values.shape
    rows, columns = height // side, width // side
    whole = values[: rows * side, : columns * side].astype(np.float64)
    return np.asarray(whole.reshape(rows, side, columns, side, channels).mean((1, 3)))


@pytest.mark.parametrize("mode", ["1", "LA", "P", "RGBA", "I;16"])
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_reduced_pixels_are_means_weighted_by_alpha(mode: str, format: str) -> None:
    image = Image.fromarray(shades(4))
    if mode == "I;16":
        image = Image.fromarray(shades(1)[..., 0].astype(np.uint16) * 250)
    else:
        image = image.convert("RGB").quantize(100) if mode == "P" else image.convert(mode)
    data = saved(image, format)
    full, small = decoded(data), decoded(data, needed(50))
    assert small.size == full.size == (331, 203)
    assert "decoded at 1/3 of 331x203 pixels" in small.converted
    alpha, opacity = (
        np.ones_like(each.pixels[..., 0]) if each.alpha is None else each.alpha
        for each in (full, small)
    )
    seen = means(alpha[..., None], 3)
    assert np.abs(seen[..., 0] - opacity[:-1, :-1]).max() < 0.01
    colors = means(full.pixels * alpha[..., None], 3) / np.maximum(seen, 1e-6)
    difference = np.abs(colors - small.pixels[:-1, :-1]) * (seen > 0.2)
    assert difference.max() < (2 if (alpha == 1).all() else 6)


def test_reduced_picture_is_twice_as_large_as_needed() -> None:
    png, jpeg = (saved(Image.fromarray(shades()), format, quality=95) for format in ("PNG", "JPEG"))
    for shown in ((100, 100), (331, 20), (20, 203), (82, 50), (400, 400)):
        height, width, _ = decoded(png, NeededSize(Size(*shown), above=100)).pixels.shape
        for side, least, full in zip((width, height), shown, (331, 203), strict=True):
            assert side >= min(2 * least, full)
    small = decoded(jpeg, NeededSize(Size(41, 25), above=100))
    assert small.pixels.shape == (50, 82, 3)
    assert small.converted == ("decoded at 1/4 of 331x203 pixels",)
    assert np.abs(means(decoded(jpeg).pixels, 4) - small.pixels).mean() < 1


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_reduced_picture_is_upright_and_keeps_its_metadata(orientation: int, format: str) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Maker"
    options: dict[str, Any] = {"exif": exif, "dpi": (300, 300), "icc_profile": profiles.rgb()}
    values = np.zeros((160, 240, 3), dtype=np.uint8)
    values[:80, :120], values[:80, 120:], values[80:, :120] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    data = saved(Image.fromarray(values), format, **options)
    full, small = decoded(data), decoded(data, needed(30))
    assert small.size == full.size
    reduction = "decoded at 1/4 of {}x{} pixels".format(*small.size)
    *before, profile = full.converted
    assert small.converted == (*before, reduction, profile) and profile == PROFILE
    height, width, _ = small.pixels.shape
    at = height // 4, [width // 4, -width // 4]
    assert np.abs(full.pixels[2::4, 2::4] - small.pixels)[at].max() < 16
    assert small.tags == full.tags and small.tags.main[0x010F] == "Maker"


def test_nearest_mixes_no_colors() -> None:
    """Masks are decoded with `nearest`."""
    values = np.zeros((800, 900, 3), dtype=np.uint8)
    values[:, 451:], values[333:] = (255, 0, 0), (0, 0, 255)
    size = NeededSize(long_side(100), reduce="nearest", above=100)
    for format in ("PNG", "BMP", "TIFF"):
        pixels = decoded(saved(Image.fromarray(values), format), size).pixels
        assert pixels.shape == (200, 225, 3)
        colors = {tuple(color) for color in np.unique(pixels.reshape(-1, 3), axis=0)}
        assert colors == {(0, 0, 0), (255, 0, 0), (0, 0, 255)}
        assert abs(np.argmax(pixels[0, :, 0]) * 4 - 451) <= 4, "aligned with its picture"


def test_too_much_memory_is_refused_before_decoding() -> None:
    options: dict[str, Any] = {"progressive": True, "subsampling": 0}
    data = bytearray(saved(Image.fromarray(shades()), "JPEG", **options))
    head = data.index(b"\xff\xc2") + 5
    data[head : head + 4] = struct.pack(">HH", 15_000, 16_000)
    sentence = refusal(bytes(data), needed(640), 250_000_000)
    assert sentence.startswith(
        "photo is 240 MP, which takes about 1.44 GB to decode as progressive JPEG"
    )
    assert "the limit is 1.35 GB" in sentence and "limits.max_pixels" in sentence


def test_pictures_are_decoded_by_one_thread_whoever_loaded_libvips() -> None:
    """Several threads ask for the rows of a stream out of order, about once in 70 pictures."""
    vips().concurrency_set(8)
    vips.cache_clear()
    assert vips().concurrency_get() == 1


def test_a_jpeg_that_is_made_to_take_long_is_refused() -> None:
    data = saved(Image.fromarray(shades()), "JPEG", progressive=True)
    begin, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    longer = data[:end] + 200 * data[begin:end] + data[end:]
    scans = longer.count(b"\xff\xda")
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + len(data)) + data
    for slow in (longer, longer[:2] + thumbnail + longer[2:]):
        assert refusal(slow) == f"photo has {scans} scans; the limit is 200: save it again"


def test_the_clip_of_a_motion_photo_has_no_scans(tmp_path: Path) -> None:
    data = saved(Image.fromarray(shades()), "JPEG")
    (tmp_path / "photo.jpg").write_bytes(data + 300 * b"\xff\xda of a clip")
    assert read(tmp_path / "photo.jpg").pixels.shape == shades().shape


def test_further_channels_of_cmyk_are_left_out(tmp_path: Path) -> None:
    inks = np.full((48, 64, 5), (51, 0, 255, 102, 0), np.uint8)
    image = vips().Image.new_from_array(inks, interpretation="cmyk")
    image.tiffsave(str(tmp_path / "alpha.tif"))
    for size in (None, needed(12)):
        picture = read(tmp_path / "alpha.tif", needed_size=size)
        assert near(picture.pixels, (133, 137, 1), 3) and picture.alpha is None
        assert "further channels of CMYK left out" in picture.converted


def test_cie_lab_of_16_bits_is_converted(tmp_path: Path) -> None:
    noise().save(tmp_path / "photo.png")
    image = vips().Image.new_from_file(str(tmp_path / "photo.png"))
    image.colourspace("labs").tiffsave(str(tmp_path / "lab.tif"))
    picture = read(tmp_path / "lab.tif")
    assert picture.converted[0] == "CIE Lab to sRGB"
    assert np.abs(picture.pixels - np.asarray(noise())).max() <= 1


def test_cie_lab_of_8_bits_is_refused() -> None:
    """Such files are written by libvips, which cannot read them."""
    assert "CIE Lab picture of 8 bits" in refusal(saved(uniform("LAB", (128, 0, 0)), "TIFF"))


@pytest.mark.parametrize("white", [1, 255])
def test_a_float_picture_with_transparency_is_not_rounded_when_it_is_reduced(
    tmp_path: Path, white: int
) -> None:
    values = np.full((32, 48, 4), (0.8, 0.4, 0.2, 1.0), np.float32) * white
    values[:, ::2] = (0, white, 0, 0)
    image = vips().Image.new_from_array(values, interpretation="srgb")
    image.tiffsave(str(tmp_path / "float.tif"))
    picture = read(tmp_path / "float.tif", needed_size=NeededSize(long_side(12), above=0))
    assert max(picture.pixels.shape) < 48
    assert np.allclose(picture.pixels, [204, 102, 51], atol=0.1)
    assert picture.alpha is not None and np.allclose(picture.alpha, 0.5)
