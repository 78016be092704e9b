"""The masks of an order, read, matched and laid over the pictures of its task."""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.outbox.receipt import InputRecord
from stylewatch_daemon.store.journal import MASK
from stylewatch_daemon.worker.contract import Order
from stylewatch_painter.algorithm.task import Style, Task, size_of
from stylewatch_painter.images.feather import feathered
from stylewatch_painter.images.mask_colors import Color
from stylewatch_painter.images.masks import Mask, Size, check_shape, matched, unused
from stylewatch_painter.images.read import Picture, read
from stylewatch_painter.images.reduced import Enough
from stylewatch_painter.images.resize import resize_plane
from stylewatch_plugins.contract import Backend, capabilities

_CONTENT = f"content{MASK}"


@dataclass(frozen=True, eq=False)
class Masked:
    """A `task` with its masks; what the receipt is told of them."""

    task: Task
    inputs: tuple[InputRecord, ...] = ()
    warnings: tuple[str, ...] = ()


def masked(order: Order, task: Task, backend: Backend) -> Masked:
    """`task` with the masks of `order`, of those pictures that it has.

    Raises SettingsError where nobody would look at them, PictureError where they cannot be painted
    by.
    """
    read_in = dict(_read(order, task))
    if not read_in:
        return Masked(task)
    _check_looked_at(order, read_in, backend)
    masks = {role: mask for role, (mask, _) in read_in.items()}
    content = masks.get(_CONTENT)
    styles = [masks.get(f"{style.name}{MASK}") for style in task.styles]
    regions = matched(content, styles)
    reach = order.settings.mask.reach(max(task.final))
    if content is not None:
        plain = content.weights(regions, task.final)
        task = replace(task, content_mask=feathered(plain, reach * max(plain.shape[:2])))
    each = zip(task.styles, styles, strict=True)
    task = replace(
        task,
        styles=tuple(
            _of_all(style, len(regions))
            if mask is None
            else _with_mask(task, style, mask, regions if content is not None else mask.colors)
            for style, mask in each
        ),
    )
    return Masked(
        task,
        tuple(
            InputRecord.of(role, order.masks[role].name, picture)
            for role, (_, picture) in read_in.items()
        ),
        () if content is None else tuple(unused(content, styles)),
    )


def _check_looked_at(order: Order, roles: Collection[str], backend: Backend) -> None:
    """Raise SettingsError where the masks with these `roles` would not say anything."""
    if not capabilities(backend).masks:
        names = ", ".join(order.masks[role].name for role in roles)
        raise SettingsError(
            f"{names}: backend {backend.name} does not look at masks: choose another one "
            "(`stylewatch backends` says which do), or leave the masks out"
        )
    if not order.styles and order.settings.mask.outside != "keep":
        raise SettingsError(
            f"{order.masks[_CONTENT].name} says where styles act, and there is none: leave it out, "
            "or say mask.outside: keep"
        )


def _read(order: Order, task: Task) -> Iterator[tuple[str, tuple[Mask, Picture]]]:
    """The masks of those pictures that the task has, by their roles."""
    pictures: dict[str, tuple[str, Size, Size]] = {
        style.name: (path.name, style.own, task.style_size(style, task.levels()[-1].scale))
        for style, path in zip(task.styles, order.styles, strict=True)
    }
    if task.content is not None and order.content is not None:
        own = task.content_size or size_of(task.content)
        pictures["content"] = (order.content.name, own, task.final)
    for role, path in order.masks.items():
        if (of := pictures.get(role.removesuffix(MASK))) is not None:
            name, size, shown = of
            enough = Enough(shown, reduce="nearest")
            found = read(path, max_pixels=order.max_pixels, enough=enough)
            check_shape(path.name, found.size, name, size)
            yield role, (Mask.of(path.name, found.pixels, found.alpha), found)


def _of_all(style: Style, regions: int) -> Style:
    """`style` for so many regions, each of which it serves with all that is not clear in it."""
    if style.mask is None:
        return style
    return replace(style, mask=np.repeat(np.atleast_3d(style.mask), regions, axis=2))


def _with_mask(task: Task, style: Style, mask: Mask, regions: tuple[Color, ...]) -> Style:
    """`style` with its mask, and with a digest that tells both; what is clear in it counts less."""
    weights = mask.weights(regions, task.style_size(style, task.levels()[-1].scale))
    if style.mask is not None:
        height, width, _ = weights.shape
        weights = weights * resize_plane(style.mask, (width, height), "bilinear")[..., None]
    told = hashlib.sha256(f"{style.digest} {weights.shape}".encode() + weights.tobytes())
    return replace(style, mask=weights, digest=told.hexdigest())
