"""Encodes float pictures: rounded once, tagged as sRGB, the same bytes on every run.

PNG and TIFF of 16 bits are written here, since Pillow cannot: W3C PNG, third edition; TIFF 6.0.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, TiffTags
from PIL import TiffImagePlugin as Tiff

from stylewatch_painter.errors import SaveError
from stylewatch_painter.images.metadata import NO_TAGS, Tags
from stylewatch_painter.stage import Pixels, Plane

MARK = b"\x89PNG\r\n\x1a\n"
_COLOR, _WITH_ALPHA, _DEPTH = 2, 6, 16
_METER = 0.0254  # an inch of it
_BAND = 1 << 20  # values that are filtered at a time


def png_of(values: NDArray[np.uint16], profile: bytes, tags: Tags) -> bytes:
    """A PNG of `values` (height, width, 3 or 4), 0..65535, with an ICC `profile`."""
    height, width, channels = values.shape
    kind = _WITH_ALPHA if channels == len("RGBA") else _COLOR
    chunks = [
        chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, _DEPTH, kind, 0, 0, 0)),
        chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)),
    ]
    if tags.dpi is not None:
        across, down = (round(dots / _METER) for dots in tags.dpi)
        chunks.append(chunk(b"pHYs", struct.pack(">IIB", across, down, 1)))
    if exif := tags.exif():
        chunks.append(chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")))
    packer = zlib.compressobj()
    packed = b"".join([*(packer.compress(band) for band in _filtered(values)), packer.flush()])
    return b"".join([MARK, *chunks, chunk(b"IDAT", packed), chunk(b"IEND", b"")])


def chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _filtered(values: NDArray[np.uint16]) -> Iterator[bytes]:
    """Filter the rows, each by the filter with the smallest sum, as section 12.7 advises."""
    height, width, channels = values.shape
    rows = max(1, _BAND // (width * channels))
    apart = 2 * channels  # bytes of a pixel
    above = np.zeros((1, 2 * width * channels), dtype=np.uint8)
    for top in range(0, height, rows):
        big = values[top : top + rows].astype(">u2")
        here = big.view(np.uint8).reshape(len(big), -1)
        yield _best(here, np.concatenate([above, here[:-1]]), apart).tobytes()
        above = here[-1:]


def _best(here: NDArray[np.uint8], above: NDArray[np.uint8], apart: int) -> NDArray[np.uint8]:
    """Rows (n, 1 + bytes), the filter number first."""
    left, corner = (np.pad(rows, ((0, 0), (apart, 0)))[:, :-apart] for rows in (here, above))
    a, b, c = (rows.astype(np.int16) for rows in (left, above, corner))
    guess = a + b - c
    away = [np.abs(guess - near) for near in (a, b, c)]
    nearest = np.where(away[1] <= away[2], b, c)
    paeth = np.where((away[0] <= away[1]) & (away[0] <= away[2]), a, nearest)
    predictions = (0 * a, a, b, (a + b) // 2, paeth)
    best = np.zeros((len(here), here.shape[1] + 1), dtype=np.uint8)
    least = np.full(len(here), np.inf)
    for number, prediction in enumerate(predictions):  # section 9.2
        rest = here - prediction.astype(np.uint8)
        size = np.abs(rest.view(np.int8).astype(np.int16)).sum(axis=1)
        better = size < least
        least[better] = size[better]
        best[better, 0], best[better, 1:] = number, rest[better]
    return best


Values = NDArray[np.uint8] | NDArray[np.uint16]

_HEAD = b"II\x2a\x00\x08\x00\x00\x00"  # low bytes first; the directory follows at once
_STRIP = 1 << 16  # bytes, about: what readers like to have at once
_DEFLATE, _RGB, _HORIZONTAL, _STRAIGHT_ALPHA = 8, 2, 2, 2


def tiff_of(values: Values, profile: bytes, tags: Tags) -> bytes:
    """A TIFF of `values` (height, width, 3 or 4), with an ICC `profile`."""
    height, width, channels = values.shape
    rows = max(1, min(height, _STRIP // (width * channels * values.itemsize)))
    strips = [_packed(values[top : top + rows]) for top in range(0, height, rows)]
    counts = tuple(len(strip) for strip in strips)
    entries = {
        **tags.texts(),
        **tags.resolution(),
        Tiff.IMAGEWIDTH: width,
        Tiff.IMAGELENGTH: height,
        Tiff.BITSPERSAMPLE: (8 * values.itemsize,) * channels,
        Tiff.COMPRESSION: _DEFLATE,
        Tiff.PHOTOMETRIC_INTERPRETATION: _RGB,
        # from the end of the directory
        Tiff.STRIPOFFSETS: tuple(accumulate(counts[:-1], initial=0)),
        Tiff.SAMPLESPERPIXEL: channels,
        Tiff.ROWSPERSTRIP: rows,
        Tiff.STRIPBYTECOUNTS: counts,
        Tiff.PLANAR_CONFIGURATION: 1,
        Tiff.PREDICTOR: _HORIZONTAL,
        Tiff.ICCPROFILE: profile,
        **({Tiff.EXTRASAMPLES: _STRAIGHT_ALPHA} if channels == len("RGBA") else {}),
        **tags.tables(),
    }
    directory = Tiff.ImageFileDirectory_v2(_HEAD)
    for tag in (Tiff.STRIPOFFSETS, Tiff.STRIPBYTECOUNTS):
        directory.tagtype[tag] = TiffTags.LONG
    for tag, value in entries.items():
        directory[tag] = value
    content = io.BytesIO()
    directory.save(content)
    return b"".join([content.getvalue(), *strips])


def _packed(rows: Values) -> bytes:
    """Compress rows as differences from the left neighbor."""
    more = rows.copy()
    more[:, 1:] -= rows[:, :-1]
    return zlib.compress(more.astype(more.dtype.newbyteorder("<")).tobytes())


Rounding = Literal["round", "truncate"]
Depth = Literal[8, 16]

_SUFFIXES = {"png": ".png", "jpg": ".jpg", "webp": ".webp", "tiff": ".tiff"}
_LONGEST_SIDE = {"jpg": 65500, "webp": 16383}
_WITH_16_BITS = ("png", "tiff")
_LOSSLESS = 100  # the quality at which WebP is lossless

CLEAR = ("png", "webp", "tiff")
"""Formats with transparency."""


def encode(
    pixels: Pixels,
    *,
    format: str = "png",
    quality: int = 92,
    rounding: Rounding = "round",
    depth: Depth = 8,
    alpha: Plane | None = None,
    tags: Tags = NO_TAGS,
) -> bytes:
    """Encode `pixels`, float32 (height, width, 3), sRGB 0..255, as the bytes of a file.

    Values are clipped to 0..255 and rounded to 8 bits, or truncated with `truncate`; with a `depth`
    of 16 to 65535ths. `format` is png, jpg, webp or tiff; `quality`, 1..100, applies to jpg
    (without chroma subsampling) and webp (100 is lossless). `alpha` is float32 (height, width),
    0..1; jpg is composited over white.

    Raises:
        SaveError: unknown format, one without that depth, a side longer than the format allows, or
            values that are not finite.
    """
    suffix(format)
    height, width, _ = pixels.shape
    longest = longest_side(format)
    if longest is not None and max(height, width) > longest:
        raise SaveError(
            f"{format} holds at most {longest} pixels a side and the picture is {width}x{height};"
            " choose png"
        )
    if depth == _DEPTH and format not in _WITH_16_BITS:
        raise SaveError(
            f"{format} holds 8 bits a channel, 16 go into {' and '.join(_WITH_16_BITS)}"
        )
    if format not in CLEAR:
        pixels, alpha = over_white(pixels, alpha), None
    values = _values(pixels, alpha, rounding, depth)
    if format == "tiff":
        return tiff_of(values, _srgb(), tags)
    if values.dtype == np.uint16:
        return png_of(values.astype(np.uint16, copy=False), _srgb(), tags)
    return _by_pillow(Image.fromarray(values), format, quality, tags)


def _by_pillow(image: Image.Image, format: str, quality: int, tags: Tags) -> bytes:
    """Encode an image of 8 bits with Pillow."""
    content = io.BytesIO()
    options: dict[str, object] = {"icc_profile": _srgb(), "exif": tags.exif()}
    if tags.dpi is not None:
        options["dpi"] = tags.dpi
    if format == "jpg":
        options |= {"quality": quality, "subsampling": 0}
    elif format == "webp":  # which has no place for dots per inch but EXIF
        options |= {"quality": quality, "lossless": quality == _LOSSLESS}
        options["exif"] = tags.exif(with_dpi=True)
    try:
        image.save(content, {"jpg": "JPEG"}.get(format, format), **options)
    except (OSError, ValueError) as error:
        raise SaveError(f"cannot make a {format} of this picture ({error}); try png") from error
    return content.getvalue()


def longest_side(format: str) -> int | None:
    """Return the longest side that pictures of a format can have, in pixels; None for any."""
    return _LONGEST_SIDE.get(format)


def suffix(format: str) -> str:
    """The file suffix of `format`: `.png`, `.jpg`, `.webp`, `.tiff`.

    Raises SaveError: no such format.
    """
    if format not in _SUFFIXES:
        raise SaveError(f"there is no format {format!r}; there are {', '.join(_SUFFIXES)}")
    return _SUFFIXES[format]


def _values(pixels: Pixels, alpha: Plane | None, rounding: Rounding, depth: Depth) -> Values:
    """The values of the file, (height, width, 3), or 4 with alpha."""
    if not np.isfinite(pixels).all():
        raise SaveError(
            "the picture holds values that are no numbers; paint again with a smaller learning rate"
        )
    most = (1 << depth) - 1
    scaled = np.clip(pixels, 0, 255) * np.float32(most / 255)
    colors = np.rint(scaled) if rounding == "round" else scaled
    if alpha is not None:
        opaque = np.rint(np.clip(alpha, 0, 1) * most)[..., None]
        colors = np.concatenate([colors, opaque], axis=-1)
    return colors.astype(np.uint16) if depth == _DEPTH else colors.astype(np.uint8)


@cache
def _srgb() -> bytes:
    """An sRGB profile with a fixed creation date."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + struct.pack(">6H", 2015, 8, 26, 0, 0, 0) + profile[36:]


def over_white(pixels: Pixels, alpha: Plane | None) -> Pixels:
    """Composite the picture over white; without `alpha` it is opaque."""
    if alpha is None:
        return pixels
    return over_black(pixels, alpha) + np.float32(255) * (1 - alpha[..., None])


def over_black(pixels: Pixels, alpha: Plane) -> Pixels:
    """Composite the picture over black."""
    return pixels * alpha[..., None]
