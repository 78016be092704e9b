"""Style sums in memory and on disk."""

import os
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from stylewatch_painter.scene.style_cache import DiskCache, StyleCache

CPU = torch.device("cpu")


def sums() -> dict[str, Tensor]:
    """Tensors of any shape and dtype, by name."""
    return {"products": torch.rand(3, 4).mT, "count": torch.tensor(1 / 3, dtype=torch.float64)}


def plain(tensors: Mapping[str, Tensor]) -> dict[str, object]:
    """The tensors in values that can be compared."""
    return {name: (tensor.dtype, tensor.tolist()) for name, tensor in tensors.items()}


def test_later_process_finds_the_same_network_and_key(tmp_path: Path) -> None:
    entry = sums()
    before, later = (StyleCache(disk=DiskCache("a network", tmp_path)) for _ in range(2))
    before.get(("a", 1), lambda: entry)
    assert plain(later.get(("a", 1), sums)) == plain(entry)
    assert (before.computed, later.computed, later.reused) == (1, 0, 1)
    assert DiskCache("a network", tmp_path).get("b") is None
    assert DiskCache("another", tmp_path).get(("a", 1)) is None


def test_damaged_file_is_a_miss(tmp_path: Path) -> None:
    for position in (0, 40, -1):
        DiskCache("a network", tmp_path).put("a", sums())
        (file,) = tmp_path.iterdir()
        content = bytearray(file.read_bytes())
        content[position] ^= 1
        file.write_bytes(content)
        assert DiskCache("a network", tmp_path).get("a") is None


def test_nothing_is_left_of_a_file_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "replace", Mock(side_effect=OSError(28, "No space left on device")))
    DiskCache("a network", tmp_path).put("a", sums())
    assert list(tmp_path.iterdir()) == []


def test_least_recently_used_file_is_evicted(tmp_path: Path) -> None:
    entry, folder = sums(), tmp_path / "cache"
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
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for threads, has_entry in ((2, False), (3, False), (2, True)):
        cache = DiskCache.of(CPU, "bf16", threads)
        assert cache is not None and (cache.get("a") is not None) == has_entry
        cache.put("a", sums())
    assert DiskCache.of(torch.device("cuda"), "bf16", 2) is None


def test_least_recently_used_entry_is_evicted() -> None:
    """Each entry has a hundred floats."""
    cache = StyleCache(max_bytes=800)
    for key in ("a", "b", "a", "c", "a", "b"):
        cache.get(key, lambda: {"products": torch.ones(10, 10)})
        assert cache.nbytes <= 800
    assert (cache.computed, cache.reused) == (4, 2)
