"""VGG19 in ONNX Runtime: equal to torch within fp32, kept open, and without telemetry."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from bench.parity import differences
from tests.export import little
from tests.painter import small

from stylewatch_export import graph
from stylewatch_export.verify import distance, opened
from stylewatch_painter.network import weights as weight_files
from stylewatch_painter.network.vgg19 import Vgg19
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Network
from stylewatch_painter.vgg import LayerName
from stylewatch_plugins.errors import GraphError
from stylewatch_plugins.graphs import Pair, Plan, cache_folder
from stylewatch_plugins.onnx_runtime import (
    OrtVgg19,
    close_network,
    open_network,
)

CPU = torch.device("cpu")
LAYERS: tuple[LayerName, ...] = ("conv1_1", "conv2_2", "conv3_1")


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair.of(tmp_path, "little")


@pytest.fixture
def networks(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> tuple[OrtVgg19, Vgg19]:
    """The same little network in ONNX Runtime and in torch."""
    arrays = little.arrays(monkeypatch)
    plan = little.plan(layers=LAYERS, pool="max")
    graph.write(pair.features, graph.features(plan, arrays))
    graph.write(pair.gradient, graph.gradient(plan, arrays))
    weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return opened(pair, plan), Vgg19(weights, plan.mean)


def slope(network: OrtVgg19 | Vgg19, x: torch.Tensor, *layers: LayerName) -> torch.Tensor:
    """Compute the gradient of the sum of squares of some layers' features."""
    u = x.detach().clone().requires_grad_()
    features = network(u, LAYERS, Network())
    squares = torch.stack([features[layer].square().sum() for layer in layers])
    return torch.autograd.grad(squares.sum(), u)[0]


def x(seed: int = 0) -> torch.Tensor:
    return small.tensor(small.plain(small.picture(seed)) - 110)


@pytest.mark.parametrize("name", book.names())
@pytest.mark.usefixtures("small_network")
def test_terms_and_gradients_of_every_recipe_equal_those_of_torch(name: str) -> None:
    """At the pictures of torch's first steps; odd sizes, both edges, both pools."""
    for difference in differences(name, (37, 29), 2):
        assert difference.terms <= 1
        assert difference.gradient_as_decided <= 1e-4


def test_torch_can_differentiate_it(networks: tuple[OrtVgg19, Vgg19]) -> None:
    """In any memory layout, with two evaluations at once, and with layers that no loss uses."""
    ours, theirs = networks
    for layers in (LAYERS, LAYERS[1:2]):
        assert distance(slope(ours, x(), *layers), slope(theirs, x(), *layers)) < 1e-5
    spread = x().contiguous(memory_format=torch.channels_last)
    assert torch.equal(slope(ours, spread, *LAYERS), slope(ours, x(), *LAYERS))
    first, second = (x(seed).requires_grad_() for seed in (0, 1))
    sums = [ours(u, LAYERS, Network())["conv3_1"].square().sum() for u in (first, second)]
    (gradient,) = torch.autograd.grad(sums[0], first)
    assert torch.equal(gradient, slope(ours, first, "conv3_1"))


def test_graphs_that_do_not_fit_are_refused(
    pair: Pair, networks: tuple[OrtVgg19, Vgg19], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other layers or pools, a file that is no graph, or a gradient graph for fewer layers."""
    ours, _ = networks
    assert list(ours(x(), ["conv2_2"], Network())) == ["conv2_2"]
    others: list[tuple[LayerName, Network]] = [
        ("conv1_2", Network()), ("conv1_1", Network(pool="average"))
    ]  # fmt: skip
    for layer, network in others:
        with pytest.raises(GraphError, match="which is not what was requested"):
            ours(x(), [layer], network)
    plan = little.plan(layers=LAYERS, pool="max")
    with pytest.raises(GraphError, match="is a graph for pool 'max', and 'average' is needed"):
        opened(pair, plan.model_copy(update={"pool": "average"}))
    arrays = little.arrays(monkeypatch)
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
def test_last_network_of_a_process_stays_open() -> None:
    first = open_("conv1_1")
    assert open_("conv1_1") is first
    close_network()
    second = open_("conv1_1")
    assert second is not first
    assert open_("conv1_1", threads=2) is not second
    assert open_("conv1_1") is not second


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
    """Its journal would begin at import; with CI set there would be none anyway."""
    script = "from stylewatch_plugins.onnx_vgg import OnnxVgg\nprint(OnnxVgg({}).devices())"
    env = {name: value for name, value in os.environ.items() if name not in (TELEMETRY, "CI")}
    env |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert "cpu" in ended.stdout
    assert not list(tmp_path.rglob("*"))
