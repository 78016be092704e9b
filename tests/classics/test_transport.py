"""Optimal transport of sampled hypercolumns: losses, positions, weights and regions."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.painter import small
from tests.painter.small import WIDE, split

from stylewatch_classics.transport import generator, positions
from stylewatch_painter.scene.task import Task
from stylewatch_painter.stage import Losses, Pixels, Regions

SMALL: Mapping[str, Any] = {
    "scales": [{"scale": 0.5, "steps": 3}],
    "smallest": 1,
    "steps": 2,
    "save_every": 1,
    "objective.network.pool_edge": "ceil",
    "objective.transport.samples": 100,
    "objective.transport.style_samples": 150,
}


def task(changes: Mapping[str, Any] | None = None, styles: int = 1, **fields: Any) -> Task:
    """A painting of two sizes by recipe `strotss`."""
    return small.wide_task("strotss", {**SMALL, **(changes or {})}, styles, **fields)


def losses(made: Task, step: int = 0) -> Losses:
    """The losses of a start, gray in the middle of the colors, at the final size."""
    objective = small.objective(made)
    objective.step = step
    return objective.record(objective(small.content(objective).flip(-1)).terms)


STYLES = {
    "style-1": {"transport": 0.09354942, "moments": 0.04080506, "palette": 0.05050968},
    "style-2": {"transport": 0.09050481, "moments": 0.04663439, "palette": 0.05047802},
}
"""Losses of every position of two styles, for the network of `small`: by the formulas of the paper
in plain loops and float64, as the two numbers about the gradient below."""


def test_losses_and_gradient_follow_the_published_formulas() -> None:
    made = small.task("strotss", {"objective.transport.content_weight": 0.1}, styles=2)
    objective = small.objective(made)
    evaluation = objective(small.tensor(small.in_network_units(small.picture(7), "strotss")))
    seen = objective.record(evaluation.terms)
    assert seen.content["self-similarity"].value == pytest.approx(0.46535342, rel=1e-5)
    for name, expected in STYLES.items():
        assert {term: loss.value for term, loss in seen.style[name].items()} == pytest.approx(
            expected, rel=1e-5
        )
    gradient = small.array(evaluation.gradient)
    direction = np.random.Generator(np.random.PCG64(3)).standard_normal(gradient.shape)
    assert np.linalg.norm(gradient) == pytest.approx(1.790309e-4, rel=1e-4)
    assert (gradient * direction).sum() == pytest.approx(-3.58758e-5, rel=1e-3)


def test_positions_form_a_grid_with_a_random_offset() -> None:
    """500x300 pixels are 9 times 128x128: every third row and column."""
    offsets = set()
    for step in range(20):
        at = positions(np.ones((300, 500), np.bool_), 1000, generator(0, step))
        rows, columns = np.divmod(at, 500)
        assert len(set(at.tolist())) == 1000
        offsets.add((*{*(rows % 3).tolist()}, *{*(columns % 3).tolist()}))
    assert len(offsets) > 5 and all(len(offset) == 2 for offset in offsets)
    few = np.zeros((300, 500), np.bool_)
    few[7, 8] = True
    assert positions(few, 1000, generator(0, 0)).tolist() == [7 * 500 + 8]


# Paintings


def test_weights_follow_the_size_of_the_scale() -> None:
    """16 for 64 pixels of the long side, 32 for 32 ..., over that weight and 2."""
    made = task()
    for scale, content in ((1.0, 32.0), (0.5, 64.0)):
        level = replace(made.levels()[0], size=WIDE.times(scale), scale=scale)
        weights = {
            label.layer: w.total for label, w in small.objective(made, level=level).weights.items()
        }
        assert weights["self-similarity"] == pytest.approx(content / (content + 2))
        assert weights["moments"] == pytest.approx(1 / (content + 2))
        assert weights["palette"] == pytest.approx(weights["moments"] / content)
    for changes in ({"strength": 0.75}, {"objective.transport.content_side": None}):
        weight = losses(task(changes)).content["self-similarity"].weight
        assert weight == pytest.approx(16 / (16 + 2))


def test_each_step_and_seed_draws_other_positions() -> None:
    made = task()
    first = losses(made)
    assert losses(made) == first
    for other in (losses(made, step=1), losses(replace(made, seed=1))):
        assert other.total != first.total
        assert other.total == pytest.approx(first.total, rel=0.5)


def palette(made: Task, picture: Pixels, mask: Regions | None = None) -> float:
    """The palette loss with another style."""
    style = replace(made.styles[0], picture=picture, mask=mask)
    return losses(replace(made, styles=(style,))).style["style-1"]["palette"].value


def test_each_region_follows_its_region_of_the_style() -> None:
    """Halves that are alike have no palette loss, halves that are swapped have one."""
    mask = split(16)
    dark, bright = 0.1 * small.picture(4, 16, 28), 255 - 0.1 * small.picture(5, 16, 28)
    content = np.concatenate([dark, bright], 1)
    made = task(content=content[:, ::-1].copy(), content_mask=mask)  # `losses` mirrors the content
    same, swapped, anywhere = (
        palette(made, content, of_style) for of_style in (mask, mask[..., ::-1].copy(), None)
    )
    assert 5 * same < 0.5 < swapped and anywhere < swapped
