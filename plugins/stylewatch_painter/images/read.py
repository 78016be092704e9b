"""Reads a picture file into floats: sRGB, upright, with a list of all conversions.

Only known formats are decoded, and only sizes within the limits.
"""

import hashlib
import importlib
import io
import os
import re
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import depth as bit_depth
from stylewatch_painter.images import icc
from stylewatch_painter.images.depth import WIDE, depth_of, likely_white, strips
from stylewatch_painter.images.metadata import NO_TAGS, Tags, orientation_of, tags_of
from stylewatch_painter.images.reduced import (
    NeededSize,
    Raster,
    Size,
    check_whole,
    frames,
    reduced,
    turned,
    upright_size,
)
from stylewatch_painter.installation import install_command
from stylewatch_painter.stage import Pixels, Plane

MAX_PIXELS = 40_000_000
"""Default limit of pixels (width x height)."""

MAX_BYTES = 512 * 2**20
"""Size of the largest file in bytes."""

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF")
"""Pillow's names of the formats that are tried; JPEG includes MPO from phones and cameras."""

READABLE = "JPEG, PNG, WebP, TIFF, BMP, GIF, PPM, AVIF, HEIC"

MAX_SIDE = 100_000
"""Pixels of the longest side of a picture. No photograph comes near, and strips of a few
rows cost far more than their pixels."""

MAX_METADATA = 16 << 20
"""Bytes of metadata before the pixels of a JPEG; Pillow takes quadratic time for it."""

HEAD = 4096
"""Bytes at the start of a file by which `decoding` recognizes its kind."""

_MEGA = 1_000_000

_SEGMENT = re.compile(rb"\xff([^\xda])(..)", re.DOTALL)
"""The head of a JPEG segment other than a scan."""

_METADATA = frozenset(bytes([marker]) for marker in (*range(0xE0, 0xF0), 0xFE))
"""Markers of application segments and comments."""

# Pillow reads the head of a PPM byte by byte, with all blanks and comments that there are.
_LONGEST_HEAD = 1 << 16
_PLAIN = re.compile(rb"P[1-6f]")
_WORD = rb"(?:\s|#[^\r\n]*+[\r\n])++[^\s#]{1,10}+"
_HEAD = re.compile(rb"P(?:[14](?:%b){2}|[2356f](?:%b){3})[\s#]" % (_WORD, _WORD))

_FILM = re.compile(rb"....(?:ftyp(?!avi|mi[af]|msf|he[iv])|moov|mdat)|\x1a\x45\xdf\xa3", re.DOTALL)
"""The heads of MP4, MOV, MKV and WebM."""

