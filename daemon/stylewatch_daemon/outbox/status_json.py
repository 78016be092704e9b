"""`status.json` in the state folder: the status of the daemon, for programs.

It has the same content as `_status.txt`. It may be read at any moment, and each text in it is safe
to print.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.files import atomic, lock
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.outbox.status_txt import Status
from stylewatch_daemon.store.ledger import COUNTED_AS
from stylewatch_daemon.store.ledger_writer import now

FILE_NAME = "status.json"
LOCK_NAME = "lock"

LONGEST = 64 << 20
"""Bytes of the file; thousands of names take less."""

AT_MOST_EVERY = 0.5
"""Seconds between two rewrites."""

SHARE = 50.0
"""Pause before the next rewrite, as a multiple of the time that the last one took."""

LONG = ("reason", "trouble")
"""Keys of texts that may have several lines."""

AT_LEAST_EVERY = 60.0
"""Seconds after which the file is written again although nothing changed."""


class StatusJsonWriter:
    """Writes `status.json` in the folder `state`; nothing depends on it.

    `clock` is monotonic, in seconds. A change of the metrics `meters` alone causes no rewrite.
    """

    def __init__(
        self,
        state: Path,
        clock: Callable[[], float] = time.monotonic,
        meters: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self._path, self._clock, self._meters = state / FILE_NAME, clock, meters
        self._since, self._version = now(), version("stylewatch")
        self._shown: Mapping[str, Any] = {}
        self._written = -float("inf")

    def due(self, took: float = 0.0) -> bool:
        """Return True if it is time to rewrite; the last status `took` so many seconds."""
        return self._clock() - self._written >= max(AT_MOST_EVERY, SHARE * took)

    def show(
        self,
        status: Status,
        counts: Mapping[str, int],
        observer: bool | None = None,
        inboxes: Iterable[tuple[Path, Path]] = (),
    ) -> None:
        """Write `status` and `counts`, unless nothing has changed.

        `observer`: whether file events work; None where that is not known yet. `inboxes`: each with
        its outbox.
        """
        plain = {
            "inboxes": [{"path": str(path), "outbox": str(outbox)} for path, outbox in inboxes],
            "counts": dict(counts),
            "running": [dict(vars(job)) for job in status.running],  # may be a thousand
            "waiting": list(status.waiting),
            "incomplete": [
                {
                    "name": waiting.name,
                    "waits_for": waiting.waits_for,
                    "files": [str(path) for path in waiting.pair.files] if waiting.pair else [],
                }
                for waiting in status.incomplete
            ],
            "refused": [asdict(job) for job in status.refused],
            "health": {
                "at_work": not status.leaving,  # a daemon that was killed cannot say so
                "since": self._since,
                "pid": os.getpid(),
                "version": self._version,
                "paused": status.paused,
                "observer": observer,
                "trouble": list(status.trouble),
                "notes": list(status.notes),
                "set_aside": status.set_aside,
            },
        }
        if plain == self._shown and self._clock() - self._written < AT_LEAST_EVERY:
            return
        text = json.dumps({**_safe(plain), "meters": self._meters(), "at": now()})
        # Not synced, as nothing depends on it after a power cut; whole for all who read it now.
        temporary = self._path.with_name(f".{FILE_NAME}.tmp")
        temporary.write_text(text, encoding="ascii")
        temporary.replace(self._path)
        self._shown, self._written = plain, self._clock()


def read(state: Path) -> dict[str, Any] | None:
    """Return what the daemon of the folder `state` wrote last; None where that is nothing."""
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
    """Return an empty status, with every key."""
    health: dict[str, Any] = {"at_work": False, "since": None, "pid": None, "version": None,
              "paused": False, "observer": None, "trouble": [], "notes": [],
              "set_aside": 0}  # fmt: skip
    counts = dict.fromkeys(COUNTED_AS.values(), 0)
    return {"inboxes": [], "counts": counts, "running": [], "waiting": [], "incomplete": [],
            "refused": [], "health": health, "meters": {}, "at": None}  # fmt: skip


def is_at_work(state: Path) -> bool:
    """Return whether a daemon has locked the folder `state`; OutputError if it is unreadable."""
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
    """Return `value` with every text safe to print, and on one line unless LONG has its `name`."""
    if isinstance(value, str):
        lines = value.split("\n") if name in LONG else [value]
        return "\n".join(shown(line) for line in lines)
    if isinstance(value, Mapping):
        return {key: _safe(inner, key) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_safe(item, name) for item in value]
    return value
