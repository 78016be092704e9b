"""Small tasks to try backends on, and ways to look at what comes out."""

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stylewatch_painter.algorithm.task import Style, Task
from stylewatch_painter.recipes.book import change, check
from stylewatch_painter.stage import Checkpoint, Losses, Pixels, Stage, Step, Term, Wish
from stylewatch_plugins.capabilities import capabilities
from stylewatch_plugins.contract import Backend

OPTIMIZERS: Mapping[str, Mapping[str, object]] = {
    "adam": {"kind": "adam", "rate": 2.0},
    "sgd": {"kind": "sgd", "rate": 100.0, "decay": 0.96, "decay_steps": 3},
    "lbfgs": {"kind": "lbfgs", "history": 3},
    "lbfgs-wolfe": {"kind": "lbfgs", "line_search": "strong_wolfe"},
    "lbfgs-fourier": {"kind": "lbfgs", "first_step": 3.0, "fourier_power": 0.5},
}

RECIPE = check(
    {
        "name": "conformance",
        "about": "Small and quick; no layer deeper than the second block.",
        "objective": {
            "content": {"loss": "relative", "layers": {"conv2_2": 0.5}},
            "style": {"gram": "mean", "loss": "relative", "layers": {"conv1_1": 1, "conv2_1": 2}},
        },
        "schedule": {"size": 24, "optimizer": OPTIMIZERS["adam"], "steps": 5, "save_every": 2},
    }
)

SMALL_FIRST = {"scales": [{"scale": 0.5, "steps": 3}]}

SMOOTHED: Mapping[str, Any] = {
    "ema_decay": 0.5,
    "carry_moments": True,
    "objective.network.padding": "reflect",
    "objective.tv": {"loss": "isotropic", "weight": 0.01},
}
"""Controls that a backend may have no use for; all that it promises holds with them too."""

PRINT = {"preview": "12", "upscale_steps": 3}
"""The painting is first half as large, and goes up from there."""


def picture(width: int, height: int, seed: int = 0) -> Pixels:
    """A picture of colors drawn by chance, another palette for each seed."""
    draw = np.random.Generator(np.random.PCG64(seed))
    darkest = draw.uniform(0, 128, 3)
    colors: Pixels = draw.uniform(darkest, darkest + 127, (height, width, 3)).astype(np.float32)
    return colors


def sample(recipe: Mapping[str, Any] | None = None, **task: Any) -> Task:
    """A small task, with single fields of its recipe, or of itself, changed."""
    plain = Task(change(RECIPE, recipe or {}), picture(24, 18), (Style(picture(20, 22, seed=1)),))
    return replace(plain, **task)


def painted(backend: Backend, task: Task, *wishes: Wish) -> list[Step]:
    """Every step; `wishes` are those after step 1, 2 ..., and to go on after that."""
    left = iter(wishes)
    return list(backend.paint(task, lambda: next(left, Wish.GO_ON)))


def stages(steps: Sequence[Step]) -> dict[int, bytes]:
    """The pictures, byte for byte, by their step."""
    return {step.step: step.picture.tobytes() for step in steps if isinstance(step, Stage)}


def pictures(task: Task) -> list[Pixels]:
    """Every picture that a task holds."""
    given = (task.content, task.init, *(style.picture for style in task.styles))
    return [picture for picture in given if picture is not None]


def after(step: int, wish: Wish) -> tuple[Wish, ...]:
    """The wishes of someone who wants something after `step`."""
    return (*[Wish.GO_ON] * (step - 1), wish)


def terms(losses: Losses) -> Iterator[Term]:
    """Every term of a loss."""
    yield from losses.content.values()
    for layers in losses.style.values():
        yield from layers.values()
    if losses.tv is not None:
        yield losses.tv


def kept(checkpoint: Checkpoint | None) -> Checkpoint:
    """A checkpoint after its way through a file that holds nothing but plain arrays."""
    assert checkpoint is not None, "a checkpoint was wished for, and none was handed out"
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **checkpoint)
    file.seek(0)
    with np.load(file, allow_pickle=False) as loaded:
        return dict(loaded)


class Suite(ABC):
    """A backend under test."""

    closeness = 1e-5
    """How far, relatively, losses may differ that should be equal."""

    alike = 2.0
    """How far, in levels of 0..255 on average, pictures of a backend may differ that should be
    equal, if it is not deterministic."""

    @abstractmethod
    def make(self, options: Mapping[str, object]) -> Backend:
        """The backend, made with these options beside those that its own tests need."""

    @pytest.fixture
    def backend(self) -> Backend:
        """The backend, made without further options."""
        return self.make({})

    def check_going_on(self, backend: Backend, task: Task) -> None:
        """Stopped after any step, `task` ends in the same pictures; each step of it is a Stage."""
        whole = painted(backend, task) if capabilities(backend).resume else []
        for step in whole[:-1]:
            stopped = painted(backend, task, *after(step.step, Wish.STOP))[-1]
            again = replace(task, resume=kept(stopped.checkpoint))
            rest = painted(self.make({}), again)
            assert self.same(backend, rest, whole[step.step :])
            if capabilities(backend).deterministic:
                assert [s.losses for s in rest] == [s.losses for s in whole[step.step :]]
            assert rest[0].seconds >= stopped.seconds

    def same(self, backend: Backend, one: list[Step], other: list[Step]) -> bool:
        """Whether two paintings show the same stages: byte for byte, if that can be had."""
        if capabilities(backend).deterministic:
            return stages(one) == stages(other)
        shown, again = ({at: _pixels(seen) for at, seen in stages(x).items()} for x in (one, other))
        near = (np.abs(shown[at] - again[at]).mean() <= self.alike for at in shown if at in again)
        return shown.keys() == again.keys() and all(near)


def _pixels(shown: bytes) -> Pixels:
    return np.frombuffer(shown, dtype=np.float32)
