"""Large pictures are decoded reduced: right in color and size, in little memory."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.painter import deep

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.read import decoded, decoding, to_floats
from stylewatch_painter.images.reduced import Enough, Raster, within

MOST = 250_000_000
SHOWN = 200
LARGE = (851, 1303)
"""Height and width of a picture that is decoded in more than one band."""


def shades(channels: int = 3, shape: tuple[int, int] = (203, 331)) -> NDArray[np.uint8]:
    """Slopes with grain; the fourth channel is an alpha from none to all."""
    height, width = shape
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    slopes = np.stack([x, y, (x + y) / 2, np.clip(3 * x - 1, 0, 1)][:channels], axis=-1)
    grain = np.random.default_rng(4).normal(0, 4, slopes.shape) * (slopes > 0)
    return np.clip(255 * slopes + grain, 0, 255).astype(np.uint8)


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, format, **options)
    return content.getvalue()


def raster(data: bytes, enough: Enough | None = None, **options: Any) -> Raster:
    with decoding("photo", data):
        return decoded(data, MOST, enough=enough, **options)


def refusal(data: bytes, enough: Enough) -> str:
    with pytest.raises(PictureError) as refused:
        raster(data, enough)
    return str(refused.value)


def boxes(values: NDArray[Any], side: int) -> NDArray[np.float64]:
    """The means over boxes of that side; those at the right and at the bottom may be cut."""
    rows, columns = (range(0, length, side) for length in values.shape[:2])
    sums = np.add.reduceat(values.astype(np.float64), rows, axis=0)
    sums = np.add.reduceat(sums, columns, axis=1)
    counts = np.add.reduceat(np.ones(values.shape[:2]), rows, axis=0)
    found: NDArray[np.float64] = sums / np.add.reduceat(counts, columns, axis=1)[..., None]
    return found


def check_boxes(data: bytes, side: int, shown: int, **options: Any) -> None:
    """The picture is that of the boxes of the whole one, by as much as is seen of each pixel."""
    whole, alpha, _ = to_floats(raster(data, **options))
    found = raster(data, Enough(within(shown), whole=100), **options)
    small, opacity, converted = to_floats(found)
    height, width = whole.shape[:2]
    assert found.size == (width, height)
    assert f"decoded at 1/{side} of {width}x{height} pixels" in converted
    if alpha is None:
        assert opacity is None
        assert np.abs(boxes(whole, side) - small).max() < 1
        return
    assert opacity is not None
    seen = boxes(alpha[..., None], side)
    assert np.abs(seen[..., 0] - opacity).max() < 0.01
    colors = boxes(whole * alpha[..., None], side) / np.maximum(seen, 1e-6)
    assert (np.abs(colors - small) * (seen > 0.2)).max() < 6


KINDS: dict[str, dict[str, Any]] = {
    "bmp": {"format": "BMP"},
    "ppm": {"format": "PPM"},
    "gif": {"format": "GIF"},
    "webp": {"format": "WEBP", "lossless": True},
    "avif": {"format": "AVIF"},
    "png": {"format": "PNG"},
    "tiff": {"format": "TIFF", "strip_size": 6000},
    "lzw": {"format": "TIFF", "compression": "tiff_lzw", "strip_size": 6000},
    "jpeg in tiff": {"format": "TIFF", "compression": "jpeg", "strip_size": 6000},
    "big tiff": {"format": "TIFF", "big_tiff": True, "strip_size": 6000},
}


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_every_mode_is_reduced(mode: str, format: str) -> None:
    image = Image.fromarray(shades(4))
    if mode == "I;16":
        gray = shades(1)[..., 0].astype(np.uint16) * 250
        image = Image.fromarray(gray)
    elif mode == "P":
        image = image.convert("RGB").quantize(100)
    else:
        image = image.convert(mode)
    check_boxes(saved(image, format, **({"strip_size": 2000} if format == "TIFF" else {})), 3, 50)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_png_of_16_bits_is_reduced_exactly(channels: int) -> None:
    values = shades(channels, LARGE).astype(np.uint16) * 257
    check_boxes(deep.png(values), 3, SHOWN, uncut=True)


@pytest.mark.parametrize("mode", ["1", "P", "RGB", "RGBA"])
def test_png_bands_join_for_every_filter(mode: str) -> None:
    image = Image.fromarray(shades(4, LARGE))
    image = image.convert("RGB").quantize(60) if mode == "P" else image.convert(mode)
    check_boxes(saved(image, "PNG", compress_level=1), 3, SHOWN)


def test_tiff_strips_join() -> None:
    image = Image.fromarray(shades(3, LARGE))
    check_boxes(saved(image, "TIFF", compression="tiff_lzw"), 3, SHOWN)


def tiled(values: NDArray[np.uint8], side: int) -> bytes:
    """A TIFF in tiles, uncompressed."""
    height, width, channels = values.shape
    down, across = -(-height // side), -(-width // side)
    padded = np.zeros((down * side, across * side, channels), dtype=np.uint8)
    padded[:height, :width] = values
    tiles = [
        padded[y : y + side, x : x + side].tobytes()
        for y in range(0, down * side, side)
        for x in range(0, across * side, side)
    ]
    length, count = side * side * channels, len(tiles)
    at = 8 + 2 + 12 * 9 + 4
    fields = [(256, 1, width), (257, 1, height), (258, 1, 8), (259, 1, 1), (262, 1, 2),
              (277, 1, channels), (322, 1, side), (323, 1, side)]  # fmt: skip
    places = struct.pack(f"<{count}L", *(at + 8 * count + length * n for n in range(count)))
    table = struct.pack("<H", 10) + b"".join(struct.pack("<HHLL", t, 4, n, v) for t, n, v in fields)
    table += struct.pack("<HHLL", 324, 4, count, at + 12)
    table += struct.pack("<HHLL", 325, 4, count, at + 12 + 4 * count) + bytes(4)
    places = struct.pack(f"<{count}L", *(at + 12 + 8 * count + length * n for n in range(count)))
    counts = struct.pack(f"<{count}L", *[length] * count)
    return b"II*\0" + struct.pack("<L", 8) + table + places + counts + b"".join(tiles)


def test_tiff_tiles_join() -> None:
    check_boxes(tiled(shades(3, LARGE), 256), 3, SHOWN)


def test_jpeg_is_decoded_at_a_fraction() -> None:
    data = saved(Image.fromarray(shades(3, LARGE)), "JPEG", quality=95)
    found = raster(data, Enough((160, 100), whole=100))
    assert found.image.size == (326, 213) and found.size == (1303, 851)
    assert found.conversions == ("decoded at 1/4 of 1303x851 pixels",)
    whole = np.asarray(raster(data).image)
    assert np.abs(boxes(whole, 4) - np.asarray(found.image))[:-1, :-1].mean() < 1


def test_reduced_picture_is_twice_as_large_as_needed() -> None:
    for shown in ((100, 100), (331, 20), (20, 203), (82, 50), (400, 400)):
        enough = Enough(shown, whole=100)
        found = raster(saved(Image.fromarray(shades()), "PNG"), enough).image.size
        for side, needed, whole in zip(found, shown, (331, 203), strict=True):
            assert side >= min(2 * needed, whole)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
def test_reduced_picture_is_upright(orientation: int, format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    values = np.zeros((160, 240, 3), dtype=np.uint8)
    values[:80, :120], values[:80, 120:], values[80:, :120] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    options = {"strip_size": 9000} if format == "TIFF" else {}
    data = saved(Image.fromarray(values), format, exif=exif, **options)
    whole, small = raster(data), raster(data, Enough(within(30), whole=100))
    assert small.size == whole.image.size
    assert small.image.size == tuple(side // 4 for side in whole.image.size)
    assert small.conversions == (
        *whole.conversions,
        "decoded at 1/4 of {}x{} pixels".format(*small.size),
    )
    width, height = small.image.size
    near = np.asarray(whole.image.resize((width, height), Image.Resampling.NEAREST), dtype=int)
    assert np.abs(near - np.asarray(small.image))[height // 4, [width // 4, -width // 4]].max() < 12


def test_metadata_is_kept() -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    options = {"exif": exif, "dpi": (300, 300), "icc_profile": profile}
    for format in ("JPEG", "PNG", "TIFF"):
        data = saved(Image.fromarray(shades()), format, **options)
        found = raster(data, Enough(within(50), whole=100))
        assert found.tags.main[0x010F] == "Maker"
        assert found.tags.dpi == pytest.approx((300, 300), abs=0.1)
        assert found.image.info["icc_profile"] == profile


def test_nearest_mixes_no_colors() -> None:
    values = np.zeros((800, 900, 3), dtype=np.uint8)
    values[:, 451:], values[333:] = (255, 0, 0), (0, 0, 255)
    for format in ("PNG", "BMP", "TIFF"):
        data = saved(Image.fromarray(values), format)
        found = raster(data, Enough(within(100), whole=100, reduce="nearest")).image
        assert found.size == (225, 200)
        colors = {color for _, color in found.getcolors() or ()}
        assert colors == {(0, 0, 0), (255, 0, 0), (0, 0, 255)}
        edge = np.argmax(np.asarray(found)[0, :, 0]) * 4
        assert abs(edge - 451) <= 4, "aligned with its picture"


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["JPEG", "progressive", "PNG", "lzw", "tiff", "WEBP", "MPO"])
def test_truncated_large_file_is_refused(kind: str, kept: float) -> None:
    options = {"progressive": {"format": "JPEG", "progressive": True}, **KINDS}
    image = Image.fromarray(shades(3, (600, 800)))
    data = saved(image, **options.get(kind, {"format": kind}))
    assert "damaged" in refusal(data[: int(kept * len(data))], Enough((20, 20), 100))


def test_damaged_large_png_is_refused() -> None:
    data = saved(Image.fromarray(shades()), "PNG")
    wrong = bytearray(data)
    wrong[len(data) // 2] ^= 1
    for damaged in (bytes(wrong), data[:-12], data[:-1]):
        assert "is cut off or damaged" in refusal(damaged, Enough((20, 20), whole=100))


def flat_png(width: int, height: int) -> bytes:
    """A large green picture, made without having it in memory."""
    row, packer = b"\0" + bytes((0, 200, 0)) * width, zlib.compressobj(1)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return png((b"IHDR", head), (b"IDAT", packed), (b"IEND", b""))


LIMITED = """
import resource, sys
from pathlib import Path
from stylewatch_painter.images.reduced import Enough, within
from stylewatch_painter.images.read import read
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 200_000_000,) * 2)
picture = read(Path(sys.argv[1]), max_pixels=250_000_000, enough=Enough(within(640)))
print(picture.size, picture.pixels[0, 0].tolist(), *picture.converted)
"""


def test_large_png_is_decoded_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(flat_png(10_000, 7_000))  # 210 MB as they are, 280 as Pillow has them
    found = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith("(10000, 7000) [0.0, 200.0, 0.0] decoded at 1/7 of 10000x7000")


def test_too_much_memory_is_refused_before_decoding() -> None:
    options: dict[str, Any] = {"progressive": True, "subsampling": 0}
    data = bytearray(saved(Image.fromarray(shades()), "JPEG", **options))
    head = data.index(b"\xff\xc2") + 5
    data[head : head + 4] = struct.pack(">HH", 15_000, 16_000)
    sentence = refusal(bytes(data), Enough((640, 600)))
    assert sentence.startswith(
        "photo is 240 MP, which takes about 1.46 GB to decode as progressive"
    )
    assert "the limit is 1.35 GB" in sentence and "limits.max_pixels" in sentence
