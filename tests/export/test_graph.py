"""Both graphs, run by ONNX Runtime alone, against the same network in plain NumPy."""

from itertools import product
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from tests.export import little
from tests.painter import small
from tests.painter.plain_vgg19 import Array, Net

from stylewatch_export import graph
from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network.weights import locate
from stylewatch_painter.recipes.recipe import LAYERS
from stylewatch_plugins.graphs import Pair, Plan, check_seal

POOLS = list(product(("max", "average"), ("floor", "ceil")))
SETS = [
    ("conv1_1",),
    ("conv3_2",),
    ("conv5_4",),
    ("conv1_2", "conv2_1", "conv4_4", "conv5_1"),
    LAYERS,
]


def batch(x: Array) -> NDArray[np.float32]:
    return x[None].astype(np.float32)


@pytest.mark.parametrize(("kind", "edge"), POOLS)
@pytest.mark.parametrize("layers", SETS, ids=["first", "middle", "last", "some", "all"])
def test_features_and_slope_are_those_worked_out_in_numpy(
    kind: str, edge: str, layers: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slope of half the sum of squares; the picture's sides are odd, and no power of two."""
    arrays = little.arrays(monkeypatch)
    plan = little.plan(layers=layers, pool=kind, pool_edge=edge)
    x = small.plain(small.picture(0)) - 110
    net = Net({name: one.astype(np.float64) for name, one in arrays.items()}, kind, edge)
    wanted = net.features(x)
    found = little.run(graph.features(plan, arrays), picture=batch(x))
    for layer in layers:
        assert np.allclose(found[layer][0], wanted[layer], rtol=1e-4, atol=1e-3)
    given = {f"{layer}.gradient": found[layer] for layer in layers}
    model = graph.gradient(plan, arrays)
    asked = {one.name for one in model.graph.input}
    inputs = {name: one for name, one in {**found, **given}.items() if name in asked}
    slope = little.run(model, **inputs)["picture.gradient"][0]
    plain = net.slope(wanted, {layer: wanted[layer] for layer in layers})
    assert np.linalg.norm(slope - plain) < 1e-5 * np.linalg.norm(plain)


@pytest.mark.parametrize("kind", ["max", "average"])
def test_half_precision_comes_near(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the gradients are that come in."""
    arrays = little.arrays(monkeypatch)
    layers = ("conv2_1", "conv3_1")
    x = batch(small.plain(small.picture(0)) - 110)
    slopes = []
    for precision in ("fp32", "fp16"):
        plan = little.plan(layers=layers, pool=kind, precision=precision)
        found = little.run(graph.features(plan, arrays), picture=x)
        given = {f"{layer}.gradient": found[layer] * 1e-12 for layer in layers}
        slopes.append(little.run(graph.gradient(plan, arrays), **found, **given))
    one, two = (slope["picture.gradient"] for slope in slopes)
    assert 0 < np.linalg.norm(one - two) < 0.05 * np.linalg.norm(one)


def test_of_equals_the_first_gets_the_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch has it: here all features are alike."""
    arrays = {
        name: np.zeros_like(one) if name.endswith("weight") else np.ones_like(one)
        for name, one in little.arrays(monkeypatch).items()
    }
    plan = little.plan(layers=("conv2_1",), pool="max", pool_edge="ceil")
    found = little.run(graph.features(plan, arrays), picture=np.zeros((1, 3, 5, 5), np.float32))
    first = found["conv1_2.places"][0, 0]
    assert first.tolist() == [[0, 2, 4], [10, 12, 14], [20, 22, 24]]


def test_the_graphs_pass_the_checker_and_know_no_size(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = little.arrays(monkeypatch)
    for build in (graph.features, graph.gradient):
        model = build(little.plan(pool="max"), arrays)
        onnx.checker.check_model(model, full_check=True)
        (picture,) = [
            one
            for one in (*model.graph.input, *model.graph.output)
            if one.name in ("picture", "picture.gradient")
        ]
        shape = picture.type.tensor_type.shape.dim
        assert [dim.dim_param for dim in shape] == ["", "", "height", "width"]


def test_nothing_past_the_deepest_layer_is_in_the_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = little.arrays(monkeypatch)
    for build in (graph.features, graph.gradient):
        model = build(little.plan(layers=("conv1_2",)), arrays)
        assert [node.op_type for node in model.graph.node].count("Conv") == 2


def test_what_is_written_is_whole_and_the_same_every_time(tmp_path: Path) -> None:
    file = locate()
    plan = Plan(
        weights=file.sha256, mean=file.mean, layers=("conv1_1",), pool="max", pool_edge="floor"
    )
    pairs = [Pair.of(tmp_path / name, "graph") for name in ("one", "two")]
    for pair in pairs:
        graph.build(plan, "bundled", pair)
        check_seal(pair.features)
        check_seal(pair.gradient)
        assert {path.name for path in pair.features.parent.iterdir()} == {
            "graph.features.onnx",
            "graph.gradient.onnx",
        }
    one, two = pairs
    assert one.features.read_bytes() == two.features.read_bytes()
    assert one.gradient.read_bytes() == two.gradient.read_bytes()


def test_graphs_for_other_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"graphs for 000000000000... are asked for"):
        graph.build(little.plan(), "bundled", Pair.of(tmp_path, "graph"))
