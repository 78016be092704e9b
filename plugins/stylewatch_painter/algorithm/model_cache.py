"""The network that a process painted with last, ready for its next painting."""

from collections.abc import Collection
from dataclasses import dataclass, field

import torch

from stylewatch_painter.algorithm.disk_cache import Shelf
from stylewatch_painter.algorithm.style_cache import Looks
from stylewatch_painter.network import read
from stylewatch_painter.network.precision import Precision
from stylewatch_painter.network.vgg19 import Vgg19, layers_up_to
from stylewatch_painter.network.weights import WeightsFile
from stylewatch_painter.recipes.recipe import LayerName

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
    mean, arrays = read.load(file, wanted)
    on_device = {name: torch.from_numpy(a).to(device) for name, a in arrays.items()}
    _last[key] = ready = Trained(Vgg19(on_device, mean, precision), wanted, looks)
    return ready
