"""Both graphs, run by ONNX Runtime alone, against the same network in plain NumPy."""

import errno
import os
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator
from tests.export import little
from tests.export.little import plan, run
from tests.painter import small
from tests.painter.plain_vgg19 import Array, Net, pooled, unpooled

from stylewatch_export import graph
from stylewatch_export.graph import IR_VERSION, OPSET, Link, Nodes, _pool_back, links
from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network.weights import locate
from stylewatch_painter.recipes.recipe import LAYERS
from stylewatch_plugins.graphs import Pair, Plan, check_seal, sealed

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


def test_it_ends_with_the_deepest_layer_and_marks_what_is_asked_for() -> None:
    found = links(plan(layers=("conv1_1", "conv2_1")))
    assert [link.layer for link in found] == ["conv1_1", "conv1_2", "conv2_1"]
    assert [link.wanted for link in found] == [True, False, True]
    assert [link.pooled for link in found] == [False, True, False]


def test_the_way_back_needs_masks_of_what_nobody_asked_for_and_places_of_maxima() -> None:
    first, second, _ = links(plan())
    assert list(first.state("max")) == []
    assert [name for name, _, _ in second.state("average")] == ["conv1_2.above"]
    assert list(second.state("max")) == [
        ("conv1_2.above", [1, 64, "height", "width"], TensorProto.BOOL),
        ("conv1_2.places", [1, 64, "height_2", "width_2"], TensorProto.INT64),
    ]


def twice_and_one() -> Nodes:
    nodes = Nodes("sum")
    x = nodes.takes("x", [1, "width"])
    two = nodes.constant("two", np.array(2, np.float32))
    assert nodes.constant("two", np.array(3, np.float32)) == two
    nodes.add("Add", [nodes.add("Mul", [x, two], "twice"), "two"], "y")
    nodes.gives("y", [1, "width"])
    return nodes


def test_nodes_become_a_graph_that_runs() -> None:
    """The first constant of a name stands for all."""
    model = twice_and_one().model()
    onnx.checker.check_model(model, full_check=True)
    found = run(model, x=np.array([[1, 2]], np.float32))
    assert found["y"].tolist() == [[4, 6]]


def test_the_model_says_what_reads_it() -> None:
    model = twice_and_one().model()
    assert (model.opset_import[0].version, model.ir_version) == (OPSET, IR_VERSION)


LINK = Link("conv1_2", channels=3, wanted=True, pooled=True)


def back(kind: str, edge: str) -> onnx.ModelProto:
    """A graph of nothing but the pool and its way back."""
    nodes = Nodes("back")
    nodes.takes("conv1_2", LINK.shape())
    nodes.takes("after", LINK.shape(after_pool=True))
    for name, shape, type_ in LINK.state(kind):
        nodes.takes(name, shape, type_)
    before = _pool_back(nodes, LINK, "after", little.plan(pool=kind, pool_edge=edge))
    nodes.gives(before, LINK.shape(), TensorProto.FLOAT)
    return nodes.model()


@pytest.mark.parametrize(("kind", "edge"), POOLS)
@pytest.mark.parametrize("size", [(4, 6), (5, 6), (4, 7), (5, 7), (1, 3), (2, 1), (1, 1)])
def test_maps_of_any_size_get_their_share(kind: str, edge: str, size: tuple[int, int]) -> None:
    """A map that would vanish is left to `ceil`."""
    if edge == "floor" and min(size) == 1:
        size = (2, 3)
    draw = np.random.Generator(np.random.PCG64(0))
    x = draw.standard_normal((3, *size))
    after = draw.standard_normal(pooled(x, kind, edge).shape)
    inputs: dict[str, NDArray[Any]] = {
        "conv1_2": x[None].astype(np.float32),
        "after": after[None].astype(np.float32),
    }
    if kind == "max":
        inputs["conv1_2.places"] = places(x, edge)
    model = back(kind, edge)
    (found,) = ReferenceEvaluator(model).run(None, inputs)
    wanted = unpooled(after, x, kind, edge)
    assert np.allclose(found[0], wanted, atol=1e-6)
    (again,) = little.run(model, **inputs).values()
    assert np.allclose(again[0], wanted, atol=1e-6)


def places(x: Array, edge: str) -> NDArray[np.int64]:
    """Where the maxima of x lie, counted through all maps."""
    maxima = pooled(x, "max", edge)
    found = np.zeros(maxima.shape, dtype=np.int64)
    for at in np.ndindex(*maxima.shape):
        found[at] = np.flatnonzero(x == maxima[at])[0]
    return found[None]


def test_a_graph_is_flushed_to_disk_before_it_replaces_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure at any moment leaves the old file whole."""
    path = tmp_path / "a.features.onnx"
    path.write_bytes(b"old")
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def flushed(descriptor: int) -> None:
        fsync(descriptor)
        written = path.with_name(f".{path.name}.part").read_bytes()
        events.append("fsync" if written == sealed(model) else "fsync too early")
        assert path.read_bytes() == b"old"

    def replaced(source: Path, target: Path) -> Path:
        events.append("replace")
        return replace(source, target)

    built = graph.features(little.plan(), little.arrays(monkeypatch))
    model = built.SerializeToString(deterministic=True)
    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "replace", replaced)
    graph.write(path, built)
    assert events == ["fsync", "replace"]
    assert path.read_bytes() == sealed(model)


def test_a_full_disk_leaves_the_old_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.features.onnx"
    path.write_bytes(b"old")
    built = graph.features(little.plan(), little.arrays(monkeypatch))
    monkeypatch.setattr(os, "fsync", Mock(side_effect=OSError(errno.ENOSPC, "full")))
    with pytest.raises(OSError, match="full"):
        graph.write(path, built)
    assert path.read_bytes() == b"old"
