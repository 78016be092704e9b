"""A folder of the cache where processes find what styles looked like to those before them."""

import os
from collections.abc import Hashable, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import torch
from platformdirs import user_cache_path
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from stylewatch_painter.algorithm.statistics import Look, Sums
from stylewatch_painter.network.precision import named
from stylewatch_painter.recipes.recipe import LAYERS, LayerName

MOST = 256 * 2**20
"""Bytes that are kept: some fifteen styles at all sizes that recipe `best` passes through."""

_DIGEST = 32  # bytes: a file begins with the SHA-256 of the rest


def cache_folder() -> Path:
    """Where looks lie: in the user's cache folder."""
    return user_cache_path("stylewatch") / "looks"


class Shelf:
    """Looks in a `folder`, each in a file named by all that it depends on.

    `seer` is all that tells a network from others, down to what decides its last bits. What was
    used longest ago goes where more than `most` bytes would be kept. What cannot be read or
    written is worked out again, and nothing is said of it.
    """

    @classmethod
    def of(cls, device: torch.device, *network: object) -> "Shelf | None":
        """That of a `network` on the CPU; a GPU has looked again sooner than a file is read."""
        if device.type != "cpu":
            return None
        program = _program(), torch.__version__, named(device)
        return cls(str((*program, *network)), cache_folder())

    def __init__(self, seer: str, folder: Path, most: int = MOST) -> None:
        self._seer = seer
        self._folder = folder
        self._most = most

    def take(self, key: Hashable) -> Look | None:
        """What lies there under `key`, on the CPU; None where nothing does, or it is damaged."""
        path = self._path(key)
        try:
            said = path.read_bytes()
            if sha256(said[_DIGEST:]).digest() != said[:_DIGEST]:
                return None
            os.utime(path)
            return _look(load(said[_DIGEST:]))
        except (OSError, SafetensorError):
            return None

    def put(self, key: Hashable, look: Look) -> None:
        """Keep `look` under `key`, whole or not at all."""
        path = self._path(key)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        body = save(dict(_named(look)))
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(sha256(body).digest() + body)
            beside.replace(path)
            self._make_room()

    def _path(self, key: Hashable) -> Path:
        return self._folder / sha256(f"{self._seer} {key!r}".encode()).hexdigest()

    def _make_room(self) -> None:
        """Remove what was used longest ago; other processes may do the same at the same time."""
        there = sorted(
            ((path.stat(), path) for path in self._folder.iterdir()),
            key=lambda one: one[0].st_mtime,
        )
        excess = sum(stat.st_size for stat, _ in there) - self._most
        for stat, path in there:
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= stat.st_size


def _program() -> str:
    """A digest of the painter as it is installed: another one may look at pictures otherwise."""
    files = sorted(Path(__file__).parents[1].rglob("*.py"))
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _named(look: Look) -> Iterator[tuple[str, Tensor]]:
    """The tensors of `look` by names that `_look` understands."""
    for layer, regions in look.items():
        for number, one in enumerate(regions):
            yield f"{layer}.{number}.count", torch.tensor(one.count, dtype=torch.float64)
            for name, tensor in zip(("products", "values"), one.tensors, strict=False):
                yield f"{layer}.{number}.{name}", tensor.cpu().contiguous()


def _look(named: Mapping[str, Tensor]) -> Look:
    """What `_named` gave the names of."""
    found: dict[LayerName, tuple[Sums, ...]] = {}
    for layer in LAYERS:
        while (start := f"{layer}.{len(found.get(layer, ()))}") + ".count" in named:
            values = named.get(f"{start}.values")
            count = float(named[f"{start}.count"])
            sums = Sums(named[f"{start}.products"], values, count)
            found[layer] = (*found.get(layer, ()), sums)
    return found
