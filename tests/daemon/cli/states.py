"""State folders as a daemon would leave them, for tests of the commands that read them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stylewatch_daemon.outbox.status_json import StatusJsonWriter
from stylewatch_daemon.outbox.status_txt import Status
from stylewatch_daemon.store.journal import Attempt
from stylewatch_daemon.store.ledger import FILE_NAME, Entry
from stylewatch_daemon.store.ledger_writer import LedgerWriter


def enter(state: Path, *entries: Entry, attempts: tuple[Attempt, ...] = ()) -> None:
    """Put `entries` into the ledger of `state`, if any; `attempts` are those of the first."""
    state.mkdir(exist_ok=True)
    ledger = LedgerWriter.open(state / FILE_NAME)
    ledger.enter(entries)
    if attempts:
        ledger.write_attempts(entries[0].id, attempts)
    ledger.close()


def entry(name: str, state: Any = "done", **more: Any) -> Entry:
    """A job called `name`, in the inbox `in` and the outbox `out`."""
    values = {"id": f"id-{name}", "name": name, "inbox": "in", "outbox": "out", "state": state,
              "entered": "2026-01-02T12:00:00+00:00", "bytes": 9, "place": name,
              "inputs": ({"name": "content.jpg", "size": 9},), **more}  # fmt: skip
    return Entry(**values)


def publish(
    state: Path,
    status: Status,
    *,
    observer: bool = True,
    inboxes: Iterable[tuple[Path, Path]] = (),
    **counts: int,
) -> None:
    """Publish `status` as a daemon does."""
    state.mkdir(exist_ok=True)
    every = dict.fromkeys(("waiting", "running", "done", "refused", "failed", "cancelled"), 0)
    StatusJsonWriter(state).show(status, {**every, **counts}, observer, inboxes)
