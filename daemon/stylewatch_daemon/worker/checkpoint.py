"""What an interrupted attempt leaves for the next one: the checkpoint and what was reported."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from stylewatch_daemon.files import shortages
from stylewatch_daemon.files.atomic import beside, open_regular
from stylewatch_painter.stage import Checkpoint


@dataclass(frozen=True, eq=False)
class Memo:
    """A checkpoint, and what the worker itself must remember (`story`, plain JSON values)."""

    checkpoint: Checkpoint
    story: Mapping[str, Any]


NOTHING = Memo({}, {})
"""What an attempt leaves that was never begun."""


def save(path: Path, memo: Memo) -> None:
    """Write `memo` to `path`, whole or not at all; NumPy's .npz carries a checksum for each array.

    Array by array, since an optimizer may remember hundreds of megabytes.
    """
    story = np.frombuffer(json.dumps(memo.story).encode(), dtype=np.uint8)
    with beside(path) as file:
        np.savez(file, allow_pickle=False, **{"story": story, **memo.checkpoint})


def load(path: Path) -> Memo | None:
    """The memo at `path`; None where there is none, or none that is whole.

    Raises ShortageError where the machine keeps it from being read. Its arrays are read to the
    end once, and again when they are asked for.
    """
    with ExitStack() as opened:
        try:
            found = np.load(opened.enter_context(open_regular(path)), allow_pickle=False)
            for name in found.files:
                found[name]
            story = json.loads(found["story"].tobytes())
        except Exception as error:  # a damaged archive fails in more ways than can be named
            if (shortage := shortages.shortage(error)) is not None:
                raise shortage from error
            return None
        return Memo(_Arrays(found, opened.pop_all()), story)


class _Arrays(Mapping[str, NDArray[np.generic]]):
    """The arrays of a checkpoint, none of which is held: they may be larger than the picture.

    The file stays open, and what it holds is there even when another has taken its place.
    """

    def __init__(self, file: Any, opened: ExitStack) -> None:
        self._file = file
        finalize(self, opened.close)
        self._names = [name for name in file.files if name != "story"]

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        if name not in self._names:
            raise KeyError(name)
        found: NDArray[np.generic] = self._file[name]
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
