"""Gram matrices and smoothness against numbers by hand; recipes in `test_objective`.

The letters are the paper's, as in `losses`: F (N, M) features.
"""

import pytest
import torch
from torch import Tensor

from stylewatch_painter.losses.gram import (
    feature_sums,
    moment_matrix,
    wasserstein_squared,
    wasserstein_target,
)
from stylewatch_painter.losses.total_variation import total_variation

# two maps of three positions; 1 x 4 - 2 x 1 + 3 x 3 = 11, so that F F^T = [[14, 11], [11, 26]]
F = torch.tensor([[1.0, 2.0, 3.0], [4.0, -1.0, 3.0]])


@pytest.mark.parametrize("weights", [None, torch.ones(3), torch.tensor([1.0, 0.5, 0.0])])
def test_sums_weigh_positions(weights: Tensor | None) -> None:
    """Their gradient is that of autograd."""
    w = torch.ones(3) if weights is None else weights
    sums = feature_sums(F, weights, values=True)
    assert sums.values is not None
    torch.testing.assert_close(sums.products, (F * w) @ F.T)
    torch.testing.assert_close(sums.values, (F * w).sum(1))
    factors = torch.tensor([[1.0, 2.0], [-3.0, 4.0]])
    u, v = F.clone().requires_grad_(), F.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((feature_sums(u, weights).products * factors).sum(), u)
    (expected,) = torch.autograd.grad(((v * w @ v.mT) * factors).sum(), v)
    torch.testing.assert_close(gradient, expected)


# one channel of 3x3: differences down 2, 1, 0 and 0, 2, 5; right 1, 3 and 0, 2 and 2, 5
X = torch.tensor([[0.0, 1.0, 4.0], [2.0, 2.0, 4.0], [2.0, 4.0, 9.0]]).view(1, 1, 3, 3)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        # over all but the last row and column: (a, b) = (2, 1), (1, 3), (0, 0), (2, 2)
        ("power", 5**1.25 + 10**1.25 + 0 + 8**1.25),
        ("squared", (5 + 10 + 0 + 8) / 2),
        # over all of them: down (2 + 1 + 0 + 0 + 2 + 5) / 6, right (1 + 3 + 0 + 2 + 2 + 5) / 6
        ("absolute", (10 / 6 + 13 / 6) / 2),
        ("isotropic", (5**0.5 + 10**0.5 + 0 + 8**0.5) / 4),
        # with repeated edges, down 4 + 1 + 4 + 25 = 34, right 1 + 9 + 4 + 4 + 25 = 43 over 9
        # pixels; falling 0 1 9 0, 4 4 9 0, 0 4 49 25, 0 4 25 0 and rising 0 1 9 0, 4 1 4 0,
        # 0 0 0 25, 0 4 25 0 over 16
        ("nine_point", 2 / 3 * (34 + 43) / 9 + 1 / 6 * (134 + 73) / 16),
    ],
)
def test_smoothness_formulas(loss: str, expected: float) -> None:
    assert total_variation(X, loss).item() == pytest.approx(expected)


def features(seed: int, positions: int) -> Tensor:
    """Random features, (5, positions) float64, around 2."""
    generator = torch.Generator().manual_seed(seed)
    return 2 + 3 * torch.rand(5, positions, generator=generator, dtype=torch.float64)


def moments(f: Tensor) -> Tensor:
    return moment_matrix(f @ f.mT / f.shape[-1], f.mean(-1))


def distance(f: Tensor, g: Tensor) -> Tensor:
    return wasserstein_squared(moments(f), wasserstein_target(moments(g)))


@pytest.mark.parametrize("blank", [0.0, 7.0])
def test_wasserstein_of_flat_pictures_is_finite(blank: float) -> None:
    """A picture of a single color, as painting, as style, and as both."""
    flat, rich = torch.full((5, 40), blank), features(1, 40).float()
    for f, g in ((flat, rich), (rich, flat), (flat, flat)):
        u = f.clone().requires_grad_()
        value = distance(u, g)
        (gradient,) = torch.autograd.grad(value, u)
        assert value.isfinite().all() and gradient.isfinite().all()
    assert distance(rich * torch.nan, rich).isnan()
