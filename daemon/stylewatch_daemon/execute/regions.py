"""The masks of an order, read, matched and laid over the pictures of its task."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.execute.contract import Order
from stylewatch_daemon.journal import MASK
from stylewatch_daemon.receipt import InputRecord
from stylewatch_painter.feather import feathered, kept_outside
from stylewatch_painter.image import Picture, read
from stylewatch_painter.mask_colours import Colour
from stylewatch_painter.masks import Mask, check_shape, matched, unused
from stylewatch_painter.resize import resize, resize_plane
from stylewatch_painter.stage import Pixels
from stylewatch_painter.task import Style, Task, size_of
from stylewatch_plugins.capabilities import capabilities
from stylewatch_plugins.contract import Backend

_CONTENT = f"content{MASK}"


@dataclass(frozen=True, eq=False)
class Masked:
    """A `task` with its masks; what the receipt is told of them.

    With a `photograph`, float32 (height, width, 3) of the painting's size, that is what is to be
    seen where there is no region.
    """

    task: Task
    inputs: tuple[InputRecord, ...] = ()
    warnings: tuple[str, ...] = ()
    photograph: Pixels | None = None

    def shown(self, painting: Pixels) -> Pixels:
        """What is to be seen of a painting, float32 (height, width, 3)."""
        if self.photograph is None or self.task.content_mask is None:
            return painting
        return kept_outside(painting, self.photograph, self.task.content_mask)


def masked(order: Order, task: Task, backend: Backend) -> Masked:
    """`task` with the masks of `order`, of those pictures that it has.

    Raises SettingsError where the backend looks at no masks, PictureError where they cannot be
    painted by.
    """
    read_in = dict(_read(order, task))
    if not read_in:
        return Masked(task)
    if not capabilities(backend).masks:
        names = ", ".join(order.masks[role].name for role in read_in)
        raise SettingsError(
            f"{names}: backend {backend.name} does not look at masks: choose another one "
            "(`stylewatch backends` says which do), or leave the masks out"
        )
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
            style
            if mask is None
            else _with_mask(task, style, mask, regions if content is not None else mask.colours)
            for style, mask in each
        ),
    )
    return Masked(
        task,
        tuple(_record(role, order.masks[role], picture) for role, (_, picture) in read_in.items()),
        () if content is None else tuple(unused(content, styles)),
        _photograph(task) if order.settings.mask.outside == "keep" else None,
    )


def _read(order: Order, task: Task) -> Iterator[tuple[str, tuple[Mask, Picture]]]:
    """The masks of those pictures that the task has, by their roles."""
    pictures: dict[str, tuple[Path, Pixels]] = {
        style.name: (path, style.picture)
        for style, path in zip(task.styles, order.styles, strict=True)
    }
    if task.content is not None and order.content is not None:
        pictures["content"] = (order.content, task.content)
    for role, path in order.masks.items():
        if (of := pictures.get(role.removesuffix(MASK))) is not None:
            found = read(path, max_pixels=order.max_pixels)
            check_shape(path.name, found.size, of[0].name, size_of(of[1]))
            yield role, (Mask.of(path.name, found.pixels, found.alpha), found)


def _with_mask(task: Task, style: Style, mask: Mask, regions: tuple[Colour, ...]) -> Style:
    """`style` with its mask, and with a digest that tells both; what is clear in it counts less."""
    weights = mask.weights(regions, task.style_size(style))
    if style.mask is not None:
        height, width, _ = weights.shape
        weights = weights * resize_plane(style.mask, (width, height), "bilinear")[..., None]
    told = hashlib.sha256(f"{style.digest} {weights.shape}".encode() + weights.tobytes())
    return replace(style, mask=weights, digest=told.hexdigest())


def _photograph(task: Task) -> Pixels | None:
    """The content at the size of the painting."""
    schedule = task.recipe.schedule
    if task.content is None:
        return None
    return resize(task.content, task.final, schedule.resample, eight_bit=schedule.eight_bit)


def _record(role: str, path: Path, picture: Picture) -> InputRecord:
    return InputRecord(
        role=role,
        name=path.name,
        sha256=picture.sha256,
        size=picture.size,
        converted=picture.converted,
    )
