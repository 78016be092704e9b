"""A process has its last network at hand, and what styles looked like to it."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from tests.painter.networks import narrow, network

from stylewatch_painter.algorithm import caches as module
from stylewatch_painter.algorithm.caches import load_network
from stylewatch_painter.network import store
from stylewatch_painter.network.weights import WeightsFile, locate

CPU = torch.device("cpu")
Loaded = list[Sequence[str]]


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loaded]:
    """The layers that were read from a file, one time after the other."""
    narrow(monkeypatch)
    found: Loaded = []

    def load(file: WeightsFile, layers: Sequence[str]) -> object:
        found.append(layers)
        return (1.0, 2.0, 3.0), network()

    monkeypatch.setattr(store, "load", load)
    monkeypatch.setattr(module, "_last", {})
    yield found


def test_the_same_network_is_read_once(loaded: Loaded) -> None:
    first = load_network(locate(), ["conv2_1"], CPU)
    assert load_network(locate(), ["conv2_1"], CPU) is first
    assert load_network(locate(), ["conv1_1"], CPU) is first  # it is deep enough
    assert loaded == [("conv1_1", "conv1_2", "conv2_1")]


def test_a_deeper_one_knows_the_looks_of_the_one_before(loaded: Loaded) -> None:
    shallow = load_network(locate(), ["conv1_1"], CPU)
    deep = load_network(locate(), ["conv2_1"], CPU)
    assert deep.network is not shallow.network
    assert deep.styles is shallow.styles
    assert [len(layers) for layers in loaded] == [1, 3]


def test_another_number_of_threads_is_another_network(loaded: Loaded) -> None:
    first, before = load_network(locate(), ["conv1_1"], CPU), torch.get_num_threads()
    try:
        torch.set_num_threads(before + 1)
        assert load_network(locate(), ["conv1_1"], CPU).styles is not first.styles
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(loaded[0], loaded[1])
