"""Status of the daemon: `_status.txt` in each outbox, and `status.json` in the state folder.

Nothing depends on these files: a status that cannot be written stops nothing. They are not synced.
"""

import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from textwrap import indent
from typing import Any, NamedTuple

from stylewatch_daemon.app import status_json
from stylewatch_daemon.base.events import Reporter
from stylewatch_daemon.base.model import Job, Pair, now
from stylewatch_daemon.files import atomic, safe_dirs
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.files.permissions import Sharing
from stylewatch_daemon.ledger.ledger import Ledger

TEXT_NAME = "_status.txt"

NOT_RUNNING = "stylewatch is not running. Waiting jobs start when it runs again."
PAUSED = "stylewatch is paused: nothing new is begun until someone resumes it."
NOTHING_TO_DO = "Nothing to do: drop a pair into the inbox."

MAX_WAITING = 100
"""How many of the waiting jobs of an outbox the status names."""

MAX_REFUSALS = 20
"""How many of the refused and failed jobs of an outbox the status names."""

AT_MOST_EVERY = 0.5
"""Seconds between two updates of status.json."""

AT_LEAST_EVERY = 60.0
"""Seconds after which status.json is written again although nothing changed."""

PAUSE_PER_SECOND = 50.0
"""Seconds until the next update, for each second that the last one took."""

SEVERAL_LINES = ("reason", "trouble")
"""Keys of status.json whose texts may have several lines."""


@dataclass(frozen=True)
class Running:
    """A running job; without `loss` while its pictures are read.

    `size` is (width, height) in pixels; `seconds_left` is None if unknown; `id` is that of the
    ledger.
    """

    job: str
    step: int = 0
    steps: int = 0
    loss: float | None = None
    size: tuple[int, int] | None = None
    seconds_left: float | None = None
    device: str = ""
    id: str = ""
    unit: str = "step"

    def __str__(self) -> str:
        if self.loss is None:
            return f"{self.job}: being prepared"
        return f"{self.job}: {self.unit} {self.step} of {self.steps}, loss {self.loss:.5g}"


@dataclass(frozen=True)
class InboxStatus:
    """Status of an inbox; `trouble` has what waits for something outside, with the reason."""

    path: Path
    outbox: Path
    incomplete: Sequence[Pair] = ()
    trouble: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    """Files that are skipped, for example."""


@dataclass(frozen=True)
class Snapshot:
    """What the daemon does now, apart from what the ledger has."""

    inboxes: Sequence[InboxStatus]
    running: Mapping[str, tuple[Path, Running]]
    """By the id of the job: its outbox and its progress."""
    blocked: Mapping[str, str] = field(default_factory=dict)
    """Other things that wait for something outside, with the reason."""
    paused: bool = False
    leaving: bool = False
    events: bool = True
    """False if file events do not work for every inbox."""


class _Listed(NamedTuple):
    """What the ledger has for an outbox: titles of waiting jobs by id, and jobs that failed."""

    waiting: Mapping[str, str]
    total: int
    refused: Sequence[Job]


@dataclass(frozen=True)
class Status:
    """Status of one outbox or of all; each text is a line for people."""

    leaving: bool = False
    paused: bool = False
    running: Sequence[Running] = ()
    waiting: Sequence[str] = ()
    more: int = 0
    """Number of waiting jobs that `waiting` does not name."""
    incomplete: Sequence[Pair] = ()
    trouble: Sequence[str] = ()
    refused: Sequence[tuple[str, str]] = ()
    """Jobs that were refused or failed, each with the reason."""
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        more = [f"... and {self.more} more"] if self.more else []
        parts = {
            "Running": [str(job) for job in self.running],
            "Queue": [*self.waiting, *more],
            "Incomplete": [f"{pair.name}: waits for {pair.waits_for}" for pair in self.incomplete],
            "Problems": self.trouble,
            "Refused or failed (see _refused)": [": ".join(job) for job in self.refused],
            "Notes": self.notes,
        }
        text = [
            "\n".join([f"{title}:", *(indent(line, "  ") for line in lines)])
            for title, lines in parts.items()
            if lines
        ]
        first = [NOT_RUNNING] if self.leaving else []
        first += [PAUSED] if self.paused else []
        return "\n\n".join([*first, *text] or [NOTHING_TO_DO])


