"""A folder of the cache where processes find what styles looked like to those before them."""

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

from stylewatch_painter.algorithm.losses import Look, Sums
from stylewatch_painter.network import store
from stylewatch_painter.network.vgg19 import Precision, Vgg19, layers_up_to, named
from stylewatch_painter.network.weights import WeightsFile
from stylewatch_painter.recipes.recipe import LAYERS, LayerName

MAX_DISK_BYTES = 256 * 2**20
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

    def __init__(self, seer: str, folder: Path, most: int = MAX_DISK_BYTES) -> None:
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


MAX_MEMORY_BYTES = 128 * 2**20
"""Bytes that are kept: at five layers a style at one size takes 2.4 MB."""


class Looks:
    """Sums over the maps of styles in one network, by all that they depend on beside it.

    What was asked for longest ago goes where more than `most` bytes would be kept; it may still
    lie on a `shelf`, from where later processes have it, too. `worked_out` counts how often they
    had to be worked out, `used_again` how often they were there.
    """

    def __init__(self, most: int = MAX_MEMORY_BYTES, shelf: Shelf | None = None) -> None:
        self.worked_out = self.used_again = 0
        self._shelf = shelf
        self._most = most
        self._kept: OrderedDict[Hashable, Look] = OrderedDict()

    def find(self, key: Hashable, work_out: Callable[[], Look]) -> Look:
        """What is kept under `key`, or else what `work_out` gives, which is then kept."""
        if key in self._kept:
            self._kept.move_to_end(key)
            self.used_again += 1
            return self._kept[key]
        found = self._shelf.take(key) if self._shelf else None
        if found is None:
            found = work_out()
            self.worked_out += 1
            if self._shelf:
                self._shelf.put(key, found)
        else:
            self.used_again += 1
        self._kept[key] = found
        while self.bytes > self._most:
            self._kept.popitem(last=False)
        return found

    @property
    def bytes(self) -> int:
        """What is kept takes so many bytes."""
        return sum(
            one.nbytes for look in self._kept.values() for each in look.values() for one in each
        )


_Key = tuple[str, str, int, Precision]


@dataclass(frozen=True, eq=False)
class Trained:
    """A network on its device, and what styles look like to it."""

    network: Vgg19
    layers: tuple[LayerName, ...]
    """The convolutions that it has."""
    looks: Looks = field(default_factory=Looks)


_last: dict[_Key, Trained] = {}
"""One at most: a network takes as much memory as a painting."""


def trained(
    file: WeightsFile,
    layers: Collection[LayerName],
    device: torch.device,
    precision: Precision = "fp32",
) -> Trained:
    """VGG19 by `file` on `device`, deep enough for `layers`; loaded if it is not the last one.

    Another number of threads counts as another network: it gives another last bit. Raises
    WeightsError.
    """
    key = (file.sha256, str(device), torch.get_num_threads(), precision)
    wanted = layers_up_to(layers)
    last = _last.get(key)
    if last is not None and len(last.layers) >= len(wanted):
        return last
    looks = Looks(shelf=Shelf.of(device, key)) if last is None else last.looks
    _last.clear()
    mean, arrays = store.load(file, wanted)
    on_device = {name: torch.from_numpy(a).to(device) for name, a in arrays.items()}
    _last[key] = ready = Trained(Vgg19(on_device, mean, precision), wanted, looks)
    return ready
