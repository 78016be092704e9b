"""Both graphs, run by ONNX Runtime alone, against the same network in plain torch."""

import json
import os
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import onnx
import pytest
from tests.export import little
from tests.painter.networks import as_vgg16
from tests.painter.plain_vgg19 import features_and_slope

from stylewatch_export import graph
from stylewatch_export.graph import IR_VERSION, OPSET, load
from stylewatch_painter.vgg import LAYERS
from stylewatch_plugins.errors import GraphError
from stylewatch_plugins.graphs import MANIFEST


@pytest.mark.parametrize(
    ("kind", "edge", "architecture", "layers"),
    [
        ("max", "floor", "vgg19", ("conv3_2",)),
        ("max", "ceil", "vgg19", tuple(LAYERS)),
        ("average", "floor", "vgg16", ("conv3_3", "conv4_1", "conv5_3")),
        ("average", "ceil", "vgg19", ("conv1_2", "conv2_1", "conv5_1")),
    ],
)
def test_features_and_gradient_equal_those_of_plain_torch(
    kind: str, edge: str, architecture: str, layers: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The gradient of half the sum of squares, at sides that are odd at several pools."""
    arrays = little.arrays(monkeypatch)
    if architecture == "vgg16":
        arrays = as_vgg16(arrays)
    plan = little.plan(layers=layers, pool=kind, pool_edge=edge, architecture=architecture)
    of_picture, backward = graph.features(plan, arrays), graph.gradient(plan, arrays)
    for size in ((29, 37), (32, 34)):
        x = np.random.default_rng(0).uniform(-110, 140, (3, *size))
        expected, slope = features_and_slope(arrays, x, layers, kind, edge)
        features = little.run(of_picture, picture=x[None].astype(np.float32))
        for layer in layers:
            assert np.allclose(features[layer][0], expected[layer], rtol=1e-4, atol=1e-3)
        given = {**features, **{f"{layer}.gradient": features[layer] for layer in layers}}
        inputs = {value.name: given[value.name] for value in backward.graph.input}
        gradient = little.run(backward, **inputs)["picture.gradient"][0]
        assert np.linalg.norm(gradient - slope) < 1e-5 * np.linalg.norm(slope)


def test_first_of_equal_maxima_gets_the_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """All features are equal, and the gradient goes to the same positions as in torch."""
    arrays = {
        name: np.zeros_like(array) if name.endswith("weight") else np.ones_like(array)
        for name, array in little.arrays(monkeypatch).items()
    }
    plan = little.plan(layers=("conv2_1",), pool="max", pool_edge="ceil")
    features = little.run(graph.features(plan, arrays), picture=np.zeros((1, 3, 5, 5), np.float32))
    first = features["conv1_2.places"][0, 0]
    assert first.tolist() == [[0, 2, 4], [10, 12, 14], [20, 22, 24]]


def test_graphs_pass_the_checker_and_fix_no_size(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = little.arrays(monkeypatch)
    for build in (graph.features, graph.gradient):
        model = build(little.plan(pool="max"), arrays)
        onnx.checker.check_model(model, full_check=True)
        assert (model.opset_import[0].version, model.ir_version) == (OPSET, IR_VERSION)
        values = {value.name: value for value in (*model.graph.input, *model.graph.output)}
        (picture,) = {"picture", "picture.gradient"} & set(values)
        shape = values[picture].type.tensor_type.shape.dim
        assert [dim.dim_param for dim in shape] == ["", "", "height", "width"]


def test_a_graph_that_cannot_be_written_whole_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.features.onnx"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", Mock(side_effect=OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        graph.write(path, graph.features(little.plan(), little.arrays(monkeypatch)))
    assert path.read_bytes() == b"old"


def test_manifest_describes_the_graph_and_others_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.features.onnx"
    graph.write(path, graph.features(little.plan(), little.arrays(monkeypatch)))
    manifest, model = load(path)
    assert manifest.plan == little.plan()
    assert (manifest.part, manifest.opset, manifest.range) == ("features", 18, (0, 255))
    assert manifest.library == f"onnx {onnx.__version__}" and manifest.version
    plain = json.loads(model.metadata_props[0].value)
    for changes, message in (
        ({"form": "stylewatch-graph/0"}, "is not a graph of the form stylewatch-graph/1"),
        ({"opset": "new"}, "is not valid"),
    ):
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, {MANIFEST: json.dumps({**plain, **changes})})
        path.write_bytes(model.SerializeToString())
        with pytest.raises(GraphError, match=message):
            load(path)
    path.write_bytes(b"no graph at all")
    with pytest.raises(GraphError, match="is not an ONNX model, or a part of it is missing"):
        load(path)
