"""Requests to the daemon from commands and the page: rows of the ledger.

The daemon acts on each request once. Whoever adds a request wakes the daemon through the pipe
`wake` in the state folder.
"""

import json
import sqlite3
import time
from collections.abc import Collection, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from stylewatch_daemon.base.errors import (
    DaemonError,
    DamagedError,
    LockedError,
    OldLedgerError,
    OutputError,
    ShortageError,
)
from stylewatch_daemon.base.model import now
from stylewatch_daemon.files import account, disks, entries, pipes
from stylewatch_daemon.ledger import schema, state_dir
from stylewatch_daemon.ledger.ledger import BUSY_S, Request, reading
from stylewatch_daemon.ledger.state_dir import LEDGER, WAKE
from stylewatch_daemon.ledger.writer import LedgerWriter

PAUSED = "paused"
"""Name of a file in the state folder; while it exists no job is started, even after a restart."""

POLL_EVERY_S = 0.02

PAUSING = ("pause", "resume")
"""Verbs of requests that undo each other, so that only the last such request counts."""


def leave(state: Path, verb: str, **arguments: Any) -> int:
    """Add a request for the daemon of the folder `state`, and wake the daemon; return its id.

    If no daemon runs, the next one acts on the request, and then removes it. A missing ledger is
    created. Raises DamagedError, ShortageError or OutputError if the request cannot be written.
    """
    try:
        with account.owning(state):
            request_id = _add(state, verb, arguments)
            pipes.poke(state / WAKE)
            return request_id
    except (DamagedError, LockedError, OldLedgerError, ShortageError):
        raise
    except OSError as error:
        advice = "" if disks.may_write(state) else "; ask as the user whom the daemon runs as"
        raise OutputError(
            f"the request cannot be written: {getattr(error, 'strerror', None) or error}{advice}"
        ) from error


def _add(state: Path, verb: str, arguments: Mapping[str, Any]) -> int:
    path = state / LEDGER
    if not entries.exists(path):
        state_dir.make_root(state)
        LedgerWriter.open(path).close()
    schema.check_files(path)
    with (
        schema.translated_errors(path),
        closing(sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)) as connection,
    ):
        schema.check_version(connection, path)
        connection.execute("PRAGMA synchronous = FULL")
        values = (verb, json.dumps(arguments), now())
        cursor = connection.execute(
            "INSERT INTO requests (verb, arguments, made) VALUES (?, ?, ?)", values
        )
        return int(cursor.lastrowid or 0)


def waiting(state: Path) -> list[Request]:
    """Return the requests that the daemon has not acted on, in the order of their arrival.

    There are none if the ledger cannot be read.
    """
    try:
        with reading(state / LEDGER) as ledger:
            return ledger.requests()
    except DaemonError:
        return []


def wait(state: Path, ids: Collection[int], seconds: float) -> bool:
    """Wait until the daemon has acted on the requests with the ids `ids`; return whether it has.

    The wait lasts at most `seconds`. Raises DaemonError if the ledger cannot be read.
    """
    until = time.monotonic() + seconds
    with reading(state / LEDGER) as ledger:
        while any(request.id in ids for request in ledger.requests()):
            if time.monotonic() >= until:
                return False
            time.sleep(POLL_EVERY_S)
    return True


def is_paused(state: Path) -> bool:
    """Return whether the daemon is paused, or will be after the waiting requests.

    Raises OutputError if the state folder cannot be read.
    """
    asked = [request.verb for request in waiting(state) if request.verb in PAUSING]
    if asked:
        return asked[-1] == "pause"
    with state_dir.reading_below(state):
        return entries.exists(state / PAUSED)


def is_asked(state: Path, verb: str, **arguments: Any) -> bool:
    """Return whether a request with this verb and at least these arguments is waiting."""
    return any(request.asks(verb, **arguments) for request in waiting(state))
