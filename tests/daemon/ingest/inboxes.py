"""A small world for ingest: inboxes, an outbox, a state folder, a clock and a fake inspector."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill, waiting
from tests.daemon.lookers import FakeInspector
from tests.daemon.settings_made import make_inbox, make_settings

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.ingest.inbox import Inbox
from stylewatch_daemon.ingest.ingest import Ingest
from stylewatch_daemon.model import Incomplete
from stylewatch_daemon.store import ledger_writer
from stylewatch_daemon.store.journal import Journal
from stylewatch_daemon.store.state import State


class World(Reporter):
    """Inboxes with an Ingest, whose clock moves only when `now` is set."""

    def __init__(
        self, root: Path, *, after: Any = "archive", others: Sequence[str] = (), **settings: Any
    ) -> None:
        self.root, self.path, self.outbox = root, root / "in", root / "out"
        self.state, self.inspector, self.now = State(root / "state"), FakeInspector(), 0.0
        self.skipped: list[str] = []
        self.paused_names: list[str] = []
        self.claimed: list[str] = []
        self.waiting: list[list[str]] = []
        inboxes = tuple(make_inbox(root / name, self.outbox, after) for name in ("in", *others))
        for inbox in inboxes:
            inbox.path.mkdir()
        self.settings = make_settings(
            inboxes, root / "state", **{"quiet_s": 2, "rescan_s": 60, **settings}
        )
        self.start()

    def start(self) -> None:
        """Start the daemon anew."""
        self.state.close()
        self.state.make()
        self.state.tidy()
        self.ingest = Ingest(self.settings, self.state, self.inspector, self, lambda: self.now)
        self.ingest.recover()

    @property
    def inbox(self) -> Inbox:
        return self.ingest.inboxes[0]

    def left_alone(self, path: Path, why: str) -> None:
        self.skipped.append(f"{path.name}: {why}")

    def paused(self, what: str, reason: str) -> None:
        self.paused_names.append(what)

    def taken(self, job: str) -> None:
        self.claimed.append(job)

    def incomplete(self, waiting: Sequence[Incomplete]) -> None:
        self.waiting.append([pair.name for pair in waiting])

    def drop(self, *jobs: str, inbox: str = "in") -> None:
        """Drop pairs."""
        names = [f"{job}/{half}.jpg" for job in jobs for half in ("content", "style")]
        fill(self.root / inbox, *names)

    def scan(self) -> None:
        """Scan twice, so that unchanged files have settled."""
        self.ingest.scan()
        self.now += 2
        self.ingest.scan()

    def enter_and_claim(self) -> list[str]:
        """Claim the complete pairs of the last scan; return the names of the jobs."""
        self.claimed.clear()
        self.ingest.enter()
        while self.ingest.has_more:
            self.ingest.claim()
        return list(self.claimed)

    def run(self) -> list[str]:
        """Scan, claim, and apply all verdicts; return the names of the claimed jobs."""
        self.scan()
        claimed = self.enter_and_claim()
        self.apply()
        return claimed

    def apply(self) -> None:
        """Apply all verdicts."""
        while self.ingest.apply_verdicts():
            pass

    @property
    def incomplete_pairs(self) -> dict[str, str]:
        return {pair.name: pair.waits_for for pair in self.ingest.incomplete}

    @property
    def queued(self) -> dict[str, Journal]:
        """The jobs that are queued or being refused, by name."""
        return {job.name: job for job in waiting(self.state)}

    @property
    def states(self) -> dict[str, str]:
        return {name: job.state for name, job in self.queued.items()}


@contextmanager
def full_ledger() -> Iterator[None]:
    """Let every commit of the ledger fail, as on a full disk."""

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger_writer, "commit", fail)
        yield
