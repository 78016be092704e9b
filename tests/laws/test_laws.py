"""A short form of `make laws`: plans that once broke a law, and a few at random."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume
from hypothesis import strategies as st
from tests.laws.__main__ import tried
from tests.laws.laws import LAWS, Law
from tests.laws.painting import BrokenLawError
from tests.laws.plans import OPTIMIZERS, Plan, StylePlan, drawn

from stylewatch_painter.errors import PictureError
from stylewatch_painter.scene.canvas import check_pictures
from stylewatch_painter.scene.task import Style, Task, fingerprint
from stylewatch_painter.size import Size

BY_NAME = {law.name: law for law in LAWS}

CEIL = ("objective.network.pool_edge", "ceil")
SMALL = StylePlan(Size(24, 20))
DEFAULT = Size(40, 32)


def plan(recipe: str, *styles: StylePlan, content: Any = DEFAULT, **changes: Any) -> Plan:
    """A plan whose maps are never empty."""
    fields = {"size": str(max(content)), "steps": 2, "enlarge": False, **changes}
    regions = fields.pop("regions", 0)
    settings = tuple({**dict([CEIL]), **fields}.items())
    return Plan(recipe, content, styles or (SMALL,), settings, regions)


def once_small(recipe: str) -> Plan:
    """A style that was made small beforehand."""
    style = StylePlan(Size(100, 100), smaller=Size(24, 24))
    changes = {"style_size": "area", "fit": "within", "eight_bit": False, "scales": ()}
    return plan(recipe, style, content=Size(32, 32), **changes)


PAN = replace(
    plan("best", StylePlan(Size(60, 50), seed=3), content=Size(96, 48), start="content",
         strength=1.0, steps=4),
    seed=2,
)  # fmt: skip
WOLFE = {"optimizer": dict(OPTIMIZERS["lbfgs-wolfe"]), "carry_moments": False}
NARROW = StylePlan(Size(90, 5), weight=0.0)

KNOWN: dict[str, tuple[str, Any]] = {
    "a style of weight 0 takes no turn": ("weightless", (plan("strotss"), NARROW, 0)),
    "a narrow style of weight 0 removes no scale": ("weightless", (plan("gram"), NARROW, 1)),
    "a small style is not pale in gatys": ("small-style", once_small("gatys")),
    "nor in blank-canvas": ("small-style", once_small("blank-canvas")),
    "random positions and a line search continue": ("continued", plan("strotss", **WOLFE, steps=4)),
    "strength 0 is the photograph": ("powerless", plan("best")),
    "also with smaller scales": ("powerless", plan("best", content=Size(32, 33), size="32")),
    "a small style is not enlarged in a clip": (
        "first-frame", plan("gram", StylePlan(Size(20, 16)), scales=(), start="content"),
    ),
    "a clip is resampled like a still": (
        "first-frame",
        plan("keras", StylePlan(Size(20, 16)), content=Size(64, 48), size="x24", fit="stretch"),
    ),
    "a later frame is matched if nothing else compares it with the style": (
        "later-frames", plan("best", scales=(), start="content", **{"objective.style": None}),
    ),
    "a style has one name in losses.csv": (
        "said",
        plan("gram", StylePlan(Size(90, 20)), StylePlan(Size(90, 80)), content=Size(90, 80),
             scales=({"scale": 0.5, "steps": 2},), smallest=24, initial_steps=3,
             **{"objective.network.pool_edge": "floor"}),
    ),
    "the coarsest size that is painted has the initial steps": (
        "said",
        plan("gram", StylePlan(Size(120, 40)), content=Size(90, 80), smallest=20, initial_steps=3,
             scales=({"scale": 0.25, "steps": 2}, {"scale": 0.5, "steps": 2}),
             **{"objective.network.pool_edge": "floor"}),
    ),
    "a match of small pictures takes no more than planned": (
        "within-plan",
        (plan("nnst", StylePlan(Size(8, 8)), content=Size(32, 32), stroke=0.5, scales=(), steps=1),
         16),
    ),
    "a style alone in its region has all its weight": (
        "relative", (plan("gram", SMALL, SMALL, scales=(), regions=2), 1e14, 1.0),
    ),
    "also if weights are tiny": (
        "relative", (plan("gram", SMALL, SMALL, scales=(), regions=2), 1e-50, 1e-50),
    ),
    "strength 0 is every frame of the clip": (
        "powerless-clip",
        plan("best", content=Size(40, 32), scales=(), start="content", strength=0.0),
    ),
    "neither grain nor a lamp begins a scene": (
        "steady",
        (plan("gram", content=Size(64, 48), scales=(), start="content"), 12.0, 1, 0.15),
    ),
    "grain does not move an even sky": (
        "even-film",
        (plan("gram", StylePlan(Size(60, 50)), content=Size(96, 80), scales=(), start="content",
              steps=6), "sky", 1.0),
    ),
    "a dissolve is painted": (
        "slow-change", (plan("gram", content=Size(64, 48), scales=(), start="content"), 12, None),
    ),
    "a film in one ink keeps its colors": (
        "still-film",
        (plan("best", content=Size(64, 48), scales=(), start="content", strength=0.2), True),
    ),
    "hidden light does not darken what is seen": ("hidden", ("PQ", "white", DEFAULT, 1, False)),
    "hidden black does not tell white": (
        "hidden", ("floats up to 200", "white", DEFAULT, 1, False),
    ),
    "hidden values may be no numbers": ("hidden", ("floats", "no number", DEFAULT, 2, True)),
    "one color is one color whatever is hidden": ("hidden", ("8 bits", "white", DEFAULT, 0, False)),
    "what a pan reveals has no dark edges": ("quick-pan", (PAN, 4, False)),
    "nor what it moves into another region": ("quick-pan", (PAN, 4, True)),
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_what_broke_a_law_once_holds(name: str) -> None:
    law, drawn = KNOWN[name]
    BY_NAME[law].check(drawn)


@pytest.mark.parametrize("name", ["continued", "weightless", "tiled", "hidden"])
def test_a_law_holds_for_plans_at_random(name: str) -> None:
    count, _, wrong = tried(BY_NAME[name], 2, 1)
    assert count and not wrong, wrong


def test_a_broken_law_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def by_rule(task: Task, style: Style) -> float:
        """The scale that was asked for, not the one that is seen."""
        return style.scale * task.recipe.schedule.style_scale * task.recipe.schedule.stroke

    monkeypatch.setattr(Task, "style_scale", by_rule)
    with pytest.raises(BrokenLawError, match="values differ"):
        BY_NAME["small-style"].check(once_small("gatys"))


def test_a_style_that_is_too_small_at_the_end_is_refused_beside_others() -> None:
    task = Plan("gram", Size(64, 48), (SMALL, StylePlan(Size(90, 9))), (("size", "64"),)).task()
    with pytest.raises(PictureError, match="the style picture style-2 would be 90x9 pixels"):
        check_pictures(task)


def test_a_checkpoint_is_of_other_sizes_if_a_style_was_left_out_of_some() -> None:
    """Earlier versions left these sizes out of the painting."""
    task = Plan("gram", Size(90, 80), (StylePlan(Size(90, 20)),), (("size", "90"),)).task()
    both = replace(task, styles=(*task.styles, Style(drawn(Size(90, 80), 1), "style-2")))
    assert set(both.left_out()) == {"style-1"} and not task.left_out()
    before = both.left_out
    object.__setattr__(both, "left_out", dict)
    without = fingerprint(both)
    object.__setattr__(both, "left_out", before)
    assert not np.array_equal(without, fingerprint(both))


def test_a_law_that_most_plans_are_left_out_of_is_broken() -> None:
    law = Law("picky", "", st.integers(0, 9), lambda number: assume(number == 0))
    count, drawn, wrong = tried(law, 20, 0)
    assert wrong == f"only {count} of {drawn} plans go together"
