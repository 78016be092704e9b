"""A process has its last network at hand, and what styles looked like to it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.painter.networks import narrow, network

from stylewatch_painter.algorithm import caches as module
from stylewatch_painter.algorithm.caches import trained
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
    first = trained(locate(), ["conv2_1"], CPU)
    assert trained(locate(), ["conv2_1"], CPU) is first
    assert trained(locate(), ["conv1_1"], CPU) is first  # it is deep enough
    assert loaded == [("conv1_1", "conv1_2", "conv2_1")]


def test_a_deeper_one_knows_the_looks_of_the_one_before(loaded: Loaded) -> None:
    shallow = trained(locate(), ["conv1_1"], CPU)
    deep = trained(locate(), ["conv2_1"], CPU)
    assert deep.network is not shallow.network
    assert deep.looks is shallow.looks
    assert [len(layers) for layers in loaded] == [1, 3]


def test_other_weights_see_other_looks(loaded: Loaded) -> None:
    first = trained(locate(), ["conv1_1"], CPU)
    other = trained(replace(locate(), sha256="other"), ["conv1_1"], CPU)
    assert other.looks is not first.looks
    assert trained(locate(), ["conv1_1"], CPU) is not first  # only the last one is kept
    assert len(loaded) == 3


def test_another_number_of_threads_is_another_network(loaded: Loaded) -> None:
    first, before = trained(locate(), ["conv1_1"], CPU), torch.get_num_threads()
    try:
        torch.set_num_threads(before + 1)
        assert trained(locate(), ["conv1_1"], CPU).looks is not first.looks
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(loaded[0], loaded[1])
