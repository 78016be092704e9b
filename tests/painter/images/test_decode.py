"""Only known formats and sizes are decoded; what was not decodable is told in a sentence."""

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.painter.deep import Deep, png, tiff, values

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.depth import Depth, depth_of, exact_values
from stylewatch_painter.images.read import decoded, decoding
from stylewatch_painter.images.reduced import Raster

LIMIT = 40_000_000


def noise(height: int = 40, width: int = 60) -> Image.Image:
    values = np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, format, **options)
    return content.getvalue()


def raster(data: bytes, max_pixels: int = LIMIT) -> Raster:
    with decoding("photo", data):
        return decoded(data, max_pixels)


def refusal(data: bytes, max_pixels: int = LIMIT) -> str:
    with pytest.raises(PictureError) as refused:
        raster(data, max_pixels)
    assert str(refused.value).startswith("photo ")
    return str(refused.value)


def png_chunk(name: bytes, content: bytes) -> bytes:
    summed = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + summed


def forged_png(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        png_chunk(name, content)
        for name, content in [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")]
    )


LOSSLESS = ["PNG", "TIFF", "BMP", "PPM"]
READ = ["JPEG", "WEBP", "GIF", "AVIF", "MPO", *LOSSLESS]


@pytest.mark.parametrize("format", READ)
def test_promised_formats_are_decoded(format: str) -> None:
    result = raster(saved(noise(), format))
    assert result.image.size == (60, 40) and result.conversions == ()
    if format in LOSSLESS:
        assert np.array_equal(np.asarray(result.image), np.asarray(noise()))


@pytest.mark.parametrize("format", READ)
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.9])
def test_truncated_file_is_refused(format: str, kept: float) -> None:
    data = saved(noise(), format)
    sentence = refusal(data[: int(kept * len(data))])
    assert "damaged" in sentence and "; " in sentence


def test_png_without_its_end_is_truncated() -> None:
    assert "is cut off or damaged" in refusal(saved(noise(), "PNG")[:-12])


