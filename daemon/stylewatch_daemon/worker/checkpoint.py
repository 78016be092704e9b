"""Snapshots: the state that an interrupted attempt leaves for the next one."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.files.atomic import open_regular, replacing
from stylewatch_painter.stage import Checkpoint


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The checkpoint of a backend, and the `record` of the worker: plain JSON values."""

    checkpoint: Checkpoint
    record: Mapping[str, Any]


EMPTY = Snapshot({}, {})
"""Snapshot without a checkpoint and without a record, for a job that starts from the beginning."""


def save(path: Path, snapshot: Snapshot) -> None:
    """Write a snapshot to `path` atomically; raises OSError if that fails.

    The .npz format has a checksum for each array. Nothing in .npz protects the list of arrays, so
    the record contains their names. The file is written array by array, because an optimizer may
    keep hundreds of megabytes.
    """
    text = json.dumps({**snapshot.record, "arrays": [*snapshot.checkpoint]})
    record = np.frombuffer(text.encode(), dtype=np.uint8)
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, **{"story": record, **snapshot.checkpoint})


def load(path: Path) -> Snapshot | None:
    """Return the snapshot at `path`; None if the file is missing or damaged.

    Raises ShortageError, OutputError or MemoryError if it cannot be read now. Each array is read
    once as a check, and again whenever it is used.
    """
    with ExitStack() as opened:
        try:
            archive = np.load(opened.enter_context(open_regular(path)), allow_pickle=False)
            for name in archive.files:
                archive[name]
            record = json.loads(archive["story"].tobytes())
            if {"story", *record.pop("arrays", archive.files)} != {*archive.files}:
                return None
        except FileNotFoundError:
            return None
        except MemoryError:
            raise
        except Exception as error:  # a damaged archive may raise nearly any error
            shortage = shortages.shortage(error)
            if shortage is not None:
                raise shortage from error
            if isinstance(error, OSError) and error.errno in shortages.DISK:
                raise OutputError(f"{path} cannot be read: {error.strerror}") from error
            return None
        return Snapshot(_Arrays(archive, opened.pop_all()), record)


class _Arrays(Mapping[str, NDArray[np.generic]]):
    """The arrays of a checkpoint, read when used, because they may be larger than the picture.

    The file stays open, so that they can be read even after another file has replaced it.
    """

    def __init__(self, archive: Any, opened: ExitStack) -> None:
        self._archive = archive
        finalize(self, opened.close)
        self._names = [name for name in archive.files if name != "story"]

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        if name not in self._names:
            raise KeyError(name)
        array: NDArray[np.generic] = self._archive[name]
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
