"""Keep the published status up to date: `_status.txt` in outboxes, and `status.json`."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files import flat_layout
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.ingest.inbox import Inbox
from stylewatch_daemon.ingest.watcher import POLL_S
from stylewatch_daemon.outbox.status_json import SHARE, StatusJsonWriter
from stylewatch_daemon.outbox.status_txt import (
    Refusal,
    Running,
    Status,
    StatusTextWriter,
    merge_statuses,
)
from stylewatch_daemon.queue.states import Outcome, OutcomeKind
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.store.state_dir import State

MAX_REFUSALS = 20
"""How many refusals `_status.txt` names."""

MAX_WAITING = 100
"""How many of the waiting jobs `_status.txt` names."""


@dataclass(frozen=True)
class Snapshot:
    """State of the pipeline; `running` has, by the job's id, its outbox and its progress."""

    inboxes: Sequence[Inbox]
    running: Mapping[str, tuple[Path, Running]]
    outcomes: Collection[Outcome]
    paused: bool
    leaving: bool = False
    trouble: Mapping[str, str] = field(default_factory=dict)
    """Other things that wait for something outside the daemon, with the reason."""


class StatusUpdates:
    """Writes the status; `clock` is monotonic, in seconds, `metrics` returns what was counted."""

    def __init__(
        self,
        state: State,
        reporter: Reporter,
        clock: Callable[[], float],
        metrics: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self._json_writer = StatusJsonWriter(state.root, clock, metrics)
        self._state, self._reporter, self._clock = state, reporter, clock
        self._blocked: dict[str, str] = {}
        self._text_writers: dict[Path, StatusTextWriter] = {}
        self._polled: Mapping[Path, str] = {}
        self._observer: bool | None = None
        self._updated = -float("inf")
        self._took = self._publishing_took = 0.0
        """Seconds that the last `update`, and the last `update` or `publish`, took."""

    def apply_settings(self, settings: ServiceSettings) -> None:
        """Write to all outboxes of `settings`, and still to those of earlier settings."""
        for outbox in settings.outboxes:
            self._text_writers[outbox] = StatusTextWriter(outbox, settings.outbox.sharing)

    def note_file_events(self, working: bool, polled: Mapping[Path, str]) -> None:
        """Note whether file events come in, and the inboxes where they fail with the reason."""
        self._observer = working and not polled
        self._polled = {
            inbox: f"{shown(inbox)} brings no file events ({reason}); "
            f"it is scanned every {POLL_S:g} s instead"
            for inbox, reason in polled.items()
        }

    def is_due(self, after: float) -> bool:
        """Return whether the last `update` was `after` seconds ago, or longer where it is slow."""
        return self._clock() - self._updated >= max(after, SHARE * self._took)

    def publish_is_due(self) -> bool:
        """Return whether `status.json` may be written again."""
        return self._json_writer.due(self._publishing_took)

    def update(self, now: Snapshot) -> None:
        """Update `_status.txt` in every outbox, and `status.json`."""
        self._updated = self._clock()
        if (blocked := dict(_trouble(now, now.inboxes))) != self._blocked:
            self._blocked = blocked
            self._reporter.blocked(blocked)
        with suppress(OSError):  # a full disk: nothing depends on the status
            statuses = self._statuses(now)
            for outbox, status in statuses.items():
                with suppress(OSError):  # one missing disk does not affect other outboxes
                    self._state.mount_guard.check(outbox)
                    self._text_writers[outbox].show(status, datetime.now(UTC))
            self._publish(now, statuses.values())
        self._took = self._publishing_took = self._clock() - self._updated

    def publish(self, now: Snapshot) -> None:
        """Update `status.json`."""
        began = self._clock()
        with suppress(OSError):
            self._publish(now, self._statuses(now).values())
        self._publishing_took = self._clock() - began

    def _publish(self, now: Snapshot, statuses: Iterable[Status]) -> None:
        inboxes = [(inbox.path, inbox.outbox) for inbox in now.inboxes]
        counts = self._state.ledger.counts()
        self._json_writer.show(merge_statuses(statuses), counts, self._observer, inboxes)

    def _statuses(self, now: Snapshot) -> dict[Path, Status]:
        """Return the status for each outbox."""
        running: dict[Path, list[Running]] = {}
        for outbox, progress in now.running.values():
            running.setdefault(outbox, []).append(progress)
        set_aside = len(self._state.set_aside())
        return {
            outbox: self._status(now, outbox, running.get(outbox, []), set_aside)
            for outbox in self._text_writers
        }

    def _status(
        self, now: Snapshot, outbox: Path, running: Sequence[Running], set_aside: int
    ) -> Status:
        inboxes = [inbox for inbox in now.inboxes if inbox.outbox == outbox]
        jobs, count = self._state.ledger.waiting(str(outbox), MAX_WAITING)
        refused = self._state.ledger.undismissed(MAX_REFUSALS, str(outbox))
        return Status(
            leaving=now.leaving,
            paused=now.paused,
            running=running,
            waiting=[name for job_id, name in jobs.items() if job_id not in now.running],
            more=count - len(jobs),
            incomplete=[waiting for inbox in inboxes for waiting in inbox.incomplete],
            trouble=[f"{what}: {reason}" for what, reason in _trouble(now, inboxes)],
            refused=[
                Refusal(flat_layout.called(job.title), job.reason) for job in reversed(refused)
            ],
            notes=[
                *(note for inbox in inboxes for note in inbox.notes),
                *(self._polled[inbox.path] for inbox in inboxes if inbox.path in self._polled),
            ],
            set_aside=set_aside,
        )


def _trouble(now: Snapshot, inboxes: Iterable[Inbox]) -> list[tuple[str, str]]:
    """Return what waits for something outside the daemon, and why."""
    return [
        *(item for inbox in inboxes for item in inbox.trouble.items()),
        *now.trouble.items(),
        *((job.job, job.reason) for job in now.outcomes if job.kind is OutcomeKind.PAUSED),
    ]
