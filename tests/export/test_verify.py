"""Graphs are held against torch and the reference evaluator, and wrong ones are found out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import numpy_helper
from tests.export import little

from stylewatch_export import graph, manifest, verify
from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network.weights import locate
from stylewatch_plugins.errors import GraphError
from stylewatch_plugins.graphs import Pair, Plan

POOLS = [("max", "floor"), ("max", "ceil"), ("average", "floor"), ("average", "ceil")]


def built(folder: Path, kind: str = "max", edge: str = "floor") -> tuple[Plan, Pair]:
    """The graphs for two shallow layers of the bundled weights."""
    file = locate()
    plan = little.plan(weights=file.sha256, mean=file.mean, pool=kind, pool_edge=edge)
    pair = Pair.of(folder, plan.stem)
    graph.build(plan, "bundled", pair)
    return plan, pair


def bent(path: Path, name: str, factor: float) -> None:
    """Multiply one of a graph's constants, and seal it again as if nothing were wrong."""
    _, model = manifest.load(path)
    del model.metadata_props[1:]
    (constant,) = [one for one in model.graph.initializer if one.name == name]
    constant.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(constant) * factor, name))
    graph.write(path, model)


@pytest.mark.parametrize(("kind", "edge"), POOLS)
def test_sound_graphs_agree_with_torch_and_the_reference(
    tmp_path: Path, kind: str, edge: str
) -> None:
    found = list(verify.verify(built(tmp_path, kind, edge)[1], (33, 27)))
    assert {(one.what, one.against) for one in found} == {
        ("conv1_1", "torch"),
        ("conv2_1", "torch"),
        ("gradient", "torch, as the graph decided"),
        ("gradient", "torch, as it decided itself"),
        ("conv1_1", "onnx.reference"),
        ("conv2_1", "onnx.reference"),
        ("gradient", "onnx.reference"),
    }
    assert all(one.error < 1e-5 for one in found if one.judged)


def test_a_bent_filter_shows_in_features_and_gradient(tmp_path: Path) -> None:
    _, pair = built(tmp_path)
    bent(pair.features, "conv2_1.weight", 1.01)
    bent(pair.gradient, "conv1_2.turned", 1.01)
    errors = {(one.what, one.against): one.error for one in verify.verify(pair, (33, 27))}
    assert errors["conv1_1", "torch"] < 1e-5
    assert errors["conv2_1", "torch"] > 1e-3
    assert errors["conv2_1", "onnx.reference"] > 1e-3
    assert errors["gradient", "torch, as the graph decided"] > 1e-3
    assert errors["gradient", "onnx.reference"] > 1e-3


def test_two_graphs_that_are_no_pair_are_refused(tmp_path: Path) -> None:
    (_, one), (_, two) = built(tmp_path), built(tmp_path, "average")
    with pytest.raises(GraphError, match="are not of the same network"):
        next(verify.verify(Pair(one.features, two.gradient)))


def test_graphs_of_weights_that_are_not_here_cannot_be_held_against_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = little.arrays(monkeypatch)
    pair = Pair.of(tmp_path, "strange")
    graph.write(pair.features, graph.features(little.plan(), arrays))
    graph.write(pair.gradient, graph.gradient(little.plan(), arrays))
    with pytest.raises(WeightsError, match=r"the weights 000000000000... .* are not here"):
        next(verify.verify(pair))


def test_the_slope_is_that_of_finite_differences(tmp_path: Path) -> None:
    """Of half the sum of squares, along the slope itself."""
    plan, pair = built(tmp_path, "average")
    network = verify.opened(pair, plan)
    x = verify.picture(plan, (24, 20), 3)

    def value(picture: torch.Tensor) -> float:
        features, _ = network.forward(picture, keep=False)
        return sum(float(maps.double().square().sum()) for maps in features) / 2

    features, state = network.forward(x, keep=True)
    slope = network.backward({**network.inputs_back(features, features), **state}, x)
    step = 0.02 * slope / slope.norm()
    rise = (value(x + step) - value(x - step)) / 0.04
    assert np.isclose(rise, float(slope.norm()), rtol=2e-3)
