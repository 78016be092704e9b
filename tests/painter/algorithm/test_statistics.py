"""What adds up over positions, by numbers worked out by hand."""

import pytest
import torch
from torch import Tensor

from stylewatch_painter.algorithm.losses import Sums, feature_sums

# two maps of three positions; 1 x 4 - 2 x 1 + 3 x 3 = 11
MAPS = torch.tensor([[[1.0, 2.0, 3.0], [4.0, -1.0, 3.0]]])


def alike(one: Sums, other: Sums) -> None:
    torch.testing.assert_close(one.products, other.products)
    torch.testing.assert_close(one.values, other.values)
    assert one.count == pytest.approx(other.count)


def test_they_are_products_and_values_over_all_positions() -> None:
    found = feature_sums(MAPS, values=True)
    assert found.products.tolist() == [[[14, 11], [11, 26]]]
    assert found.values is not None and found.values.tolist() == [[6, 6]]
    assert found.count == 3


def test_of_parts_they_add_up_to_those_of_the_whole() -> None:
    parts = feature_sums(MAPS[..., :2], values=True) + feature_sums(MAPS[..., 2:], values=True)
    alike(parts, feature_sums(MAPS, values=True))
    assert (feature_sums(MAPS) + feature_sums(MAPS)).values is None


def test_a_position_counts_by_its_weight() -> None:
    """Weights of 1, 1/2 and 0: the first position, and half of the second."""
    found = feature_sums(MAPS, torch.tensor([1.0, 0.5, 0.0]), values=True)
    wanted = Sums(torch.tensor([[[3.0, 3.0], [3.0, 16.5]]]), torch.tensor([[2.0, 3.5]]), 1.5)
    alike(found, wanted)


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 0.5, 0.0])])
def test_their_slope_is_that_of_autograd(weights: Tensor | None) -> None:
    """Each pulled its own way, against the same sums by plain products."""
    pull = torch.tensor([[[1.0, 2.0], [-3.0, 4.0]]])
    u, v = MAPS.clone().requires_grad_(), MAPS.clone().requires_grad_()
    w = torch.ones(3) if weights is None else weights
    (slope,) = torch.autograd.grad((feature_sums(u, weights).products * pull).sum(), u)
    (wanted,) = torch.autograd.grad(((v * w @ v.mT) * pull).sum(), v)
    torch.testing.assert_close(slope, wanted)
