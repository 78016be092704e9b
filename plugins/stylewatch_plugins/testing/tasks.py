"""Small tasks for tests of backends, and helpers to read the results."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from stylewatch_painter.recipes.book import change, check
from stylewatch_painter.scene.task import Style, Task
from stylewatch_painter.stage import Checkpoint, Losses, Pixels, Plane, Stage, Step, Term, Wish
from stylewatch_plugins.contract import Backend

OPTIMIZERS: Mapping[str, Mapping[str, object]] = {
    "adam": {"kind": "adam", "rate": 2.0},
    "sgd": {"kind": "sgd", "rate": 100.0, "decay": 0.96, "decay_steps": 3},
    "rmsprop": {"kind": "rmsprop", "rate": 2.0},
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
"""Settings that a backend may ignore; it must keep the contract with them as well."""

PRINT = {"preview": "12", "upscale_steps": 3}
"""Settings of a print: half the size first, then the full size."""


def picture(width: int, height: int, seed: int = 0) -> Pixels:
    """Draw a picture of random colors, float32 (height, width, 3), with a palette for each seed."""
    draw = np.random.Generator(np.random.PCG64(seed))
    darkest = draw.uniform(0, 128, 3)
    colors: Pixels = draw.uniform(darkest, darkest + 127, (height, width, 3)).astype(np.float32)
    return colors


def sample(recipe: Mapping[str, Any] | None = None, **task: Any) -> Task:
    """Return a small task; `recipe` changes fields of its recipe, and `task` fields of the Task."""
    plain = Task(change(RECIPE, recipe or {}), picture(24, 18), (Style(picture(20, 22, seed=1)),))
    return replace(plain, **task)


def painted(backend: Backend, task: Task, *wishes: Wish) -> list[Step]:
    """Run `task` to its end, and return all its steps.

    The wish after each step is the next one of `wishes`, and GO_ON after the last of them.
    """
    left = iter(wishes)
    return list(backend.paint(task, lambda: next(left, Wish.GO_ON)))


def stages(steps: Sequence[Step]) -> dict[int, bytes]:
    """Return the bytes of the pictures of all stages among `steps`, by number of the step."""
    return {step.step: step.picture.tobytes() for step in steps if isinstance(step, Stage)}


def pictures(task: Task) -> list[Pixels]:
    """Return all pictures of a task: content, start and styles, without masks."""
    sources = (task.content, task.init, *(style.picture for style in task.styles))
    return [pixels for pixels in sources if pixels is not None]


def after(step: int, wish: Wish) -> tuple[Wish, ...]:
    """Return the wishes GO_ON up to `step` - 1, then `wish`."""
    return (*[Wish.GO_ON] * (step - 1), wish)


def terms(losses: Losses) -> Iterator[Term]:
    """Yield all terms of the losses but the temporal one, which only clips have."""
    yield from losses.content.values()
    for layers in losses.style.values():
        yield from layers.values()
    if losses.tv is not None:
        yield losses.tv


def saved_and_loaded(checkpoint: Checkpoint | None) -> Checkpoint:
    """Return a checkpoint, which must not be None, as read back from a file of plain arrays."""
    assert checkpoint is not None, "a checkpoint was requested, and none was yielded"
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **checkpoint)
    file.seek(0)
    with np.load(file, allow_pickle=False) as loaded:
        return dict(loaded)


def half(shown: Pixels, side: str) -> Plane:
    """Return a mask (height, width) of the `left` or the `right` half of a picture."""
    mask = np.zeros_like(shown[..., 0])
    middle = shown.shape[1] // 2
    mask[:, slice(middle) if side == "left" else slice(middle, None)] = 1
    return mask


def two_halves(dark: Pixels, bright: Pixels) -> Pixels:
    """Return a picture that is dark on the left and bright on the right."""
    middle = dark.shape[1] // 2
    return np.concatenate([0.2 * dark[:, :middle], 200 + 0.2 * bright[:, middle:]], axis=1)


def masked_style(side: str) -> Task:
    """Return a task with a dark start, and a style that is dark left and bright right.

    The mask of the style selects one `side`.
    """
    shown = two_halves(picture(20, 22, seed=1), picture(20, 22, seed=2))
    style = Style(shown, mask=half(shown, side))
    return sample({"start": "picture"}, init=0.2 * picture(24, 18, seed=1), styles=(style,))


def masked_painting(side: str) -> Task:
    """Return a task with a start that is as bright as the style left, and dark right.

    The mask of the content lets the style act on one `side`.
    """
    start = two_halves(picture(24, 18, seed=1), picture(24, 18, seed=2))[:, ::-1]
    style = Style(200 + 0.2 * picture(20, 22, seed=2))
    mask = half(start, side)
    return sample({"start": "picture"}, init=start, styles=(style,), content_mask=mask)


def two_regions(first: str) -> Task:
    """Return a task with a start that is dark left and bright right, like the style.

    Content and style have two regions. Region 0 of the content is its left half; region 0 of the
    style is its `first` half, `left` or `right`.
    """
    start = two_halves(picture(24, 18, seed=1), picture(24, 18, seed=2))
    shown = two_halves(picture(20, 22, seed=3), picture(20, 22, seed=4))
    second = {"left": "right", "right": "left"}[first]
    mask = np.stack([half(shown, first), half(shown, second)], axis=2)
    regions = np.stack([half(start, "left"), half(start, "right")], axis=2)
    style = Style(shown, mask=mask)
    return sample({"start": "picture"}, init=start, styles=(style,), content_mask=regions)


def weighted_sum(losses: Losses, side: str) -> float:
    """Return the sum of the weighted terms of one side, `content` or `style`."""
    if side == "content":
        losses_of_side = Losses(0.0, losses.content)
    else:
        losses_of_side = Losses(0.0, {}, losses.style)
    return sum(term.weighted for term in terms(losses_of_side))


def everything() -> Task:
    """Return a task with regions, two styles with sizes of their own, two scales, and SMOOTHED."""
    task = two_regions("left")
    (style,) = task.styles
    unmasked = replace(style, name="style-2", size=None, scale=0.5, mask=None)
    return replace(
        task,
        recipe=change(task.recipe, {**SMALL_FIRST, **SMOOTHED, "save_every": 1}),
        styles=(replace(style, size="16"), unmasked),
    )
