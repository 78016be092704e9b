"""What styles look like lies in files that later processes find, sound and not too many."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.painter.networks import narrow, network

from stylewatch_painter.algorithm import caches as module
from stylewatch_painter.algorithm.caches import DiskCache, StyleCache, load_network
from stylewatch_painter.algorithm.gram import LayerSums, Sums
from stylewatch_painter.network import store
from stylewatch_painter.network.weights import WeightsFile, locate
from stylewatch_painter.recipes.recipe import LayerName

CPU = torch.device("cpu")


def one(side: int, count: float, *, values: bool = False) -> Sums:
    return Sums(torch.rand(1, side, side), torch.rand(1, side) if values else None, count)


def look() -> LayerSums:
    """Two layers of two regions, of one of them the values, too."""
    wide: LayerName = "conv5_1"
    return {
        "conv1_1": (one(3, 12.0, values=True), one(3, 0.1, values=True)),
        wide: (one(2, 3.0), one(2, 1 / 3)),
    }


def same(found: LayerSums | None, kept: LayerSums) -> bool:
    assert found is not None
    assert [*found] == [*kept]
    mine = [one for regions in found.values() for one in regions]
    theirs = [one for regions in kept.values() for one in regions]
    assert [one.count for one in mine] == [one.count for one in theirs]
    assert [len(one.tensors) for one in mine] == [len(one.tensors) for one in theirs]
    pairs = zip(mine, theirs, strict=True)
    return all(all(map(torch.equal, a.tensors, b.tensors)) for a, b in pairs)


def test_disk_cache_round_trip_is_exact(tmp_path: Path) -> None:
    kept = look()
    DiskCache("me", tmp_path).put(("a", 1), kept)
    assert same(DiskCache("me", tmp_path).get(("a", 1)), kept)


def test_disk_cache_misses_for_another_key_or_network(tmp_path: Path) -> None:
    DiskCache("me", tmp_path).put("a", look())
    assert DiskCache("me", tmp_path).get("b") is None
    assert DiskCache("you", tmp_path).get("a") is None


@pytest.mark.parametrize("damage", [0, 40, -1])
def test_damaged_file_is_a_miss(tmp_path: Path, damage: int) -> None:
    DiskCache("me", tmp_path).put("a", look())
    (file,) = tmp_path.iterdir()
    said = bytearray(file.read_bytes())
    said[damage] ^= 1
    file.write_bytes(said)
    assert DiskCache("me", tmp_path).get("a") is None


def test_least_recently_used_file_is_evicted(tmp_path: Path) -> None:
    kept = look()
    shelf = DiskCache("me", tmp_path / "looks")
    shelf.put("a", kept)
    (file,) = (tmp_path / "looks").iterdir()
    small = DiskCache("me", tmp_path / "looks", max_bytes=2 * file.stat().st_size)
    os.utime(file, (0, 0))
    small.put("b", kept)
    assert small.get("a") is not None  # from now on it is the one used last
    for older in (tmp_path / "looks").iterdir():
        if older != file:
            os.utime(older, (1, 1))
    small.put("c", kept)
    assert [small.get(key) is not None for key in "abc"] == [True, False, True]


def test_later_process_reuses_disk_cache(tmp_path: Path) -> None:
    kept = look()
    before = StyleCache(disk=DiskCache("me", tmp_path))
    before.get("a", lambda: kept)
    later = StyleCache(disk=DiskCache("me", tmp_path))
    assert same(later.get("a", look), kept)
    assert (before.computed, later.computed, later.reused) == (1, 0, 1)


def test_each_cpu_network_has_its_own_disk_cache_and_a_gpu_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "cache_folder", lambda: tmp_path)
    first, other = DiskCache.of(CPU, "bf16", 2), DiskCache.of(CPU, "bf16", 3)
    assert first and other
    first.put("a", look())
    assert other.get("a") is None
    again = DiskCache.of(CPU, "bf16", 2)
    assert again and again.get("a")
    assert DiskCache.of(torch.device("cuda"), "bf16", 2) is None


def grams() -> LayerSums:
    """A hundred floats."""
    return {"conv1_1": (Sums(torch.ones(10, 10), None, 1.0),)}


def test_memory_cache_computes_once() -> None:
    looks = StyleCache()
    first = looks.get("a", grams)
    assert looks.get("a", grams) is first
    assert looks.get("b", grams) is not first
    assert (looks.computed, looks.reused, looks.nbytes) == (2, 1, 800)


def test_least_recently_used_entry_is_evicted() -> None:
    looks = StyleCache(max_bytes=800)
    for key in ("a", "b", "a", "c", "a", "b"):
        looks.get(key, grams)
        assert looks.nbytes <= 800
    assert (looks.computed, looks.reused) == (4, 2)


CPU_MODEL_CACHE = torch.device("cpu")
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


def test_network_is_loaded_once(loaded: Loaded) -> None:
    first = load_network(locate(), ["conv2_1"], CPU_MODEL_CACHE)
    assert load_network(locate(), ["conv2_1"], CPU_MODEL_CACHE) is first
    assert load_network(locate(), ["conv1_1"], CPU_MODEL_CACHE) is first  # it is deep enough
    assert loaded == [("conv1_1", "conv1_2", "conv2_1")]


def test_deeper_network_keeps_style_cache(loaded: Loaded) -> None:
    shallow = load_network(locate(), ["conv1_1"], CPU_MODEL_CACHE)
    deep = load_network(locate(), ["conv2_1"], CPU_MODEL_CACHE)
    assert deep.network is not shallow.network
    assert deep.styles is shallow.styles
    assert [len(layers) for layers in loaded] == [1, 3]


def test_number_of_threads_is_part_of_the_key(loaded: Loaded) -> None:
    first, before = load_network(locate(), ["conv1_1"], CPU_MODEL_CACHE), torch.get_num_threads()
    try:
        torch.set_num_threads(before + 1)
        assert load_network(locate(), ["conv1_1"], CPU_MODEL_CACHE).styles is not first.styles
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(loaded[0], loaded[1])
