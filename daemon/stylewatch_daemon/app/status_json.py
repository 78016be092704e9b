"""`status.json` in the state folder: the status of the daemon, for programs.

It has the same content as `_status.txt`; `app.status` writes it. It may be read at any moment, and
each text in it is safe to print.
"""

import json
from pathlib import Path
from typing import Any

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.base.model import SEEN
from stylewatch_daemon.files import atomic, lock

FILE_NAME = "status.json"
LOCK_NAME = "lock"

LONGEST = 64 << 20
"""Maximum size of the file in bytes, enough for thousands of names."""


def read(state: Path) -> dict[str, Any] | None:
    """Return the last status of the daemon of the folder `state`; None if there is no valid one."""
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
    health: dict[str, Any] = {
        "at_work": False, "since": None, "pid": None, "version": None,
        "paused": False, "events": True, "trouble": [], "notes": [],
    }  # fmt: skip
    return {
        "inboxes": [], "counts": dict.fromkeys(SEEN, 0), "running": [], "waiting": [],
        "incomplete": [], "refused": [], "health": health, "at": None,
    }  # fmt: skip


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
