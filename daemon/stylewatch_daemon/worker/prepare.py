"""From an order to a task: the recipe settled, the pictures read, the backend ready."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.outbox.receipt import InputRecord
from stylewatch_daemon.settings import style_sizes
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.worker import inputs as sides
from stylewatch_daemon.worker.color_transfer import Coloring
from stylewatch_daemon.worker.contract import Order
from stylewatch_daemon.worker.output_image import Dress
from stylewatch_daemon.worker.regions import Masked, masked
from stylewatch_daemon.worker.resume import onward
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.read import Picture, read
from stylewatch_painter.images.reduced import Enough, Size
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Recipe
from stylewatch_painter.stage import Pixels
from stylewatch_plugins import registry
from stylewatch_plugins.contract import (
    Backend,
    BackendMissingError,
    Checkpoint,
    Style,
    Task,
    capabilities,
)


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a worker needs at hand to paint."""

    backend: Backend
    task: Task
    inputs: tuple[InputRecord, ...]
    dress: Dress
    regions: Masked


def prepare(
    order: Order, resume: Checkpoint | None = None, decided: Mapping[str, Any] | None = None
) -> Prepared:
    """Read and check all that `order` names, in the order in which mistakes are cheapest.

    `decided` is what `auto` came to in the attempt that left `resume`, and holds again: another
    number of threads, say, gives another last bit.

    Raises RecipeError, SettingsError, BackendError, PictureError.
    """
    recipe = order.settings.resolve(*order.recipe_folders)
    order = sides.wanted(order)
    looked_at = list(zip(_shares(order), _looked_at(order), strict=True))
    backend = backend_of(order, decided or {})
    if order.init is not None and not _says_where_to_start(order.settings):
        recipe = book.change(recipe, {"start": "picture"})
    content, init, style_pictures = _read(order, recipe, _looked_at(order))
    coloring = Coloring.of(order.settings, content, len(order.styles))
    styles = [coloring.style(picture) for picture in style_pictures]
    task = Task(
        recipe=recipe,
        content=None if content is None else coloring.painted(content.pixels),
        styles=tuple(_styles(styles, looked_at, coloring)),
        init=None if init is None else coloring.painted(init.pixels),
        alpha=None if content is None else content.alpha,
        seed=order.settings.seed,
        resume=resume,
        content_size=None if content is None else content.size_of_file,
        init_size=None if init is None else init.size_of_file,
    )
    if order.settings.from_step:
        task = replace(task, recipe=onward(recipe, task.levels(), order.settings.from_step))
    _check_size(task, order.max_pixels)
    inputs = tuple(_inputs(order, task, content, styles, init))
    regions = masked(order, task, backend)
    kept = regions.task.content_mask if order.settings.mask.outside == "keep" else None
    dress = Dress(order.settings, content, recipe.schedule.rounding, kept)
    return Prepared(backend, regions.task, (*inputs, *regions.inputs), dress, regions)


@dataclass
class _Reader:
    """Reads the pictures of a job, large ones with as many pixels as their sizes in it need.

    The pictures of `task` are blank: it is there for the sizes, as far as they are known.
    """

    max_pixels: int
    task: Task

    def read(self, path: Path, added: Callable[[Task, Size], Task]) -> Picture:
        """The picture in a file; `added` puts one of its size into the task."""

        def shown(own: Size) -> Size:
            try:
                return _largest(added(self.task, own))
            except PictureError:  # the task itself cannot be painted, which is said later
                return 1, 1

        picture = read(path, max_pixels=self.max_pixels, enough=Enough(shown))
        self.task = added(self.task, picture.size)
        return picture


def _read(
    order: Order, recipe: Recipe, looked_at: Sequence[style_sizes.LookedAt]
) -> tuple[Picture | None, Picture | None, list[Picture]]:
    """The content, the picture to start from, the styles."""
    reader = _Reader(order.max_pixels, Task(recipe, None, ()))
    content = init = None
    if order.content is not None:
        content = reader.read(order.content, lambda task, own: replace(task, content=_blank(own)))
    if order.init is not None:
        init = reader.read(order.init, lambda task, own: replace(task, init=_blank(own)))
    styles = [
        reader.read(path, partial(_with_style, looks))
        for path, looks in zip(order.styles, looked_at, strict=True)
    ]
    return content, init, styles


def _with_style(looks: style_sizes.LookedAt, task: Task, own: Size) -> Task:
    style = Style(_blank(own), scale=looks.scale, size=looks.rule)
    return replace(task, styles=(*task.styles, style))