# Pillow's warnings go by filters that all threads share, and a decoder is the largest user of
# memory that reading has: both are reasons to decode one picture at a time.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as it was read.

    `pixels` is float32 (height, width, 3), sRGB 0..255; transparent parts are filled with the
    visible colors nearby. `alpha` is float32 (height, width), 0..1, or None if all is opaque.
    `converted` has a phrase for each conversion, in order. `sha256` (hex) is that of
    the file's content, exactly as it was decoded. `tags` is the metadata. `size_of_file` is (width,
    height) of the picture in the file, upright, if it was decoded smaller.
    """

    pixels: Pixels
    alpha: Plane | None
    converted: tuple[str, ...]
    sha256: str
    tags: Tags = NO_TAGS
    size_of_file: Size | None = None

    @property
    def size(self) -> Size:
        """(width, height) in pixels of the picture in the file, upright."""
        height, width, _ = self.pixels.shape
        return self.size_of_file or (width, height)


def read(
    path: Path, *, max_pixels: int = MAX_PIXELS, needed_size: NeededSize | None = None
) -> Picture:
    """Read the picture at `path`.

    The file is read once; its size in pixels is checked before decoding. A process decodes one
    picture at a time, in any number of threads. With `needed_size` a large picture may be decoded
    smaller.

    Raises: PictureError: the file is missing, not a regular file, empty, too large, truncated or
    damaged, has more than `max_pixels`, or is in a format that cannot be read.
    """
    name = path.name or str(path)
    data = file_bytes(path)
    digest = hashlib.sha256(data).hexdigest()
    with decoding(name, data[:HEAD]):
        raster = decoded(data, max_pixels, uncut=True, needed_size=needed_size)
        del data  # each of these takes hundreds of megabytes: none is held longer than needed
        tags, size_of_file = raster.tags, raster.size_of_file
        pixels, alpha, converted = unfilled(raster)
        del raster
        if alpha is not None:
            pixels, converted = filled(pixels, alpha), (*converted, FILLED)
    return Picture(pixels, alpha, converted, digest, tags, size_of_file)


def picture_size(path: Path, max_pixels: int = MAX_PIXELS) -> Size:
    """(width, height) in pixels of the picture at `path`, upright, without decoding it.

    Raises PictureError as `read` does, as far as the head of the file shows the reason.
    """
    data = file_bytes(path)
    with decoding(path.name, data[:HEAD]):
        return upright_size(open_image(data, max_pixels))


def file_bytes(path: Path) -> bytes:
    """Read a picture file; symbolic links are followed.

    Raises PictureError: the file is missing, not a regular file, empty or too large.
    """
    with open_file(path) as file:
        length = os.fstat(file.fileno()).st_size
        if length > MAX_BYTES:
            raise PictureError(
                f"{path.name} has {length:,} bytes; the limit is {MAX_BYTES:,}: "
                "save it compressed or smaller"
            )
        return file.readall()


@contextmanager
def open_file(path: Path) -> Iterator[io.FileIO]:
    """Open a file of any size; symbolic links are followed.

    Raises PictureError: it is missing, not a regular file or empty, or cannot be read inside.
    """
    name = path.name or str(path)
    try:
        # without blocking, as a pipe without a writer would
        with io.FileIO(path, opener=lambda p, flags: os.open(p, flags | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise PictureError(
                    f"{name} is a pipe or a device, not a file; copy the picture to a file"
                )
            if status.st_size == 0:
                raise PictureError(f"{name} is empty; copy the picture again")
            yield file
    except FileNotFoundError as error:
        raise PictureError(f"{name} is not there; check its name and folder") from error
    except IsADirectoryError as error:
        raise PictureError(f"{name} is a folder; name a picture in it") from error
    except OSError as error:
        reason = error.strerror or error
        raise PictureError(f"{name} cannot be read: {reason}; check its permissions") from error


@contextmanager
def decoding(name: str, data: bytes) -> Iterator[None]:
    """Turn every error of decoding `data` into a sentence about the file `name`.

    Only the first `HEAD` bytes of `data` are needed, so that the rest can be freed inside. Inside,
    a PictureError is raised without its subject; the name is added here.
    """
    try:
        with _one_at_a_time, warnings.catch_warnings():
            # Size is checked below, and damaged metadata costs no picture.
            warnings.simplefilter("ignore")
            yield
    except PictureError as error:
        raise PictureError(f"{name} {error}") from error.__cause__
    except UnidentifiedImageError as error:
        raise PictureError(f"{name} {_unknown(data)}") from error
    except MemoryError as error:
        raise PictureError(f"{name} takes more memory than there is; make it smaller") from error
    except Exception as error:  # decoders raise nearly anything over broken bytes
        if "MAX_TEXT_" in str(error):  # a limit of Pillow for PNG
            raise PictureError(
                f"{name} has more than 1 MB of text in its metadata; remove the metadata, or save "
                "the picture without it"
            ) from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(
            f"{name} is cut off or damaged ({reason}); copy or export it again"
        ) from error


def decoded(
    data: bytes, max_pixels: int, *, uncut: bool = False, needed_size: NeededSize | None = None
) -> Raster:
    """Decode the main picture in `data`; to be called inside `decoding`.

    With `uncut`, colors of 16 bits are kept, which takes a second decoding. With `needed_size` a
    large picture may be decoded smaller.

    Raises:
        PictureError: more than `max_pixels`, too much memory, or HEIC without its library.
        Exception: any error of Pillow over data it cannot decode.
    """

    def opened(data: bytes) -> Image.Image:
        return open_image(data, max_pixels)

    with pixel_limit(max_pixels):
        image = opened(data)
        if needed_size is not None:
            raster = reduced(image, data, needed_size, opened, uncut=uncut, max_pixels=max_pixels)
            if raster is not None:
                return raster
        check_whole(image)
        image.verify()
        image = opened(data)  # checking the sums of a PNG has used up the first one
        conversions = frames(image) + turned(orientation_of(image))
        depth = depth_of(image, data)
        image.load()
        tags, upright = tags_of(image), ImageOps.exif_transpose(image)
        del image
        exact = None
        if uncut and depth.bits == bit_depth.BITS:
            exact = bit_depth.exact_values(upright, opened(data))
        return Raster(upright, depth, conversions, exact, tags)


@contextmanager
def pixel_limit(max_pixels: int) -> Iterator[None]:
    """Set Pillow's own guard, which refuses before memory is allocated.

    It refuses more than twice its limit; its warnings are ignored in `decoding`.
    """
    usual, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, (max_pixels + 1) // 2
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = usual


def open_image(data: bytes, max_pixels: int) -> Image.Image:
    """Open the picture in `data` without decoding it; to be called inside `decoding`."""
    if len(data) > _LONGEST_HEAD and _PLAIN.match(data) and not _HEAD.match(data[:_LONGEST_HEAD]):
        raise PictureError("has a damaged head; save it as PNG")
    if data[:2] == b"\xff\xd8" and _metadata(data) > MAX_METADATA:
        raise PictureError(
            f"has more than {MAX_METADATA >> 20} MiB of metadata; save it again without that"
        )
    image: Image.Image
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        pixels = re.search(r"\((\d+) pixels\)", str(error))
        raise PictureError(_too_large(int(pixels[1]) if pixels else 0, max_pixels)) from error
    except UnidentifiedImageError:
        if (heif := _heif(data)) is None:
            raise
        image = heif
    check_size(image.size, max_pixels)
    return image


def check_size(size: Size, max_pixels: int) -> None:
    """Raise PictureError if a picture of `size` is too large."""
    width, height = size
    if width * height > max_pixels:
        raise PictureError(_too_large(width * height, max_pixels))
    if max(size) > MAX_SIDE:
        raise PictureError(
            f"is {width}x{height} pixels; the limit for a side is {MAX_SIDE:,} pixels: crop it"
        )


def _too_large(pixels: int, max_pixels: int) -> str:
    """Describe a size, in megapixels if these differ from the limit's."""
    shown, limit = (
        f"{number / _MEGA:,.1f}".removesuffix(".0") + " MP" for number in (pixels, max_pixels)
    )
    if shown == limit or max_pixels < _MEGA:
        shown, limit = (f"{number:,} pixels" for number in (pixels, max_pixels))
    return f"is {shown}; the limit is {limit} (limits.max_pixels)"


