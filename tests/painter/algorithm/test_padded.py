"""What a network sees beyond a picture's rims, against NumPy's own padding."""

from typing import Literal

import numpy as np
import pytest
import torch
from tests.painter import small
from torch import Tensor

from stylewatch_painter.algorithm.padded import BORDER, Padded, border, bordered, padded
from stylewatch_painter.algorithm.scales import pools_before
from stylewatch_painter.network.vgg19 import FeatureMaps, Vgg19
from stylewatch_painter.recipes.recipe import LAYERS, Network

PADDINGS: tuple[Literal["reflect", "replicate"], ...] = ("reflect", "replicate")


def picture(width: int = small.WIDTH, height: int = small.HEIGHT) -> Tensor:
    return small.tensor(small.plain(small.picture(3, width, height)) - 120)


def network(padding: str, **other: str) -> Network:
    return Network.model_validate({"padding": padding, **other})


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("shape", [(21, 18), (64, 48), (3, 2), (1, 1), (1, 9), (33, 32)])
@pytest.mark.parametrize("wide", [1, BORDER])
def test_a_picture_goes_on_as_numpy_has_it(
    padding: Literal["reflect", "replicate"], shape: tuple[int, int], wide: int
) -> None:
    """However small: a reflection is reflected again."""
    x = picture(*shape)
    around = ((0, 0), (0, 0), (wide, wide), (wide, wide))
    reflected, repeated = (np.pad(x.numpy(), around, mode=mode) for mode in ("reflect", "edge"))
    wanted = reflected if padding == "reflect" else repeated
    assert np.array_equal(bordered(x, wide, padding).numpy(), wanted)


@pytest.mark.parametrize("padding", PADDINGS)
def test_the_gradient_of_the_border_comes_back_to_its_pixels(
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
@pytest.mark.parametrize("edge", ["floor", "ceil"])
@pytest.mark.parametrize("shape", [(21, 18), (48, 33)])
def test_as_many_features_come_out_as_without(
    padding: str, edge: str, shape: tuple[int, int]
) -> None:
    """And they lie where they belong: far from the rims they are the same."""
    inner, x = small.network(), picture(*shape)
    seen = padded(inner)(x, LAYERS, network(padding, pool_edge=edge))
    plain = inner(x, LAYERS, network("zeros", pool_edge=edge))
    assert {layer: f.shape for layer, f in seen.items()} == {
        layer: f.shape for layer, f in plain.items()
    }
    middle = [found["conv2_1"][..., 4:-4, 4:-4] for found in (seen, plain)]
    torch.testing.assert_close(*middle, rtol=1e-4, atol=1e-3)
    assert not torch.allclose(seen["conv2_1"], plain["conv2_1"], atol=1.0)


def test_features_are_those_of_the_larger_picture() -> None:
    inner, x = small.network(), picture(32, 48)
    seen = padded(inner)(x, LAYERS, network("reflect"))
    whole = inner(bordered(x, BORDER, "reflect"), LAYERS, network("zeros"))
    for layer, f in seen.items():
        cut = BORDER >> pools_before(layer)
        assert torch.equal(f, whole[layer][..., cut:-cut, cut:-cut])


def test_with_zeros_the_network_is_asked_as_it_is() -> None:
    inner, x = small.network(), picture()
    seen, plain = padded(inner)(x, ["conv4_1"], Network()), inner(x, ["conv4_1"], Network())
    assert torch.equal(seen["conv4_1"], plain["conv4_1"])
    assert (border(Network()), border(network("reflect"))) == (0, BORDER)


def test_it_is_a_network_and_wraps_none_twice() -> None:
    inner = small.network()
    made = padded(inner)
    assert isinstance(made, Padded)
    assert padded(made) is made
    asked: FeatureMaps = made
    assert (asked.mean, asked.device) == (inner.mean, inner.device)
    assert asked.exact is made
    weights = {f"conv1_1.{part}": torch.zeros(shape) for part, shape in
               (("weight", (2, 3, 3, 3)), ("bias", (2,)))}  # fmt: skip
    coarse = Vgg19(weights, (0.0, 0.0, 0.0), "bf16")
    exact = padded(coarse).exact
    assert exact.inner is coarse.exact


@pytest.mark.parametrize("padding", PADDINGS)
def test_a_flat_picture_has_no_rim(padding: str) -> None:
    """With zeros around it a network sees an edge there, and paints it."""
    flat = torch.full((1, 3, 40, 40), 90.0)

    def spread(padding: str) -> float:
        found = padded(small.network())(flat, ["conv1_2"], network(padding))["conv1_2"]
        return float((found.amax((2, 3)) - found.amin((2, 3))).max())

    assert spread(padding) < 1e-3 < spread("zeros")
