"""VGG19 against the same network in plain torch; its precision."""

from itertools import product

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.plain_vgg19 import features_and_slope, filters

from stylewatch_painter.network.vgg19 import Precision, Vgg19, layers_up_to
from stylewatch_painter.recipes.recipe import LAYERS, LayerName

PRECISIONS: tuple[Precision, Precision] = ("bf16", "fp32")
POOLS = list(product(("max", "average"), ("floor", "ceil")))


@pytest.mark.parametrize(("kind", "edge"), POOLS)
@pytest.mark.parametrize("layers", [["conv3_2"], ["conv1_2", "conv2_1", "conv5_1"], LAYERS])
def test_features_and_gradient_match_plain_torch(
    kind: str, edge: str, layers: list[LayerName]
) -> None:
    """The gradient of half the sum of squares."""
    x = small.plain(small.picture(0)) - 110
    wanted, slope = features_and_slope(filters(0), x, layers, kind, edge)
    u = small.tensor(x).requires_grad_()
    features = small.network()(u, layers, small.pools(kind, edge))
    assert list(features) == list(layers)
    for layer in layers:
        np.testing.assert_allclose(small.array(features[layer]), wanted[layer], 1e-4, 1e-3)
    squares = torch.stack([features[layer].square().sum() for layer in layers])
    (gradient,) = torch.autograd.grad(squares.sum() / 2, u)
    size = np.abs(slope).max()
    np.testing.assert_allclose(small.array(gradient) / size, slope / size, atol=1e-5)


def test_deeper_layers_are_not_computed() -> None:
    """The weights of deeper layers need not even be there."""
    assert layers_up_to(["conv2_1", "conv1_1"]) == ("conv1_1", "conv1_2", "conv2_1")
    shallow = {name: w for name, w in filters(0).items() if name.startswith(("conv1", "conv2_1"))}
    weights = {name: torch.from_numpy(w).float() for name, w in shallow.items()}
    network = Vgg19(weights, (0.0, 0.0, 0.0))
    x = torch.zeros(1, 3, 8, 8)
    assert network(x, ["conv2_1", "conv1_1"], small.pools("max", "floor")).keys() == {
        "conv1_1",
        "conv2_1",
    }


@pytest.mark.parametrize(("kind", "edge"), POOLS)
def test_bfloat16_is_close(kind: str, edge: str) -> None:
    weights = {name: torch.from_numpy(w).float() for name, w in filters(0).items()}
    coarse, exact = (Vgg19(weights, (0.0, 0.0, 0.0), bits) for bits in PRECISIONS)
    layers: list[LayerName] = ["conv1_2", "conv3_1", "conv5_1"]
    slopes = []
    for network in (coarse, exact):
        u = small.tensor(small.plain(small.picture(0)) - 110).requires_grad_()
        features = network(u, layers, small.pools(kind, edge))
        loss = torch.stack(
            [features[layer].float().square().mean().log() for layer in layers]
        ).sum()
        slopes.append((loss, *torch.autograd.grad(loss, u)))
        assert slopes[-1][1].dtype == torch.float32
    assert slopes[0][0].item() == pytest.approx(slopes[1][0].item(), abs=0.05)
    size = slopes[1][1].norm()
    assert 0 < (slopes[0][1] - slopes[1][1]).norm() / size < 0.2