def _metadata(data: bytes) -> int:
    """Count the bytes of application segments and comments at the head of a JPEG."""
    at, count = 2, 0
    while (segment := _SEGMENT.match(data, at)) and count <= MAX_METADATA:
        length = int.from_bytes(segment[2])
        count += length if segment[1] in _METADATA else 0
        at += 2 + length
    return count


def _heif(data: bytes) -> Image.Image | None:
    """Open a HEIC picture; None for another kind of file."""
    length = int.from_bytes(data[:4])
    if data[4:8] != b"ftyp" or not re.search(rb"he[iv][cmsx]", data[8:length]):
        return None
    try:
        plugin = importlib.import_module("pillow_heif")
    except ImportError as error:
        raise PictureError(
            f"is a HEIC picture, which needs an extra: {install_command('heic')},"
            " or save it as JPEG"
        ) from error
    # Used directly: registering it would change what Pillow opens in the whole process.
    image: Image.Image = plugin.HeifImageFile(io.BytesIO(data))
    return image


def _unknown(data: bytes) -> str:
    """Describe a file in none of the formats."""
    if _FILM.match(data):
        return "is a film; only the content of a job can be one: export a picture of it"
    with suppress(UnicodeDecodeError):
        if "\0" not in data[:HEAD].decode():
            return f"holds text, not a picture; pictures can be {READABLE}"
    return f"is in none of the formats {READABLE}, or its head is damaged; save it as JPEG or PNG"


_GRAY = ("1", "L", "LA", "I;16", "I;16L", "I;16B", "I;16N", *WIDE)
"""Pillow's modes with one plane of gray."""

_RGB_MODES = ("RGB", "RGBA", "RGBX")
_NAMES = {"P": "palette", "PA": "palette"}
_PILLOW_BITS = 8
"""Bits that Pillow has for a channel of a color picture."""

_WHITE_16 = 65535

FILLED = "transparent parts filled with the visible colors nearby, alpha kept beside"
"""The phrase for a picture whose hidden colors were filled."""


def to_floats(raster: Raster) -> tuple[Pixels, Plane | None, tuple[str, ...]]:
    """The picture, its alpha (None if all is opaque) and the list of conversions.

    Raises PictureError: it holds values that are not finite.
    """
    pixels, alpha, conversions = unfilled(raster)
    if alpha is None:
        return pixels, None, conversions
    return filled(pixels, alpha), alpha, (*conversions, FILLED)


