"""The folder that graphs are kept in: who uses a pair has it to itself, the oldest make room."""

import os
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from stylewatch_plugins.graph_file import Pair

MOST = 2**30
"""Bytes that are kept: some nine pairs in fp32, more than the recipes that ship ask for."""

_LONGEST_WAIT = 300  # seconds, for another process that builds or opens the same graphs
_FEATURES = ".features.onnx"


def lock(pair: Pair, wait: float = _LONGEST_WAIT) -> FileLock:
    """Held by whoever builds, opens or removes `pair`; tried for `wait` seconds."""
    stem = pair.features.name.removesuffix(_FEATURES)
    return FileLock(pair.features.with_name(f"{stem}.lock"), timeout=wait)


def note_use(pair: Pair) -> None:
    """From now on `pair` is the one used last."""
    os.utime(pair.features)


def make_room(folder: Path, most: int) -> None:
    """Remove the pairs used longest ago, as long as all together take more than `most` bytes.

    Those that somebody holds stay, and so do those that may not be removed.
    """
    names = [path.name.removesuffix(_FEATURES) for path in folder.glob(f"*{_FEATURES}")]
    pairs = sorted((Pair.of(folder, name) for name in names), key=_last_used)
    excess = sum(map(_bytes, pairs)) - most
    for pair in pairs:
        if excess <= 0:
            return
        with suppress(OSError), lock(pair, wait=0):
            gone = _bytes(pair)
            pair.gradient.unlink(missing_ok=True)
            pair.features.unlink(missing_ok=True)  # the last: by this one a pair is found
            excess -= gone


def _last_used(pair: Pair) -> float:
    """Seconds since the epoch; 0 where another has removed it by now."""
    return pair.features.stat().st_mtime if pair.features.exists() else 0.0


def _bytes(pair: Pair) -> int:
    return sum(path.stat().st_size for path in (pair.features, pair.gradient) if path.exists())
