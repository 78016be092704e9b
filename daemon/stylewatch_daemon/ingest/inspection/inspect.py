"""Looks at the pictures of a job as the painter will: decodes them, hashes them, makes them small.

Pillow and NumPy are loaded with this module, so it is for a child process; torch is not.
"""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from stylewatch_daemon.files import shortages
from stylewatch_daemon.ingest.inspection.contract import (
    Begun,
    CutOff,
    Fine,
    NotNow,
    Question,
    Refused,
    Verdict,
)
from stylewatch_daemon.ingest.inspection.masks import check_masks
from stylewatch_daemon.ingest.inspection.truncation import is_cut_off, lacks_end
from stylewatch_daemon.model import Picture
from stylewatch_daemon.store import thumbs
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.decode import Raster, decoded, decoding
from stylewatch_painter.images.encode import over_white
from stylewatch_painter.images.read import file_bytes, to_floats
from stylewatch_painter.images.reduced import Enough, within

REMEMBERED = 64
"""How many of the pictures that were seen last are known again by their digests: an album's style
comes with each of its jobs."""

_OUR_LIMITS = (Image.DecompressionBombError, ImportError, MemoryError)
"""What keeps a picture from being decoded, however much of it is still to come."""

_UNFINISHED = "{} lacks its end, as a file does that is still being written; copy it again"

_known: OrderedDict[tuple[str, int], tuple[int, int]] = OrderedDict()


def examine(question: Question) -> Iterator[Begun | NotNow | Verdict]:
    """A Begun for each picture as it is opened, and the verdict, last, or a NotNow."""
    pictures = []
    for path in question.files:
        yield Begun(question.job, path.name)
        data: bytes | None = None
        try:
            data = file_bytes(path)
            pictures.append(_seen(path.name, data, question))
            if path in question.growing and lacks_end(data):
                yield CutOff(question.job, path.name, _UNFINISHED.format(path.name))
                return
        except PictureError as error:
            if (shortage := shortages.shortage(error)) is not None:
                yield NotNow(question.job, str(shortage))
            elif _may_grow(path, data, error):
                yield CutOff(question.job, path.name, str(error))
            else:
                yield Refused(question.job, str(error))
            return
    try:
        check_masks(question, tuple(pictures))
    except PictureError as error:
        yield Refused(question.job, str(error))
    else:
        yield Fine(question.job, tuple(pictures))


def _seen(name: str, data: bytes, question: Question) -> Picture:
    """What the picture in `data` is; raises PictureError where it cannot be painted."""
    digest = hashlib.sha256(data).hexdigest()
    key = (digest, question.max_pixels)
    thumb = thumbs.path_of(question.thumbs, digest, question.side)
    if key in _known and thumb.exists():
        _known.move_to_end(key)
        return Picture(name, digest, _known[key])
    with decoding(name, data):
        enough = Enough(within(question.side))
        raster = decoded(data, question.max_pixels, enough=enough)
        size = raster.size
        pixels, alpha, _ = to_floats(
            _small(raster, question.side)
        )  # in its right colors, and on white
    if alpha is not None:
        pixels = over_white(pixels, alpha)
    _leave(Image.fromarray(np.rint(pixels).clip(0, 255).astype(np.uint8)), thumb)
    _known[key] = size
    if len(_known) > REMEMBERED:
        _known.popitem(last=False)
    return Picture(name, digest, size)


def _small(raster: Raster, side: int) -> Raster:
    small = raster.image.copy()
    small.thumbnail((side, side))
    return replace(raster, image=small)


def _leave(image: Image.Image, path: Path) -> None:
    """Write a thumbnail; on a full disk there is none."""
    half = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        image.save(half, "JPEG", quality=85)
        half.replace(path)


def _may_grow(path: Path, data: bytes | None, error: PictureError) -> bool:
    """Whether it is for want of its end that a picture cannot be painted."""
    if data is None:  # it could not even be read, and may be empty
        return path.is_file() and path.stat().st_size == 0
    cause = error.__cause__
    if cause is not None and not isinstance(cause, _OUR_LIMITS):
        with suppress(Exception):  # over broken bytes nearly anything may be raised
            return is_cut_off(data)
    return False
