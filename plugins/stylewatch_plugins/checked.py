"""Checks that the steps of a backend keep the contract, while it paints."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from stylewatch_painter.errors import DivergedError
from stylewatch_plugins import registry
from stylewatch_plugins.contract import Backend, Stage, Step, Task, Wish
from stylewatch_plugins.errors import BackendFaultError


def paint(backend: Backend, task: Task, wish: Callable[[], Wish]) -> Iterator[Step]:
    """Run `task` by `backend.paint`, and yield the steps that keep the contract.

    Raises BackendFaultError if the backend ends without its last stage although `wish` did not
    return STOP, or yields a picture that is not float32 (height, width, 3) at the final size or has
    values that are not finite. Raises DivergedError if a loss is not finite, and the errors of the
    backend.
    """
    asked = Wish.GO_ON
    last = None

    def ask() -> Wish:
        nonlocal asked
        asked = wish()
        return asked

    for step in backend.paint(task, ask):
        last = step
        _check_losses(step)
        if isinstance(step, Stage) and (wrong := _wrong(step, task)):
            raise BackendFaultError(f"{_fault(backend)}: the picture of step {step.step} {wrong}")
        yield step
    is_whole = isinstance(last, Stage) and (last.step == last.steps or asked is Wish.FINISH)
    if not is_whole and asked is not Wish.STOP:
        where = f"after step {last.step} of {last.steps}" if last else "before its first step"
        raise BackendFaultError(f"{_fault(backend)}: it ended {where}, without its last stage")


def _check_losses(step: Step) -> None:
    """Raise DivergedError if a loss of `step` is not finite."""
    losses = step.losses
    terms = [*losses.content.values(), *(t for of in losses.style.values() for t in of.values())]
    terms += [term for term in (losses.tv, losses.temporal) if term is not None]
    if not all(map(math.isfinite, (losses.total, *(term.value for term in terms)))):
        raise DivergedError(
            f"a loss is no longer a number at step {step.step}: a smaller learning rate may help"
        )


def _wrong(stage: Stage, task: Task) -> str:
    """Describe what is wrong with the pictures of a stage; return an empty string if nothing is."""
    pictures = [stage.picture, *([] if stage.painting is None else [stage.painting])]
    return next(filter(None, (_wrong_picture(picture, task) for picture in pictures)), "")


def _wrong_picture(picture: object, task: Task) -> str:
    shape = (*task.final.shape, 3)
    if not isinstance(picture, np.ndarray) or picture.shape != shape:
        found = getattr(picture, "shape", type(picture).__name__)
        return f"is {found}, not {shape}"
    if picture.dtype != np.float32:
        return f"is of type {picture.dtype}, not float32"
    if not np.isfinite(picture).all():
        return "has values that are not numbers"
    return ""


def _fault(backend: Backend) -> str:
    return f"a fault of {registry.described(backend.name)}"
