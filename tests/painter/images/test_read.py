"""A file becomes a picture with its digest, or a sentence that names the file and what helps."""

import hashlib
import io
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import compress

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tests.painter import deep, profiles
from tests.painter.files import exact, floats, near, raster, refusal, saved

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import read as read_module
from stylewatch_painter.images.depth import Depth, depth_of
from stylewatch_painter.images.read import (
    FILLED,
    MAX_BYTES,
    decoded,
    decoding,
    filled,
    picture_size,
    read,
    to_floats,
)
from stylewatch_painter.images.reduced import Raster

LOSSLESS = ["PNG", "TIFF", "BMP", "PPM"]
FORMATS = ["JPEG", "WEBP", "GIF", "AVIF", "MPO", *LOSSLESS]
PROFILE = "colors from profile 'hand made' to sRGB"


def noise(height: int = 40, width: int = 60) -> Image.Image:
    values = np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def uniform(mode: str, color: tuple[int, ...], side: int = 8) -> Image.Image:
    return Image.frombytes(mode, (side, side), bytes(color) * side**2)


def make_huge(path: Path) -> None:
    path.touch()
    os.truncate(path, MAX_BYTES + 1)  # a hole: it takes no room on the disk


def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    makers: list[tuple[Callable[[Path], object], str]] = [
        (lambda path: path.mkdir(), "is a folder"),
        (os.mkfifo, "is a pipe or a device"),
        (lambda path: path.touch(), "is empty"),
        (lambda path: path.write_text("Dear diary,\n"), "holds text, not a picture"),
        (lambda path: path.symlink_to("nowhere"), "is not there"),
        (make_huge, "536,870,913 bytes; the limit is 536,870,912"),
    ]
    for number, (make, reason) in enumerate(makers):
        make(tmp_path / f"{number}.jpg")
        with pytest.raises(PictureError, match=rf"^{number}\.jpg .*{reason}"):
            read(tmp_path / f"{number}.jpg")


