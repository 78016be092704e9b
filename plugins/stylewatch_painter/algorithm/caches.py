"""Caches: style sums in memory and on disk, and the network that was used last."""

import os
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import torch
from platformdirs import user_cache_path
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from stylewatch_painter.algorithm.gram import LayerSums, Sums
from stylewatch_painter.network import store
from stylewatch_painter.network.calibration import FLOAT32, Calibration, device_model
from stylewatch_painter.network.vgg19 import Vgg19, layers_up_to
from stylewatch_painter.network.weights import WeightsFile
from stylewatch_painter.recipes.recipe import LAYERS, LayerName

MAX_DISK_BYTES = 256 * 2**20
"""Size of the disk cache: about fifteen styles at all scales of recipe `best`."""

MAX_MEMORY_BYTES = 128 * 2**20
"""Size of the memory cache; at five layers a style at one size takes 2.4 MB."""

_DIGEST = 32  # a file starts with the SHA-256 of the rest


def cache_folder() -> Path:
    """The folder of the disk cache, in the user's cache folder.

    Its name is that of earlier versions, so that their entries are removed above `max_bytes`, too.
    """
    return user_cache_path("stylewatch") / "looks"


class DiskCache:
    """Style sums in a `folder`, one file for each key.

    `network_id` names the network with everything that decides its last bits. Entries that were
    not used for longest are removed above `max_bytes`. A file that cannot be read or written
    counts as missing.
    """

    @classmethod
    def of(cls, device: torch.device, *network: object) -> "DiskCache | None":
        """The cache of a `network` on the CPU; None on a GPU, where computing is faster."""
        if device.type != "cpu":
            return None
        program = _program(), torch.__version__, device_model(device)
        return cls(str((*program, *network)), cache_folder())

    def __init__(self, network_id: str, folder: Path, max_bytes: int = MAX_DISK_BYTES) -> None:
        self._network_id = network_id
        self._folder = folder
        self._max_bytes = max_bytes

    def get(self, key: Hashable) -> LayerSums | None:
        """The entry for `key`, on the CPU; None if it is missing or damaged."""
        path = self._path(key)
        try:
            content = path.read_bytes()
            if sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
                return None
            os.utime(path)
            return _unnamed(load(content[_DIGEST:]))
        except (OSError, SafetensorError):
            return None

    def put(self, key: Hashable, sums: LayerSums) -> None:
        """Write the entry for `key`, atomically."""
        path = self._path(key)
        body = save(dict(_named(sums)))
        with suppress(OSError):
            with store.replaced(path, f".{path.name}.{os.getpid()}") as part:
                part.write_bytes(sha256(body).digest() + body)
            self._evict()

    def _path(self, key: Hashable) -> Path:
        return self._folder / sha256(f"{self._network_id} {key!r}".encode()).hexdigest()

    def _evict(self) -> None:
        """Remove the least recently used files; other processes may do so at the same time."""
        entries = sorted(
            ((path.stat(), path) for path in self._folder.iterdir()),
            key=lambda entry: entry[0].st_mtime,
        )
        excess = sum(stat.st_size for stat, _ in entries) - self._max_bytes
        for stat, path in entries:
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= stat.st_size


class StyleCache:
    """Style sums of one network in memory, least recently used first, backed by a disk cache.

    `computed` and `reused` count the requests.
    """

    def __init__(self, max_bytes: int = MAX_MEMORY_BYTES, disk: DiskCache | None = None) -> None:
        self.computed = self.reused = 0
        self._disk = disk
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Hashable, LayerSums] = OrderedDict()

    def get(self, key: Hashable, compute: Callable[[], LayerSums]) -> LayerSums:
        """The entry for `key`; if it is missing, the result of `compute`, which is stored."""
        if key in self._entries:
            self._entries.move_to_end(key)
            self.reused += 1
            return self._entries[key]
        sums = self._disk.get(key) if self._disk else None
        if sums is None:
            sums = compute()
            self.computed += 1
            if self._disk:
                self._disk.put(key, sums)
        else:
            self.reused += 1
        self._entries[key] = sums
        while self.nbytes > self._max_bytes:
            self._entries.popitem(last=False)
        return sums

    @property
    def nbytes(self) -> int:
        """Size of all entries in bytes."""
        regions = (part for entry in self._entries.values() for part in entry.values())
        return sum(tensor.nbytes for part in regions for sums in part for tensor in sums.tensors)


def _program() -> str:
    """A digest of the installed painter; another version may compute other sums."""
    root = Path(__file__).parents[1]
    files = sorted([*root.rglob("*.py"), *root.rglob("*.cpp")])
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _named(layers: LayerSums) -> Iterator[tuple[str, Tensor]]:
    """The tensors of all sums by name, for a file."""
    for layer, regions in layers.items():
        for number, sums in enumerate(regions):
            yield f"{layer}.{number}.count", torch.tensor(sums.count, dtype=torch.float64)
            for name, tensor in zip(("products", "values"), sums.tensors, strict=False):
                yield f"{layer}.{number}.{name}", tensor.cpu().contiguous()


def _unnamed(tensors: Mapping[str, Tensor]) -> LayerSums:
    """The inverse of `_named`."""
    layers: dict[LayerName, tuple[Sums, ...]] = {}
    for layer in LAYERS:
        while (start := f"{layer}.{len(layers.get(layer, ()))}") + ".count" in tensors:
            values, count = tensors.get(f"{start}.values"), float(tensors[f"{start}.count"])
            sums = Sums(tensors[f"{start}.products"], values, count)
            layers[layer] = (*layers.get(layer, ()), sums)
    return layers


@dataclass(frozen=True, eq=False)
class LoadedNetwork:
    """A network on its device with its style cache; `layers` are the convolutions it has."""

    network: Vgg19
    layers: tuple[LayerName, ...]
    styles: StyleCache = field(default_factory=StyleCache)


_last: dict[tuple[str, str, int, Calibration], LoadedNetwork] = {}
"""At most one entry: a network takes as much memory as a painting."""


def load_network(
    file: WeightsFile,
    layers: Collection[LayerName],
    device: torch.device,
    calibration: Calibration = FLOAT32,
) -> LoadedNetwork:
    """Load the network of `file` up to the deepest of `layers`, or reuse the network used last.

    A network for another number of threads is a different one: its last bits differ. Raises
    WeightsError.
    """
    key = (file.sha256, str(device), torch.get_num_threads(), calibration)
    needed = layers_up_to(layers, file.layers)
    last = _last.get(key)
    if last is not None and len(last.layers) >= len(needed):
        return last
    styles = StyleCache(disk=DiskCache.of(device, key)) if last is None else last.styles
    _last.clear()
    mean, arrays = store.load(file, needed)
    on_device = {name: torch.from_numpy(a).to(device) for name, a in arrays.items()}
    _last[key] = loaded = LoadedNetwork(
        Vgg19(on_device, mean, calibration.precision, calibration.plan), needed, styles
    )
    return loaded
