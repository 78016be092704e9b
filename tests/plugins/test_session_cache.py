"""A process has the graphs that it painted with last open, and those on disk are made sound."""

from collections.abc import Callable, Iterator, Sequence

import pytest
import torch

from stylewatch_painter.network.weights import locate
from stylewatch_painter.recipes.recipe import LayerName
from stylewatch_plugins.graph_file import Pair, Plan
from stylewatch_plugins.graphs import cache_folder
from stylewatch_plugins.ort_bridge import Provider
from stylewatch_plugins.session_cache import Opened, forget, opened

CPU = torch.device("cpu")
PROVIDERS = [("CPUExecutionProvider", dict[str, str]())]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of these tests' own, as they spoil what lies in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def nothing_open() -> None:
    forget()


def plan(*layers: LayerName) -> Plan:
    file = locate()
    return Plan(weights=file.sha256, mean=file.mean, layers=layers, pool="max", pool_edge="floor")


def ready(
    *layers: LayerName, threads: int = 1, providers: Sequence[Provider] = PROVIDERS
) -> Opened:
    return opened(plan(*layers), "bundled", CPU, providers, threads)


def features(found: Opened) -> torch.Tensor:
    (maps,), _ = found.network.forward(torch.ones(1, 3, 8, 8), keep=False)
    return maps


def test_the_same_graphs_are_opened_once() -> None:
    assert ready("conv1_1") is ready("conv1_1")


@pytest.mark.parametrize(
    "other",
    [
        lambda: ready("conv1_2"),
        lambda: ready("conv1_1", threads=2),
        lambda: ready("conv1_1", providers=[("CPUExecutionProvider", {"more": "1"})]),
    ],
    ids=["layers", "threads", "providers"],
)
def test_others_are_opened_in_their_place_and_see_other_looks(other: Callable[[], Opened]) -> None:
    first = ready("conv1_1")
    assert other().looks is not first.looks
    assert ready("conv1_1") is not first  # only the last ones are kept


def test_what_is_forgotten_is_opened_anew() -> None:
    first = ready("conv1_1")
    forget()
    assert ready("conv1_1") is not first


def test_damaged_graphs_are_built_anew() -> None:
    before = features(ready("conv1_1"))
    pair = Pair.of(cache_folder(), plan("conv1_1").stem)
    for graph in (pair.features, pair.gradient):
        graph.write_bytes(graph.read_bytes()[:-1000])
    forget()
    assert torch.equal(features(ready("conv1_1")), before)
    assert pair.whole


def test_sound_graphs_of_something_else_are_built_anew() -> None:
    """Whole files in the wrong place."""
    before = features(ready("conv1_1"))
    right, wrong = (
        Pair.of(cache_folder(), stem) for stem in (plan("conv1_1").stem, plan("conv1_2").stem)
    )
    features(ready("conv1_2"))
    sound = right.features.read_bytes()
    right.features.write_bytes(wrong.features.read_bytes())
    assert torch.equal(features(ready("conv1_1")), before)
    assert right.features.read_bytes() == sound
