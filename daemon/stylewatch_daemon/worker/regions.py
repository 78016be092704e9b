"""The masks of a job: read, matched by their colors, and laid over the pictures of its task."""

import hashlib
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stylewatch_daemon.base.errors import SettingsError
from stylewatch_daemon.base.model import CONTENT_MASK, MASK, SEGMENT
from stylewatch_daemon.outbox.receipt import InputRecord
from stylewatch_daemon.worker.messages import Order
from stylewatch_painter.algorithm.task import Style, Task, size_of
from stylewatch_painter.images import clip
from stylewatch_painter.images.clip import Clip, ClipLimits, Frame
from stylewatch_painter.images.masks import (
    Color,
    Mask,
    check_frames,
    check_shape,
    feathered,
    matched,
    unused,
)
from stylewatch_painter.images.read import Picture, read
from stylewatch_painter.images.reduced import FINER, NeededSize, Size
from stylewatch_painter.images.resize import resize_plane
from stylewatch_painter.stage import Bytes, Regions
from stylewatch_plugins.contract import Backend, capabilities

_FOR_COLORS = 512
"""Pixels of the long side of a frame that are enough to find its colors."""


@dataclass(frozen=True, eq=False)
class MaskedTask:
    """A `task` with its masks; the records and warnings for the receipt.

    Where the mask of the content is a clip, the task has its first frame, and `content_mask` gives
    that of the frame with a number.
    """

    task: Task
    inputs: tuple[InputRecord, ...] = ()
    warnings: tuple[str, ...] = ()
    content_mask: Callable[[int], Regions] | None = None


def masked(order: Order, task: Task, backend: Backend, source: Clip | None = None) -> MaskedTask:
    """`task` with the masks of `order`, for those pictures that it has.

    Where the content is the clip `source`, the task is that of its first frame.

    Raises SettingsError where a mask would have no effect, PictureError where one cannot be used.
    """
    pictures = _read(order, task, source)
    if not pictures:
        return MaskedTask(task)
    _check_effect(order, pictures, backend)
    frames: MaskFrames | None = None
    masks: dict[str, Mask] = {}
    for role, picture in pictures.items():
        path = order.masks[role]
        if clip.is_clip(path):
            frames = MaskFrames(path, order.clip_limits, max(task.final))
            masks[role] = frames.at(0)
        else:
            masks[role] = Mask.of(path.name, picture.pixels, picture.alpha)
    content = masks.get(CONTENT_MASK)
    styles = [masks.get(f"{style.name}{MASK}") for style in task.styles]
    regions = matched(content, styles)

    def of_content(mask: Mask) -> Regions:
        plain = mask.weights(regions, task.final)
        reach = order.settings.mask.reach(max(task.final))
        return feathered(plain, reach * max(plain.shape[:2]))

    with_masks = replace(
        task,
        content_mask=None if content is None else of_content(content),
        styles=tuple(
            _for_all_regions(style, len(regions))
            if mask is None
            else _with_mask(task, style, mask, regions if content is not None else mask.colors)
            for style, mask in zip(task.styles, styles, strict=True)
        ),
    )
    warnings = [] if content is None else [*unused(content, styles)]
    if frames is not None and frames.damaged:
        name = order.masks[CONTENT_MASK].name
        warnings.append(f"damaged frames of {name}, which show the one before: {frames.damaged}")
    return MaskedTask(
        with_masks,
        tuple(
            InputRecord.of(role, order.masks[role].name, picture)
            for role, picture in pictures.items()
        ),
        tuple(warnings),
        None if frames is None else lambda number: of_content(frames.at(number)),
    )


def _check_effect(order: Order, roles: Collection[str], backend: Backend) -> None:
    """Raise SettingsError where the masks with these `roles` would have no effect."""
    if not capabilities(backend).masks:
        names = ", ".join(order.masks[role].name for role in roles)
        raise SettingsError(
            f"{names}: backend {backend.name} does not look at masks: choose another one "
            "(`stylewatch backends` says which do), or leave the masks out"
        )
    if not order.styles and order.settings.mask.outside != "keep":
        raise SettingsError(
            f"{order.masks[CONTENT_MASK].name} says where styles act, and there is none: "
            "leave it out, or say mask.outside: keep"
        )


