"""Sums over styles, cached in memory and on disk: they are the same for every painting."""

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import torch
from platformdirs import user_cache_path
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from stylewatch_painter.network import store
from stylewatch_painter.network.calibration import device_model

MAX_DISK_BYTES = 256 * 2**20
"""Size of the disk cache: about fifteen styles at all scales of recipe `best`."""

MAX_MEMORY_BYTES = 128 * 2**20
"""Size of the memory cache; at five layers a style at one size takes 2.4 MB."""

_DIGEST = 32  # a file starts with the SHA-256 of the rest

Tensors = Mapping[str, Tensor]


class DiskCache:
    """Tensors in a `folder`, one file for each key.

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
        return cls(str((*program, *network)), user_cache_path("stylewatch") / "styles")

    def __init__(self, network_id: str, folder: Path, max_bytes: int = MAX_DISK_BYTES) -> None:
        self._network_id = network_id
        self._folder = folder
        self._max_bytes = max_bytes

    def get(self, key: Hashable) -> Tensors | None:
        """The entry for `key`, on the CPU; None if it is missing or damaged."""
        path = self._path(key)
        try:
            content = path.read_bytes()
            if sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
                return None
            os.utime(path)
            return load(content[_DIGEST:])
        except (OSError, SafetensorError):
            return None

    def put(self, key: Hashable, tensors: Tensors) -> None:
        """Write the entry for `key`, atomically."""
        path = self._path(key)
        body = save({name: tensor.contiguous() for name, tensor in tensors.items()})
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
    """Tensors of one network in memory, least recently used first, backed by a disk cache.

    `computed` and `reused` count the requests.
    """

    def __init__(self, max_bytes: int = MAX_MEMORY_BYTES, disk: DiskCache | None = None) -> None:
        self.computed = self.reused = 0
        self._disk = disk
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Hashable, Tensors] = OrderedDict()

    def get(self, key: Hashable, compute: Callable[[], Tensors]) -> Tensors:
        """The entry for `key`; if it is missing, the result of `compute`, which is stored."""
        if key in self._entries:
            self._entries.move_to_end(key)
            self.reused += 1
            return self._entries[key]
        tensors = self._disk.get(key) if self._disk else None
        if tensors is None:
            tensors = compute()
            self.computed += 1
            if self._disk:
                self._disk.put(key, tensors)
        else:
            self.reused += 1
        self._entries[key] = tensors
        while self.nbytes > self._max_bytes:
            self._entries.popitem(last=False)
        return tensors

    @property
    def nbytes(self) -> int:
        """Size of all entries in bytes."""
        return sum(tensor.nbytes for entry in self._entries.values() for tensor in entry.values())


def _program() -> str:
    """A digest of the installed painter; another version may compute other sums."""
    root = Path(__file__).parents[1]
    files = sorted([*root.rglob("*.py"), *root.rglob("*.cpp")])
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
