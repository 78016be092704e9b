"""VGG19 and VGG16 against the same networks in plain torch; their precision."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.plain_vgg19 import features_and_slope, filters
from torch import nn

from stylewatch_painter.network import store
from stylewatch_painter.network.device import Precision
from stylewatch_painter.network.importer import import_file
from stylewatch_painter.network.vgg19 import Vgg19
from stylewatch_painter.vgg import LAYERS, LayerName

PRECISIONS: tuple[Precision, Precision] = ("bf16", "fp32")


@pytest.mark.parametrize(("kind", "edge"), list(product(("max", "average"), ("floor", "ceil"))))
@pytest.mark.parametrize("layers", [["conv1_2", "conv2_1", "conv5_1"], LAYERS])
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


VGG16 = [64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512]
"""Configuration D of the paper: channels of a convolution, or 0 for a pool."""


def torchvisions_vgg16() -> nn.Sequential:
    torch.manual_seed(0)
    modules: list[nn.Module] = []
    before = 3
    for channels in VGG16:
        if channels:
            convolution = nn.Conv2d(before, channels, 3, padding=1)
            nn.init.kaiming_normal_(convolution.weight)
            modules += [convolution, nn.ReLU()]
            before = channels
        else:
            modules.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*modules)


@pytest.mark.parametrize("compiled", [False, True])
def test_imported_vgg16_is_the_network_of_its_file(tmp_path: Path, compiled: bool) -> None:
    """Of real size, normalized as its training pictures; with torch's and compiled convolutions."""
    vgg16 = torchvisions_vgg16()
    state = {f"features.{name}": tensor for name, tensor in vgg16.state_dict().items()}
    torch.save({**state, "classifier.0.bias": torch.zeros(9)}, tmp_path / "x.pth")
    file = import_file(tmp_path / "x.pth", normalization="torchvision")
    mean, arrays = store.load(file, file.layers)
    assert (file.architecture, len(arrays)) == ("vgg16", 2 * 13)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    network = Vgg19(tensors, mean, compiled=compiled)

    picture = small.tensor(small.plain(small.picture(3, 50, 37)))
    theirs, ours = (picture.clone().requires_grad_() for _ in range(2))
    trained_mean, own_mean, deviation = (
        torch.tensor(each).view(1, 3, 1, 1)
        for each in ((0.485, 0.456, 0.406), mean, (0.229, 0.224, 0.225))
    )
    x, expected = (theirs / 255 - trained_mean) / deviation, []
    for module in vgg16:
        x = module(x)
        if isinstance(module, nn.ReLU):
            expected.append(x)
    features = network(ours - own_mean, file.layers, small.pools("max", "floor"))
    for maps, wanted in zip(features.values(), expected, strict=True):
        torch.testing.assert_close(maps, wanted, rtol=1e-3, atol=1e-3)
    (slope,) = torch.autograd.grad(features["conv5_3"].square().sum(), ours)
    (expected_slope,) = torch.autograd.grad(expected[-1].square().sum(), theirs)
    assert (slope - expected_slope).norm() < 1e-3 * expected_slope.norm()


def test_bfloat16_is_close() -> None:
    weights = {name: torch.from_numpy(w).float() for name, w in filters(0).items()}
    slopes = []
    for bits in PRECISIONS:
        u = small.tensor(small.plain(small.picture(0)) - 110).requires_grad_()
        features = Vgg19(weights, (0.0, 0.0, 0.0), bits)(u, ["conv3_1"], small.pools("max", "ceil"))
        (slope,) = torch.autograd.grad(features["conv3_1"].float().square().mean().log(), u)
        assert slope.dtype == torch.float32
        slopes.append(slope)
    assert 0 < (slopes[0] - slopes[1]).norm() / slopes[1].norm() < 0.2
