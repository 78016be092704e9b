"""Follows a job that was dropped until it is at its end, and says how it gets on."""

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

LOOK_EVERY = 0.25
"""Seconds between two looks at how the job stands."""

LATER = 75
ENDS: Mapping[str, int] = {"done": 0, "refused": 65, "failed": 70, "cancelled": LATER}
"""The exit codes of the states that are an end."""


def follow(daemon: Daemon, job: str, *, quiet: bool) -> int:
    """Wait for the end of the job that was dropped as `job`; the exit code that it means.

    A daemon that does not run brings nothing to an end: that is not waited for.
    """
    with _telling(quiet) as tell:
        while True:
            at_work = daemon.is_at_work()
            with daemon.ledger() as ledger:
                entry = ledger.find(job) if ledger else None
            if entry is not None and entry.state in ENDS:
                break
            if not at_work:
                note(f"{job} waits: no daemon is at work with {daemon.state}")
                return LATER
            tell(f"{job}: {_how(entry, daemon.published() or {})}")
            time.sleep(LOOK_EVERY)
    _tell_end(entry, quiet)
    return ENDS[entry.state]


def painting(running: Mapping[str, Any]) -> str:
    """How far a painting is, by what the daemon published of it."""
    if running["loss"] is None:
        return "being prepared"
    step = Progress(running["step"], running["steps"], running["size"], running["loss"], 0.0)
    return standing(step, running["seconds_left"])


def _how(entry: Entry | None, published: Mapping[str, Any]) -> str:
    if entry is None:
        return "waits to be taken from the inbox"
    painted = published.get("running", [])
    if running := next((one for one in painted if one["job"] == entry.place), None):
        return painting(running)
    if published.get("health", {}).get("paused"):
        return "waits: the daemon is paused"
    return entry.reason or "waits its turn"


def _tell_end(entry: Entry, quiet: bool) -> None:
    if entry.state != "done":
        note(f"{entry.place or entry.name}: {entry.state}: {entry.reason}".removesuffix(": "))
    elif not quiet:
        say(str(Path(entry.outbox, entry.place or entry.name)))


@contextmanager
def _telling(quiet: bool) -> Iterator[Callable[[str], None]]:
    """What tells, on stderr, how it stands: a line that moves on a terminal, else now and then."""
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.text import Text

        with Console(stderr=True).status("") as line:
            yield lambda text: line.update(Text(text))
    else:
        yield _Seldom()


class _Seldom:
    """Plain lines: the first, and then a new one every so often."""

    def __init__(self) -> None:
        self._last, self._at = "", -float("inf")

    def __call__(self, text: str) -> None:
        if text != self._last and time.monotonic() - self._at >= EVERY_S:
            note(text)
            self._last, self._at = text, time.monotonic()
