"""`status.json` in the state folder: the status of the daemon, for programs.

The file has the same content as `_status.txt`, and `app.status` writes it. It is replaced as a
whole, so that it may be read at any moment. Each text in it is safe to print.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stylewatch_daemon.base.model import SEEN
from stylewatch_daemon.client.condition import NOT_RUNNING, condition
from stylewatch_daemon.files import atomic, entries, lock
from stylewatch_daemon.ledger.requests import is_paused
from stylewatch_daemon.ledger.state_dir import LOCK, reading_below

FILE_NAME = "status.json"

LONGEST = 64 << 20
"""Maximum size of the file in bytes, enough for thousands of names."""


def read(state: Path) -> dict[str, Any]:
    """Return the last status that the daemon of the folder `state` wrote, with all keys.

    Without a valid file, return the empty status of `nothing`.
    """
    empty = nothing()
    try:
        plain = json.loads(atomic.read(state / FILE_NAME, LONGEST))
    except (OSError, ValueError, RecursionError):
        return empty
    is_whole = isinstance(plain, dict) and all(
        isinstance(plain.get(key, value), type(value))
        for key, value in empty.items()
        if value is not None
    )
    if not is_whole:
        return empty
    return {**empty, **plain, "health": {**empty["health"], **plain.get("health", {})}}


def current(state: Path) -> dict[str, Any]:
    """Return the last status, corrected if since then the daemon has ended, paused or resumed.

    Raises OutputError if the folder `state` cannot be read.
    """
    status = read(state)
    now = {"at_work": is_at_work(state), "paused": is_paused(state)}
    if not now["at_work"]:
        status |= {"counts": when_interrupted(status["counts"])}
    status = {**status, "health": {**status["health"], **now}}
    return with_condition(status if now["at_work"] else past(status))


def when_interrupted(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the numbers of jobs by state once the daemon has ended: running jobs count as waiting.

    They continue by themselves when the daemon is started again.
    """
    return {**counts, "waiting": counts["waiting"] + counts["running"], "running": 0}


def past(status: dict[str, Any]) -> dict[str, Any]:
    """Return a status without the data that only a running daemon knows.

    These are running and incomplete jobs, problems, notes, ignored files, styles that are learned,
    previews, and whether the settings are old.
    """
    inboxes = [{**inbox, "ignored": []} for inbox in status["inboxes"]]
    health = {**status["health"], "trouble": [], "notes": [], "learning": [],
              "old_settings": False, "trying": False}  # fmt: skip
    return {**status, "inboxes": inboxes, "running": [], "incomplete": [], "health": health}


def with_condition(status: dict[str, Any]) -> dict[str, Any]:
    """Return a status with the word and the sentence of the condition that follows from it."""
    now = condition(status)
    said = {"condition": now.word, "sentence": now.sentence}
    return {**status, "health": {**status["health"], **said}}


def nothing() -> dict[str, Any]:
    """Return an empty status, with every key."""
    health: dict[str, Any] = {
        "at_work": False, "since": None, "pid": None, "version": None,
        "condition": NOT_RUNNING.word, "sentence": NOT_RUNNING.sentence,
        "paused": False, "trying": False, "draining": False, "stopping": False, "restarting": False,
        "old_settings": False, "opens": None,
        "events": True, "trouble": [], "notes": [], "learning": [],
    }  # fmt: skip
    return {
        "inboxes": [], "counts": dict.fromkeys(SEEN, 0), "running": [], "waiting": [],
        "incomplete": [], "refused": [], "trash": {"jobs": 0, "bytes": 0}, "health": health,
        "at": None,
    }  # fmt: skip


def is_at_work(state: Path) -> bool:
    """Return whether a daemon has locked the folder `state`.

    Raises OutputError if the folder cannot be read.
    """
    with reading_below(state):
        return entries.exists(state / LOCK) and lock.is_held(state / LOCK)
