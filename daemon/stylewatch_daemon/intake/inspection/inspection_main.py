"""The inspection process: it decodes and hashes pictures and makes thumbnails.

It reads pictures with the painter's code. Pictures are untrusted: the process has limited memory,
and cannot write a large file. It loads Pillow and NumPy, but not torch.
"""

import hashlib
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import zip_longest
from multiprocessing.connection import Connection
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
from PIL import Image

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.child import received, send
from stylewatch_daemon.base.model import Cause, Picture
from stylewatch_daemon.files import entries
from stylewatch_daemon.intake.inspection.messages import Answer, Opening, Question
from stylewatch_daemon.ledger import thumbs
from stylewatch_painter.errors import LibraryError, NoMemoryError, PictureError
from stylewatch_painter.images.clip import ClipLimits
from stylewatch_painter.images.decode import NeededSize, long_side
from stylewatch_painter.images.encode import over_white
from stylewatch_painter.images.film import is_film
from stylewatch_painter.images.loaders import memory
from stylewatch_painter.images.read import file_bytes, open_file, picture_of
from stylewatch_painter.images.read_clip import frames, is_clip
from stylewatch_painter.images.read_clip import inspect as inspect_clip
from stylewatch_painter.images.vips import vips
from stylewatch_painter.installation import unloadable

EXTRA_MEMORY = 3 << 26
"""Bytes of memory in addition to those for a picture: for the thumbnail, and for reserves of
libraries. The C library alone reserves 64 MB of address space for a thread."""

MAX_FILE = 4 << 20
"""Maximum size in bytes of a written file; thumbnails are much smaller."""

CACHE_SIZE = 64
"""Maximum number of inspected pictures in the cache, so that an album's style is inspected only
once."""

LOWEST_PRIORITY = 19
"""Nice value of the lowest priority that a process can have."""

Messages = Iterator[Opening | Answer]

_cache: dict[tuple[str, ClipLimits, bool], Picture] = {}
"""The pictures inspected last, by digest, limits, and whether clips are accepted."""


def _mapped() -> int:
    """Return the bytes of address space that this process has mapped; 0 if unknown."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def serve(pipe: Connection, entry: str) -> None:
    """Answer the questions from `pipe` with `entry` (`module:function`) until the pipe closes.

    Limit the memory of this process, and the size of files that it writes, first.
    """
    answers: Callable[[Question], Messages] = resolve_name(entry)
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_FSIZE, MAX_FILE)
    with suppress(LibraryError):  # it is the answer where a picture needs libvips
        vips()  # loaded first, so that its memory is part of `base`
    base = _mapped()
    while (question := received(pipe)) is not None:
        limit(resource.RLIMIT_AS, base + EXTRA_MEMORY + memory(question.max_pixels))
        for message in answers(question):
            send(pipe, message)


def limit(which: int, most: int) -> None:
    """Set the soft limit of a resource to `most`, or to the hard limit if that is lower."""
    _, hard = resource.getrlimit(which)
    resource.setrlimit(which, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def inspect(question: Question) -> Messages:
    """Yield an Opening before each picture is opened, and finally the Answer."""
    pictures: list[Picture] = []
    try:
        for path, role in zip_longest(question.files, question.roles):
            yield Opening(path.name)
            takes_clips = role in (None, "content")
            pictures.append(_inspect(path, question, takes_clips=takes_clips))
    except PictureError as error:
        shortage = shortages.shortage(error)
        if shortage is not None:
            yield Answer(reason=str(shortage), cause=Cause.MACHINE)
        else:
            lacks_memory = isinstance(error, NoMemoryError)
            yield Answer(reason=str(error), cause=Cause.PICTURE, lacks_memory=lacks_memory)
    except ImportError as error:
        yield Answer(reason=str(unloadable(error)), cause=Cause.DEVICE)
    else:
        yield Answer(tuple(pictures))


def make_thumbnails(question: Question) -> Messages:
    """Yield the messages of `inspect`, after giving this process the lowest priority."""
    os.nice(LOWEST_PRIORITY)  # the system limits the result
    yield from inspect(question)


def _inspect(path: Path, question: Question, *, takes_clips: bool) -> Picture:
    """Return the record of a picture, and write its thumbnail unless the disk has an error.

    With `takes_clips`, `path` may also be a clip. Records are cached by the digest of the file.
    Raises PictureError, and ImportError if a library is missing.
    """
    data = None if takes_clips and is_film(path) else file_bytes(path)
    digest = _sha256_of(path) if data is None else hashlib.sha256(data).hexdigest()
    limits = ClipLimits(question.max_pixels, question.max_frames)
    key = (digest, limits, takes_clips)
    thumb = thumbs.path_of(question.thumbs, digest, question.side)
    if key in _cache and entries.exists(thumb):
        _cache[key] = _cache.pop(key)  # move to the end
        return replace(_cache[key], name=path.name)
    if data is None or (takes_clips and is_clip(path)):
        clip = inspect_clip(path, limits)
        size, frame_count = clip.size, clip.frames
        image = Image.fromarray(next(frames(path, limits)).pixels)
        image.thumbnail((question.side, question.side))
    else:
        needed = NeededSize(long_side(question.side), above=0)
        picture = picture_of(path.name, data, question.max_pixels, needed)
        pixels = over_white(picture.pixels, picture.alpha)
        image = Image.fromarray(np.rint(pixels).clip(0, 255).astype(np.uint8))
        image.thumbnail((question.side, question.side))
        size, frame_count = picture.size, 1
    _save_thumb(image, thumb)
    _cache[key] = Picture(path.name, digest, size, frame_count)
    if len(_cache) > CACHE_SIZE:
        del _cache[next(iter(_cache))]
    return _cache[key]


def _sha256_of(film: Path) -> str:
    """Return the SHA-256 of a film, which may be too large for memory."""
    with open_file(film) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _save_thumb(image: Image.Image, path: Path) -> None:
    """Write a thumbnail, unless the disk has an error, for example because it is full."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        image.save(temporary, "JPEG", quality=85)
        temporary.replace(path)
