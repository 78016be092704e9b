"""From an order to a task: the recipe settled, the pictures read, the backend ready."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.execute.contract import Order
from stylewatch_daemon.receipt import InputRecord
from stylewatch_painter.image import Picture, read
from stylewatch_painter.recipe import Recipe
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
    backend = _backend(order, decided or {})
    content = read(order.content, max_pixels=order.max_pixels)
    styles = [read(path, max_pixels=order.max_pixels) for path in order.styles]
    init = None if order.init is None else read(order.init, max_pixels=order.max_pixels)
    if init is not None and order.settings.init is None:
        recipe = _starting_from_picture(recipe)
    task = Task(
        recipe=recipe,
        content=content.pixels,
        styles=tuple(
            Style(picture.pixels, name=f"style-{number}", weight=share)
            for number, (picture, share) in enumerate(zip(styles, shares, strict=True), start=1)
        ),
        init=None if init is None else init.pixels,
        alpha=content.alpha,
        seed=order.settings.seed,
        resume=resume,
    )
    inputs = [_input("content", order.content.name, content)]
    for style, path, picture in zip(task.styles, order.styles, styles, strict=True):
        inputs.append(_input(style.name, path.name, picture, style.weight))
    if init is not None and order.init is not None:
        inputs.append(_input("init", order.init.name, init))
    return Prepared(backend, task, tuple(inputs))


def _starting_from_picture(recipe: Recipe) -> Recipe:
    """A picture to start from is meant to be started from."""
    return recipe.model_copy(
        update={"schedule": recipe.schedule.model_copy(update={"start": "picture"})}
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


def _backend(order: Order, decided: Mapping[str, Any]) -> Backend:
    options = dict(order.backend_options)
    if order.settings.device is not None:
        options["device"] = order.settings.device
    options.update(decided)
    backend = registry.load(order.settings.backend, options)
    if problem := backend.problem():
        raise BackendMissingError(problem)
    return backend


def _input(role: str, name: str, picture: Picture, weight: float | None = None) -> InputRecord:
    return InputRecord(
        role=role,
        name=name,
        sha256=picture.sha256,
        size=picture.size,
        converted=picture.converted,
        weight=weight,
    )
