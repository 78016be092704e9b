"""What the daemon tells other processes of itself: `status.json` in its state folder.

The same story as `_status.txt`, for programs and for `stylewatch status`. It is read by whoever
may read the folder, at any moment: each text in it is safe to print.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.files import atomic, lock
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.outbox.status_txt import Status
from stylewatch_daemon.store.ledger import COUNTED_AS

FILE_NAME = "status.json"
LOCK_NAME = "lock"

LONGEST = 64 << 20
"""Bytes of the file; thousands of names take less."""

AT_MOST_EVERY = 0.5
"""Seconds between two rewrites."""

SHARE = 50.0
"""How many times as long as it took we do other things before it is told again how things stand."""

LONG = ("reason", "trouble")
"""What may have several lines."""

AT_LEAST_EVERY = 60.0
"""Seconds after which it is written again, though nothing changed, when there is occasion."""


@dataclass(frozen=True)
class Health:
    """How the daemon itself is: UTC times are ISO 8601; `observer` None where nothing is watched.

    `at_work` is false once it has left; one that was killed cannot say so (see `is_at_work`).
    """

    at_work: bool
    since: str
    pid: int
    version: str
    paused: bool
    observer: bool | None
    """Whether file events come in; if not, the scans have to do."""
    trouble: tuple[str, ...]
    notes: tuple[str, ...]
    """What is left alone in the inboxes, and in which of them file events fail."""
    set_aside: int
    """How many jobs lie in quarantine in the state folder."""


class Publisher:
    """Keeps `status.json` in the folder `state`; where it cannot be written, nothing is lost."""

    def __init__(
        self,
        state: Path,
        clock: Callable[[], float] = time.monotonic,
        meters: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self.observer: bool | None = None
        self.meters = meters
        """What was counted; that alone is no news."""
        self._path, self._clock = state / FILE_NAME, clock
        self._since, self._version = _now(), version("stylewatch")
        self._shown: Mapping[str, Any] = {}
        self._written = -float("inf")
        self.took = 0.0
        """Seconds that it took last to find out how things stand, and to tell."""

    def due(self) -> bool:
        """Whether so much time has passed that it may be written again."""
        return self._clock() - self._written >= max(AT_MOST_EVERY, SHARE * self.took)

    def show(self, status: Status, counts: Mapping[str, int]) -> None:
        """Write how it stands, unless that is known."""
        plain = {
            "counts": dict(counts),
            "running": [dict(vars(one)) for one in status.running],  # may be a thousand
            "waiting": list(status.waiting),
            "incomplete": [
                {"name": one.name, "waits_for": one.waits_for} for one in status.incomplete
            ],
            "refused": [asdict(one) for one in status.refused],
            "health": asdict(self._health(status)),
        }
        if plain == self._shown and self._clock() - self._written < AT_LEAST_EVERY:
            return
        text = json.dumps({**_safe(plain), "meters": self.meters(), "at": _now()})
        # Not synced, as nothing depends on it after a power cut; whole for all who read it now.
        beside = self._path.with_name(f".{FILE_NAME}.tmp")
        beside.write_text(text, encoding="ascii")
        beside.replace(self._path)
        self._shown, self._written = plain, self._clock()

    def _health(self, status: Status) -> Health:
        return Health(
            at_work=not status.leaving,
            since=self._since,
            pid=os.getpid(),
            version=self._version,
            paused=status.paused,
            observer=self.observer,
            trouble=tuple(status.trouble),
            notes=tuple(status.notes),
            set_aside=status.set_aside,
        )


def read(state: Path) -> dict[str, Any] | None:
    """What the daemon of the folder `state` published last; None where there is nothing."""
    try:
        plain = json.loads(atomic.read(state / FILE_NAME, LONGEST))
    except (OSError, ValueError, RecursionError):
        return None
    is_whole = isinstance(plain, dict) and all(
        isinstance(plain.get(key, value), type(value))
        for key, value in nothing().items()
        if value is not None
    )
    return plain if is_whole else None


def nothing() -> dict[str, Any]:
    """What a daemon publishes that has yet to say something: every key there is."""
    health: dict[str, Any] = {"at_work": False, "since": None, "pid": None, "version": None,
              "paused": False, "observer": None, "trouble": [], "notes": [],
              "set_aside": 0}  # fmt: skip
    counts = dict.fromkeys(COUNTED_AS.values(), 0)
    return {"counts": counts, "running": [], "waiting": [], "incomplete": [], "refused": [],
            "health": health, "meters": {}, "at": None}  # fmt: skip


def is_at_work(state: Path) -> bool:
    """Whether a daemon works with the folder `state`: whether it is locked.

    Raises OutputError where that cannot be told.
    """
    try:
        return lock.is_held(state / LOCK_NAME)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise OutputError(
            f"the state folder {state} cannot be read ({error.strerror}): "
            "ask as the user whom the daemon runs as"
        ) from error


def _safe(value: Any, name: str = "") -> Any:
    """`value` with every text in it safe to print, and on one line unless LONG has its `name`."""
    if isinstance(value, str):
        lines = value.split("\n") if name in LONG else [value]
        return "\n".join(shown(line) for line in lines)
    if isinstance(value, Mapping):
        return {key: _safe(inner, key) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_safe(inner, name) for inner in value]
    return value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
