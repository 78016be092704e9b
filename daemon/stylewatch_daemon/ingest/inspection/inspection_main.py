"""The inspection process: decodes, hashes and makes thumbnails, as the painter reads pictures.

The pictures are untrusted: memory is limited, and no large file can be written. This loads Pillow
and NumPy, not torch.
"""

import hashlib
import os
import resource
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import count, zip_longest
from multiprocessing.connection import Connection
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
from PIL import Image

from stylewatch_daemon.files import shortages
from stylewatch_daemon.ingest.inspection.messages import (
    Begun,
    CutOff,
    Fine,
    NotNow,
    Question,
    Refused,
    Verdict,
)
from stylewatch_daemon.ingest.inspection.truncation import FileParts, is_cut_off, lacks_end
from stylewatch_daemon.model import Picture
from stylewatch_daemon.processes.child import received, send
from stylewatch_daemon.store import thumbs
from stylewatch_daemon.store.journal import CONTENT_MASK, MASK
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.clip import ClipLimits, frames, is_clip, is_film
from stylewatch_painter.images.clip import inspect as inspect_clip
from stylewatch_painter.images.encode import over_white
from stylewatch_painter.images.masks import Mask, check_frames, check_shape, matched
from stylewatch_painter.images.read import decoded, decoding, file_bytes, open_file, to_floats
from stylewatch_painter.images.reduced import NeededSize, Raster, long_side, memory

EXTRA_MEMORY = 1 << 26
"""Bytes of memory in addition to those of a picture: the thumbnail, what libraries set aside."""

MAX_FILE = 4 << 20
"""Bytes of the largest file that it may write; thumbnails are much smaller."""

CACHE_SIZE = 64
"""How many pictures are recognized by their digests: an album's style is inspected once."""

LOWEST_PRIORITY = 19
"""The highest nice value of a process."""

_MASK_SIDE = 1024
"""Pixels of the long side at which the colors of a mask are compared."""

Inspect = Callable[[Question], Iterator[Begun | NotNow | Verdict]]

_OUR_LIMITS = (Image.DecompressionBombError, ImportError, MemoryError)
"""Errors of pictures that no further bytes would fix."""

_cache: OrderedDict[tuple[str, ClipLimits, bool], Picture] = OrderedDict()


def serve(pipe: Connection, entry: str) -> None:
    """Answer the questions from `pipe` with `entry` (`module:function`) until the pipe closes."""
    answers: Inspect = resolve_name(entry)
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_FSIZE, MAX_FILE)
    base = 0  # bytes that libraries and their threads have mapped already
    with suppress(OSError):
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
        base = int(pages) * os.sysconf("SC_PAGE_SIZE")
    while (question := received(pipe)) is not None:
        limit(resource.RLIMIT_AS, base + EXTRA_MEMORY + memory(question.max_pixels))
        for message in answers(question):
            send(pipe, message)


