"""A canvas brings pictures to the size and units of a recipe, and makes the start."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.plain_recipes import MEAN, in_network_units
from tests.painter.plain_vgg19 import Array

from stylewatch_painter.algorithm.canvas import Canvas, check_pictures
from stylewatch_painter.algorithm.task import Style, Task, size_of
from stylewatch_painter.errors import PictureError, RecipeError
from stylewatch_painter.recipes.book import change, find
from stylewatch_painter.stage import Pixels

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
def test_a_recipe_starts_as_its_source_does(
    name: str, changes: dict[str, Any], seed: int, wanted: Any
) -> None:
    """In the units of the network, where noise is around the mean that is subtracted."""
    found = start(name, changes, seed=seed)
    np.testing.assert_allclose(found, wanted(), rtol=1e-5, atol=1e-4)


def test_the_noise_of_a_seed_never_changes() -> None:
    """PCG64 is the same everywhere; these are its first numbers."""
    found = start("gatys", {"noise_scale": 1}, seed=0)
    assert found[:, 0, 0].tolist() == pytest.approx([0.125730, -0.132105, 0.640423], abs=1e-6)


def test_it_can_start_from_the_style_or_from_a_picture() -> None:
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
def test_a_start_without_its_picture_is_refused_by_name(how: str, given: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=f"start: {how} needs"):
        start("best", {"start": how}, **given)


@pytest.mark.parametrize(("name", "white"), [("best", 255.0), ("neural-style", 256.0)])
def test_white_is_what_the_source_makes_of_it(name: str, white: float) -> None:
    """And comes back as 255."""
    made = canvas(small.task(name))
    u = made.units(np.full((2, 3, 3), 255, dtype=np.float32))
    assert u.shape == (1, 3, 2, 3)
    assert small.array(u)[:, 0, 0].tolist() == pytest.approx((white - MEAN).ravel().tolist())
    np.testing.assert_allclose(made.pixels(u), 255, rtol=1e-6)


def test_pixels_are_neither_clipped_nor_rounded() -> None:
    made = canvas(small.task("best"))
    given = np.array([[[-3.25, 300.5, 0.125]]], dtype=np.float32)
    np.testing.assert_allclose(made.pixels(made.units(given)), given, atol=1e-4)


def test_without_a_content_picture_the_next_one_gives_the_size() -> None:
    """The picture to start from, or else the first style, whose size is no limit."""
    whole = replace(small.task("best", {"size": "640"}), content=None)
    width, height = size_of(whole.styles[0].picture)
    assert canvas(whole).final == (640, round(640 * height / width))
    init: Pixels = small.picture(2, 30, 40)
    assert canvas(replace(whole, init=init)).final == (30, 40)


def test_styles_shrink_with_the_painting() -> None:
    """At half the size, half of what the style has at the end."""
    task = Task(
        change(find("best"), {"size": "64", "smallest": 1, "scales": [{"scale": 0.5, "steps": 1}]}),
        small.picture(0, 64, 64),
        (Style(small.picture(1, 200, 50)),),
    )
    made = canvas(task)
    shapes = [made.style(task.styles[0], level).shape for level in made.levels()]
    assert shapes == [(1, 3, 16, 64), (1, 3, 32, 128)]


def test_enlarging_keeps_the_contents_own_detail() -> None:
    """A painting that changed nothing is, after it, the content in full; without, a blur."""
    task = small.task("best", {"keep_detail": True})
    kept, made = canvas(task), canvas(small.task("best", {"keep_detail": False}))
    half, whole = (10, 9), SIZE
    there, here = kept.content(whole), kept.content(half)
    assert there is not None and here is not None
    torch.testing.assert_close(kept.enlarged(here, whole), there, atol=1e-4, rtol=0)
    torch.testing.assert_close(kept.enlarged(here + 7, whole), there + 7, atol=1e-4, rtol=0)
    assert float((made.enlarged(here, whole) - there).abs().max()) > 10


def test_of_the_contents_detail_a_share_may_come_back() -> None:
    half, whole = (10, 9), SIZE
    made = [canvas(small.task("best", {"keep_detail": k})) for k in (0, 0.5, 1)]
    here = made[0].content(half)
    assert here is not None
    nothing, some, everything = (one.enlarged(here, whole) for one in made)
    torch.testing.assert_close(some, (nothing + everything) / 2, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("changes", "given", "told"),
    [
        ({}, {"content": None, "styles": ()}, "neither a content nor a style picture"),
        ({"objective.style": None}, {"content": None}, "paints content only"),
        ({"objective.content": None}, {"styles": ()}, "paints style only"),
    ],
)
def test_a_side_without_its_picture_is_refused_in_words(
    changes: dict[str, Any], given: dict[str, Any], told: str
) -> None:
    with pytest.raises(PictureError, match=told):
        check_pictures(replace(small.task("best", changes), **given))