def test_picture_has_size_and_digest_of_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the file is replaced meanwhile."""
    path, link = tmp_path / "photo.png", tmp_path / "link.png"
    noise().save(path)
    link.symlink_to(path)
    before = path.read_bytes()

    def replaced_meanwhile(*args: Any, **options: Any) -> Raster:
        noise(2, 2).save(path)
        return decoded(*args, **options)

    monkeypatch.setattr(read_module, "decoded", replaced_meanwhile)
    picture = read(link)
    assert picture.size == (60, 40) and picture.alpha is None and picture.converted == ()
    assert picture.pixels.dtype == np.float32
    assert np.array_equal(picture.pixels, np.asarray(noise()))
    assert picture.sha256 == hashlib.sha256(before).hexdigest()


@pytest.mark.parametrize("format", FORMATS)
def test_promised_formats_are_decoded_and_truncated_files_refused(format: str) -> None:
    data = saved(noise(), format)
    decoded = raster(data)
    assert decoded.image.size == (60, 40) and decoded.conversions == ()
    if format in LOSSLESS:
        assert np.array_equal(np.asarray(decoded.image), np.asarray(noise()))
    for share in (0.02, 0.5, 0.9):
        sentence = refusal(data[: int(share * len(data))])
        assert "damaged" in sentence and "; " in sentence


@pytest.mark.parametrize("format", ["ICO", "TGA", "JPEG2000", "PDF"])
def test_other_formats_are_not_tried(format: str) -> None:
    sentence = refusal(saved(noise(), format))
    assert "is in none of the formats JPEG, PNG" in sentence
    assert sentence.endswith("save it as JPEG or PNG")


def test_too_large_picture_is_refused_by_its_header() -> None:
    """Pillow accepts the first, warns of the second and refuses the third by itself."""
    for size, shown in (
        ((6_400, 6_400), "41 MP; the limit is 40 MP (limits.max_pixels)"),
        ((9_600, 9_600), "92.2 MP; the limit is 40 MP (limits.max_pixels)"),
        ((60_000, 60_000), "3,600 MP; the limit is 40 MP (limits.max_pixels)"),
        ((1, 100_001), "1x100001 pixels; the limit for a side is 100,000 pixels: crop it"),
    ):
        head = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
        data = deep.chunked((b"IHDR", head), (b"IDAT", compress(b"\0")))
        assert refusal(data) == f"photo is {shown}"


@pytest.mark.parametrize("name", ["a.png", "deep.png", "text.png", "a.webp", "a.jpg"])
def test_damaged_exif_costs_no_picture_and_is_noted(name: str, tmp_path: Path) -> None:
    image, garbage = noise(), b"Exif\0\0garbage"
    if name == "deep.png":
        data = deep.png(deep.values())[:-12]
        data += deep.chunked((b"eXIf", b"garbage"))[8:]
    elif name == "text.png":
        text = PngInfo()
        text.add_text("Raw profile type exif", "\nexif\n 4\nno hex\n")
        data = saved(image, "PNG", pnginfo=text)
    else:
        image.save(tmp_path / name, exif=garbage)
        data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data)
    picture = read(tmp_path / name)
    assert picture.tags.damaged and picture.converted == ()
    assert picture_size(tmp_path / name) == picture.size
    (tmp_path / name).write_bytes(saved(image, "JPEG", exif=Image.Exif().tobytes()))
    assert not read(tmp_path / name).tags.damaged, "EXIF without any tag is not damaged"


def test_damaged_pixels_are_refused_whatever_reads_them_first() -> None:
    """Pillow reads the pixels of a PNG to find the EXIF after them."""
    head = struct.pack(">IIBBBBB", 60, 40, 8, 2, 0, 0, 0)
    body = compress(bytes(40 * (1 + 3 * 60)))[:10] + b"garbage"
    assert "damaged" in refusal(deep.chunked((b"IHDR", head), (b"IDAT", body)))


@pytest.mark.parametrize("format", ["TIFF", "PNG", "WEBP", "GIF", "MPO"])
def test_first_of_several_pictures_is_used(format: str) -> None:
    others = [Image.new("RGB", (60, 40), color) for color in ("red", "blue")]
    options = {"lossless": True} if format == "WEBP" else {}
    result = raster(saved(noise(), format, save_all=True, append_images=others, **options))
    assert result.conversions == ("picture 1 of 3 in the file taken",)
    assert np.asarray(result.image.convert("RGB")).std() > 50, "not one of the plain ones"


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", list(range(1, 9)))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = np.array([[10, 20, 30], [40, 50, 60]], dtype=np.uint8)
    turned_back = {1: upright, 2: np.fliplr(upright), 3: np.rot90(upright, 2),
                   4: np.flipud(upright), 5: upright.T, 6: np.rot90(upright),
                   7: np.rot90(upright, 2).T, 8: np.rot90(upright, 3)}  # fmt: skip
    stored = turned_back[orientation]
    data = saved(Image.fromarray(np.ascontiguousarray(stored)), format, exif=exif)
    result = raster(data)
    assert np.array_equal(np.asarray(result.image), upright)
    (tmp_path / "a").write_bytes(data)
    assert picture_size(tmp_path / "a") == result.image.size
    turned = (f"turned upright (EXIF orientation {orientation})",) if orientation > 1 else ()
    assert result.conversions == turned


def test_heic_is_read_with_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pillow_heif

    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("RGB", (64, 48), (200, 30, 40))
    pillow_heif.from_pillow(image).save(tmp_path / "made.heic", exif=exif.tobytes())
    data = (tmp_path / "made.heic").read_bytes()
    result = raster(data)
    assert result.image.size == picture_size(tmp_path / "made.heic") == (48, 64)
    assert result.conversions == ("turned upright (EXIF orientation 6)",)
    assert np.abs(np.asarray(result.image)[20, 20].astype(int) - (200, 30, 40)).max() < 6
    assert "HEIF" not in Image.OPEN, "what Pillow opens elsewhere in the process is unchanged"
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    sentence = refusal(data)
    assert "is a HEIC picture" in sentence and "[heic]'`, or save it" in sentence


def test_decoder_errors_become_one_line() -> None:
    for error, reason in (
        (MemoryError(), "takes more memory than there is"),
        (OSError("a\nb "), r"is cut off or damaged \(a b\); "),
        (KeyError(), r"is cut off or damaged \(KeyError\); "),
    ):
        with pytest.raises(PictureError, match=f"^photo {reason}"), decoding("photo", b""):
            raise error


def test_endless_metadata_is_refused() -> None:
    data = saved(Image.new("RGB", (8, 8), "red"), "JPEG")
    segment = b"\xff\xe1\xff\xffExif\0\0" + bytes(0xFFFF - 8)
    assert raster(data[:2] + segment * 3 + data[2:]).size == (8, 8)
    assert "has more than 16 MiB of metadata" in refusal(data[:2] + segment * 300 + data[2:])
    assert "has a damaged head" in refusal(b"P6 #" + bytes(1 << 17))
    texts = PngInfo()
    texts.add_text("Comment", "x" * (1 << 21), zip=True)
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(stream, "PNG", pnginfo=texts)
    assert "has more than 1 MB of text in its metadata; remove" in refusal(stream.getvalue())


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bits_are_exact(channels: int) -> None:
    values = deep.values(channels)
    assert np.array_equal(exact(deep.png(values)), values)
    for options in ({"big": True}, {"packed": True}, {}):
        assert np.array_equal(exact(deep.tiff(values, **options)), values)


def test_depth_of_gray_tiff() -> None:
    """A little-endian TIFF of 2x1 pixels, written by hand: of 12 bits, and inverted."""
    for bits, photometric, depth in (
        (12, 1, Depth(12, 4095)),
        (16, 0, Depth(16, 65535, inverted=True)),
    ):
        entries = [(256, 4, 1, 2), (257, 4, 1, 1), (258, 3, 1, bits), (259, 3, 1, 1),
                   (262, 3, 1, photometric), (273, 4, 1, 110), (277, 3, 1, 1),
                   (279, 4, 1, 4)]  # fmt: skip
        table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
        data = b"II*\0\x08\0\0\0" + struct.pack("<H", 8) + table + bytes(8)
        assert depth_of(Image.open(io.BytesIO(data)), data) == depth


def test_hidden_colors_are_filled_from_the_nearest() -> None:
    image = Image.new("RGBA", (3, 1), (255, 0, 0, 0))  # red that nobody sees
    image.putpixel((1, 0), (100, 50, 0, 51))
    image.putpixel((2, 0), (9, 8, 7, 255))
    pixels, alpha, conversions = floats(saved(image, "PNG"))
    assert alpha is not None and alpha.dtype == np.float32
    assert np.allclose(alpha, [[0, 0.2, 1]])
    assert np.allclose(pixels[0, 2], [9, 8, 7])
    assert (pixels[0, :2, 0] < 101).all() and (pixels[0, 0] > [9, 8, 0]).any()
    assert pixels.dtype == np.float32 and conversions == (FILLED,)
    pixels, alpha = np.full((9, 64, 3), 128, np.float32), np.zeros((9, 64), np.float32)
    pixels[:, :8], pixels[:, -8:] = (250, 0, 0), (0, 0, 250)
    alpha[:, :8] = alpha[:, -8:] = 1
    result = filled(pixels.copy(), alpha)
    assert result[4, 12, 0] > 2 * result[4, 12, 2] and result[4, 50, 2] > 2 * result[4, 50, 0]
    assert np.array_equal(result[:, :8], pixels[:, :8])
    assert (filled(pixels, 0 * alpha) == 255).all()


@pytest.mark.parametrize(("format", "clear"), [("PNG", bytes([0, 102])), ("GIF", 0)])
def test_palette_with_transparency(format: str, clear: object) -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    pixels, alpha, conversions = floats(saved(image, format))
    assert np.array_equal(pixels[0], 255 * np.eye(3)) and conversions == ("palette to RGB",)
    pixels, alpha, conversions = floats(saved(image, format, transparency=clear))
    assert alpha is not None and alpha[0, [0, 2]].tolist() == [0, 1]
    assert pixels[0, 0, 0] < 128 and near(pixels[0, 2], (0, 0, 255))
    assert conversions == ("palette to RGB", FILLED)
    if format == "PNG":
        assert pixels[0, 1, 1] > 102 and np.isclose(alpha[0, 1], 0.4)


@pytest.mark.parametrize(
    ("mode", "other", "key"), [("RGB", (1, 2, 4), (1, 2, 3)), ("L", 4, 3), ("I;16", 700, 701)]
)
def test_single_transparent_color_becomes_alpha(mode: str, other: Any, key: Any) -> None:
    image = Image.new(mode, (2, 1), key)
    image.putpixel((1, 0), other)
    pixels, alpha, conversions = floats(saved(image, "PNG", transparency=key))
    assert alpha is not None and alpha.tolist() == [[0, 1]]
    assert np.allclose(pixels[0, 0], pixels[0, 1], atol=0.01) and pixels[0, 1, 0] < 5
    assert conversions[-1] == FILLED


@pytest.mark.parametrize("key", [(1, 2, 3), (300, 2, 65_000), (257, 514, 771)])
def test_a_single_transparent_color_of_16_bits_is_exact(
    key: tuple[int, ...], tmp_path: Path
) -> None:
    near_key, high_bytes = np.add(key, (0, 0, 1)), np.right_shift(key, 8)
    values = np.array([[key, near_key, high_bytes, (65_535,) * 3]], np.uint16)
    (tmp_path / "a.png").write_bytes(deep.png(values, (b"tRNS", struct.pack(">3H", *key))))
    alpha = read(tmp_path / "a.png").alpha
    assert alpha is not None and alpha.tolist() == [[0, 1, 1, 1]]


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_lab_and_ycbcr_become_srgb(format: str) -> None:
    # In a JPEG the inks are stored inverted, as Adobe's programs do.
    options = {"quality": 100} if format == "JPEG" else {}
    pixels, _, conversions = floats(saved(uniform("CMYK", (51, 0, 255, 102)), format, **options))
    assert near(pixels, (255 * 0.8 * 0.6, 255 * 0.6, 0), 1.5 if format == "JPEG" else 0.01)
    assert conversions == ("CMYK to RGB without a profile",)
    data = saved(uniform("CMYK", (255, 0, 0, 0)), format, icc_profile=profiles.cmyk())
    pixels, _, conversions = floats(data)
    assert near(pixels, (119, 119, 119), 3)
    assert conversions == ("CMYK to RGB", PROFILE)
    lab, _, conversions = floats(saved(uniform("LAB", (128, 0, 0)), "TIFF"))
    assert near(lab, (119, 119, 119), 2) and conversions == ("CIE Lab to sRGB",)
    ycbcr, _, conversions = floats(saved(uniform("YCbCr", (76, 85, 255)), "TIFF"))
    assert near(ycbcr, (255, 0, 0), 2) and conversions == ("YCbCr to RGB",)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colors_are_converted_by_profile(mode: str) -> None:
    image = Image.new("RGB", (2, 2), (200, 120, 60)).convert(mode, palette=Image.Palette.ADAPTIVE)
    pixels, alpha, conversions = floats(saved(image, "PNG", icc_profile=profiles.rgb()))
    assert near(pixels, (231, 139, 73), 1) and alpha is None
    assert conversions[-1] == PROFILE
    pixels, _, conversions = floats(saved(image, "PNG", icc_profile=b"nonsense"))
    assert near(pixels, (200, 120, 60))
    assert conversions[-1].startswith("color profile left out, it is damaged or does not fit")


def test_16_bits_are_kept_or_cut_and_follow_their_profile() -> None:
    values = np.array([[[25_600, 51_300, 2_560, 13_107]]], dtype=np.uint16)
    pixels, alpha, conversions = floats(deep.png(values))
    assert alpha is not None and np.isclose(alpha[0, 0], 0.2)
    assert near(pixels, (100, 200, 10)) and conversions == ("16 bits a channel cut to 8", FILLED)
    pixels, alpha, conversions = floats(deep.png(values), uncut=True)
    assert alpha is not None and np.isclose(alpha[0, 0], 0.2)
    assert near(pixels, (25_600 / 257, 51_300 / 257, 2_560 / 257), 1e-4)
    assert conversions == (FILLED,)
    decoded = raster(deep.tiff(deep.values()), uncut=True)
    decoded.image.info["icc_profile"] = profiles.rgb()
    pixels, _, conversions = to_floats(decoded)
    assert conversions == (PROFILE,) and len(np.unique(pixels)) > 300
    decoded.image.info["icc_profile"] = b"damaged"
    assert "16 bits a channel cut to 8" in to_floats(decoded)[2]


def test_a_profile_with_a_damaged_head_is_left_out_of_8_and_16_bits_alike(tmp_path: Path) -> None:
    """Curves and matrix of this profile are whole, so that 16 bits could follow it."""
    profile = bytearray(profiles.rgb())
    profile[36:40] = b"oops"
    values = deep.values()
    data = deep.png(values, (b"iCCP", b"hand made\0\0" + compress(bytes(profile))))
    (tmp_path / "deep.png").write_bytes(data)
    image = Image.fromarray((values >> 8).astype(np.uint8))
    image.save(tmp_path / "plain.png", icc_profile=bytes(profile))
    left_out = "color profile left out, it is damaged or does not fit: taken as sRGB"
    both = [read(tmp_path / name) for name in ("plain.png", "deep.png")]
    assert [picture.converted[-1] for picture in both] == [left_out] * 2
    assert np.abs(both[0].pixels - both[1].pixels).max() <= 1


@pytest.mark.parametrize(
    ("values", "kind", "depth", "white"),
    [
        ((0, 1, 25700, 25701, 65535), np.uint16, Depth(16, 65535), 65535),
        ((0, 4095), np.uint16, Depth(12, 4095), 4095),
        ((0, 200), np.int32, Depth(32), 255),
        ((0, 2**30), np.int32, Depth(32), 2**31 - 1),
        ((0, 0.25, 1), np.float32, Depth(32), 1),
        ((0, 1.5, 200.25), np.float32, Depth(32), 255),
    ],
)
def test_gray_of_many_bits_is_scaled_by_its_white(
    values: tuple[float, ...], kind: type[np.generic], depth: Depth, white: int
) -> None:
    image = Image.fromarray(np.array([values], dtype=kind))
    pixels, _, conversions = to_floats(Raster(image, depth, ()))
    assert np.allclose(pixels[0, :, 1], np.array(values) * 255 / white, rtol=1e-6)
    bits = "float" if kind is np.float32 else f"{depth.bits}-bit"
    assert conversions == (f"{bits} gray to RGB, unrounded, white at {white}",)


def test_odd_values_are_handled() -> None:
    """Gray that is inverted or has a profile, premultiplied alpha, values that are not finite."""
    image = Image.fromarray(np.array([[0, 257, 65535]], dtype=np.uint16))
    pixels, _, _ = to_floats(Raster(image, Depth(16, 65535, inverted=True), ()))
    assert np.allclose(pixels[0, :, 0], [255, 254, 0])
    values = np.arange(25_700, 26_215, 8)
    image = Image.fromarray(values[None].astype(np.uint16))
    image.info["icc_profile"] = profiles.gray(gamma=1.0)
    pixels, _, conversions = to_floats(Raster(image, Depth(16, 65535), ()))
    srgb = 255 * (1.055 * (values / 65535) ** (1 / 2.4) - 0.055)
    assert np.abs(pixels[0, :, 0] - srgb).max() < 1 and conversions[1:] == (PROFILE,)
    assert len(np.unique(pixels[0, :, 0])) == len(values), "applied between levels"
    pixels, alpha, _ = to_floats(Raster(uniform("RGBa", (40, 40, 40, 51)), Depth(), ()))
    assert alpha is not None and np.allclose(alpha, 0.2)
    assert near(pixels, (200, 200, 200), 0.5)
    infinite = Image.fromarray(np.array([[0, np.inf]], dtype=np.float32))
    with pytest.raises(PictureError, match="no numbers; export it again"):
        to_floats(Raster(infinite, Depth(32), ()))
