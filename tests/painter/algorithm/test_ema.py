"""Averages of pictures, against their sum written out."""

import pytest
import torch
from torch import Tensor

from stylewatch_painter.algorithm.state import MovingAverage


def pictures(count: int, rows: int = 2) -> list[Tensor]:
    draw = torch.Generator().manual_seed(5)
    return [torch.rand(rows, 3, 4, 5, generator=draw) for _ in range(count)]


def averaged(seen: list[Tensor], decay: float = 0.9) -> MovingAverage:
    made = MovingAverage.of(seen[0], decay)
    for one in seen[1:]:
        made.add(one)
    return made


def test_each_picture_weighs_less_the_older_it_is() -> None:
    """Over the sum of all weights: the first counts no more than it should."""
    seen = pictures(4)
    weights = [0.9**3, 0.9**2, 0.9, 1.0]
    wanted = sum((w * one for w, one in zip(weights, seen, strict=True)), torch.zeros(1))
    torch.testing.assert_close(averaged(seen).picture(), wanted / sum(weights))


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_what_is_no_number_has_no_part_in_it(wrong: float) -> None:
    """Such a step is taken back; the picture beside it counts as ever."""
    one, two, three = pictures(3)
    broken = two.clone()
    broken[1, 0, 0, 0] = wrong
    found = averaged([one, broken, three]).picture()
    torch.testing.assert_close(found[0], averaged([one, two, three]).picture()[0])
    torch.testing.assert_close(found[1], averaged([one, three]).picture()[1])
