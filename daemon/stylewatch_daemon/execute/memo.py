"""What an interrupted attempt leaves for the next one: the checkpoint and what was reported."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stylewatch_daemon.durable import beside
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

    Array by array, since an optimiser may remember hundreds of megabytes.
    """
    story = np.frombuffer(json.dumps(memo.story).encode(), dtype=np.uint8)
    with beside(path) as file:
        np.savez(file, allow_pickle=False, **{"story": story, **memo.checkpoint})


def load(path: Path) -> Memo | None:
    """The memo at `path`; None where there is none, or none that is whole."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        story = json.loads(arrays.pop("story").tobytes())
    except Exception:  # a damaged archive fails in more ways than can be named
        return None
    return Memo(arrays, story)
