"""Follow a submitted job until it ends, and print its progress."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stylewatch_daemon.cli.client import Daemon
from stylewatch_daemon.cli.console import note, say
from stylewatch_daemon.cli.progress import EVERY_S, standing
from stylewatch_daemon.model import Progress
from stylewatch_daemon.store.ledger import Entry

POLL_EVERY_S = 0.25

RETRY_LATER = 75
ENDS: Mapping[str, int] = {"done": 0, "refused": 65, "failed": 70, "cancelled": RETRY_LATER}
"""The exit codes of the final states."""


def follow(daemon: Daemon, job: str, *, quiet: bool) -> int:
    """Wait until the job that was submitted as `job` ends; return the exit code.

    Without a running daemon it would never end, so that returns at once.
    """
    with _printing(quiet) as print_progress:
        while True:
            at_work = daemon.is_at_work()
            with daemon.ledger() as ledger:
                entry = ledger.find(job) if ledger else None
            if entry is not None and entry.state in ENDS:
                break
            if not at_work:
                note(f"{job} waits: no daemon is running with the state folder {daemon.state}")
                return RETRY_LATER
            print_progress(f"{job}: {_progress(entry, daemon.published() or {})}")
            time.sleep(POLL_EVERY_S)
    _print_end(entry, quiet)
    return ENDS[entry.state]


def painting(running: Mapping[str, Any]) -> str:
    """Progress of a running job in words, by its part of status.json."""
    if running["loss"] is None:
        return "preparing"
    progress = Progress(running["step"], running["steps"], running["size"], running["loss"], 0.0)
    return standing(progress, running["seconds_left"])


def _progress(entry: Entry | None, published: Mapping[str, Any]) -> str:
    if entry is None:
        return "waits in the inbox"
    jobs = published.get("running", [])
    if running := next((job for job in jobs if job["id"] == entry.id), None):
        return painting(running)
    if published.get("health", {}).get("paused"):
        return "waits: the daemon is paused"
    return entry.reason or "waits in the queue"


def _print_end(entry: Entry, quiet: bool) -> None:
    if entry.state != "done":
        note(f"{entry.place or entry.name}: {entry.state}: {entry.reason}".removesuffix(": "))
    elif not quiet:
        say(str(Path(entry.outbox, entry.place or entry.name)))


@contextmanager
def _printing(quiet: bool) -> Iterator[Callable[[str], None]]:
    """Yield a function that prints progress to stderr, in place on a terminal."""
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.text import Text

        with Console(stderr=True).status("") as line:
            yield lambda text: line.update(Text(text))
    else:
        yield _Throttle()


class _Throttle:
    """Prints the first line, and then a new one every EVERY_S seconds."""

    def __init__(self) -> None:
        self._last, self._printed_at = "", -float("inf")

    def __call__(self, text: str) -> None:
        if text != self._last and time.monotonic() - self._printed_at >= EVERY_S:
            note(text)
            self._last, self._printed_at = text, time.monotonic()
