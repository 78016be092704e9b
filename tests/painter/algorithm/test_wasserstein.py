"""The distance of two Gaussians, against NumPy, by finite differences, and of any rank."""

import numpy as np
import pytest
import torch
from tests.painter import plain_wasserstein
from torch import Tensor

from stylewatch_painter.algorithm.losses import (
    moment_matrix,
    wasserstein_squared,
    wasserstein_target,
)


def features(seed: int, positions: int, maps: int = 5, spread: float = 3.0) -> Tensor:
    """Features by chance, (1, maps, positions) float64, around 2."""
    draw = torch.Generator().manual_seed(seed)
    return 2 + spread * torch.rand(1, maps, positions, generator=draw, dtype=torch.float64)


def of(f: Tensor) -> Tensor:
    """The moments of features (B, n, m)."""
    return moment_matrix(f @ f.mT / f.shape[-1], f.mean(-1))


def distance(f: Tensor, g: Tensor) -> Tensor:
    return wasserstein_squared(of(f), wasserstein_target(of(g)))


@pytest.mark.parametrize("positions", [40, 5, 3, 1])
@pytest.mark.parametrize("others", [40, 3, 1])
def test_it_is_that_of_the_textbook(positions: int, others: int) -> None:
    """Of any rank: so few positions make no more directions than that."""
    f, g = features(1, positions), features(2, others)
    products = (g @ g.mT / others)[0].numpy()
    value, _ = plain_wasserstein.of_features(f[0].numpy(), g.mean(-1)[0].numpy(), products)
    assert distance(f, g).item() == pytest.approx(value, rel=1e-6)


def test_its_slope_is_that_of_the_textbook() -> None:
    f, g = features(1, 40).requires_grad_(), features(2, 40)
    (found,) = torch.autograd.grad(distance(f, g), f)
    products = (g @ g.mT / 40)[0].numpy()
    plain = f.detach()[0].numpy()
    _, wanted = plain_wasserstein.of_features(plain, g.mean(-1)[0].numpy(), products)
    np.testing.assert_allclose(found[0].numpy(), wanted, atol=1e-9)


@pytest.mark.parametrize("blank", [0.0, 7.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_blank_pictures_leave_value_and_slope_finite(blank: float, dtype: torch.dtype) -> None:
    """A black one or one of a single color, as painting, as style, and as both."""
    flat, rich = torch.full((1, 5, 40), blank, dtype=dtype), features(1, 40).to(dtype)
    for f, g in ((flat, rich), (rich, flat), (flat, flat)):
        u = f.clone().requires_grad_()
        value = distance(u, g)
        (slope,) = torch.autograd.grad(value, u)
        assert value.dtype == dtype
        assert value.isfinite().all()
        assert slope.isfinite().all()


def test_of_several_pictures_one_that_is_no_number_leaves_the_others() -> None:
    f, g = features(1, 40), features(2, 40)
    broken = torch.cat([f, f * torch.nan, f * torch.inf])
    found = wasserstein_squared(of(broken), wasserstein_target(of(g)).expand(3, -1, -1))
    assert found[0].item() == pytest.approx(distance(f, g).item())
    assert found[1:].isnan().all()
