"""VGG19 in ONNX Runtime, joined to torch: near to it as fp32 allows, with no kernel of it."""

from pathlib import Path

import pytest
import torch
from tests.export import little
from tests.painter import small
from tests.plugins.parity import differences

from stylewatch_export import graph, manifest
from stylewatch_export.verify import distance, opened
from stylewatch_painter.network.vgg19 import Vgg19
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import LayerName, Network
from stylewatch_plugins.errors import GraphError
from stylewatch_plugins.graph_file import Pair, Plan, sealed
from stylewatch_plugins.ort_bridge import OrtVgg19

LAYERS: tuple[LayerName, ...] = ("conv1_1", "conv2_2", "conv3_1")


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair.of(tmp_path, "little")


@pytest.fixture
def networks(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> tuple[OrtVgg19, Vgg19]:
    """The same little network in both."""
    arrays = little.arrays(monkeypatch)
    plan = little.plan(layers=LAYERS, pool="max")
    graph.write(pair.features, graph.features(plan, arrays))
    graph.write(pair.gradient, graph.gradient(plan, arrays))
    weights = {name: torch.from_numpy(one) for name, one in arrays.items()}
    return opened(pair, plan), Vgg19(weights, plan.mean)


def slope(network: OrtVgg19 | Vgg19, x: torch.Tensor, *layers: LayerName) -> torch.Tensor:
    """That of the sum of squares of some layers' features."""
    u = x.detach().clone().requires_grad_()
    found = network(u, LAYERS, Network())
    squares = torch.stack([found[layer].square().sum() for layer in layers])
    return torch.autograd.grad(squares.sum(), u)[0]


def x(seed: int = 0) -> torch.Tensor:
    return small.tensor(small.plain(small.picture(seed)) - 110)


@pytest.mark.parametrize("name", book.names())
def test_every_recipe_sees_what_torch_sees(name: str) -> None:
    """Odd sizes, both edges, both pools: at the pictures of torch's first steps."""
    for found in differences(name, (53, 37), 3):
        assert found.terms <= 1
        assert found.gradient_as_decided <= 1e-4


def test_torch_can_differentiate_it(networks: tuple[OrtVgg19, Vgg19]) -> None:
    ours, theirs = networks
    assert distance(slope(ours, x(), *LAYERS), slope(theirs, x(), *LAYERS)) < 1e-5


def test_a_layer_that_no_loss_looks_at_leaves_the_slope_alone(
    networks: tuple[OrtVgg19, Vgg19],
) -> None:
    ours, theirs = networks
    assert distance(slope(ours, x(), "conv2_2"), slope(theirs, x(), "conv2_2")) < 1e-5


def test_pictures_do_not_mix(networks: tuple[OrtVgg19, Vgg19]) -> None:
    """Two are on their way there before the first comes back."""
    ours, _ = networks
    one, two = (x(seed).requires_grad_() for seed in (0, 1))
    sums = [ours(u, LAYERS, Network())["conv3_1"].square().sum() for u in (one, two)]
    (first,) = torch.autograd.grad(sums[0], one)
    assert torch.equal(first, slope(ours, one, "conv3_1"))


def test_a_picture_may_lie_in_memory_as_it_likes(networks: tuple[OrtVgg19, Vgg19]) -> None:
    ours, _ = networks
    spread = x().contiguous(memory_format=torch.channels_last)
    assert torch.equal(slope(ours, spread, "conv3_1"), slope(ours, x(), "conv3_1"))


def test_only_what_is_asked_for_is_given(networks: tuple[OrtVgg19, Vgg19]) -> None:
    ours, theirs = networks
    found = ours(x(), ["conv2_2"], Network())
    assert list(found) == ["conv2_2"]
    wanted = theirs(x(), ["conv2_2"], Network())["conv2_2"]
    assert torch.allclose(found["conv2_2"], wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("layers", "network"),
    [(["conv1_2"], Network()), (["conv1_1"], Network(pool="average"))],
    ids=["layer", "pool"],
)
def test_what_the_graphs_were_not_made_for_is_refused(
    networks: tuple[OrtVgg19, Vgg19], layers: list[LayerName], network: Network
) -> None:
    with pytest.raises(GraphError, match="and something else is asked for"):
        networks[0](x(), layers, network)


def test_no_kernel_of_torch_touches_the_network(networks: tuple[OrtVgg19, Vgg19]) -> None:
    ours, theirs = networks

    def kernels(network: OrtVgg19 | Vgg19) -> set[str]:
        with torch.profiler.profile() as seen:
            slope(network, x(), *LAYERS)
        return {str(event.key) for event in seen.key_averages()}

    own = {"aten::conv2d", "aten::conv_transpose2d", "aten::relu_", "aten::max_pool2d_with_indices"}
    assert own <= kernels(theirs)
    assert not {
        name for name in kernels(ours) if "conv" in name or "relu" in name or "pool" in name
    }


def test_the_runtime_writes_into_the_memory_of_torch(networks: tuple[OrtVgg19, Vgg19]) -> None:
    """And reads from it: nothing is handed over as an array."""
    ours, _ = networks
    gradient = torch.full(x().shape, torch.nan)
    features, state = ours.forward(x(), keep=True)
    inputs = {**ours.inputs_back(features, features), **state}
    ours._gradient.run(inputs, {"picture.gradient": gradient})
    assert torch.equal(gradient, ours.backward(inputs, x()))


def test_a_file_that_the_runtime_cannot_load_is_told_in_a_sentence(
    networks: tuple[OrtVgg19, Vgg19], pair: Pair
) -> None:
    pair.features.write_bytes(sealed(b"no graph at all"))
    with pytest.raises(GraphError, match=r"ONNX Runtime cannot load .*features\.onnx: "):
        opened(pair, little.plan(layers=LAYERS, pool="max"))


@pytest.mark.parametrize("field", [{"pool_edge": "ceil"}, {"weights": "1" * 64}])
def test_a_graph_of_something_else_is_refused(
    networks: tuple[OrtVgg19, Vgg19], pair: Pair, field: dict[str, str]
) -> None:
    plan: Plan = little.plan(layers=LAYERS, pool="max", **field)
    with pytest.raises(GraphError, match=f"is a graph for {next(iter(field))} "):
        opened(pair, plan)


def test_two_graphs_that_do_not_fit_together_are_refused(
    networks: tuple[OrtVgg19, Vgg19], pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever they say of themselves: here both say the same, and one is for fewer layers."""
    plan = little.plan(layers=LAYERS, pool="max")
    fewer = graph.gradient(
        plan.model_copy(update={"layers": LAYERS[:2]}), little.arrays(monkeypatch)
    )
    del fewer.metadata_props[:]
    fewer.metadata_props.extend(manifest.load(pair.gradient)[1].metadata_props[:1])
    graph.write(pair.gradient, fewer)
    with pytest.raises(GraphError, match=r"does not take what .* gives; "):
        opened(pair, plan)
