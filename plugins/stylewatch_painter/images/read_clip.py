"""Reading of clips: frames of films and of animated pictures in one form."""

import hashlib
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from io import SEEK_END
from pathlib import Path

import numpy as np
from PIL import Image

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import animation
from stylewatch_painter.images.clip import Clip, ClipLimits, Frame
from stylewatch_painter.images.film import Film, named
from stylewatch_painter.images.formats import HEAD, is_film
from stylewatch_painter.images.read import MAX_BYTES, Picture, decoding, open_file
from stylewatch_painter.installation import install_command

CONTAINERS = "MP4, MOV, MKV, WebM, GIF, animated WebP, PNG or AVIF"

_FILM = "film"
_ANIMATED = "animated"
_SEQUENCE = b"ftypavis"
"""Box type and brand of an AVIF whose pictures are frames."""


def is_clip(path: Path) -> bool:
    """Return whether a file is a film, or an animated picture with more than one frame.

    A file that cannot be read is none, except a damaged AVIF with frames.
    """
    head = b""
    with suppress(PictureError), open_file(path) as file:
        head = file.read(HEAD)
        kind = _kind(head)
        if kind != _ANIMATED or file.seek(0, SEEK_END) > MAX_BYTES:
            return kind == _FILM
        file.seek(0)
        with decoding(path.name, head):
            image = Image.open(file, formats=animation.FORMATS)
            # Pillow would count all frames of a GIF, but detects a second one earlier
            return bool(getattr(image, "is_animated", False))
    return head[4:12] == _SEQUENCE  # a damaged AVIF sequence, whose first frame may be whole


def inspect(path: Path, limits: ClipLimits) -> Clip:
    """Describe the clip at `path`.

    All packets of a film are read and one frame is decoded; all frames of an animated picture are
    decoded. Raises PictureError if the file is not a clip, exceeds `limits` or is damaged, or if
    the extra that is needed to paint it is missing.
    """
    kind = _kind_of(path)
    if find_spec("cv2") is None:  # `flow` needs it, so refuse the clip before painting begins
        raise PictureError(
            f"{path.name} is a clip, which needs an extra: {install_command('clips')}"
        )
    with named(path.name):
        if kind == _ANIMATED:
            return animation.inspect(path, limits)
        return Film(path, limits).describe()


def frames(path: Path, limits: ClipLimits, first: int = 0) -> Iterator[Frame]:
    """Yield the frames of the clip at `path` from number `first` on, one at a time.

    Raises PictureError as `inspect` does, except for a missing OpenCV, and when it reaches a
    damaged part of an animated picture.
    """
    return (frame for frame in decoded(path, limits, first) if frame is not None)


def decoded(path: Path, limits: ClipLimits, first: int = 0) -> Iterator[Frame | None]:
    """Yield the frames as `frames` does, and before them None for each decoded earlier frame.

    The earlier frames may take long to decode; each None shows that decoding goes on.
    """
    if _kind_of(path) == _ANIMATED:
        numbers = range(first, sys.maxsize)
        for number, (_, pixels, _) in enumerate(animation.frames(path, limits, numbers)):
            yield Frame(number, pixels) if number in numbers else None
    else:
        with named(path.name):
            yield from Film(path, limits).frames(first)


def first_picture(path: Path, limits: ClipLimits, clip: Clip) -> Picture:
    """Read the first frame of the `clip` at `path` as a Picture.

    Raises PictureError as `frames` does.
    """
    pixels = next(frames(path, limits)).pixels.astype(np.float32)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    warnings = tuple(f"{path.name} {warning}" for warning in clip.warnings)
    return Picture(pixels, None, clip.converted, sha256, size_of_file=clip.size, warnings=warnings)


def _kind(head: bytes) -> str:
    """Return `_FILM`, `_ANIMATED`, or "" for any other file."""
    if is_film(head):
        return _FILM
    animated = (
        head[:4] == b"GIF8"
        or head[:8] == b"\x89PNG\r\n\x1a\n"
        or (head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and head[20:21] and head[20] & 2)
        or (head[4:8] == b"ftyp" and b"avis" in head[8 : int.from_bytes(head[:4])])
    )
    return _ANIMATED if animated else ""


def _kind_of(path: Path) -> str:
    with open_file(path) as file:
        kind = _kind(file.read(HEAD))
    if not kind:
        raise PictureError(f"{path.name} is not a clip; clips can be {CONTAINERS}")
    return kind
