"""What a network sees beyond a picture's rims, against NumPy's own padding."""

from typing import Literal

import numpy as np
import pytest
import torch
from tests.painter import small
from torch import Tensor

from stylewatch_painter.algorithm.tiles import BORDER, bordered, features
from stylewatch_painter.recipes.recipe import Network

PADDINGS: tuple[Literal["reflect", "replicate"], ...] = ("reflect", "replicate")


def picture(width: int = small.WIDTH, height: int = small.HEIGHT) -> Tensor:
    return small.tensor(small.plain(small.picture(3, width, height)) - 120)


def network(padding: str, **other: str) -> Network:
    return Network.model_validate({"padding": padding, **other})


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("shape", [(21, 18), (64, 48), (3, 2), (1, 1), (1, 9), (33, 32)])
@pytest.mark.parametrize("wide", [1, BORDER])
def test_padding_matches_numpy(
    padding: Literal["reflect", "replicate"], shape: tuple[int, int], wide: int
) -> None:
    """However small: a reflection is reflected again."""
    x = picture(*shape)
    around = ((0, 0), (0, 0), (wide, wide), (wide, wide))
    reflected, repeated = (np.pad(x.numpy(), around, mode=mode) for mode in ("reflect", "edge"))
    wanted = reflected if padding == "reflect" else repeated
    assert np.array_equal(bordered(x, wide, padding).numpy(), wanted)


@pytest.mark.parametrize("padding", PADDINGS)
def test_gradient_of_padding_returns_to_its_pixels(
    padding: Literal["reflect", "replicate"],
) -> None:
    """Each pixel gets as much as there are pixels like it, by a count of those."""
    x = torch.arange(12.0).view(1, 1, 3, 4).requires_grad_()
    made = bordered(x, 5, padding)
    (slope,) = torch.autograd.grad(made.sum(), x)
    values, counts = np.unique(made.detach().numpy(), return_counts=True)
    assert values.tolist() == x.detach().flatten().tolist()
    assert slope.flatten().tolist() == counts.tolist()


@pytest.mark.parametrize("padding", PADDINGS)
def test_flat_picture_has_no_border(padding: str) -> None:
    """With zeros around it a network sees an edge there, and paints it."""
    flat = torch.full((1, 3, 40, 40), 90.0)

    def spread(padding: str) -> float:
        found = features(small.network(), flat, ["conv1_2"], network(padding))["conv1_2"]
        return float((found.amax((2, 3)) - found.amin((2, 3))).max())

    assert spread(padding) < 1e-3 < spread("zeros")
