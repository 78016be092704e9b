"""Looks at the masks of a job: whether they lie over their pictures, and belong together."""

from dataclasses import replace

from PIL import Image

from stylewatch_daemon.ingest.inspection.contract import Question
from stylewatch_daemon.model import Picture
from stylewatch_daemon.store.journal import MASK
from stylewatch_painter.images.decode import decoded, decoding
from stylewatch_painter.images.masks import Mask, check_shape, matched
from stylewatch_painter.images.read import file_bytes, to_floats
from stylewatch_painter.images.reduced import Enough, within

_SIDE = 1024
"""Pixels of the long side at which colors are looked for."""


def check_masks(question: Question, pictures: tuple[Picture, ...]) -> None:
    """Raise PictureError where masks among the files of `question` cannot be painted by.

    `pictures` are all of them, as they were seen.
    """
    named = _named(question.roles)
    shown = dict(zip(named, pictures, strict=False))
    masks = {}
    for role, path in zip(named, question.files, strict=False):
        if role.endswith(MASK):
            of, mask = shown[role.removesuffix(MASK)], shown[role]
            check_shape(mask.name, mask.size, of.name, of.size)
            masks[role] = _mask(path.name, file_bytes(path), question.max_pixels)
    if masks:
        styles = [role for role in named if role.startswith("style") and not role.endswith(MASK)]
        matched(masks.get(f"content{MASK}"), [masks.get(f"{style}{MASK}") for style in styles])


def _named(roles: tuple[str, ...]) -> tuple[str, ...]:
    """The roles, those of styles with their numbers: `style-1`, `style-2`."""
    styles = 0
    named = []
    for role in roles:
        styles += role == "style"
        named.append(f"style-{styles}" if role == "style" else role)
    return tuple(named)


def _mask(name: str, data: bytes, max_pixels: int) -> Mask:
    with decoding(name, data):
        enough = Enough(within(_SIDE), reduce="nearest")
        raster = decoded(data, max_pixels, enough=enough)
        small = raster.image.copy()
        small.thumbnail((_SIDE, _SIDE), Image.Resampling.NEAREST)  # which mixes no colors
        pixels, alpha, _ = to_floats(replace(raster, image=small))
    return Mask.of(name, pixels, alpha)
