"""Reading of picture files into floats: sRGB, upright, with a list of all conversions.

Only known formats are decoded, and only sizes within the limits.
"""

import hashlib
import os
import re
import threading
import warnings as python_warnings
from codecs import getincrementaldecoder
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from stylewatch_painter import regular_file
from stylewatch_painter.errors import NoMemoryError, PictureError
from stylewatch_painter.images.decode import NeededSize, Raster, decode, upright_size
from stylewatch_painter.images.formats import HEAD, READABLE, is_film, kind_of
from stylewatch_painter.images.metadata import NO_TAGS, Tags
from stylewatch_painter.installation import unloadable
from stylewatch_painter.regular_file import NotAFileError
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Pixels, Plane

MAX_PIXELS = 40_000_000
"""Default limit of pixels (width x height)."""

MAX_BYTES = 512 * 2**20
"""Maximum size of a file in bytes."""

# Decode one picture at a time: all threads share the filters of Pillow's warnings, and a decoder
# uses more memory than any other part of reading.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture.

    `pixels` is float32 (height, width, 3), sRGB 0..255; transparent parts are filled with the
    visible colors nearby. `alpha` is float32 (height, width), 0..1, or None if all is opaque.
    `converted` has a phrase for each conversion, in order; `warnings` has sentences about possible
    faults. `sha256` (hex) is the digest of the decoded file's content. `tags` is the metadata.
    `size_of_file` is the size of the picture in the file, upright, or None if it equals that of
    `pixels`.
    """

    pixels: Pixels
    alpha: Plane | None
    converted: tuple[str, ...]
    sha256: str
    tags: Tags = NO_TAGS
    size_of_file: Size | None = None
    warnings: tuple[str, ...] = ()

    @property
    def size(self) -> Size:
        """The size of the picture in the file, upright."""
        return self.size_of_file or Size.of(self.pixels)


def read(
    path: Path, *, max_pixels: int = MAX_PIXELS, needed_size: NeededSize | None = None
) -> Picture:
    """Read the picture at `path`.

    The number of pixels is checked before decoding. With `needed_size` a large picture may be
    decoded smaller. Raises PictureError if the file is missing, not a regular file, empty, too
    large, truncated or damaged, has more than `max_pixels`, is in an unsupported format, or needs a
    missing extra, or if its colors cannot be converted; LibraryError if a library cannot be loaded.
    """
    data = file_bytes(path)
    return picture_of(path.name or str(path), data, max_pixels, needed_size)


def picture_of(
    name: str, data: bytes, max_pixels: int = MAX_PIXELS, needed_size: NeededSize | None = None
) -> Picture:
    """Decode the picture in `data`, the content of the file `name`.

    A process decodes one picture at a time, in any number of threads. Raises PictureError and
    LibraryError as `read` does.
    """
    digest = hashlib.sha256(data).hexdigest()
    with decoding(name, data[:HEAD]):
        raster = decode(data, max_pixels, needed_size)
        conversions = raster.conversions
        tags = raster.tags
        size = raster.size
        warnings = tuple(f"{name} {warning}" for warning in raster.warnings)
        pixels, alpha = _floats(raster)
        del raster  # free hundreds of megabytes
        if alpha is not None:
            pixels = filled(pixels, alpha)
            conversions = (*conversions, FILLED)
    is_whole = size == Size.of(pixels)
    return Picture(pixels, alpha, conversions, digest, tags, None if is_whole else size, warnings)


def picture_size(path: Path, max_pixels: int = MAX_PIXELS) -> Size:
    """Return the size of the picture at `path`, upright, without decoding it.

    Raises PictureError if the file cannot be read, is unsupported or exceeds a limit, and
    LibraryError if a library cannot be loaded.
    """
    data = file_bytes(path)
    with decoding(path.name, data[:HEAD]):
        return upright_size(data, max_pixels)


def file_bytes(path: Path) -> bytes:
    """Read a picture file, following symbolic links.

    Raises PictureError if the file is missing, not a regular file, empty, larger than MAX_BYTES, or
    unreadable.
    """
    with open_file(path) as file:
        length = os.fstat(file.fileno()).st_size
        if length > MAX_BYTES:
            raise PictureError(
                f"{path.name} has {length:,} bytes; the limit is {MAX_BYTES:,}: "
                "save it compressed or smaller"
            )
        return file.read()


@contextmanager
def open_file(path: Path) -> Iterator[BufferedReader]:
    """Open a file of any size, following symbolic links.

    Raises PictureError if it is missing, not a regular file or empty, or if an OSError occurs
    inside the context.
    """
    name = path.name or str(path)
    try:
        with regular_file.opened(path) as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise PictureError(f"{name} is empty; copy the picture again")
            yield file
    except NotAFileError as error:
        raise PictureError(
            f"{name} is a pipe or a device, not a file; copy the picture to a file"
        ) from error
    except FileNotFoundError as error:
        raise PictureError(f"{name} is not there; check its name and folder") from error
    except IsADirectoryError as error:
        raise PictureError(f"{name} is a folder; name a picture in it") from error
    except OSError as error:
        reason = error.strerror or error
        raise PictureError(f"{name} cannot be read: {reason}; check its permissions") from error


@contextmanager
def decoding(name: str, head: bytes) -> Iterator[None]:
    """Convert every error of decoding a file to a PictureError that names the file.

    An ImportError becomes a LibraryError instead. `head` is the first HEAD bytes of the file; if
    its format is unknown, PictureError is raised at once. `name` is put before the message of a
    PictureError that is raised inside. Only one thread of a process at a time can be inside.
    """
    if not kind_of(head):
        raise PictureError(f"{name} {_unknown(head)}")
    try:
        with _one_at_a_time, python_warnings.catch_warnings():
            # The size is checked separately, and a picture with damaged metadata is still usable.
            python_warnings.simplefilter("ignore")
            yield
    except PictureError as error:
        raise type(error)(f"{name} {error}") from error.__cause__
    except ImportError as error:  # Pillow loads what a format needs at its first picture
        raise unloadable(error) from error.__cause__ or error
    except Image.DecompressionBombError as error:
        raise PictureError(f"{name} has too many pixels for its format; save it as PNG") from error
    except UnidentifiedImageError as error:
        raise PictureError(f"{name} {_unknown(head)}") from error
    except Exception as error:  # decoders raise nearly any error for damaged data
        reason = _reason(error)
        if isinstance(error, MemoryError) or _NO_MEMORY.search(reason):
            raise NoMemoryError(
                f"{name} takes more memory than there is; make it smaller"
            ) from error
        raise PictureError(
            f"{name} is cut off or damaged ({reason}); copy or export it again"
        ) from error


_NO_MEMORY = re.compile(r"out of memory|insufficient memory|memory allocation error", re.IGNORECASE)
"""Pattern for messages of libraries that lack memory, which do not mean damage."""


def _reason(error: Exception) -> str:
    """Return the message of a library in one line."""
    lines = dict.fromkeys(str(getattr(error, "detail", error)).splitlines())
    told = [line for line in lines if "bad seek" not in line]  # libheif reports dozens
    return " ".join(" ".join(told).split())[:_MAX_CHARACTERS] or "its head cannot be read"


_MAX_CHARACTERS = 200
"""Maximum number of characters shown of a library's message."""


