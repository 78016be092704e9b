"""Where a painting is held to which region, and how much each region counts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.painter import small

from stylewatch_painter.algorithm.losses import sums
from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.algorithm.tiles import Guides, View
from stylewatch_painter.recipes.recipe import Network
from stylewatch_painter.stage import Regions

SIZE = (8, 8)
VIEW = View(small.network(), Network(), ["conv1_1"])


def mask(*shares: float) -> Regions:
    """Regions beside one another, each with such a share of eight columns."""
    found = np.zeros((8, 8, len(shares)), dtype=np.float32)
    start = 0
    for region, share in enumerate(shares):
        found[:, start : start + round(8 * share), region] = 1
        start += round(8 * share)
    return found


def task(styles: int, of_style: Regions | None = None) -> Task:
    """A quarter, and a half."""
    made = small.task("best", styles=styles)
    each = (replace(made.styles[0], mask=of_style), *made.styles[1:])
    return replace(made, content_mask=mask(0.25, 0.5), styles=each)


def test_without_a_mask_there_are_none_and_a_value_stays_what_it_is() -> None:
    guides, value = Guides.of(small.task("best"), VIEW, SIZE, 1), torch.tensor([3.0])
    assert guides.weights == {}
    assert guides.value(0, [value]) is value
    found = (sums(torch.rand(1, 2, 5)),)
    assert guides.sums("conv1_1", found) is found


def test_a_region_counts_by_its_part_of_the_picture() -> None:
    guides = Guides.of(task(1), VIEW, SIZE, 1)
    value = guides.value(0, [torch.tensor([8.0]), torch.tensor([2.0])])
    assert value.tolist() == [8 / 4 + 2 / 2]


def test_a_style_that_shows_nothing_of_a_region_has_no_part_in_it() -> None:
    """The first of two, of weights 1 and 3, shows the second region only."""
    guides = Guides.of(task(2, mask(0, 1)), VIEW, SIZE, 2)
    assert guides.parts is not None
    first, second = guides.parts.tolist()
    assert first == pytest.approx([0, 0.5])
    assert second == pytest.approx([0.25 / 0.75, 0.5])


def test_styles_that_are_blended_are_one_for_every_region() -> None:
    guides = Guides.of(task(2), VIEW, SIZE, 1)
    assert guides.parts is not None and guides.parts.tolist() == [[0.25, 0.5]]


def test_sums_of_a_region_stand_for_the_whole() -> None:
    guides = Guides.of(task(1), VIEW, SIZE, 1)
    weights = guides.weights["conv1_1"]
    maps = torch.ones(1, 2, 64)
    found = guides.sums("conv1_1", tuple(sums(maps, one.flatten()) for one in weights))
    assert [one.products.tolist() for one in found] == [[[[64, 64], [64, 64]]]] * 2
