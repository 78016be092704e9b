"""The whole line from inbox to outbox, a piece at a time: look, take, claim, paint, and say so."""

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from stylewatch_daemon.asked import Asked
from stylewatch_daemon.bell import Bell
from stylewatch_daemon.claim import Claimer
from stylewatch_daemon.control import Control
from stylewatch_daemon.dispatch import Dispatcher, Executor, Outcome
from stylewatch_daemon.execute.contract import Event, Progress
from stylewatch_daemon.inbox import Inbox
from stylewatch_daemon.job import Incomplete
from stylewatch_daemon.job_settings import wishes
from stylewatch_daemon.journal import Journal
from stylewatch_daemon.pace import Pace
from stylewatch_daemon.published import Publisher
from stylewatch_daemon.queue import Queue
from stylewatch_daemon.reporter import Reporter
from stylewatch_daemon.retention import Expiry
from stylewatch_daemon.service_settings import ServiceSettings
from stylewatch_daemon.state import State
from stylewatch_daemon.status import Board, Refusal, Running, Status, together

TELL_EVERY = 5.0
"""Seconds between two rewrites of `_status.txt` while steps are made, or pairs are claimed."""

REFUSALS = 20
"""How many refusals `_status.txt` goes on naming."""

NAMED = 100
"""How many of the jobs that wait `_status.txt` names."""

REMEMBERED = 1000
"""How many outcomes of each kind are remembered: a daemon may run for years."""