def unfilled(raster: Raster) -> tuple[Pixels, Plane | None, tuple[str, ...]]:
    """The same as `to_floats`, with hidden colors as they are in the file.

    Filling takes much memory, so the caller can free the raster of a large picture first.
    """
    image = raster.image.convert("LA") if raster.image.mode == "La" else raster.image
    conversions = [*raster.conversions]
    convert = _from_gray if image.mode in _GRAY else _from_color
    pixels = convert(image, raster, conversions)
    return pixels, _alpha(image, raster), tuple(conversions)


def _from_gray(image: Image.Image, raster: Raster, conversions: list[str]) -> Pixels:
    """Convert a picture in one of the modes `_GRAY` to sRGB, unrounded."""
    plane = _plane(image, raster, conversions)
    curve = None
    if profile := image.info.get("icc_profile"):
        try:
            curve = icc.gray_curve(profile)
            conversions += [] if curve is None else [icc.phrase(profile)]
        except icc.ProfileError:
            curve = None
            conversions.append(icc.left_out("sRGB gray"))
    if curve is None:
        return np.repeat(plane[..., None], 3, axis=2)
    # A curve goes between its points too, so that what is finer than 8 bits stays so.
    levels = np.arange(256)
    channels = [np.interp(plane, levels, curve[:, c]).astype(np.float32) for c in range(3)]
    return np.stack(channels, axis=2)


def _plane(image: Image.Image, raster: Raster, conversions: list[str]) -> Plane:
    """The plane (height, width), 0..255, in full precision."""
    if image.mode == "1":
        conversions.append("black and white to RGB")
        return np.asarray(image.convert("L")).astype(np.float32)
    if image.mode in ("L", "LA"):
        conversions.append("gray to RGB")
        return np.asarray(image.getchannel(0)).astype(np.float32)
    values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all():
        raise PictureError("holds values that are no numbers; export it again with 8 or 16 bits")
    white = raster.depth.white or likely_white(values.max(), floats=image.mode == "F")
    if raster.depth.inverted:
        values = white - values
    bits = "float" if image.mode == "F" else f"{raster.depth.bits}-bit"
    conversions.append(f"{bits} gray to RGB, unrounded, white at {white}")
    return np.clip(values * (255 / white), 0, 255).astype(np.float32)


def _from_color(image: Image.Image, raster: Raster, conversions: list[str]) -> Pixels:
    profile = image.info.get("icc_profile")
    if raster.exact is not None:
        exact = _from_exact(raster.exact[..., :3], profile, conversions)
        if exact is not None:
            return exact
    if raster.depth.bits > _PILLOW_BITS:
        conversions.append(f"{raster.depth.bits} bits a channel cut to 8")
    if image.mode == "LAB":
        conversions.append("CIE Lab to sRGB")
        return _floats(icc.lab_to_srgb(image))
    if image.mode == "CMYK":
        return _from_8_bits(image, profile, conversions)
    if image.mode not in _RGB_MODES:
        conversions.append(f"{_NAMES.get(image.mode, image.mode)} to RGB")
    return _from_8_bits(_rgb(image), profile, conversions)


def _from_8_bits(image: Image.Image, profile: bytes | None, conversions: list[str]) -> Pixels:
    """Convert a picture in mode RGB or CMYK to sRGB."""
    is_cmyk = image.mode == "CMYK"
    if profile:
        try:
            converted = icc.to_srgb(image, profile)
            if converted is not image:
                phrase = icc.phrase(profile)
                conversions += ["CMYK to RGB", phrase] if is_cmyk else [phrase]
            return _floats(converted)
        except icc.ProfileError:
            conversions.append(icc.left_out("plain CMYK" if is_cmyk else "sRGB"))
    if is_cmyk:
        conversions.append("CMYK to RGB without a profile")
        return _floats(image, _without_inks)
    return _floats(image)


def _from_exact(
    values: NDArray[np.uint16], profile: bytes | None, conversions: list[str]
) -> Pixels | None:
    """Convert colors of 16 bits to sRGB; None if their profile needs 8 bits or is damaged."""
    if profile is None or icc.is_srgb(profile):
        pixels = values.astype(np.float32)
        pixels *= np.float32(255 / _WHITE_16)
        return pixels
    try:
        phrase = icc.phrase(profile)
    except icc.ProfileError:
        return None
    converted = icc.exact_to_srgb(values, profile)
    if converted is not None:
        conversions.append(phrase)
    return converted


