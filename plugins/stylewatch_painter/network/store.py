"""Writes and reads a trained network as a safetensors file in our own form.

A file holds `<layer>.weight`, float32 (out, in, 3, 3), red first in conv1_1, and `<layer>.bias`,
float32 (out,), of all layers, to be applied to a picture in RGB 0..255 less the file's mean.
Its metadata holds the SHA-256 of each array, so that reading some layers checks just these.
"""

import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network.catalogue import LAYERS
from stylewatch_painter.network.weights import header

Tensors = dict[str, NDArray[np.float32]]


def keys(layers: Collection[str]) -> list[str]:
    """The names of the arrays of `layers`, in the order of the network.

    Raises WeightsError: a layer that VGG19 does not have.
    """
    strange = [layer for layer in layers if layer not in LAYERS]
    if strange:
        raise WeightsError(f"VGG19 has no convolution {strange[0]!r}; it has {', '.join(LAYERS)}")
    wanted = [layer for layer in LAYERS if layer in layers]
    return [f"{layer}.{part}" for layer in wanted for part in ("weight", "bias")]


def write(path: Path, tensors: Mapping[str, NDArray[np.float32]], about: Mapping[str, str]) -> None:
    """Write `tensors` and what `about` says of them to `path`, whole or not at all.

    Two writers at once must keep apart by a lock. Raises OSError where it cannot be written.
    """
    solid = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    digests = {name: sha256(tensor.data).hexdigest() for name, tensor in solid.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    with beside.open("wb") as file:
        file.write(save(solid, {**about, "digests": json.dumps(digests)}))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read(path: Path, layers: Collection[str]) -> Tensors:
    """The arrays of `layers` out of `path`, each held against its digest.

    Raises WeightsError: damaged, or in another form; OSError where it cannot be read.
    """
    wanted = keys(layers)
    with _told_apart(path):
        digests = json.loads(header(path)["digests"])
        with safe_open(path, framework="numpy") as file:
            tensors: Tensors = {name: file.get_tensor(name) for name in wanted}
        damaged = [
            name
            for name, tensor in tensors.items()
            if sha256(np.ascontiguousarray(tensor).data).hexdigest() != digests[name]
        ]
    if damaged:
        raise WeightsError(f"{path} is damaged: {damaged[0]} is not what was written")
    return tensors


@contextmanager
def _told_apart(path: Path) -> Iterator[None]:
    """All the ways in which a damaged file shows, as one error."""
    try:
        yield
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path} is damaged, or in another form ({error})") from error