def test_flipped_bit_in_a_png_is_found() -> None:
    data = bytearray(saved(noise(), "PNG", compress_level=0))
    data[len(data) // 2] ^= 4
    assert "is cut off or damaged" in refusal(bytes(data))


@pytest.mark.parametrize("format", ["ICO", "TGA", "PCX", "JPEG2000", "PDF"])
def test_other_formats_are_not_tried(format: str) -> None:
    sentence = refusal(saved(noise(), format))
    assert "is in none of the formats JPEG, PNG" in sentence
    assert sentence.endswith("save it as JPEG or PNG")


@pytest.mark.parametrize("side", [6_400, 9_600, 60_000])
def test_too_many_pixels_are_refused_by_the_header(side: int) -> None:
    # Pillow says nothing of the first, warns of the second and refuses the third by itself.
    sentence = refusal(forged_png(side, side))
    shown = {6_400: "41", 9_600: "92.2", 60_000: "3,600"}[side]
    assert sentence == f"photo is {shown} MP; the limit is 40 MP (limits.max_pixels)"


@pytest.mark.parametrize("size", [(1, 100_001), (100_001, 1), (2, 3_000_000)])
def test_too_long_side_is_refused_by_the_header(size: tuple[int, int]) -> None:
    width, height = size
    assert refusal(forged_png(width, height)) == (
        f"photo is {width}x{height} pixels; the limit for a side is 100,000 pixels: crop it"
    )


def test_first_of_several_pictures_is_used() -> None:
    first, *others = noise(), Image.new("RGB", (60, 40), "red"), Image.new("RGB", (60, 40), "blue")
    for format in ("TIFF", "PNG", "WEBP", "GIF", "MPO"):
        options = {"lossless": True} if format == "WEBP" else {}
        data = saved(first, format, save_all=True, append_images=others, **options)
        result = raster(data)
        assert result.conversions == ("picture 1 of 3 in the file taken",)
        if format in ("TIFF", "PNG", "WEBP"):
            assert np.array_equal(np.asarray(result.image.convert("RGB")), np.asarray(first))
        else:
            assert np.asarray(result.image.convert("RGB")).std() > 50, "not one of the plain ones"


UPRIGHT = np.array([[10, 20, 30], [40, 50, 60]], dtype=np.uint8)
LAID = {  # as the file has to have it, so that it is upright after the named turn
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.T,
    6: UPRIGHT.T[::-1],
    7: UPRIGHT.T[::-1, ::-1],
    8: UPRIGHT.T[:, ::-1],
}


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", LAID)
def test_exif_orientation_is_applied(orientation: int, format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    laid = Image.fromarray(np.ascontiguousarray(LAID[orientation]))
    result = raster(saved(laid, format, exif=exif))
    assert np.array_equal(np.asarray(result.image), UPRIGHT)
    said = (f"turned upright (EXIF orientation {orientation})",) if orientation > 1 else ()
    assert result.conversions == said


def heic(image: Image.Image, folder: Path, **options: object) -> bytes:
    import pillow_heif

    path = folder / "made.heic"
    pillow_heif.from_pillow(image).save(path, **options)
    return path.read_bytes()


def test_heic_is_read_with_the_extra(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    result = raster(heic(Image.new("RGB", (64, 48), (200, 30, 40)), tmp_path, exif=exif.tobytes()))
    assert result.image.size == (48, 64)
    assert result.conversions == ("turned upright (EXIF orientation 6)",)
    assert np.abs(np.asarray(result.image)[20, 20].astype(int) - (200, 30, 40)).max() < 6
    assert "HEIF" not in Image.OPEN, "what Pillow opens elsewhere in the process is left alone"


def test_heic_without_the_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    brands = b"heic\0\0\0\0mif1heicmiaf"
    sentence = refusal(struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + bytes(80))
    assert "is a HEIC picture" in sentence and "pip install 'stylewatch[heic]'" in sentence


def test_too_little_memory_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", full)
    assert "takes more memory than there is" in refusal(saved(noise(), "PNG"))


@pytest.mark.parametrize(("error", "reason"), [(OSError("a\nb "), "a b"), (KeyError(), "KeyError")])
def test_decoder_errors_become_one_line(error: Exception, reason: str) -> None:
    with pytest.raises(PictureError) as refused, decoding("photo", b""):
        raise error
    assert str(refused.value).startswith(f"photo is cut off or damaged ({reason}); ")


def test_jpeg_with_endless_metadata_is_refused() -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "JPEG")
    segment = b"\xff\xe1\xff\xffExif\0\0" + bytes(0xFFFF - 8)
    head, rest = file.getvalue()[:2], file.getvalue()[2:]
    with decoding("photo.jpg", head):
        decoded(head + segment * 3 + rest, 100)
    with (
        pytest.raises(PictureError, match=r"photo.jpg has more than 16 MiB of metadata"),
        decoding("photo.jpg", head),
    ):
        decoded(head + segment * 300 + rest, 100)


def looked_at(data: bytes) -> Deep | None:
    high = Image.open(io.BytesIO(data))
    high.load()
    return exact_values(high, Image.open(io.BytesIO(data)))


def read(data: bytes) -> Deep:
    found = looked_at(data)
    assert found is not None
    return found


@pytest.mark.parametrize("channels", [3, 4])
def test_png_of_16_bits_is_exact(channels: int) -> None:
    assert np.array_equal(read(png(values(channels))), values(channels))


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("big", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_tiff_of_16_bits_is_exact(big: bool, packed: bool, channels: int) -> None:
    assert np.array_equal(read(tiff(values(channels), big=big, packed=packed)), values(channels))


def found(data: bytes) -> Depth:
    return depth_of(Image.open(io.BytesIO(data)), data)


def tiff_depth(bits: list[int], photometric: int, content: bytes) -> bytes:
    """A little-endian TIFF of 2x1 pixels, written by hand."""
    many = len(bits) > 1
    after = 8 + 2 + 12 * 8 + 4
    entries = [
        (256, 4, 1, 2),
        (257, 4, 1, 1),
        (258, 3, len(bits), after if many else bits[0]),
        (259, 3, 1, 1),
        (262, 3, 1, photometric),
        (273, 4, 1, after + 2 * len(bits)),
        (277, 3, 1, len(bits)),
        (279, 4, 1, len(content)),
    ]
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    sizes = struct.pack(f"<{len(bits)}H", *bits)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 8) + table + bytes(4) + sizes + content


def test_tiff_of_12_bits_has_white_at_4095() -> None:
    assert found(tiff_depth([12], 1, b"\xff\xf0\x00")) == Depth(12, 4095)


def test_inverted_tiff_is_recognized() -> None:
    assert found(tiff_depth([16], 0, bytes(4))) == Depth(16, 65535, inverted=True)
