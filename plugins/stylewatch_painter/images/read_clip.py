"""Reading of clips: frames of films and of animated pictures in one form."""

import hashlib
import math
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from io import SEEK_END
from itertools import islice
from pathlib import Path
from statistics import median_high

import numpy as np
from PIL import Image

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import animation
from stylewatch_painter.images.clip import Clip, ClipLimits, Frame
from stylewatch_painter.images.color import Spread
from stylewatch_painter.images.film import Film, named
from stylewatch_painter.images.formats import HEAD, is_film
from stylewatch_painter.images.read import MAX_BYTES, Picture, decoding, open_file
from stylewatch_painter.images.resize import resize
from stylewatch_painter.installation import install_command
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Bytes, Pixels

CONTAINERS = "MP4, MOV, MKV, WebM, GIF, animated WebP, PNG or AVIF"

_FILM = "film"
_ANIMATED = "animated"
_SEQUENCE = b"ftypavis"
"""Box type and brand of an AVIF whose pictures are frames."""

_ENOUGH = 0.1
"""Deviation of the colors of a frame, in Oklab, from which no other frame need be read. It is 0.13
to 0.21 for the sample pictures, and 0.07 to 0.12 for these with halved values."""
_ONE_COLOR = 1e-4
"""Deviation of the colors of a frame, in Oklab, below which it counts as a frame of one color."""
_SAMPLES, _OPENING = 9, 1500
"""Maximum number of frames whose colors are compared, and the number of frames at the start of a
clip over which they are spread. Decoding more frames may take minutes."""
_REDUCED = 512
"""Maximum length of the long side, in pixels, to which frames are reduced to compare colors."""


def is_clip(path: Path) -> bool:
    """Return whether a file is a film, or an animated picture with more than one frame.

    Return False for a file that cannot be read, except a damaged AVIF sequence.
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
    """Return a description of the clip at `path`.

    All packets of a film are read and one frame is decoded; all frames of an animated picture are
    decoded. Raises PictureError if the file is not a clip, exceeds `limits` or is damaged, or if
    the extra that is needed to paint it is missing, and LibraryError if a library cannot be loaded.
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


def frames(path: Path, limits: ClipLimits, first: int = 0, every: int = 1) -> Iterator[Frame]:
    """Yield the frames of the clip at `path` from number `first` on, one at a time.

    Only the first of each `every` frames is yielded. Raises PictureError as `inspect` does, except
    for a missing OpenCV, and when it reaches a damaged part of an animated picture.
    """
    return (frame for frame in decoded(path, limits, first, every) if frame is not None)


def decoded(
    path: Path, limits: ClipLimits, first: int = 0, every: int = 1
) -> Iterator[Frame | None]:
    """Yield the frames that `frames` yields, and None for every other frame that is decoded.

    The frames before `first` may take long to decode, and each None shows progress. Raises
    PictureError as `frames` does.
    """
    numbers = range(first, sys.maxsize, every)
    if _kind_of(path) == _ANIMATED:
        for number, (_, pixels, _) in enumerate(animation.frames(path, limits, numbers)):
            yield Frame(number, pixels) if number in numbers else None
    else:
        with named(path.name):
            yield from Film(path, limits).frames(numbers)


def first_picture(path: Path, limits: ClipLimits, clip: Clip) -> Picture:
    """Read the first frame of the `clip` at `path` as a Picture.

    Raises PictureError as `frames` does.
    """
    pixels = next(frames(path, limits)).pixels.astype(np.float32)
    with open_file(path) as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    warnings = tuple(f"{path.name} {warning}" for warning in clip.warnings)
    return Picture(pixels, None, clip.converted, sha256, size_of_file=clip.size, warnings=warnings)


def colored_like(path: Path, limits: ClipLimits, clip: Clip, first: Picture) -> Picture:
    """Return `first`, the clip's first frame, or a copy with the pixels of a more colorful frame.

    `first` is returned if the deviation of its colors is at least _ENOUGH. Otherwise, as in a fade,
    up to _SAMPLES frames from the first _OPENING frames are compared. `first` is still returned if
    its deviation is at least half of the largest. If not, the pixels are those, reduced, of the
    frame with the median deviation among the frames that reach this half. If all samples show one
    color, the result is `first` with a warning (law 19). The choice depends on the file alone.
    Raises PictureError as `frames` does.
    """
    if Spread.of(_reduced(first.pixels)).deviation >= _ENOUGH:
        return first
    count = min(clip.frames, _OPENING)
    every = math.ceil(count / _SAMPLES)
    sampled = islice(frames(path, limits, every=every), math.ceil(count / every))
    samples = [_reduced(frame.pixels) for frame in sampled]
    deviations = [Spread.of(sample).deviation for sample in samples]
    most = max(deviations)
    if most < _ONE_COLOR:
        nothing = f"{path.name} shows one color alone in the frames that its colors are taken from"
        return replace(first, warnings=(*first.warnings, nothing))
    good = [deviation for deviation in deviations if deviation >= most / 2]
    if deviations[0] in good:
        return first
    return replace(first, pixels=samples[deviations.index(median_high(good))])


def _reduced(pixels: Pixels | Bytes) -> Pixels:
    """Return a picture, float32, with at most _REDUCED pixels on its long side."""
    size = Size.of(pixels)
    return resize(pixels, size.times(min(1, _REDUCED / size.long)), "bilinear")


def _kind(head: bytes) -> str:
    """Return the kind of a file by its head: `_FILM`, `_ANIMATED`, or an empty string.

    Every GIF and PNG is `_ANIMATED`: only their further content tells how many frames they have.
    """
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