def limit(which: int, most: int) -> None:
    """Set the soft limit of a resource to `most`, or to the hard limit if that is lower."""
    _, hard = resource.getrlimit(which)
    resource.setrlimit(which, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def inspect(question: Question) -> Iterator[Begun | NotNow | Verdict]:
    """Yield a Begun before each picture is opened, and at the end the verdict, or a NotNow."""
    pictures: list[Picture] = []
    for path, role in zip_longest(question.files, question.roles):
        yield Begun(path.name)
        data: bytes | FileParts | None = None
        try:
            takes_clips = role in (None, "content", CONTENT_MASK)
            data = FileParts(path) if takes_clips and is_film(path) else file_bytes(path)
            pictures.append(_inspect(path, data, question, takes_clips=takes_clips))
            if path in question.growing and lacks_end(data):
                reason = f"{path.name} lacks its end, as a file does that is still being written"
                yield CutOff(question.job, path.name, f"{reason}; copy it again")
                return
        except PictureError as error:
            if (shortage := shortages.shortage(error)) is not None:
                yield NotNow(str(shortage))
            elif _may_grow(path, data, error):
                yield CutOff(question.job, path.name, str(error))
            else:
                yield Refused(question.job, str(error))
            return
    try:
        _check_masks(question, pictures)
    except PictureError as error:
        yield Refused(question.job, str(error))
    else:
        yield Fine(question.job, tuple(pictures))


def make_thumbnails(question: Question) -> Iterator[Begun | NotNow | Verdict]:
    """Answer as `inspect`, in a process that has the lowest priority from then on."""
    os.nice(LOWEST_PRIORITY)  # the system limits the sum
    yield from inspect(question)


def _inspect(
    path: Path, data: bytes | FileParts, question: Question, *, takes_clips: bool
) -> Picture:
    """Describe the picture in `data`, and write its thumbnail; raises PictureError."""
    digest = _sha256(data)
    limits = ClipLimits(question.max_pixels, question.max_frames, question.max_seconds)
    key = (digest, limits, takes_clips)
    thumb = thumbs.path_of(question.thumbs, digest, question.side)
    if key in _cache and thumb.exists():
        _cache.move_to_end(key)
        return replace(_cache[key], name=path.name)
    if isinstance(data, FileParts) or (takes_clips and is_clip(path)):
        clip = inspect_clip(path, limits)
        image, size, count = (
            Image.fromarray(next(frames(path, limits)).pixels),
            clip.size,
            clip.frames,
        )
        image.thumbnail((question.side, question.side))
    else:
        with decoding(path.name, data):
            raster = decoded(
                data, question.max_pixels, needed_size=NeededSize(long_side(question.side))
            )
            pixels, alpha, _ = to_floats(_reduced(raster, question.side, Image.Resampling.BICUBIC))
        image = Image.fromarray(np.rint(over_white(pixels, alpha)).clip(0, 255).astype(np.uint8))
        size, count = raster.size, 1
    _save_thumb(image, thumb)
    _cache[key] = Picture(path.name, digest, size, count)
    if len(_cache) > CACHE_SIZE:
        _cache.popitem(last=False)
    return _cache[key]


def _sha256(data: bytes | FileParts) -> str:
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest()
    with open_file(data.path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reduced(raster: Raster, side: int, resampling: Image.Resampling) -> Raster:
    image = raster.image.copy()
    image.thumbnail((side, side), resampling)
    return replace(raster, image=image)


def _save_thumb(image: Image.Image, path: Path) -> None:
    """Write a thumbnail; on a full disk there is none."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        image.save(temporary, "JPEG", quality=85)
        temporary.replace(path)


def _may_grow(path: Path, data: bytes | FileParts | None, error: PictureError) -> bool:
    """Return whether a picture cannot be decoded because its end is missing."""
    if data is None:  # not even read, perhaps because it is empty
        return path.is_file() and path.stat().st_size == 0
    cause = error.__cause__
    if cause is not None and not isinstance(cause, _OUR_LIMITS):
        with suppress(Exception):  # damaged bytes may raise nearly anything
            return is_cut_off(data)
    return False


def _check_masks(question: Question, pictures: list[Picture]) -> None:
    """Raise PictureError where a mask among the files does not fit its picture or the others.

    The colors of a clip are in all of its frames: the worker compares them before it paints.
    """
    styles = count(1)
    roles = [f"style-{next(styles)}" if role == "style" else role for role in question.roles]
    by_role = dict(zip(roles, zip(question.files, pictures, strict=False), strict=False))
    masks, has_clip = {}, False
    for role, (path, mask) in by_role.items():
        if not role.endswith(MASK):
            continue
        file, picture = by_role[role.removesuffix(MASK)]
        check_shape(mask.name, mask.size, picture.name, picture.size)
        if is_clip(path):
            has_clip = role == CONTENT_MASK and is_clip(file)
            frames = picture.frames if has_clip else None
            check_frames(mask.name, mask.frames, picture.name, frames)
        else:
            masks[role] = _read_mask(path.name, file_bytes(path), question.max_pixels)
    if masks and not has_clip:
        style_masks = [masks.get(f"style-{number}{MASK}") for number in range(1, next(styles))]
        matched(masks.get(CONTENT_MASK), style_masks)


def _read_mask(name: str, data: bytes, max_pixels: int) -> Mask:
    with decoding(name, data):
        raster = decoded(
            data, max_pixels, needed_size=NeededSize(long_side(_MASK_SIDE), reduce="nearest")
        )
        # Nearest mixes no colors.
        pixels, alpha, _ = to_floats(_reduced(raster, _MASK_SIDE, Image.Resampling.NEAREST))
    return Mask.of(name, pixels, alpha)