CLAIM_FOR = 0.1
"""Seconds for which pairs are claimed at a stretch; they share one sync of the ledger."""


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
        self._clock, self._reporter, self._bell = time.monotonic, reporter, bell
        self._state, self._executor = state, executor
        self._boards: dict[Path, Board] = {}
        self.control = Control(state.root, reporter)
        asked = Asked(state, reporter, lambda: self._job, self._cancel)
        self.control.acts |= {"cancel": asked.cancel, "finish": asked.finish}
        self.publisher = Publisher(state.root, self._clock)
        self._expiry = Expiry(lambda: state.ledger, self._clock)
        self._claimer = Claimer(state, lambda job_file: wishes(self._settings, job_file))
        self._begin_with(settings)
        for what, why in self._claimer.recover().items():
            reporter.paused(what, why)
        self.outcomes: dict[str, Outcome] = {}
        self.settled = True
        self.look_took = 0.0
        """Seconds that the last look took, and what followed from it."""
        self._running: tuple[Path, Running] | None = None
        self._job = ""
        self._looked = self._told = -float("inf")

    def renew(self, settings: ServiceSettings) -> None:
        """Go on by other `settings`, from the next job on."""
        with self._state.ledger.together():
            for inbox in self.inboxes:
                inbox.withdraw()
        self._begin_with(settings)

    def _begin_with(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self.inboxes = [
            Inbox(one, settings, self._claimer, self._reporter, self._clock)
            for one in settings.inboxes
        ]
        weights = {str(one.path): one.weight for one in settings.inboxes}
        self.queue = Queue(self._state, weights, self._clock, random.random)
        self._dispatcher = Dispatcher(
            settings, self._state, self._executor, self._reporter, lambda: self._bell.stopping
        )
        for one in settings.outboxes:
            self._boards.setdefault(one, Board(one, settings.sharing))

    def look(self) -> None:
        """Look at the inboxes once."""
        began = self._clock()
        settled = [inbox.look() for inbox in self.inboxes]
        self.settled = all(settled)
        self._looked = self._clock()
        self._expiry.go(self._settings.retention)
        self.look_took = self._looked - began

    def take(self) -> None:
        """Enter what the last look showed to be complete, and begin to claim it."""
        if self._claimer.has_fresh:
            self.claim()
        if self._claimer.has_fresh:
            return  # what is ours already, and the ledger cannot be told of, may still lie there
        before, began = self.incomplete(), self._clock()
        for inbox in self.inboxes:
            inbox.enter()
        self.look_took += self._clock() - began
        self.claim()
        if self.incomplete() != before:
            self._reporter.incomplete(self.incomplete())
        self.tell()

    def claim(self) -> bool:
        """Claim what was entered, inboxes in turn, for a moment; whether there may be more."""
        until = self._clock() + CLAIM_FOR
        claiming, claimed = [one for one in self.inboxes if one.claimable], 0
        if not claiming and not self._claimer.has_fresh:
            return False
        try:
            with self._state.ledger.together():
                self._claimer.go_on()
                while claiming:
                    claiming = [one for one in claiming if one.claim() is not None]
                    claimed += len(claiming)
                    if self._clock() >= until:
                        break
            self._claimer.told()
        except OSError as error:  # what was claimed is safe, and the ledger is told later
            self._reporter.paused("the ledger", str(error))
            return False
        if claimed and self._clock() - self._told >= TELL_EVERY:
            self.tell()
        return bool(claiming)

    def in_words(self) -> str:
        """What is being done now, in a line."""
        doing = f"painting {self._running[1].job}" if self._running else "nothing to paint"
        return f"{doing}; {self._state.ledger.waiting_count()} waiting"

    def incomplete(self) -> list[Incomplete]:
        """What waits for another half."""
        return [one for inbox in self.inboxes for one in inbox.incomplete]

    def looked_for(self) -> float:
        """Seconds since the last look."""
        return self._clock() - self._looked

    def next(self, again: bool = True) -> Journal | None:
        """The job whose turn it is; with `again` also one that had to wait, after a time."""
        return None if self.control.holds else self.queue.next(again)

    def paint(self, job: Journal, meanwhile: Callable[[], object]) -> None:
        """Bring `job` as far as it goes; `meanwhile` is called after each event of the worker."""
        pace = Pace(job.place or job.name)

        def on_event(name: str, event: Event) -> None:
            self._running = (job.outbox, pace.hear(name, event))
            if isinstance(event, Progress):
                if self._clock() - self._told >= TELL_EVERY:
                    self.tell()
                self.publish()
            meanwhile()

        self._running, self._job = (job.outbox, pace.running), job.id
        self.queue.begun(job)
        self.tell()
        outcome = self._dispatcher.run(job, on_event)
        self._running, self._job = None, ""
        self.queue.ended(job, outcome)
        self._remember(job, outcome)
        self.tell()

    def _cancel(self, job: Journal) -> None:
        """Bring a job that waits, and is not wanted any more, to its end."""
        outcome = self._dispatcher.run(job, lambda name, event: None)
        self.queue.ended(job, outcome)
        self._remember(job, outcome)
        self.tell()

    def unbegun(self) -> tuple[str, ...]:
        """The jobs that nothing was tried with, or that are to be tried again."""
        jobs = self._state.ledger.open_jobs()
        ours = [name for job_id, name in jobs.items() if job_id not in self.outcomes]
        return (*ours, *(name for inbox in self.inboxes for name in inbox.unclaimed()))

    def release(self) -> None:
        """Let the worker go until it is needed."""
        self._executor.close()

    def tell(self, leaving: bool = False) -> None:
        """Bring `_status.txt` up to date in every outbox."""
        self._told = self._clock()
        for outbox, board in self._boards.items():
            board.show(self._status(outbox, leaving), datetime.now(UTC))
        self.publish(leaving, at_once=leaving)

    def publish(self, leaving: bool = False, at_once: bool = False) -> None:
        """Bring `status.json` up to date, but `at_once` only where that was not just done."""
        if at_once or self.publisher.due():
            with suppress(OSError):  # a full disk: nothing depends on it
                status = together(self._status(outbox, leaving) for outbox in self._boards)
                self.publisher.show(status, self._state.ledger.counts())

    def _remember(self, job: Journal, outcome: Outcome) -> None:
        self.outcomes.pop(job.id, None)
        if outcome.kind == "again":
            return
        self.outcomes[job.id] = outcome
        kinds = Counter(one.kind for one in self.outcomes.values())
        if kinds[outcome.kind] > REMEMBERED:
            oldest = next(key for key, one in self.outcomes.items() if one.kind == outcome.kind)
            del self.outcomes[oldest]

    def _status(self, outbox: Path, leaving: bool) -> Status:
        inboxes = [inbox for inbox in self.inboxes if inbox.outbox == outbox]
        running = self._running[1] if self._running and self._running[0] == outbox else None
        last = self.outcomes.values()
        waiting, more = self._waiting(outbox)
        trouble = [item for inbox in inboxes for item in inbox.trouble.items()]
        trouble += [(one.job, one.reason) for one in last if one.kind == "paused"]
        return Status(
            leaving=leaving,
            paused=self.control.paused,
            running=running,
            waiting=waiting,
            more=more,
            incomplete=[one for inbox in inboxes for one in inbox.incomplete],
            trouble=[f"{what}: {why}" for what, why in trouble],
            refused=self._refused(outbox),
        )

    def _waiting(self, outbox: Path) -> tuple[list[str], int]:
        """The names of those that wait, and how many more there are."""
        named, count = self._state.ledger.waiting(str(outbox), NAMED)
        names = [name for job_id, name in named.items() if job_id != self._job]
        return names, count - len(named)

    def _refused(self, outbox: Path) -> list[Refusal]:
        bad = self._state.ledger.latest("refused", "failed", limit=REFUSALS)
        ours = [one for one in reversed(bad) if one.outbox == str(outbox)]
        return [Refusal(one.place or one.name, one.reason) for one in ours]
