"""Detail: its ranks, and what places with more of it keep of the content."""

import math
from dataclasses import replace

import numpy as np
import torch
from tests.painter import small

from stylewatch_painter.losses.detail import detail, protection

FIELD = "objective.protect_detail"


def test_detailed_places_rank_above_even_ones() -> None:
    """Noise at the left, faint noise in the middle, one color at the right."""
    picture = torch.rand(48, 96)
    picture[:, 32:64] *= 0.1
    picture[:, 64:] = 0.5
    ranks = detail(picture, (12, 24)).view(12, 24)
    noisy, faint, flat = ranks[:, :6], ranks[:, 11:13], ranks[:, 19:]
    assert noisy.min() > faint.max() and faint.min() > flat.max()
    assert torch.unique(flat).numel() == 1, "equal places share a rank"
    torch.testing.assert_close(ranks.mean(), torch.tensor(0.5))
    torch.testing.assert_close(detail(1 - picture, (12, 24)).view(12, 24), ranks)
    torch.testing.assert_close(detail(picture.T, (24, 12)).view(24, 12), ranks.T)


def test_factors_are_of_the_ranks() -> None:
    """From exp(-a) to exp(a); 1 everywhere in a content of one color, and without protection."""
    made, shape = small.wide_task("best", {FIELD: 2}), (14, 16)
    flat = replace(made, content=np.full_like(small.picture(0, *small.WIDE), 90))
    factors, equal = (protection(small.objective(task).scene, shape) for task in (made, flat))
    assert factors is not None and equal is not None
    count = math.prod(shape)
    expected = 2 * (2 * (torch.arange(count) + 0.5) / count - 1)
    torch.testing.assert_close(factors.log().sort().values, expected, atol=1e-5, rtol=0)
    assert (equal == 1).all()
    for task in (small.wide_task("best", {FIELD: 0}), replace(made, content=None)):
        assert protection(small.objective(task).scene, shape) is None
