"""VGG19 and VGG16 against the same networks in plain torch; their precision."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.networks import narrow, network, numbered, save_torch
from tests.painter.plain_vgg19 import features_and_slope, filters

from stylewatch_painter.network import store
from stylewatch_painter.network.importer import import_file
from stylewatch_painter.network.vgg19 import Vgg19
from stylewatch_painter.vgg import LAYERS, LayerName


@pytest.mark.parametrize(("kind", "edge"), list(product(("max", "average"), ("floor", "ceil"))))
@pytest.mark.parametrize("layers", [["conv1_2", "conv2_1", "conv5_1"], LAYERS])
def test_features_and_gradient_match_plain_torch(
    kind: str, edge: str, layers: list[LayerName]
) -> None:
    """The gradient is that of half the sum of squares."""
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


def test_imported_vgg16_is_the_network_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network normalizes its input like the training pictures of torchvision."""
    narrow(monkeypatch)
    arrays = network(architecture="vgg16")
    path = save_torch(tmp_path / "x.pth", numbered(arrays))
    file = import_file(path, normalization="torchvision")
    own_mean, loaded = store.load(file, file.layers)
    vgg16 = Vgg19({name: torch.from_numpy(array) for name, array in loaded.items()}, own_mean)
    mean, deviation = (
        np.reshape(each, (3, 1, 1)) for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    picture = small.plain(small.picture(3))
    x = (picture / 255 - mean) / deviation
    wanted, _ = features_and_slope(arrays, x, file.layers, "max", "floor")
    u = small.tensor(picture - np.reshape(own_mean, (3, 1, 1)))
    features = vgg16(u, file.layers, small.pools("max", "floor"))
    for layer in file.layers:
        error = np.linalg.norm(small.array(features[layer]) - wanted[layer])
        assert error < 1e-5 * np.linalg.norm(wanted[layer])