class StatusFiles:
    """Writes the status.

    `check_mount` raises OSError if the disk of a folder is not mounted, `clock` is monotonic, in
    seconds, and `metrics` returns the counters. A change of them alone causes no writing.
    """

    def __init__(
        self,
        state_root: Path,
        reporter: Reporter,
        check_mount: Callable[[Path], object],
        clock: Callable[[], float] = time.monotonic,
        metrics: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self._json_path, self._reporter = state_root / status_json.FILE_NAME, reporter
        self._check_mount, self._clock, self._metrics = check_mount, clock, metrics
        self._since, self._version = now(), version("stylewatch")
        self._outboxes: dict[Path, Sharing] = {}
        self._texts: dict[Path, str] = {}
        """What was written in each outbox."""
        self._plain: Mapping[str, Any] = {}
        """What was written to status.json, and when."""
        self._plain_written = -float("inf")
        self._blocked: dict[str, str] = {}
        self._updated = self._published = -float("inf")
        self._update_took = self._publish_took = 0.0

    def apply(self, outboxes: Collection[Path], sharing: Sharing) -> None:
        """Write to the `outboxes` of new settings too; those of earlier settings may have jobs."""
        self._outboxes.update(dict.fromkeys(outboxes, sharing))
        self._texts = dict.fromkeys(self._texts, "")

    def due(self, after: float) -> bool:
        """Return True if the last `update` was `after` seconds ago, or longer if it is slow."""
        pause = max(after, PAUSE_PER_SECOND * self._update_took)
        return self._clock() - self._updated >= pause

    def publish_due(self) -> bool:
        """Return True if status.json may be updated again while jobs make progress."""
        pause = max(AT_MOST_EVERY, PAUSE_PER_SECOND * self._publish_took)
        return self._clock() - self._published >= pause

    def update(self, snapshot: Snapshot, ledger: Ledger) -> None:
        """Update `_status.txt` in every outbox, and `status.json`."""
        self._updated = self._published = self._clock()
        if (blocked := dict(_trouble(snapshot, snapshot.inboxes))) != self._blocked:
            self._blocked = blocked
            self._reporter.blocked(blocked)
        with suppress(OSError):
            listed = self._listed(ledger)
            for outbox, jobs in listed.items():
                with suppress(OSError):  # one missing disk does not affect other outboxes
                    self._check_mount(outbox)
                    self._write_text(outbox, str(_status(snapshot, {outbox: jobs})))
            self._write_json(snapshot, _status(snapshot, listed), ledger.counts())
        self._update_took = self._publish_took = self._clock() - self._updated

    def publish(self, snapshot: Snapshot, ledger: Ledger) -> None:
        """Update `status.json`."""
        self._published = self._clock()
        with suppress(OSError):
            status = _status(snapshot, self._listed(ledger))
            self._write_json(snapshot, status, ledger.counts())
        self._publish_took = self._clock() - self._published

    def _listed(self, ledger: Ledger) -> dict[Path, _Listed]:
        return {
            outbox: _Listed(
                *ledger.waiting(str(outbox), MAX_WAITING),
                ledger.undismissed(MAX_REFUSALS, str(outbox)),
            )
            for outbox in self._outboxes
        }

    def _write_text(self, outbox: Path, text: str) -> None:
        """Write `text` with the time into an outbox, unless that has it; raises OSError."""
        if text == self._texts.get(outbox):
            return
        content = f"stylewatch, {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n\n{text}\n"
        with safe_dirs.opened(outbox) as folder:
            if outbox not in self._texts:
                safe_dirs.sweep(folder)  # files that a killed daemon left
            atomic.write(TEXT_NAME, content.encode(errors="replace"), folder, durable=False)
            self._outboxes[outbox].file(folder, TEXT_NAME)
        self._texts[outbox] = text

    def _write_json(self, snapshot: Snapshot, status: Status, counts: Mapping[str, int]) -> None:
        """Write status.json, unless nothing has changed for a while."""
        plain = {
            "inboxes": [
                {"path": str(inbox.path), "outbox": str(inbox.outbox)} for inbox in snapshot.inboxes
            ],
            "counts": dict(counts),
            "running": [dict(vars(job)) for job in status.running],
            "waiting": status.waiting,
            "incomplete": [
                {
                    "name": pair.name,
                    "waits_for": pair.waits_for,
                    "files": [str(path) for path in pair.files],
                }
                for pair in status.incomplete
            ],
            "refused": [{"job": job, "reason": reason} for job, reason in status.refused],
            "health": {
                "at_work": not status.leaving,  # a daemon that was killed cannot say so
                "since": self._since,
                "pid": os.getpid(),
                "version": self._version,
                "paused": status.paused,
                "events": snapshot.events,
                "trouble": status.trouble,
                "notes": status.notes,
            },
        }
        if plain == self._plain and self._clock() - self._plain_written < AT_LEAST_EVERY:
            return
        text = json.dumps({**_safe(plain), "meters": self._metrics(), "at": now()})
        temporary = self._json_path.with_name(f".{status_json.FILE_NAME}.tmp")
        temporary.write_text(text, encoding="ascii")
        temporary.replace(self._json_path)  # whole for all who read it now
        self._plain, self._plain_written = plain, self._clock()


def _status(snapshot: Snapshot, listed: Mapping[Path, _Listed]) -> Status:
    """Return the status of the outboxes in `listed`, together; equal lines appear once."""
    inboxes = [inbox for inbox in snapshot.inboxes if inbox.outbox in listed]
    trouble = (f"{what}: {reason}" for what, reason in _trouble(snapshot, inboxes))
    notes = (note for inbox in inboxes for note in inbox.notes)
    return Status(
        leaving=snapshot.leaving,
        paused=snapshot.paused,
        running=[job for outbox, job in snapshot.running.values() if outbox in listed],
        waiting=[
            title
            for jobs in listed.values()
            for job_id, title in jobs.waiting.items()
            if job_id not in snapshot.running  # it has just been started
        ],
        more=sum(jobs.total - len(jobs.waiting) for jobs in listed.values()),
        incomplete=[pair for inbox in inboxes for pair in inbox.incomplete],
        trouble=list(dict.fromkeys(trouble)),
        refused=[
            (job.title, job.reason) for jobs in listed.values() for job in reversed(jobs.refused)
        ],
        notes=list(dict.fromkeys(notes)),
    )


def _trouble(snapshot: Snapshot, inboxes: Iterable[InboxStatus]) -> list[tuple[str, str]]:
    """Return what waits for something outside, and why: in `inboxes`, and in no inbox."""
    in_inboxes = [item for inbox in inboxes for item in inbox.trouble.items()]
    return [*in_inboxes, *snapshot.blocked.items()]


def _safe(value: Any, name: str = "") -> Any:
    """Return `value` with every text safe to print, and on one line unless it may have several."""
    if isinstance(value, str):
        lines = value.split("\n") if name in SEVERAL_LINES else [value]
        return "\n".join(shown(line) for line in lines)
    if isinstance(value, Mapping):
        return {key: _safe(inner, key) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_safe(item, name) for item in value]
    return value
