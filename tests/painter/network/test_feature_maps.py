"""What the painter asks of a network is what the networks at hand have."""

import pytest
import torch
from tests.painter import small

from stylewatch_painter.network.vgg19 import FeatureMaps, Vgg19


def test_vgg19_gives_feature_maps_of_several_pictures_at_once() -> None:
    network: FeatureMaps = small.network()
    pictures = [small.tensor(small.plain(small.picture(seed))) for seed in range(3)]
    pools = small.pools("max", "floor")
    together = network(torch.cat(pictures), ["conv3_1"], pools)["conv3_1"]
    for found, picture in zip(together, pictures, strict=True):
        alone = network(picture, ["conv3_1"], pools)["conv3_1"]
        torch.testing.assert_close(found, alone[0], rtol=1e-4, atol=1e-3)


def test_what_is_in_float32_is_exact_itself() -> None:
    network = small.network()
    assert network.exact is network
    weights = {"conv1_1.weight": torch.ones(2, 3, 3, 3), "conv1_1.bias": torch.ones(2)}
    coarse = Vgg19(weights, (0.0, 0.0, 0.0), "bf16")
    assert coarse.exact is not coarse
    x = torch.full((1, 3, 2, 2), 1.001)
    found = coarse.exact(x, ["conv1_1"], small.pools("max", "floor"))["conv1_1"]
    assert found.dtype == torch.float32
    assert found[0, 0, 0, 0].item() == pytest.approx(1 + 12 * 1.001, rel=1e-6)