def _unknown(head: bytes) -> str:
    """Return a clause, for an error message, about a file in an unknown format."""
    if is_film(head):
        return "is a film; only the content of a job can be one: export a picture of it"
    if _is_text(head):
        return f"holds text, not a picture; pictures can be {READABLE}"
    return f"is in none of the formats {READABLE}, or its head is damaged; save it as JPEG or PNG"


def _is_text(head: bytes) -> bool:
    """Return whether the first bytes of a file are text in UTF-8; its last character may be cut."""
    try:
        return "\0" not in getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False


def _floats(raster: Raster) -> tuple[Pixels, Plane | None]:
    """Return the pixels of a decoded picture, 0..255 in three channels, and its alpha, 0..1.

    The alpha is None if all is opaque.
    """
    values = raster.values
    scale = np.float32(255 / raster.white)
    alpha = None
    if raster.has_alpha and values[..., -1].min() < raster.white:
        alpha = values[..., -1].astype(np.float32)
        alpha /= np.float32(raster.white)
    colors = values[..., : 3 if values.shape[-1] >= len("RGB") else 1]
    pixels: Pixels = colors.astype(np.float32)
    if raster.white != _WHITE:
        pixels *= scale
        pixels.clip(0, _WHITE, out=pixels)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels, alpha


FILLED = "transparent parts filled with the visible colors nearby, alpha kept beside"
"""Phrase for a picture whose hidden colors `filled` replaced."""

_WHITE = np.float32(255)
_ROWS = 512  # rows processed at a time; an even number


def filled(pixels: Pixels, alpha: Plane) -> Pixels:
    """Replace hidden colors of a picture (height, width, 3) by visible ones nearby.

    Each color is weighted by its `alpha`, 0..1; the rest comes from a coarser picture, recursively
    (push and pull, Gortler and others, "The Lumigraph", 1996, section 3.4). A picture without
    visible colors becomes white. The result may be `pixels` itself, which is overwritten, because a
    copy of a large picture takes much memory.
    """
    if not alpha.any():
        return np.full_like(pixels, _WHITE)
    if alpha.min() >= 1 or alpha.size == 1:
        return pixels
    weighted = np.multiply(pixels, alpha[..., None], out=pixels)
    around = filled(*_coarser(weighted, alpha))
    for channel in range(3):
        _lay_under(weighted[..., channel], alpha, around[..., channel])
    return weighted


def _lay_under(channel: Plane, alpha: Plane, around: Plane) -> None:
    """Composite `channel`, premultiplied by `alpha`, over `around` at twice its size, in place."""
    height, width = alpha.shape
    coarse = Image.fromarray(np.ascontiguousarray(around))
    near = coarse.resize((2 * coarse.width, 2 * coarse.height), Image.Resampling.BILINEAR)
    for top in range(0, height, _ROWS):
        hidden = 1 - alpha[top : top + _ROWS]
        below = near.crop((0, top, width, top + len(hidden)))
        channel[top : top + _ROWS] += hidden * np.asarray(below)


def _coarser(weighted: Pixels, alpha: Plane) -> tuple[Pixels, Plane]:
    """Return a picture of half the size: mean visible colors of four pixels, and summed alpha."""
    height, width = alpha.shape
    sums: NDArray[np.float32] = np.empty(((height + 1) // 2, (width + 1) // 2, 4), dtype=np.float32)
    for top in range(0, height, _ROWS):
        rows = slice(top, top + _ROWS)
        planes = np.concatenate([weighted[rows], alpha[rows][..., None]], axis=-1)
        planes = np.pad(planes, ((0, len(planes) % 2), (0, width % 2), (0, 0)))
        fours = planes.reshape(len(planes) // 2, 2, planes.shape[1] // 2, 2, 4)
        sums[top // 2 : (top + _ROWS) // 2] = fours.sum(axis=(1, 3))
    total = sums[..., 3]
    visible: Plane = np.maximum(total, 1e-6, dtype=np.float32)
    colors: Pixels = np.divide(sums[..., :3], visible[..., None], dtype=np.float32)
    return colors, np.minimum(total, 1)
