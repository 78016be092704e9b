"""Averages of pictures, against their sum written out."""

import pytest
import torch
from torch import Tensor

from stylewatch_painter.algorithm.state import Average


def pictures(count: int, rows: int = 2) -> list[Tensor]:
    draw = torch.Generator().manual_seed(5)
    return [torch.rand(rows, 3, 4, 5, generator=draw) for _ in range(count)]


def averaged(seen: list[Tensor], decay: float = 0.9) -> Average:
    made = Average.of(seen[0], decay)
    for one in seen[1:]:
        made.note(one)
    return made


def test_each_picture_weighs_less_the_older_it_is() -> None:
    """Over the sum of all weights: the first counts no more than it should."""
    seen = pictures(4)
    weights = [0.9**3, 0.9**2, 0.9, 1.0]
    wanted = sum((w * one for w, one in zip(weights, seen, strict=True)), torch.zeros(1))
    torch.testing.assert_close(averaged(seen).picture(), wanted / sum(weights))


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_the_average_of_one_is_that_one(decay: float) -> None:
    (only,) = pictures(1)
    torch.testing.assert_close(averaged([only] * 3, decay).picture(), only)


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_what_is_no_number_has_no_part_in_it(wrong: float) -> None:
    """Such a step is taken back; the picture beside it counts as ever."""
    one, two, three = pictures(3)
    broken = two.clone()
    broken[1, 0, 0, 0] = wrong
    found = averaged([one, broken, three]).picture()
    torch.testing.assert_close(found[0], averaged([one, two, three]).picture()[0])
    torch.testing.assert_close(found[1], averaged([one, three]).picture()[1])


def test_it_goes_on_in_the_same_bytes_and_with_some_rows_only() -> None:
    seen = pictures(4)
    whole, begun = averaged(seen), averaged(seen[:2])
    resumed = Average.of(seen[0][:1], 0.9)
    resumed.load(begun.state(1))
    begun.keep([1])
    for one in seen[2:]:
        resumed.note(one[1:])
        begun.note(one[1:])
    assert torch.equal(resumed.picture(), whole.picture()[1:])
    assert torch.equal(begun.picture(), whole.picture()[1:])


def test_what_it_gave_stays_as_it_is() -> None:
    seen = pictures(2)
    made = Average.of(seen[0], 0.9)
    state, shown = made.state(0), made.picture()
    made.note(seen[1])
    torch.testing.assert_close(shown, seen[0])
    torch.testing.assert_close(state["value"], seen[0][:1] * 0.1)
