"""A canvas brings pictures to the size and units of a recipe, and makes the start."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.plain_recipes import MEAN, in_network_units
from tests.painter.plain_vgg19 import Array

from stylewatch_painter.algorithm.canvas import Canvas
from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.errors import RecipeError

SIZE = (small.WIDTH, small.HEIGHT)


def canvas(task: Task) -> Canvas:
    red, green, blue = MEAN.ravel().tolist()
    return Canvas(task, (red, green, blue), torch.device("cpu"))


def start(name: str, changes: dict[str, Any] | None = None, **task: Any) -> Array:
    """The start of a recipe in network units, (3, height, width)."""
    return small.array(canvas(replace(small.task(name, changes), **task)).start(SIZE))


def noise(seed: int) -> Array:
    """Standard normal, drawn pixel after pixel, red green blue."""
    drawn = np.random.Generator(np.random.PCG64(seed)).standard_normal(
        (small.HEIGHT, small.WIDTH, 3)
    )
    return drawn.transpose(2, 0, 1)


def content(name: str) -> Array:
    return in_network_units(small.plain(small.picture(0)), name)


@pytest.mark.parametrize(
    ("name", "changes", "seed", "wanted"),
    [
        ("best", {}, 0, lambda: content("best")),
        ("pastiche", {}, 0, lambda: content("pastiche")),
        ("keras", {}, 0, lambda: content("keras")),
        ("devos", {}, 5, lambda: content("devos")),
        ("devos", {"noise_ratio": 1.0}, 5, lambda: noise(5)),
        ("devos", {"noise_ratio": 0.5}, 5, lambda: 0.5 * noise(5) + 0.5 * content("devos")),
        ("devos", {"noise_ratio": 0.3}, 6, lambda: 0.3 * noise(6) + 0.7 * content("devos")),
        ("gatys", {}, 1, lambda: 30 * noise(1)),
        ("blank-canvas", {}, 2, lambda: 30 * noise(2)),
        ("neural-style", {}, 3, lambda: 0.001 * noise(3)),
        ("neural-style", {"start": "content"}, 3, lambda: content("neural-style")),
    ],
)
def test_recipe_starts_as_its_source(
    name: str, changes: dict[str, Any], seed: int, wanted: Any
) -> None:
    """In the units of the network, where noise is around the mean that is subtracted."""
    found = start(name, changes, seed=seed)
    np.testing.assert_allclose(found, wanted(), rtol=1e-5, atol=1e-4)


def test_noise_of_a_seed_is_fixed() -> None:
    """PCG64 is the same everywhere; these are its first numbers."""
    found = start("gatys", {"noise_scale": 1}, seed=0)
    assert found[:, 0, 0].tolist() == pytest.approx([0.125730, -0.132105, 0.640423], abs=1e-6)


def test_start_from_style_or_picture() -> None:
    """Brought to the size of the painting."""
    given = small.picture(9, 2 * small.WIDTH, 2 * small.HEIGHT)
    shown = start("best", {"start": "picture", "resample": "nearest"}, init=given)
    np.testing.assert_allclose(shown + MEAN, small.plain(given)[:, 1::2, 1::2], atol=1e-4)
    style = start("best", {"start": "style"})
    np.testing.assert_allclose(style + MEAN, small.plain(small.picture(1)), atol=1e-4)


@pytest.mark.parametrize(
    ("how", "given"),
    [
        ("content", {"content": None}),
        ("mixed", {"content": None}),
        ("style", {"styles": ()}),
        ("picture", {}),
    ],
)
def test_missing_start_picture_is_named(how: str, given: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=f"start: {how} needs"):
        start("best", {"start": how}, **given)


def test_enlarging_keeps_content_detail() -> None:
    """A painting that changed nothing is, after it, the content in full; without, a blur."""
    task = small.task("best", {"keep_detail": True})
    kept, made = canvas(task), canvas(small.task("best", {"keep_detail": False}))
    half, whole = (10, 9), SIZE
    there, here = kept.content(whole), kept.content(half)
    assert there is not None and here is not None
    torch.testing.assert_close(kept.enlarged(here, whole), there, atol=1e-4, rtol=0)
    torch.testing.assert_close(kept.enlarged(here + 7, whole), there + 7, atol=1e-4, rtol=0)
    assert float((made.enlarged(here, whole) - there).abs().max()) > 10
