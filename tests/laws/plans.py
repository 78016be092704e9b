"""Plans of small paintings in plain values, which hypothesis draws and shrinks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from stylewatch_painter.images.resize import resize
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Recipe
from stylewatch_painter.scene.task import Style, Task
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Pixels, Regions

RECIPES = tuple(book.names())

OPTIMIZERS: Mapping[str, Mapping[str, Any]] = {
    "adam": {"kind": "adam"},
    "adam-pyramid": {"kind": "adam", "pyramid": 3},
    "sgd": {"kind": "sgd", "rate": 10.0, "decay": 0.9, "decay_steps": 2},
    "rmsprop": {"kind": "rmsprop"},
    "rmsprop-pyramid": {"kind": "rmsprop", "pyramid": 2, "final_rate": 0.5},
    "lbfgs": {"kind": "lbfgs", "history": 2},
    "lbfgs-back": {"kind": "lbfgs", "first_step": 20.0, "step_back": 1.001},
    "lbfgs-fourier": {"kind": "lbfgs", "first_step": 3.0, "fourier_power": 0.5,
                      "fourier_diagonals": True},
    "lbfgs-wolfe": {"kind": "lbfgs", "line_search": "strong_wolfe"},
    "lbfgs-wolfe-back": {"kind": "lbfgs", "line_search": "strong_wolfe", "step_back": 1.5},
}  # fmt: skip

_SHORT: Mapping[str, Any] = {"smallest": 24, "initial_steps": None, "save_every": 1000}
"""Changes after which a recipe has more than one scale at sizes of 32 to 96 pixels."""

_FEW: Mapping[str, Any] = {
    "objective.transport.samples": 48,
    "objective.transport.style_samples": 60,
}
"""Changes that make a loss of random positions quick."""


def drawn(size: Size, seed: int) -> Pixels:
    """Draw a picture (height, width, 3) of soft shapes with a grain, in a palette of its own."""
    draw = np.random.default_rng(seed)
    soft = draw.uniform(0, 255, (4, 4, 3)).astype(np.float32)
    width, height = size
    down, right = np.mgrid[:height, :width] * draw.uniform(0.2, 1.5, 2)[:, None, None]
    waves = 30 * np.sin(down + right)[..., None] * draw.uniform(-1, 1, 3)
    grain = draw.normal(0, 12, (height, width, 3))
    shapes = resize(soft, size, "bicubic")
    pixels: Pixels = np.rint(np.clip(shapes + waves + grain, 0, 255)).astype(np.float32)
    return pixels


@dataclass(frozen=True)
class StylePlan:
    """A style of a plan; `smaller` is the size to which the file was made small beforehand."""

    size: Size
    seed: int = 1
    weight: float = 1.0
    scale: float = 1.0
    rule: str | None = None
    masked: bool = False
    smaller: Size | None = None

    def style(self, number: int, regions: int) -> Style:
        """Return the style with this number."""
        picture = drawn(self.size, self.seed)
        if self.smaller is not None:
            picture = resize(picture, self.smaller)
        mask = _halves(Size.of(picture), regions) if self.masked else None
        name = f"style-{number}"
        return Style(picture, name, self.weight, self.scale, self.rule, mask)


@dataclass(frozen=True)
class Plan:
    """A painting in plain values: its text makes it again."""

    recipe: str
    content: Size
    styles: tuple[StylePlan, ...]
    changes: tuple[tuple[str, Any], ...] = ()
    regions: int = 0
    seed: int = 0

    def changed(self, **changes: Any) -> "Plan":
        """Return the plan with other settings of its recipe."""
        return replace(self, changes=(*self.changes, *changes.items()))

    @property
    def settings(self) -> dict[str, Any]:
        """The changes of the recipe, with those that make it short."""
        recipe = book.find(self.recipe)
        scales = [{"scale": scale.scale, "steps": 2} for scale in recipe.schedule.scales
                  if scale.scale >= _COARSEST]  # fmt: skip
        few = _FEW if "transport" in recipe.objective.fine.losses else {}
        return {"scales": scales[-2:], **_SHORT, **few, **dict(self.changes)}

    def resolved(self) -> Recipe:
        """Return the recipe; RecipeError if the settings do not go together."""
        changes = {key: value for key, value in self.settings.items() if key != "color"}
        return book.change(book.find(self.recipe), changes)

    def task(self) -> Task:
        """Return the painting; RecipeError as `resolved` does."""
        return Task(
            self.resolved(),
            drawn(self.content, self.seed),
            tuple(style.style(n, self.regions) for n, style in enumerate(self.styles, start=1)),
            content_mask=_halves(self.content, self.regions) if self.regions else None,
            seed=self.seed,
        )


_COARSEST = 0.25
"""Smallest scale that is kept."""


def _halves(size: Size, regions: int) -> Regions:
    """Return a mask of the left half, or of both."""
    left = np.zeros(size.shape, np.float32)
    left[:, : max(1, size.width // 2)] = 1
    return np.stack([left, 1 - left][: max(1, regions)], axis=2)


# What is drawn

SIDES = st.integers(32, 96)
WEIGHTS = st.sampled_from([0.5, 1.0, 1.0, 3.0, 1e-30, 1e14])


@st.composite
def sizes(draw: st.DrawFn, sides: st.SearchStrategy[int] = SIDES) -> Size:
    """Draw a size."""
    return Size(draw(sides), draw(sides))


STYLE_SIDES = st.one_of(st.integers(8, 20), st.integers(20, 48), st.integers(48, 160))
"""The smallest are too small for a coarse scale, or for the largest layers."""
RULES = st.sampled_from([None, "area", "side", "stretch", "40", "x40", "0.002mp"])


@st.composite
def style_plans(draw: st.DrawFn, *, masked: bool = False) -> StylePlan:
    """Draw a style: small, large or narrow, in each form of a size."""
    return StylePlan(
        draw(sizes(STYLE_SIDES)),
        seed=draw(st.integers(1, 5)),
        weight=draw(WEIGHTS),
        scale=draw(st.sampled_from([1.0, 1.0, 0.5, 2.0])),
        rule=draw(RULES),
        masked=masked and draw(st.booleans()),
    )


def _matched(recipe: str) -> dict[str, Any]:
    """Return changes after which a recipe has no Gram matrices, but features that are matched."""
    objective = book.find(recipe).objective
    if objective.fine.where(lambda loss: "style" in loss.compared).losses.keys() != {"style"}:
        return {"objective.style": None}
    if objective.strength_by == "blend":
        return {}
    return {"objective.style": None,
            "objective.layer_match": {"layers": {"conv2_1": 1, "conv3_1": 1}}}  # fmt: skip


@st.composite
def plans(draw: st.DrawFn, *, optimizers: bool = True, prints: bool = False) -> Plan:
    """Draw a painting by any recipe, with an optimizer of its own or another one."""
    changes: dict[str, Any] = {
        "size": str(draw(SIDES)),
        "steps": draw(st.integers(1, 4)),
        "enlarge": draw(st.booleans()),
        "pool_edge": draw(st.sampled_from(["ceil", "ceil", "floor"])),
    }
    changes["objective.network.pool_edge"] = changes.pop("pool_edge")
    if optimizers and (name := draw(st.sampled_from([None, *OPTIMIZERS]))) is not None:
        changes["optimizer"] = dict(OPTIMIZERS[name])
        changes["carry_moments"] = False
    for key, values in (("strength", (0.2, 0.5, 0.9)), ("stroke", (0.5, 2.0)),
                        ("keep_range", (False, True)), ("ema_decay", (0.0, 0.5)),
                        ("start", ("content", "noise"))):  # fmt: skip
        if draw(st.integers(0, 3)) == 0:
            changes[key] = draw(st.sampled_from(values))
    recipe = draw(st.sampled_from(RECIPES))
    if draw(st.integers(0, 3)) == 0:
        changes["initial_steps"] = 3
    if draw(st.integers(0, 4)) == 0:
        changes |= _matched(recipe)
    if prints:
        changes |= {"preview": "32", "upscale_steps": draw(st.integers(1, 3))}
    regions = draw(st.sampled_from([0, 0, 1, 2]))
    styles = draw(st.lists(style_plans(masked=regions > 0), min_size=1, max_size=2))
    return Plan(
        recipe,
        draw(sizes()),
        tuple(styles),
        tuple(changes.items()),
        regions,
        seed=draw(st.integers(0, 3)),
    )


def of_recipe(plan: Plan, recipe: str) -> Plan:
    """Return the plan by another recipe, without changes of the losses of its own one."""
    losses = ("objective.style", "objective.layer_match")
    changes = tuple(change for change in plan.changes if change[0] not in losses)
    return replace(plan, recipe=recipe, changes=changes if recipe != plan.recipe else plan.changes)


def shape(size: Size, long: int) -> Size:
    """Return a size of this shape with a long side of `long` pixels."""
    return Size(*(math.ceil(side * (long / size.long)) for side in size))
