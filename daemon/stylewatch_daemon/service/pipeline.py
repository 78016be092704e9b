"""The whole line from inbox to outbox, a piece at a time: look, take, claim, paint, and say so."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress

from stylewatch_daemon.errors import QuarantinedError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files.transfers import Transfers
from stylewatch_daemon.ingest.ingest import STRETCH, Front
from stylewatch_daemon.ingest.inspection.contract import Looker
from stylewatch_daemon.model import Started
from stylewatch_daemon.outbox.retention import Expiry
from stylewatch_daemon.processes.wakeup import Bell
from stylewatch_daemon.queue.batching import Company
from stylewatch_daemon.queue.dispatcher import Dispatcher, Outcome
from stylewatch_daemon.queue.job_actions import Asked
from stylewatch_daemon.queue.job_queue import Queue
from stylewatch_daemon.queue.retry import Again
from stylewatch_daemon.service.status_updates import Standing, Teller
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.store.control import Control
from stylewatch_daemon.store.journal import Journal
from stylewatch_daemon.store.state import State
from stylewatch_daemon.worker.contract import Executor, Heard

TELL_EVERY = 5.0
"""Seconds between two rewrites of `_status.txt` while steps are made."""

SOON = 0.5
"""Seconds between two rewrites of `_status.txt` while pairs are claimed and jobs come and go."""

REMEMBERED = 1000
"""How many outcomes of each kind are remembered: a daemon may run for years."""


class Line:
    """The line of `settings`, with the jobs that are ours already."""

    def __init__(
        self,
        settings: ServiceSettings,
        state: State,
        executor: Executor,
        reporter: Reporter,
        bell: Bell,
        intake: Looker,
    ) -> None:
        self._clock, self._bell = time.monotonic, bell
        self._state, self._executor, self._reporter = state, executor, reporter
        self.control = Control(state.root, reporter)
        asked = Asked(state, reporter, lambda: self._dispatcher.busy_with, self._cancel, self.tell)
        self.control.acts |= {
            "cancel": asked.cancel, "finish": asked.finish, "dismiss": asked.dismiss
        }  # fmt: skip
        self.control.acts["retry"] = Again(state, reporter, lambda: self._settings).retry
        self.teller = Teller(state, reporter, self._clock)
        self._expiry = Expiry(lambda: state.ledger, self._clock, state.thumbs)
        self.transfers = Transfers(bell.wake)
        self._dispatcher = Dispatcher(
            settings,
            state,
            executor,
            reporter,
            lambda: bell.stopping,
            transfers=self.transfers,
        )
        self.front = Front(settings, state, intake, reporter, self._clock, self.transfers)
        self.front.recover()
        self._begin_with(settings)
        self.outcomes: dict[str, Outcome] = {}
        self.ended = 0
        """How many outcomes there were, of all jobs."""
        self._kinds: Counter[str] = Counter()
        self._news = False
        self._trouble: Mapping[str, str] = {}

    def renew(self, settings: ServiceSettings) -> None:
        """Go on by other `settings`, from the next job on."""
        self.front.renew(settings)
        self._begin_with(settings)

    def _begin_with(self, settings: ServiceSettings) -> None:
        self._settings = settings
        weights = {str(one.path): one.weight for one in settings.inboxes}
        busy = self._dispatcher.busy_with
        self.queue = Queue(
            self._state, weights, self._clock, random.random, busy, settings.limits.attempts
        )
        self._dispatcher.settings = settings
        self._company = Company(settings.executor.batch)
        self.teller.renew(settings)

    def look(self) -> None:
        """Look at the inboxes once."""
        self.front.look()
        self._reporter.looked(self.front.look_took)
        self._expiry.go(self._settings.retention)

    def lost_events(self, times: int) -> None:
        """Tell that events were lost, so often, since this was last told."""
        for _ in range(times):
            self._reporter.events_lost()

    def take(self) -> None:
        """Enter what the last look showed to be complete, and begin to claim it."""
        self.front.enter()
        self.claim()
        self.tell()

    def claim(self) -> bool:
        """Claim what was entered, for a moment; whether there is more to do now.

        Intake is asked about it, and what it has said by now is done.
        """
        heard = self.hear_intake()
        claimed = self.front.claim()
        heard = self.hear_intake() or heard
        self._news |= bool(claimed) or heard
        return heard or self.front.has_more

    def hear_intake(self) -> bool:
        """Do what intake says of what was claimed; whether it said any."""
        heard = self.front.hear()
        if self.front.trouble != self._trouble:
            self._trouble, self._news = self.front.trouble, True
            for what, why in self._trouble.items():
                self._reporter.paused(what, why)
        for job_id in heard:
            self.queue.entered(job_id)
            if self._state.ledger.wish(job_id) == "cancel":  # it could not be ended meanwhile
                with suppress(QuarantinedError):
                    self._cancel(self._state.load(job_id))
        if heard:
            self._end_decided()
        return bool(heard)

    def in_words(self) -> str:
        """What is being done now, in a line."""
        tries = self._dispatcher.tries
        first, others = next(iter(tries.values()), None), len(tries) - 1
        more = f" and {others} more" if others > 0 else ""
        doing = f"painting {first.name}{more}" if first else "nothing to paint"
        return f"{doing}; {self._state.ledger.waiting_count()} waiting"

    def next(self, again: bool = True) -> Journal | None:
        """The job whose turn it is; with `again` also one that had to wait, after a time."""
        self.queue.look_again()
        return None if self.control.holds else self.queue.next(again)

    @property
    def busy(self) -> bool:
        """Whether any job is in hand."""
        return self._dispatcher.busy

    def fill(self, again: bool = True) -> bool:
        """Bring jobs to workers that have nothing to do, for a moment; whether there may be more.

        With `again` also those that had to wait, after a time.
        """
        until = self._clock() + STRETCH
        self._end_decided(again)
        if self._dispatcher.free <= 0:
            return False
        divided = False
        for job, outcome in self._dispatcher.begin(self._chosen(again, until)):
            self._news = True
            self._follow(job, outcome)
            divided |= outcome is not None and outcome.kind == "divided"
        return divided or self._clock() >= until

    def _chosen(self, again: bool, until: float) -> Iterator[list[Journal]]:
        """The jobs whose turn it is, each with its company, while workers have nothing to do."""
        job, begun = self.next(again), False
        while job is not None:
            workers, begun = self._dispatcher.free, True
            self.queue.begun(job)
            yield [job, *self._company_of(job, workers, again)]
            may_go_on = self._dispatcher.free > 0 and self._clock() < until
            job = self.queue.next(again) if may_go_on else None
        if not begun and self._nothing_else_comes and (job := self.queue.last(again)) is not None:
            self.queue.begun(job)
            yield [job]

    @property
    def _nothing_else_comes(self) -> bool:
        """Whether no job is in hand or on its way, and one may be begun that must be alone."""
        return self.front.is_quiet and not (self.busy or self.control.holds)

    def hear(self) -> None:
        """Tell the workers what is wanted of them, and deal with all that they told."""
        self._dispatcher.ask()
        for one in self._dispatcher.hear(self._noted(self._executor.heard())):
            self._follow(*one)
        if self._dispatcher.tries:
            self._news |= self.teller.may_tell(TELL_EVERY)
            self.publish()

    def finish(self) -> bool:
        """Finish what was painted; the workers are best given more to do before.

        Whether there may be more to do now: a series waits for its last job.
        """
        ended = False
        for one in self._dispatcher.close():
            self._follow(*one)
            ended = True
        return ended

    def see_off(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Let all workers keep a checkpoint and stop; for when we are told to leave.

        What is being copied is left to the next start.
        """
        while self.busy:
            meanwhile()
            self.hear()
            self.finish()
            if not self._dispatcher.tries:
                return
            self._bell.wait(SOON)

    def leave(self) -> None:
        """Give up what is being painted, at once, without holding that against it."""
        self._dispatcher.leave()

    def tell_news(self, resting: bool) -> None:
        """Bring `_status.txt` up to date where something changed: now and then, or `resting`."""
        at_rest = resting and not self.busy
        if self._news and (at_rest or self.teller.may_tell(SOON)):
            self.tell()

    def _company_of(self, job: Journal, workers: int, again: bool) -> list[Journal]:
        """The jobs that are best painted at once with `job`.

        One that was tried before may be what its worker died of, and is tried by itself.
        """
        alone = job.state != "queued" or job.attempts
        most = 1 if alone else self._company.most(job.shape)
        return [] if most == 1 else self.queue.along(job, most - 1, workers, again)

    def _noted(self, heard: Iterable[Heard]) -> Iterator[Heard]:
        """What is heard; who can paint several at once is kept in mind."""
        for one in heard:
            if isinstance(one.event, Started) and (tried := self._dispatcher.tries.get(one.ticket)):
                self._company.hear(tried.journal.shape, one.event)
            yield one

    def _follow(self, job: Journal, outcome: Outcome | None) -> None:
        """Draw what follows from the `outcome` of `job`; None: it is being painted."""
        if outcome is None:
            return
        self.queue.ended(job, outcome)
        self._remember(job, outcome)
        self._news = True

    def _end_decided(self, again: bool = True) -> None:
        """Hand on the jobs whose end is decided, to be finished: they wait for no worker."""
        jobs = self.queue.decided(again)
        for job, outcome in self._dispatcher.begin([job] for job in jobs) if jobs else ():
            self._follow(job, outcome)

    def _cancel(self, job: Journal) -> None:
        """Bring a job that waits, and is not wanted any more, to its end."""
        for one in self._dispatcher.begin([[job]]):
            self._follow(*one)
        self.finish()
        self.tell()

    @property
    def set_aside(self) -> Mapping[str, tuple[str, str]]:
        """The jobs that were set aside since the start: name and reason by id."""
        return self._state.quarantined

    def unbegun(self) -> tuple[str, ...]:
        """The jobs that nothing was tried with, or that are to be tried again."""
        jobs = self._state.ledger.open_jobs()
        ours = (name for job_id, name in jobs.items() if job_id not in self.outcomes)
        return (*ours, *self.front.untaken())

    def tell(self, leaving: bool = False) -> None:
        """Bring `_status.txt` up to date in every outbox, and `status.json`."""
        self._news = False
        self.teller.tell(self._standing(leaving))

    def publish(self, at_once: bool = False) -> None:
        """Bring `status.json` up to date, but `at_once` only where that was not just done."""
        if at_once or self.teller.publisher.due():
            self.teller.publish(self._standing())

    def _standing(self, leaving: bool = False) -> Standing:
        tries = self._dispatcher.tries.values()
        return Standing(
            inboxes=self.front.inboxes,
            running={one.journal.id: (one.journal.outbox, one.running) for one in tries},
            outcomes=self.outcomes.values(),
            paused=self.control.paused,
            leaving=leaving,
            trouble=self.front.trouble,
        )

    def _remember(self, job: Journal, outcome: Outcome) -> None:
        if before := self.outcomes.pop(job.id, None):
            self._kinds[before.kind] -= 1
        if outcome.kind in ("again", "divided"):
            return
        self.outcomes[job.id] = outcome
        self.ended += 1
        self._kinds[outcome.kind] += 1
        if self._kinds[outcome.kind] > REMEMBERED:
            oldest = next(key for key, one in self.outcomes.items() if one.kind == outcome.kind)
            self._kinds[self.outcomes.pop(oldest).kind] -= 1