def _alpha(image: Image.Image, raster: Raster) -> Plane | None:
    """The alpha plane (height, width), 0..1; None if every pixel is opaque."""
    key = image.info.get("transparency")
    exact = raster.exact
    if image.mode.startswith("I;16") and key is not None:
        alpha = (np.asarray(image) != key).astype(np.float32)
    elif exact is not None and exact.shape[-1] == len("RGBA"):
        alpha = exact[..., 3].astype(np.float32)
        alpha /= np.float32(_WHITE_16)
    elif exact is not None and isinstance(key, tuple):  # Pillow compares it with 8 bits
        alpha = (exact != np.array(key, np.uint16)).any(axis=-1).astype(np.float32)
    elif image.has_transparency_data and image.mode not in WIDE:
        clear = image if image.mode == "RGBA" else image.convert("RGBA")
        alpha = _floats(clear.getchannel("A"))
        alpha /= np.float32(255)
    else:
        return None
    return None if alpha.min() >= 1 else alpha


def _rgb(image: Image.Image) -> Image.Image:
    """The colors in mode RGB, without regard to alpha."""
    if image.has_transparency_data and image.mode != "RGBA":
        image = image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")


def _floats(
    image: Image.Image, of: Callable[[NDArray[np.float32]], NDArray[np.float32]] = np.asarray
) -> NDArray[np.float32]:
    """Apply `of` to float32 values in blocks of rows: (height, width, 3), or (height, width)."""
    shape = (image.height, image.width)
    floats = np.empty(shape if len(image.getbands()) == 1 else (*shape, 3), dtype=np.float32)
    for rows, strip in strips(image):
        floats[rows] = of(np.asarray(strip, dtype=np.float32))
    return floats


def _without_inks(cmyk: NDArray[np.float32]) -> NDArray[np.float32]:
    left = 1 - cmyk / np.float32(255)
    return 255 * left[..., :3] * left[..., 3:]


_WHITE = np.float32(255)
_ROWS = 512  # that are worked on at a time; even


def filled(pixels: Pixels, alpha: Plane) -> Pixels:
    """Replace hidden colors of a picture (height, width, 3) by visible ones nearby.

    Each color counts by its `alpha`, 0..1; the rest comes from a coarser picture, recursively (push
    and pull, Gortler and others, "The Lumigraph", 1996, section 3.4). White if nothing is visible.

    `pixels` is overwritten, because a copy of a large picture takes much memory.
    """
    if not alpha.any():
        return np.full_like(pixels, _WHITE)
    if alpha.min() >= 1 or alpha.size == 1:
        return pixels
    seen = np.multiply(pixels, alpha[..., None], out=pixels)
    around = filled(*_coarser(seen, alpha))
    for channel in range(3):
        _lay_under(seen[..., channel], alpha, around[..., channel])
    return seen


def _lay_under(seen: Plane, alpha: Plane, around: Plane) -> None:
    """Add to a channel, where it is hidden, a channel of half the size."""
    height, width = alpha.shape
    coarse = Image.fromarray(np.ascontiguousarray(around))
    near = coarse.resize((2 * coarse.width, 2 * coarse.height), Image.Resampling.BILINEAR)
    for top in range(0, height, _ROWS):
        hidden = 1 - alpha[top : top + _ROWS]
        part = near.crop((0, top, width, top + len(hidden)))
        seen[top : top + _ROWS] += hidden * np.asarray(part)


def _coarser(seen: Pixels, alpha: Plane) -> tuple[Pixels, Plane]:
    """Half the size: the mean visible color of four pixels, and the sum of their alpha."""
    height, width = alpha.shape
    sums: NDArray[np.float32] = np.empty(((height + 1) // 2, (width + 1) // 2, 4), dtype=np.float32)
    for top in range(0, height, _ROWS):
        rows = slice(top, top + _ROWS)
        planes = np.concatenate([seen[rows], alpha[rows][..., None]], axis=-1)
        planes = np.pad(planes, ((0, len(planes) % 2), (0, width % 2), (0, 0)))
        fours = planes.reshape(len(planes) // 2, 2, planes.shape[1] // 2, 2, 4)
        sums[top // 2 : (top + _ROWS) // 2] = fours.sum(axis=(1, 3))
    total = sums[..., 3]
    visible: Plane = np.maximum(total, 1e-6, dtype=np.float32)
    colors: Pixels = np.divide(sums[..., :3], visible[..., None], dtype=np.float32)
    return colors, np.minimum(total, 1)
