"""Large pictures are decoded reduced: right in color and size, in little memory."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms
from tests.painter import deep
from tests.painter.files import raster, refusal, saved

from stylewatch_painter.images import reduced as reduced_module
from stylewatch_painter.images.read import to_floats
from stylewatch_painter.images.reduced import NeededSize, long_side


@pytest.fixture(autouse=True)
def small_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the small pictures of these tests be large, and have several bands."""
    monkeypatch.setattr(reduced_module, "WHOLE", 100)
    monkeypatch.setattr(reduced_module, "_BAND", 20_000)


def shades(channels: int = 3, shape: tuple[int, int] = (203, 331)) -> NDArray[np.uint8]:
    """Slopes with grain; the fourth channel is an alpha from none to all."""
    height, width = shape
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    slopes = np.stack([x, y, (x + y) / 2, np.clip(3 * x - 1, 0, 1)][:channels], axis=-1)
    grain = np.random.default_rng(4).normal(0, 4, slopes.shape) * (slopes > 0)
    return np.clip(255 * slopes + grain, 0, 255).astype(np.uint8)


def tiled(values: NDArray[np.uint8], side: int) -> bytes:
    """A TIFF in tiles, uncompressed."""
    height, width, channels = values.shape
    around = ((0, -height % side), (0, -width % side), (0, 0))
    split = np.pad(values, around).reshape(-(-height // side), side, -1, side, channels)
    tiles = split.swapaxes(1, 2).tobytes()
    length, at = side * side * channels, 8 + 2 + 12 * 10 + 4
    count = len(tiles) // length
    fields = [(256, 1, width), (257, 1, height), (258, 1, 8), (259, 1, 1), (262, 1, 2),
              (277, 1, channels), (322, 1, side), (323, 1, side), (324, count, at),
              (325, count, at + 4 * count)]  # fmt: skip
    table = struct.pack("<H", 10) + b"".join(struct.pack("<HHLL", t, 4, n, v) for t, n, v in fields)
    places = [*range(at + 8 * count, at + 8 * count + len(tiles), length), *[length] * count]
    head = b"II*\0" + struct.pack("<L", 8) + table + bytes(4)
    return head + struct.pack(f"<{2 * count}L", *places) + tiles


def boxes(values: NDArray[Any], side: int) -> NDArray[np.float64]:
    """The means over boxes of that side; those at the right and at the bottom may be cut."""
    height, width = values.shape[:2]
    around = ((0, -height % side), (0, -width % side), (0, 0))
    padded = np.pad(values.astype(np.float64), around, constant_values=np.nan)
    split = padded.reshape(padded.shape[0] // side, side, -1, side, values.shape[2])
    return np.asarray(np.nanmean(split, axis=(1, 3)))


def check_boxes(data: bytes, **options: Any) -> None:
    """The reduced picture has the mean of each box of 3x3, weighted by alpha."""
    full, alpha, _ = to_floats(raster(data, **options))
    reduced = raster(data, NeededSize(long_side(50)), **options)
    small, opacity, conversions = to_floats(reduced)
    assert reduced.size == full.shape[1::-1]
    assert "decoded at 1/3 of {}x{} pixels".format(*reduced.size) in conversions
    if alpha is None:
        alpha, opacity = np.ones_like(full[..., 0]), np.ones_like(small[..., 0])
    assert opacity is not None
    seen = boxes(alpha[..., None], 3)
    assert np.abs(seen[..., 0] - opacity).max() < 0.01
    colors = boxes(full * alpha[..., None], 3) / np.maximum(seen, 1e-6)
    assert (np.abs(colors - small) * (seen > 0.2)).max() < (1 if (alpha == 1).all() else 6)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_every_mode_is_reduced(mode: str, format: str) -> None:
    image = Image.fromarray(shades(4))
    if mode == "I;16":
        image = Image.fromarray(shades(1)[..., 0].astype(np.uint16) * 250)
    elif mode == "P":
        image = image.convert("RGB").quantize(100)
    else:
        image = image.convert(mode)
    options = {"strip_size": 2000} if format == "TIFF" else {"compress_level": 1}
    check_boxes(saved(image, format, **options))


def test_a_single_transparent_color_of_16_bits_is_exact_in_large_pictures() -> None:
    values = deep.values(shape=(50, 60))
    data = deep.png(values, (b"tRNS", values[3, 5].astype(">u2").tobytes()))
    _, alpha, _ = to_floats(raster(data, NeededSize(long_side(10)), uncut=True))
    assert alpha is not None and np.argwhere(alpha == 0).tolist() == [[3, 5]]


def test_16_bits_strips_and_tiles_are_reduced_exactly() -> None:
    for channels in (2, 4):
        check_boxes(deep.png(shades(channels).astype(np.uint16) * 257), uncut=True)
    strips = {"compression": "tiff_lzw", "strip_size": 6000}
    check_boxes(saved(Image.fromarray(shades()), "TIFF", **strips))
    check_boxes(tiled(shades(), 64))


def test_jpeg_is_decoded_at_a_fraction() -> None:
    data = saved(Image.fromarray(shades()), "JPEG", quality=95)
    reduced = raster(data, NeededSize((41, 25)))
    assert reduced.image.size == (83, 51) and reduced.size == (331, 203)
    assert reduced.conversions == ("decoded at 1/4 of 331x203 pixels",)
    full = np.asarray(raster(data).image)
    assert np.abs(boxes(full, 4) - np.asarray(reduced.image))[:-1, :-1].mean() < 1


def test_reduced_picture_is_twice_as_large_as_needed() -> None:
    data = saved(Image.fromarray(shades()), "PNG")
    for shown in ((100, 100), (331, 20), (20, 203), (82, 50), (400, 400)):
        size = raster(data, NeededSize(shown)).image.size
        for side, needed, full in zip(size, shown, (331, 203), strict=True):
            assert side >= min(2 * needed, full)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_reduced_picture_is_upright_and_keeps_its_metadata(orientation: int, format: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Maker"
    options: dict[str, Any] = {"exif": exif, "dpi": (300, 300), "icc_profile": profile}
    values = np.zeros((160, 240, 3), dtype=np.uint8)
    values[:80, :120], values[:80, 120:], values[80:, :120] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    options |= {"strip_size": 9000} if format == "TIFF" else {}
    data = saved(Image.fromarray(values), format, **options)
    full, small = raster(data), raster(data, NeededSize(long_side(30)))
    assert small.size == full.image.size
    assert small.image.size == tuple(side // 4 for side in full.image.size)
    reduction = "decoded at 1/4 of {}x{} pixels".format(*small.size)
    assert small.conversions == (*full.conversions, reduction)
    width, height = small.image.size
    near = np.asarray(full.image.resize((width, height), Image.Resampling.NEAREST), dtype=int)
    assert np.abs(near - np.asarray(small.image))[height // 4, [width // 4, -width // 4]].max() < 12
    assert small.tags.main[0x010F] == "Maker"
    assert small.tags.dpi == full.tags.dpi
    assert small.image.info["icc_profile"] == profile


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_of_a_large_picture_is_noted(format: str) -> None:
    data = saved(Image.fromarray(shades()), format, exif=b"Exif\0\0garbage")
    assert raster(data, NeededSize(long_side(30))).tags.damaged


def test_nearest_mixes_no_colors() -> None:
    """As for masks."""
    values = np.zeros((800, 900, 3), dtype=np.uint8)
    values[:, 451:], values[333:] = (255, 0, 0), (0, 0, 255)
    needed_size = NeededSize(long_side(100), reduce="nearest")
    for format in ("PNG", "BMP", "TIFF"):
        image = raster(saved(Image.fromarray(values), format), needed_size).image
        assert image.size == (225, 200)
        colors = {color for _, color in image.getcolors() or ()}
        assert colors == {(0, 0, 0), (255, 0, 0), (0, 0, 255)}
        edge = np.argmax(np.asarray(image)[0, :, 0]) * 4
        assert abs(edge - 451) <= 4, "aligned with its picture"


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("TIFF", {"strip_size": 6000}),
        ("TIFF", {"compression": "tiff_lzw", "strip_size": 6000}),
        ("WEBP", {}),
    ],
)
def test_truncated_large_file_is_refused(format: str, options: dict[str, Any]) -> None:
    data = saved(Image.fromarray(shades()), format, **options)
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    broken = [data[: int(share * len(data))] for share in (0.3, 0.9, 0.999)]
    broken += [bytes(flipped), data[:-12]] if format == "PNG" else []
    for each in broken:
        assert "damaged" in refusal(each, NeededSize((20, 20)))
        assert "damaged" in refusal(each)


LIMITED = """
import resource, sys
from pathlib import Path
from stylewatch_painter.images.reduced import NeededSize, long_side
from stylewatch_painter.images.read import read
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 200_000_000,) * 2)
picture = read(Path(sys.argv[1]), max_pixels=250_000_000, needed_size=NeededSize(long_side(640)))
print(picture.size, picture.pixels[0, 0].tolist(), *picture.converted)
"""


def test_large_png_is_decoded_in_little_memory(tmp_path: Path) -> None:
    """A green picture of 210 MB, 280 as Pillow has it; it is never in memory."""
    width, height = 10_000, 7_000
    row, packer = b"\0" + bytes((0, 200, 0)) * width, zlib.compressobj(1)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path = tmp_path / "large.png"
    path.write_bytes(deep.chunked((b"IHDR", head), (b"IDAT", packed)))
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=True
    )
    assert ended.stdout.startswith("(10000, 7000) [0.0, 200.0, 0.0] decoded at 1/7 of 10000x7000")


def test_too_much_memory_is_refused_before_decoding() -> None:
    options: dict[str, Any] = {"progressive": True, "subsampling": 0}
    data = bytearray(saved(Image.fromarray(shades()), "JPEG", **options))
    head = data.index(b"\xff\xc2") + 5
    data[head : head + 4] = struct.pack(">HH", 15_000, 16_000)
    sentence = refusal(bytes(data), NeededSize((640, 600)), 250_000_000)
    assert sentence.startswith(
        "photo is 240 MP, which takes about 1.46 GB to decode as progressive"
    )
    assert "the limit is 1.35 GB" in sentence and "limits.max_pixels" in sentence
