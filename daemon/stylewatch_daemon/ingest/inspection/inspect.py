"""Inspect the pictures of a job as the painter reads them: decode, hash, make thumbnails.

This module loads Pillow and NumPy, so it is for a child process; it does not load torch.
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
from stylewatch_daemon.ingest.inspection.truncation import is_cut_off, lacks_end
from stylewatch_daemon.model import Picture
from stylewatch_daemon.store import thumbs
from stylewatch_daemon.store.journal import MASK
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.encode import over_white
from stylewatch_painter.images.masks import Mask, check_shape, matched
from stylewatch_painter.images.read import decoded, decoding, file_bytes, to_floats
from stylewatch_painter.images.reduced import Enough, Raster, within

CACHE_SIZE = 64
"""How many pictures are recognized by their digests: an album's style is inspected once."""

LOWEST_PRIORITY = 19
"""The highest nice value of a process."""

_MASK_SIDE = 1024
"""Pixels of the long side at which the colors of a mask are compared."""

_OUR_LIMITS = (Image.DecompressionBombError, ImportError, MemoryError)
"""Errors of pictures that no further bytes would fix."""

_cache: OrderedDict[tuple[str, int], tuple[int, int]] = OrderedDict()


def examine(question: Question) -> Iterator[Begun | NotNow | Verdict]:
    """Yield a Begun before each picture is opened, and at the end the verdict, or a NotNow."""
    pictures = []
    for path in question.files:
        yield Begun(question.job, path.name)
        data: bytes | None = None
        try:
            data = file_bytes(path)
            pictures.append(_inspect(path.name, data, question))
            if path in question.growing and lacks_end(data):
                reason = f"{path.name} lacks its end, as a file does that is still being written"
                yield CutOff(question.job, path.name, f"{reason}; copy it again")
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
        _check_masks(question, tuple(pictures))
    except PictureError as error:
        yield Refused(question.job, str(error))
    else:
        yield Fine(question.job, tuple(pictures))


def shrink(question: Question) -> Iterator[Begun | NotNow | Verdict]:
    """Answer as `examine`, in a process that has the lowest priority from then on."""
    os.nice(LOWEST_PRIORITY)  # the system limits the sum
    yield from examine(question)


def _inspect(name: str, data: bytes, question: Question) -> Picture:
    """Describe the picture in `data`, and write its thumbnail; raises PictureError."""
    digest = hashlib.sha256(data).hexdigest()
    key = (digest, question.max_pixels)
    thumb = thumbs.path_of(question.thumbs, digest, question.side)
    if key in _cache and thumb.exists():
        _cache.move_to_end(key)
        return Picture(name, digest, _cache[key])
    with decoding(name, data):
        raster = decoded(data, question.max_pixels, enough=Enough(within(question.side)))
        pixels, alpha, _ = to_floats(_reduced(raster, question.side, Image.Resampling.BICUBIC))
    if alpha is not None:
        pixels = over_white(pixels, alpha)
    _save_thumb(Image.fromarray(np.rint(pixels).clip(0, 255).astype(np.uint8)), thumb)
    _cache[key] = raster.size
    if len(_cache) > CACHE_SIZE:
        _cache.popitem(last=False)
    return Picture(name, digest, raster.size)


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


def _may_grow(path: Path, data: bytes | None, error: PictureError) -> bool:
    """Return whether a picture cannot be decoded because its end is missing."""
    if data is None:  # not even read, perhaps because it is empty
        return path.is_file() and path.stat().st_size == 0
    cause = error.__cause__
    if cause is not None and not isinstance(cause, _OUR_LIMITS):
        with suppress(Exception):  # damaged bytes may raise nearly anything
            return is_cut_off(data)
    return False


def _check_masks(question: Question, pictures: tuple[Picture, ...]) -> None:
    """Raise PictureError where a mask among the files does not fit its picture or the others."""
    roles = _numbered(question.roles)
    by_role = dict(zip(roles, pictures, strict=False))
    masks = {}
    for role, path in zip(roles, question.files, strict=False):
        if role.endswith(MASK):
            picture, mask = by_role[role.removesuffix(MASK)], by_role[role]
            check_shape(mask.name, mask.size, picture.name, picture.size)
            masks[role] = _read_mask(path.name, file_bytes(path), question.max_pixels)
    if masks:
        styles = [role for role in roles if role.startswith("style") and not role.endswith(MASK)]
        matched(masks.get(f"content{MASK}"), [masks.get(f"{style}{MASK}") for style in styles])


def _numbered(roles: tuple[str, ...]) -> list[str]:
    """Return the roles with numbers for styles: `style-1`, `style-2`."""
    styles = 0
    numbered = []
    for role in roles:
        styles += role == "style"
        numbered.append(f"style-{styles}" if role == "style" else role)
    return numbered


def _read_mask(name: str, data: bytes, max_pixels: int) -> Mask:
    with decoding(name, data):
        raster = decoded(data, max_pixels, enough=Enough(within(_MASK_SIDE), reduce="nearest"))
        # Nearest mixes no colors.
        pixels, alpha, _ = to_floats(_reduced(raster, _MASK_SIDE, Image.Resampling.NEAREST))
    return Mask.of(name, pixels, alpha)
