"""VGG19 in ONNX Runtime: equal to torch within fp32, kept open, and without telemetry."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.export import little
from tests.painter import small
from tests.painter.tensor_bytes import measured
from tests.plugins.parity import differences

from stylewatch_export import graph
from stylewatch_export.verify import opened
from stylewatch_painter.network import weights as weight_files
from stylewatch_painter.network.settings import NetworkSettings
from stylewatch_painter.paint import memory
from stylewatch_painter.recipes import book
from stylewatch_painter.scene.canvas import Canvas
from stylewatch_painter.scene.scene import Scene
from stylewatch_painter.vgg import LayerName
from stylewatch_plugins.errors import GraphError
from stylewatch_plugins.graphs import Pair, Plan, cache_folder
from stylewatch_plugins.onnx_runtime import (
    OrtVgg19,
    close_network,
    open_network,
)
from stylewatch_plugins.onnx_vgg import OnnxVgg

CPU = torch.device("cpu")
LAYERS: tuple[LayerName, ...] = ("conv1_1", "conv2_2", "conv3_1")


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair.of(tmp_path, "little")


@pytest.mark.parametrize("name", book.names())
@pytest.mark.usefixtures("small_network")
def test_terms_and_gradients_of_every_recipe_equal_those_of_torch(name: str) -> None:
    """They are compared at the pictures of torch's first steps, at odd sizes, for all pools."""
    for difference in differences(name, (37, 29), 2):
        assert difference.terms <= 1
        assert difference.gradient_as_decided <= 1e-4


def test_memory_that_is_declared_is_enough_for_all_tensors() -> None:
    """The memory of the runtime itself is not counted."""
    fields = {"size": "112x80", "fit": "stretch", "enlarge": True, "style_size": "stretch"}
    task = small.task("best", {**fields, "scales": ()})
    network = OnnxVgg({"threads": 1})._network(task)
    canvas, (level,) = Canvas(task, network.mean, network.device), task.levels()
    kept, while_targets, while_stepping = measured(
        Scene(canvas, network, level, task.terms(level), canvas.start(level.size))
    )
    declared = memory.declared(task, network, level)
    assert kept <= declared.kept and while_targets <= declared.targets
    assert while_stepping <= declared.step <= 4 * while_stepping


def test_graphs_that_do_not_fit_are_refused(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have other layers or pools, are no graphs, or have a gradient for fewer layers."""
    arrays, plan = little.arrays(monkeypatch), little.plan(layers=LAYERS, pool="max")
    graph.write(pair.features, graph.features(plan, arrays))
    graph.write(pair.gradient, graph.gradient(plan, arrays))
    ours, picture = opened(pair, plan), small.tensor(small.plain(small.picture(0)) - 110)
    assert list(ours(picture, ["conv2_2"], NetworkSettings())) == ["conv2_2"]
    with pytest.raises(GraphError, match="which is not what was requested"):
        ours(picture, ["conv1_2"], NetworkSettings())
    with pytest.raises(GraphError, match="is a graph for pool 'max', and 'average' is needed"):
        opened(pair, plan.model_copy(update={"pool": "average"}))
    fewer = graph.gradient(plan.model_copy(update={"layers": LAYERS[:2]}), arrays)
    del fewer.metadata_props[:]
    fewer.metadata_props.extend(graph.load(pair.gradient)[1].metadata_props[:1])
    graph.write(pair.gradient, fewer)
    with pytest.raises(GraphError, match=r"does not take what .* gives; "):
        opened(pair, plan)
    pair.features.write_bytes(b"no graph")
    with pytest.raises(GraphError, match=r"ONNX Runtime cannot load .*little\.features\.onnx: "):
        opened(pair, plan)


def own_plan(*layers: LayerName) -> Plan:
    file = weight_files.locate()
    return little.plan(weights=file.sha256, mean=file.mean, layers=layers, pool="max")


def open_(*layers: LayerName, threads: int = 1) -> OrtVgg19:
    providers: list[tuple[str, dict[str, str]]] = [("CPUExecutionProvider", {})]
    return open_network(own_plan(*layers), "bundled", CPU, providers, threads)


@pytest.mark.usefixtures("small_network")
def test_damaged_graphs_and_those_of_another_plan_are_built_again() -> None:
    def features() -> torch.Tensor:
        (maps,), _ = open_("conv1_1").forward(torch.ones(1, 3, 8, 8), keep=False)
        return maps

    before = features()
    open_("conv1_2")
    right, wrong = (
        Pair.of(cache_folder(), own_plan(layer).stem) for layer in ("conv1_1", "conv1_2")
    )
    content = right.features.read_bytes()
    for broken in (wrong.features.read_bytes(), content[:-1000]):
        right.features.write_bytes(broken)
        close_network()
        assert torch.equal(features(), before)
        assert right.features.read_bytes() == content


TELEMETRY = "ORT_DISABLE_TELEMETRY"


def test_the_runtime_writes_no_telemetry(tmp_path: Path) -> None:
    """Its journal would begin at import; with CI set the runtime would write none."""
    script = "from stylewatch_plugins.onnx_vgg import OnnxVgg\nprint(OnnxVgg({}).devices())"
    env = {name: value for name, value in os.environ.items() if name not in (TELEMETRY, "CI")}
    env |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert "cpu" in ended.stdout
    assert not list(tmp_path.rglob("*"))