def _read(order: Order, task: Task, source: Clip | None) -> dict[str, Picture]:
    """The masks of those pictures that the task has, by their roles; of a clip its first frame."""
    scale = task.levels()[-1].scale
    # the file name, the own size, the final size and the frames of each picture
    pictures: dict[str, tuple[str, Size, Size, int | None]] = {
        style.name: (path.name, style.own, task.style_size(style, scale), None)
        for style, path in zip(task.styles, order.styles, strict=True)
    }
    if task.content is not None and order.content is not None:
        own = task.content_size or size_of(task.content)
        count = None if source is None else source.frames
        pictures["content"] = (order.content.name, own, task.final, count)
    masks: dict[str, Picture] = {}
    for role, path in order.masks.items():
        if (of := pictures.get(role.removesuffix(MASK))) is not None:
            name, size, final, count = of
            if clip.is_clip(path):
                described = clip.inspect(path, order.clip_limits)
                check_frames(path.name, described.frames, name, count)
                masks[role] = clip.first_picture(path, order.clip_limits, described, _FOR_COLORS)
            else:
                needed_size = NeededSize(final, reduce="nearest")
                masks[role] = read(path, max_pixels=order.max_pixels, needed_size=needed_size)
            check_shape(path.name, masks[role].size, name, size)
    return masks


class MaskFrames:
    """The frames of a mask at `path` that is a clip.

    All are read, in a small size, for the colors of the regions. Later they are decoded as they are
    asked for, with at least twice the pixels of the painting's `long_side` if they have them. The
    latest ones, as many as a segment has, are kept compressed.

    Raises PictureError as `clip.frames` and `Mask.of_frames` do.
    """

    def __init__(self, path: Path, limits: ClipLimits, long_side: int) -> None:
        self._path, self._limits, self._side = path, limits, FINER * long_side
        self._next, self._frames = 0, self._read(0)
        self._kept: dict[int, tuple[bytes, tuple[int, ...]]] = {}
        self.damaged = 0
        self._first = Mask.of_frames(path.name, self._small())

    def at(self, number: int) -> Mask:
        """The mask of the frame with this number; in rising order each is decoded once."""
        if number not in self._kept:
            self._keep(number)
        data, shape = self._kept[number]
        pixels = np.frombuffer(zlib.decompress(data), np.uint8)
        return replace(self._first, pixels=pixels.reshape(shape))

    def _keep(self, number: int) -> None:
        if number != self._next:
            self._frames = self._read(number)
        pixels = next(self._frames).pixels
        self._next = number + 1
        self._kept[number] = zlib.compress(pixels.tobytes(), level=1), pixels.shape
        for old in [*self._kept][:-SEGMENT]:
            del self._kept[old]

    def _read(self, first: int) -> Iterator[Frame]:
        return clip.frames(self._path, self._limits, first, self._side)

    def _small(self) -> Iterator[Bytes]:
        for frame in clip.frames(self._path, self._limits, 0, _FOR_COLORS):
            self.damaged += frame.is_damaged
            yield frame.pixels


def _for_all_regions(style: Style, regions: int) -> Style:
    """`style` for so many regions; its opaque pixels serve each of them."""
    if style.mask is None:
        return style
    return replace(style, mask=np.repeat(np.atleast_3d(style.mask), regions, axis=2))


def _with_mask(task: Task, style: Style, mask: Mask, regions: tuple[Color, ...]) -> Style:
    """`style` with its mask and a digest of both; its transparent pixels count less."""
    weights = mask.weights(regions, task.style_size(style, task.levels()[-1].scale))
    if style.mask is not None:
        height, width, _ = weights.shape
        weights = weights * resize_plane(style.mask, (width, height))[..., None]
    digest = hashlib.sha256(f"{style.digest} {weights.shape}".encode() + weights.tobytes())
    return replace(style, mask=weights, digest=digest.hexdigest())
