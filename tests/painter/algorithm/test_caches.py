"""Style sums in memory and on disk, and the network used last."""

import os
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from tests.painter.networks import narrow, network

from stylewatch_painter.algorithm import caches as module
from stylewatch_painter.algorithm.caches import DiskCache, StyleCache, load_network
from stylewatch_painter.algorithm.gram import LayerSums, Sums
from stylewatch_painter.network import store
from stylewatch_painter.network.weights import WeightsFile, locate

CPU = torch.device("cpu")


def layer_sums() -> LayerSums:
    """Two layers of two regions, one with the sums of the maps."""
    values = [Sums(torch.rand(1, 3, 3), torch.rand(1, 3), count) for count in (12.0, 0.1)]
    plain = [Sums(torch.rand(1, 2, 2), None, count) for count in (3.0, 1 / 3)]
    return {"conv1_1": tuple(values), "conv5_1": tuple(plain)}


def plain(layers: LayerSums | None) -> list[object]:
    """The sums in values that can be compared."""
    parts = [(layer, sums) for layer, regions in (layers or {}).items() for sums in regions]
    return [(layer, s.count, [t.tolist() for t in s.tensors]) for layer, s in parts]


def test_later_process_finds_the_same_network_and_key(tmp_path: Path) -> None:
    entry = layer_sums()
    before, later = (StyleCache(disk=DiskCache("a network", tmp_path)) for _ in range(2))
    before.get(("a", 1), lambda: entry)
    assert plain(later.get(("a", 1), layer_sums)) == plain(entry)
    assert (before.computed, later.computed, later.reused) == (1, 0, 1)
    assert DiskCache("a network", tmp_path).get("b") is None
    assert DiskCache("another", tmp_path).get(("a", 1)) is None


def test_damaged_file_is_a_miss(tmp_path: Path) -> None:
    for position in (0, 40, -1):
        DiskCache("a network", tmp_path).put("a", layer_sums())
        (file,) = tmp_path.iterdir()
        content = bytearray(file.read_bytes())
        content[position] ^= 1
        file.write_bytes(content)
        assert DiskCache("a network", tmp_path).get("a") is None


def test_nothing_is_left_of_a_file_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "replace", Mock(side_effect=OSError(28, "No space left on device")))
    DiskCache("a network", tmp_path).put("a", layer_sums())
    assert list(tmp_path.iterdir()) == []


def test_least_recently_used_file_is_evicted(tmp_path: Path) -> None:
    entry, folder = layer_sums(), tmp_path / "cache"
    DiskCache("a network", folder).put("a", entry)
    (file,) = folder.iterdir()
    cache = DiskCache("a network", folder, max_bytes=2 * file.stat().st_size)
    os.utime(file, (0, 0))
    cache.put("b", entry)
    assert cache.get("a") is not None  # from now on used later than b
    for other in set(folder.iterdir()) - {file}:
        os.utime(other, (1, 1))
    cache.put("c", entry)
    assert [cache.get(key) is not None for key in "abc"] == [True, False, True]


def test_each_cpu_network_has_its_own_disk_cache_and_a_gpu_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "cache_folder", lambda: tmp_path)
    for threads, has_entry in ((2, False), (3, False), (2, True)):
        cache = DiskCache.of(CPU, "bf16", threads)
        assert cache is not None and (cache.get("a") is not None) == has_entry
        cache.put("a", layer_sums())
    assert DiskCache.of(torch.device("cuda"), "bf16", 2) is None


def test_least_recently_used_entry_is_evicted() -> None:
    """Each entry has a hundred floats."""
    cache = StyleCache(max_bytes=800)
    for key in ("a", "b", "a", "c", "a", "b"):
        cache.get(key, lambda: {"conv1_1": (Sums(torch.ones(10, 10), None, 1.0),)})
        assert cache.nbytes <= 800
    assert (cache.computed, cache.reused) == (4, 2)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """The layers that were read from a file, one time after the other."""
    narrow(monkeypatch)
    layers_read: list[Sequence[str]] = []

    def load(file: WeightsFile, layers: Sequence[str]) -> object:
        layers_read.append(layers)
        return (1.0, 2.0, 3.0), network()

    monkeypatch.setattr(store, "load", load)
    monkeypatch.setattr(module, "_last", {})
    return layers_read


def test_network_is_loaded_once_unless_a_deeper_one_is_needed(
    monkeypatch: pytest.MonkeyPatch, loaded: list[Sequence[str]]
) -> None:
    """The number of threads is part of the key of the styles."""
    first = load_network(locate(), ["conv1_2"], CPU)
    assert load_network(locate(), ["conv1_1"], CPU) is first
    deeper = load_network(locate(), ["conv2_1"], CPU)
    assert deeper.network is not first.network
    assert deeper.styles is first.styles
    assert loaded == [("conv1_1", "conv1_2"), ("conv1_1", "conv1_2", "conv2_1")]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    assert load_network(locate(), ["conv1_1"], CPU).styles is not first.styles