def _largest(task: Task) -> Size:
    """The largest width and height that any picture of `task` is brought to."""
    end = task.levels()[-1].scale
    sizes = [task.final, *(task.style_size(style, end) for style in task.styles)]
    return max(width for width, _ in sizes), max(height for _, height in sizes)


def _blank(size: Size) -> Pixels:
    """A black picture of that size, (width, height), that takes no memory."""
    width, height = size
    return np.broadcast_to(np.float32(0), (height, width, 3))


def _styles(
    pictures: Sequence[Picture],
    looked_at: Sequence[tuple[float, style_sizes.LookedAt]],
    coloring: Coloring,
) -> Iterator[Style]:
    """The styles of a task, with the share of each and how it is looked at.

    What is transparent in a style does not count.
    """
    for number, picture in enumerate(pictures, start=1):
        share, looks = looked_at[number - 1]
        yield Style(
            picture.pixels,
            name=f"style-{number}",
            weight=share,
            scale=looks.scale,
            size=looks.rule,
            mask=picture.alpha,
            digest=coloring.digest(picture),
            size_of_file=picture.size_of_file,
        )


def _inputs(
    order: Order,
    task: Task,
    content: Picture | None,
    styles: Sequence[Picture],
    init: Picture | None,
) -> Iterator[InputRecord]:
    """What came in, for the receipt."""
    if content is not None and order.content is not None:
        yield InputRecord.of("content", order.content.name, content)
    looked_at = _looked_at(order)
    for style, looks, path, picture in zip(
        task.styles, looked_at, order.styles, styles, strict=True
    ):
        seen = InputRecord.of(style.name, path.name, picture, style.weight)
        told = {"style_size": looks.asked, "seen": task.style_size(style)}
        yield seen.model_copy(update=told)
    if init is not None and order.init is not None:
        yield InputRecord.of("init", order.init.name, init)


def _says_where_to_start(settings: JobSettings) -> bool:
    """Whether a start was asked for; else a picture to start from is meant to be started from."""
    return settings.init is not None or bool({"start", "schedule.start"} & settings.set.keys())


def _check_size(task: Task, max_pixels: int) -> None:
    """Raise SettingsError where a picture would be brought to more than `max_pixels` pixels."""
    sizes = {"the painting": task.final}
    end = task.levels()[-1].scale
    sizes |= {style.name: task.style_size(style, end) for style in task.styles}
    for what, (width, height) in sizes.items():
        if width * height > max_pixels:
            raise SettingsError(
                f"{what} would be {width}x{height} pixels, and limits.max_pixels allows "
                f"{max_pixels}: ask for a smaller size, or raise that limit"
            )


def _shares(order: Order) -> tuple[float, ...]:
    """The weight of each style; alike where nothing is said."""
    given = order.settings.style_weights
    if given is None or not order.styles:
        return (1.0,) * len(order.styles)
    if len(given) != len(order.styles):
        raise SettingsError(
            f"style_weights has {len(given)} numbers for {len(order.styles)} style pictures: "
            "give one for each"
        )
    return given


def _looked_at(order: Order) -> tuple[style_sizes.LookedAt, ...]:
    """The size that each style is looked at, where it has one of its own."""
    return style_sizes.of_each(order.settings.style_size, len(order.styles))


def backend_of(order: Order, decided: Mapping[str, Any]) -> Backend:
    """What paints `order`, ready to; `decided` as in `prepare`. Raises BackendError."""
    options = dict(order.backend_options)
    if order.settings.device is not None:
        options["device"] = order.settings.device
    options.update(decided)
    backend = registry.load(order.settings.backend, options)
    if order.memory is not None and capabilities(backend).memory:
        options = {"memory": order.memory, **options}
        backend = registry.load(order.settings.backend, options)
    if order.settings.device is None and _may_paint_on(order.device, backend, options):
        backend = registry.load(order.settings.backend, {**options, "device": order.device})
    if problem := backend.problem():
        raise BackendMissingError(problem)
    return backend


def _may_paint_on(device: str | None, backend: Backend, options: Mapping[str, Any]) -> bool:
    """Whether `device` is one of the backend's, and what the `options` say is no other kind."""
    if device is None or device not in [one.name for one in backend.devices()]:
        return False
    said = str(options.get("device", "auto")).partition(":")[0]
    return said in ("auto", device.partition(":")[0])
