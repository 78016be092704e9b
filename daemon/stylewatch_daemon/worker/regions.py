"""Regions of a task: the masks of a job, matched by their colors, and parts of frames of a clip."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from stylewatch_daemon.base.errors import SettingsError
from stylewatch_daemon.base.model import CONTENT_MASK, MASK
from stylewatch_daemon.outbox.receipt import InputRecord
from stylewatch_daemon.worker.messages import Order
from stylewatch_painter.images import read_clip
from stylewatch_painter.images.decode import NeededSize
from stylewatch_painter.images.masks import (
    Color,
    Mask,
    check_shape,
    feathered,
    matched,
    unused,
)
from stylewatch_painter.images.read import Picture, read
from stylewatch_painter.images.resize import resize_plane
from stylewatch_painter.scene.task import Style, Task
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Plane, Regions
from stylewatch_plugins.contract import Backend, capabilities


@dataclass(frozen=True, eq=False)
class MaskedTask:
    """A `task` with its masks, and the records and warnings for the receipt."""

    task: Task
    inputs: tuple[InputRecord, ...] = ()
    warnings: tuple[str, ...] = ()


def masked(order: Order, task: Task, backend: Backend) -> MaskedTask:
    """Return `task` with the masks of `order` for the pictures that it has.

    `order.styles` are the files of the styles of `task`. Raises SettingsError if a mask would have
    no effect, PictureError if it cannot be used.
    """
    pictures = _read(order, task)
    if not pictures:
        return MaskedTask(task)
    _check_effect(order, pictures, backend)
    masks = {
        role: Mask.of(order.masks[role].name, picture.pixels, picture.alpha)
        for role, picture in pictures.items()
    }
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
    warnings = [warning for picture in pictures.values() for warning in picture.warnings]
    warnings += [] if content is None else unused(content, styles)
    return MaskedTask(
        with_masks,
        tuple(
            InputRecord.of(role, order.masks[role].name, picture)
            for role, picture in pictures.items()
        ),
        tuple(warnings),
    )


def divided(task: Task, part: Plane) -> Task:
    """Return `task` with each of its R regions split in two: inside `part`, and outside it.

    `part` is float32 (height, width), 0..1, in the shape of the content. The R inner regions come
    first, then the R outer ones; without a mask, R is 1. Both halves of a region have the same
    styles but separate statistics. With common statistics, a half that is already painted would
    keep them close to those of the styles, and the other half would hardly change.
    """
    mask = task.content_mask
    whole = np.ones((*part.shape, 1), np.float32) if mask is None else np.atleast_3d(mask)
    share = resize_plane(part, Size.of(whole))[..., None]
    styles = tuple(
        style if style.mask is None else replace(style, mask=_twice(style.mask))
        for style in task.styles
    )
    halves = np.concatenate([whole * share, whole * (1 - share)], axis=2)
    return replace(task, content_mask=halves, styles=styles)


def _twice(mask: Regions) -> Regions:
    """Return `mask`, (height, width, R), with its R regions repeated: (height, width, 2 R)."""
    return np.concatenate([np.atleast_3d(mask)] * 2, axis=2)


def _check_effect(order: Order, roles: Collection[str], backend: Backend) -> None:
    """Raise SettingsError if the backend cannot use the masks with these `roles`."""
    if not capabilities(backend).masks:
        names = ", ".join(order.masks[role].name for role in roles)
        raise SettingsError(
            f"{names}: backend {backend.name} does not support masks: choose another one "
            "(`stylewatch doctor` says which do), or leave the masks out"
        )


def _read(order: Order, task: Task) -> dict[str, Picture]:
    """Return the masks of the pictures that the task has, by role.

    Raises SettingsError if a mask is a clip, and PictureError if a mask cannot be read or has
    another shape than its picture.
    """
    scale = task.levels()[-1].scale
    # the file name, the own size and the final size of each picture
    pictures: dict[str, tuple[str, Size, Size]] = {
        style.name: (path.name, style.file_size, task.style_size(style, scale))
        for style, path in zip(task.styles, order.styles, strict=True)
    }
    if task.content is not None and order.content is not None:
        own_size = task.content_size or Size.of(task.content)
        pictures["content"] = (order.content.name, own_size, task.final)
    masks: dict[str, Picture] = {}
    for role, path in order.masks.items():
        sizes = pictures.get(role.removesuffix(MASK))
        if sizes is not None:
            name, size, final = sizes
            if read_clip.is_clip(path):
                raise SettingsError(f"{path.name} is a clip, and a mask is a picture: save a frame")
            needed_size = NeededSize(final, reduce="nearest")
            masks[role] = read(path, max_pixels=order.max_pixels, needed_size=needed_size)
            check_shape(path.name, masks[role].size, name, size)
    return masks


def _for_all_regions(style: Style, regions: int) -> Style:
    """Return `style` with its opaque pixels serving each of `regions` regions.

    A style without transparent pixels is returned unchanged, and serves all of them.
    """
    if style.mask is None:
        return style
    return replace(style, mask=np.repeat(np.atleast_3d(style.mask), regions, axis=2))


def _with_mask(task: Task, style: Style, mask: Mask, regions: tuple[Color, ...]) -> Style:
    """Return `style` with the weights of `mask` in `regions`, times its opacity, as its mask.

    The new mask is float32 (height, width, len(regions)), 0..1. The old one is the opacity of the
    pixels, float32 (height, width), 0..1; None means opaque.
    """
    weights = mask.weights(regions, task.style_size(style, task.levels()[-1].scale))
    if style.mask is not None:
        weights = weights * resize_plane(style.mask, Size.of(weights))[..., None]
    return replace(style, mask=weights)
