"""From an order to a task: the recipe settled, the pictures read, the backend ready."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.execute.contract import Order
from stylewatch_daemon.execute.onward import onward
from stylewatch_daemon.receipt import InputRecord
from stylewatch_daemon.settings import JobSettings
from stylewatch_painter import recipe_book
from stylewatch_painter.image import Picture, read
from stylewatch_plugins import registry
from stylewatch_plugins.contract import Backend, BackendMissingError, Checkpoint, Style, Task


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a worker needs at hand to paint."""

    backend: Backend
    task: Task
    inputs: tuple[InputRecord, ...]


def prepare(
    order: Order, resume: Checkpoint | None = None, decided: Mapping[str, Any] | None = None
) -> Prepared:
    """Read and check all that `order` names, in the order in which mistakes are cheapest.

    `decided` is what `auto` came to in the attempt that left `resume`, and holds again: another
    number of threads, say, gives another last bit.

    Raises RecipeError, SettingsError, BackendError, PictureError.
    """
    recipe = order.settings.resolve(*order.recipe_folders)
    shares = _shares(order)
    backend = backend_of(order, decided or {})
    content = read(order.content, max_pixels=order.max_pixels)
    styles = [read(path, max_pixels=order.max_pixels) for path in order.styles]
    init = None if order.init is None else read(order.init, max_pixels=order.max_pixels)
    if init is not None and not _says_where_to_start(order.settings):
        recipe = recipe_book.change(recipe, {"start": "picture"})
    task = Task(
        recipe=recipe,
        content=content.pixels,
        styles=tuple(
            Style(picture.pixels, name=f"style-{number}", weight=share, digest=picture.sha256)
            for number, (picture, share) in enumerate(zip(styles, shares, strict=True), start=1)
        ),
        init=None if init is None else init.pixels,
        alpha=content.alpha,
        seed=order.settings.seed,
        resume=resume,
    )
    if order.settings.from_step:
        task = replace(task, recipe=onward(recipe, task.levels(), order.settings.from_step))
    _check_size(task, order.max_pixels)
    inputs = [_input("content", order.content.name, content)]
    for style, path, picture in zip(task.styles, order.styles, styles, strict=True):
        inputs.append(_input(style.name, path.name, picture, style.weight))
    if init is not None and order.init is not None:
        inputs.append(_input("init", order.init.name, init))
    return Prepared(backend, task, tuple(inputs))


def _says_where_to_start(settings: JobSettings) -> bool:
    """Whether a start was asked for; else a picture to start from is meant to be started from."""
    return settings.init is not None or bool({"start", "schedule.start"} & settings.set.keys())


def _check_size(task: Task, max_pixels: int) -> None:
    """Raise SettingsError where a picture would be brought to more than `max_pixels` pixels."""
    sizes = {"the painting": task.final}
    sizes |= {style.name: task.style_size(style) for style in task.styles}
    for what, (width, height) in sizes.items():
        if width * height > max_pixels:
            raise SettingsError(
                f"{what} would be {width}x{height} pixels, and limits.max_pixels allows "
                f"{max_pixels}: ask for a smaller size, or raise that limit"
            )


def _shares(order: Order) -> tuple[float, ...]:
    """The weight of each style; alike where nothing is said."""
    given = order.settings.style_weights
    if given is None:
        return (1.0,) * len(order.styles)
    if len(given) != len(order.styles):
        raise SettingsError(
            f"style_weights has {len(given)} numbers for {len(order.styles)} style pictures: "
            "give one for each"
        )
    return given


def backend_of(order: Order, decided: Mapping[str, Any]) -> Backend:
    """What paints `order`, ready to; `decided` as in `prepare`. Raises BackendError."""
    options = dict(order.backend_options)
    if order.settings.device is not None:
        options["device"] = order.settings.device
    options.update(decided)
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


def _input(role: str, name: str, picture: Picture, weight: float | None = None) -> InputRecord:
    return InputRecord(
        role=role,
        name=name,
        sha256=picture.sha256,
        size=picture.size,
        converted=picture.converted,
        weight=weight,
    )
