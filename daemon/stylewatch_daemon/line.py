"""The whole line from inbox to outbox, one round at a time: look, take, paint, and say so."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from stylewatch_daemon import journal as journals
from stylewatch_daemon.bell import Bell
from stylewatch_daemon.claim import Claimer
from stylewatch_daemon.dispatch import Dispatcher, Executor, Outcome
from stylewatch_daemon.execute.contract import Event, Progress
from stylewatch_daemon.inbox import Inbox
from stylewatch_daemon.job import Incomplete
from stylewatch_daemon.journal import Journal
from stylewatch_daemon.reporter import Reporter
from stylewatch_daemon.service_settings import ServiceSettings
from stylewatch_daemon.state import State
from stylewatch_daemon.status import Board, Running, Status

TELL_EVERY = 5.0
"""Seconds between two rewrites of `_status.txt` while steps are made."""

REFUSALS = 20
"""How many refusals `_status.txt` goes on naming."""


class Line:
    """The line of `settings`, with the jobs that are ours already."""

    def __init__(
        self,
        settings: ServiceSettings,
        state: State,
        executor: Executor,
        reporter: Reporter,
        bell: Bell,
    ) -> None:
        claimer = Claimer(state)
        for what, why in claimer.recover().items():
            reporter.paused(what, why)
        self._clock, self._reporter = time.monotonic, reporter
        self.inboxes = [
            Inbox(one, settings, claimer, reporter, self._clock) for one in settings.inboxes
        ]
        self.outcomes: dict[str, Outcome] = {}
        self.settled = True
        self._dispatcher = Dispatcher(settings, state, executor, reporter, lambda: bell.stopping)
        self._settings, self._state = settings, state
        self._executor = executor
        self._queue = {job.id: job for job in state.waiting()}
        self._paused: dict[str, float] = {}
        self._running: tuple[Path, Running] | None = None
        self._job = ""
        self._boards = {one.outbox: Board(one.outbox) for one in settings.inboxes}
        self._looked = self._told = -float("inf")

    def look(self) -> None:
        """Look at the inboxes once."""
        settled = [inbox.look() for inbox in self.inboxes]
        self.settled = all(settled)
        self._looked = self._clock()

    def take(self) -> None:
        """Take what the last look showed to be complete."""
        before = self.incomplete()
        for inbox in self.inboxes:
            self._queue.update((job.id, job) for job in inbox.take())
        if self.incomplete() != before:
            self._reporter.incomplete(self.incomplete())
        self.tell()

    def incomplete(self) -> list[Incomplete]:
        """What waits for another half."""
        return [one for inbox in self.inboxes for one in inbox.incomplete]

    def looked_for(self) -> float:
        """Seconds since the last look."""
        return self._clock() - self._looked

    def next(self, again: bool = True) -> Journal | None:
        """The job whose turn it is; with `again` also one that had to wait, after a time."""
        now = self._clock()
        latest = now if again else -float("inf")
        free = (job for id_, job in self._queue.items() if self._paused.get(id_, latest) <= latest)
        return next(free, None)

    def paint(self, job: Journal, meanwhile: Callable[[], None]) -> None:
        """Bring `job` as far as it goes; `meanwhile` is called after each event of the worker."""

        def on_event(name: str, event: Event) -> None:
            if isinstance(event, Progress):
                self._running = (job.outbox, Running(name, event.step, event.steps, event.loss))
                if self._clock() - self._told >= TELL_EVERY:
                    self.tell()
            meanwhile()

        self._running, self._job = (job.outbox, Running(job.place or job.name)), job.id
        self.tell()
        outcome = self._dispatcher.run(job, on_event)
        self._running, self._job = None, ""
        self.outcomes[job.id] = outcome
        if outcome.kind in ("paused", "stopped"):
            self._queue[job.id] = journals.load(self._state.jobs / job.id)
            self._paused[job.id] = self._clock() + self._settings.rescan_s
        else:
            del self._queue[job.id]
        self.tell()

    def unbegun(self) -> tuple[str, ...]:
        """The jobs that are ours, and that nothing was tried with."""
        return tuple(job.name for id_, job in self._queue.items() if id_ not in self._paused)

    def release(self) -> None:
        """Let the worker go until it is needed."""
        self._executor.close()

    def tell(self, leaving: bool = False) -> None:
        """Bring `_status.txt` up to date in every outbox."""
        self._told = self._clock()
        for outbox, board in self._boards.items():
            board.show(self._status(outbox, leaving), datetime.now(UTC))

    def _status(self, outbox: Path, leaving: bool) -> Status:
        inboxes = [inbox for inbox in self.inboxes if inbox.outbox == outbox]
        jobs = [job for job in self._queue.values() if job.outbox == outbox]
        running = self._running[1] if self._running and self._running[0] == outbox else None
        last = self.outcomes.values()
        trouble = [item for inbox in inboxes for item in inbox.trouble.items()]
        trouble += [(one.job, one.reason) for one in last if one.kind == "paused"]
        return Status(
            leaving=leaving,
            running=running,
            waiting=[job.place or job.name for job in jobs if job.id != self._job],
            incomplete=[one for inbox in inboxes for one in inbox.incomplete],
            trouble=[f"{what}: {why}" for what, why in trouble],
            refused=[f"{one.job}: {one.reason}" for one in last
                     if one.kind in ("refused", "failed")][-REFUSALS:],
        )  # fmt: skip
