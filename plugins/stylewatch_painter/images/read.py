"""Reads a picture file into floats: sRGB, upright, with every conversion told."""

import hashlib
import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.alpha import filled
from stylewatch_painter.images.convert import FILLED, unfilled
from stylewatch_painter.images.decode import HEAD, decoded, decoding
from stylewatch_painter.images.metadata import UNTOLD, Tags
from stylewatch_painter.images.reduced import Enough, Size
from stylewatch_painter.stage import Pixels, Plane

MAX_PIXELS = 40_000_000
"""Pixels (width x height) that `read` lets in by default."""

MAX_BYTES = 512 * 2**20
"""Bytes of the largest file that `read` takes."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as it was read.

    `pixels` is float32 (height, width, 3), sRGB 0..255; where the file is transparent, filled
    with the visible colors nearby. `alpha` is float32 (height, width), 0..1, or None where all
    is opaque. `converted` has a phrase for each conversion, in the order they were made. `sha256`
    (hex) and `bytes` (the count) belong to the file's content, exactly as it was decoded. `tags`
    are what the file tells beside its pixels. `size_of_file` is (width, height) of the picture
    in the file, upright, where it was decoded with fewer pixels.
    """

    pixels: Pixels
    alpha: Plane | None
    converted: tuple[str, ...]
    sha256: str
    bytes: int
    tags: Tags = UNTOLD
    size_of_file: Size | None = None

    @property
    def size(self) -> Size:
        """(width, height) in pixels of the picture in the file, upright."""
        height, width, _ = self.pixels.shape
        return self.size_of_file or (width, height)


def read(path: Path, *, max_pixels: int = MAX_PIXELS, enough: Enough | None = None) -> Picture:
    """The picture in the file at `path`.

    The file is read once; its size in pixels is looked at before anything is decoded. One
    picture at a time is decoded in a process, whatever the number of threads. All pixels are
    decoded unless `enough` lets a large picture have fewer.

    Raises:
        PictureError: the file is not there, is no regular file, is empty, too large, cut off
            or damaged, has more than `max_pixels`, or is in a format that cannot be read.
    """
    name = path.name or str(path)
    data = file_bytes(path)
    digest, length = hashlib.sha256(data).hexdigest(), len(data)
    with decoding(name, data[:HEAD]):
        raster = decoded(data, max_pixels, uncut=True, enough=enough)
        del data  # each of these takes hundreds of megabytes: none is held longer than needed
        tags, size_of_file = raster.tags, raster.size_of_file
        pixels, alpha, converted = unfilled(raster)
        del raster
        if alpha is not None:
            pixels, converted = filled(pixels, alpha), (*converted, FILLED)
    return Picture(pixels, alpha, converted, digest, length, tags, size_of_file)


def file_bytes(path: Path) -> bytes:
    """All bytes of a picture's file; symbolic links are followed.

    Raises:
        PictureError: the file is not there, is no regular file, is empty or too large.
    """
    name = path.name or str(path)
    try:
        with io.FileIO(path, opener=_at_once) as file:
            _check(os.fstat(file.fileno()), name)
            return file.readall()
    except FileNotFoundError as error:
        raise PictureError(f"{name} is not there; check its name and folder") from error
    except IsADirectoryError as error:
        raise PictureError(f"{name} is a folder; name a picture in it") from error
    except OSError as error:
        reason = error.strerror or error
        raise PictureError(f"{name} cannot be read: {reason}; check its permissions") from error


def _at_once(path: str, flags: int) -> int:
    """Opens without waiting: a pipe that nobody writes to would never open."""
    return os.open(path, flags | os.O_NONBLOCK)


def _check(status: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise PictureError(f"{name} is a pipe or a device, not a file; copy the picture to a file")
    if status.st_size == 0:
        raise PictureError(f"{name} is empty; copy the picture again")
    if status.st_size > MAX_BYTES:
        raise PictureError(
            f"{name} has {status.st_size:,} bytes and at most {MAX_BYTES:,} are let in;"
            " save it compressed or smaller"
        )
