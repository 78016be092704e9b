"""VGG19 in torch, held against the same network in plain NumPy."""

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.plain_vgg19 import Net, filters

from stylewatch_painter.network import vgg19 as precision_module
from stylewatch_painter.network.vgg19 import Precision, Vgg19, layers_up_to, measured, quickest
from stylewatch_painter.recipes.recipe import LAYERS, LayerName

PRECISIONS: tuple[Precision, Precision] = ("bf16", "fp32")
POOLS = list(product(("max", "average"), ("floor", "ceil")))


@pytest.mark.parametrize(("kind", "edge"), POOLS)
def test_features_match_numpy(kind: str, edge: str) -> None:
    x = small.plain(small.picture(0)) - 110
    wanted = Net(filters(0), kind, edge).features(x)
    found = small.network()(small.tensor(x), LAYERS, small.pools(kind, edge))
    assert list(found) == list(LAYERS)
    for layer in LAYERS:
        assert found[layer].shape == (1, *wanted[layer].shape)
        np.testing.assert_allclose(small.array(found[layer]), wanted[layer], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("kind", "edge"), POOLS)
@pytest.mark.parametrize(
    "layers",
    [["conv1_1"], ["conv3_2"], ["conv5_4"], ["conv1_2", "conv2_1", "conv4_4", "conv5_1"], LAYERS],
    ids=["first", "middle", "last", "some", "all"],
)
def test_gradient_matches_numpy(kind: str, edge: str, layers: list[LayerName]) -> None:
    """The slope of half the sum of squares: that of the features is the features."""
    x = small.plain(small.picture(0)) - 110
    net = Net(filters(0), kind, edge)
    found = net.features(x)
    wanted = net.slope(found, {layer: found[layer] for layer in layers})
    u = small.tensor(x).requires_grad_()
    features = small.network()(u, layers, small.pools(kind, edge))
    squares = torch.stack([features[layer].square().sum() for layer in layers])
    (slope,) = torch.autograd.grad(squares.sum() / 2, u)
    size = np.abs(wanted).max()
    np.testing.assert_allclose(small.array(slope) / size, wanted / size, atol=1e-5)


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
        found = network(u, layers, small.pools(kind, edge))
        loss = torch.stack([found[layer].float().square().mean().log() for layer in layers]).sum()
        slopes.append((loss, *torch.autograd.grad(loss, u)))
        assert slopes[-1][1].dtype == torch.float32
    assert slopes[0][0].item() == pytest.approx(slopes[1][0].item(), abs=0.05)
    size = slopes[1][1].norm()
    assert 0 < (slopes[0][1] - slopes[1][1]).norm() / size < 0.2


CPU = torch.device("cpu")


def clock(exact: float, other: float) -> Iterator[float]:
    """Moments at which convolutions begin and end: those of fp32 take `exact`, then `other`.

    The first of each kind takes a hundred times as long, until all is set up for it.
    """
    now = 0.0
    for length in (100 * exact, *[exact] * 5, 100 * other, *[other] * 5):
        yield now
        now += length
        yield now


@pytest.mark.parametrize(("other", "found"), [(0.5, "bf16"), (0.79, "bf16"), (0.9, "fp32")])
def test_lower_precision_is_used_where_it_pays(other: float, found: str) -> None:
    """Each trial reads the clock before and after, the first of six to no purpose."""
    moments = clock(1.0, other)
    assert measured(CPU, lambda: next(moments)) == found


def test_precision_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "cache" / "precision.json"
    file.parent.mkdir()
    other = {"another GPU, torch 1.0": "tf32"}
    file.write_text(json.dumps(other))
    monkeypatch.setattr(precision_module, "measured", lambda _: "bf16")
    assert quickest(CPU, file) == "bf16"
    monkeypatch.setattr(precision_module, "measured", lambda _: "fp32")
    assert quickest(CPU, file) == "bf16"
    assert [path.name for path in file.parent.iterdir()] == ["precision.json"]
    assert json.loads(file.read_text()).items() > other.items(), "other devices keep theirs"
