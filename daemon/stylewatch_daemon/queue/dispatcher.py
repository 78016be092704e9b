"""Dispatcher: gives jobs to an executor, follows their attempts, and decides what comes next.

All that is decided in a round is written into the ledger in one transaction, and only then does
anything follow from it: folders in the outbox, orders for the executor, finalizing a job. If the
transaction fails, nothing follows, and the jobs wait.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from stylewatch_daemon.errors import InputError, OutputError, QuarantinedError, SettingsError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.executors.base import Executor
from stylewatch_daemon.files import shortages
from stylewatch_daemon.files.transfers import Transfers
from stylewatch_daemon.model import AttemptEnd, JobState, Started
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.queue.attempt import ActiveAttempt
from stylewatch_daemon.queue.finalize import CANCELED, Finalizer
from stylewatch_daemon.queue.job_queue import BatchSizes
from stylewatch_daemon.queue.series import Series
from stylewatch_daemon.queue.states import (
    DECIDED,
    OUR_FAULT,
    Outcome,
    OutcomeKind,
    Result,
    RetryMode,
    crashes,
    quarantined,
    retry_after,
)
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.resolve import SettingsResolver
from stylewatch_daemon.store.journal import Journal
from stylewatch_daemon.store.state_dir import State
from stylewatch_daemon.worker.messages import (
    AttemptEvent,
    AttemptRequest,
    Divided,
    Done,
    End,
    Failed,
    Lost,
    Order,
    Refused,
    Stopped,
)

IN_THE_WAY = (OSError, InputError, SettingsError)
"""Errors by which a job waits or is refused."""


@dataclass
class _Round:
    """The jobs that are begun together, in one transaction."""

    wishes: Mapping[str, str]
    """Requests of people, by the ids of jobs."""
    active: frozenset[str] = frozenset()
    """Jobs that are running or settled already; they are not begun again."""
    batches: list[list[ActiveAttempt]] = field(default_factory=list)
    """Attempts to submit, those of a list to one worker."""
    series: list[ActiveAttempt] = field(default_factory=list)
    probed: set[Path] = field(default_factory=set)
    """Outboxes that can be written."""


@dataclass(repr=False, eq=False)
class Dispatcher:
    """Brings jobs to their ends.

    `attempts` are those with the executor, by ticket. A job whose end is settled is not finalized
    at once: its worker gets the next job first.
    """

    settings: ServiceSettings
    state: State
    executor: Executor
    reporter: Reporter
    stopping: Callable[[], bool] = lambda: False
    transfers: Transfers = field(default_factory=Transfers)

    def __post_init__(self) -> None:
        self.attempts: dict[str, ActiveAttempt] = {}
        self._finalizer = Finalizer(self.state, self.reporter, transfers=self.transfers)
        self._round = _Round({})
        self._noted: dict[str, Journal] = {}
        """The jobs that the open transaction changes, by their ids."""
        self.apply_settings(self.settings)

    def apply_settings(self, settings: ServiceSettings) -> None:
        """Use other settings from the next job on."""
        self.settings, self._resolver = settings, SettingsResolver(settings)
        self.batch_sizes = BatchSizes(settings.executor.batch)
        self._finalizer.sharing = settings.outbox.sharing
        self._finalizer.limits = settings.limits

    @property
    def active_jobs(self) -> frozenset[str]:
        """Ids of the jobs that are running or settled."""
        running = (attempt.job.id for attempt in self.attempts.values())
        return frozenset((*running, *(job.id for job in self._finalizer.settled)))

    @property
    def busy(self) -> bool:
        """True if any job is running or settled."""
        return bool(self.attempts or self._finalizer.settled)

    @property
    def free(self) -> int:
        """Number of idle workers; 0 while a job runs alone."""
        is_alone = any(attempt.alone for attempt in self.attempts.values())
        return 0 if is_alone else self.executor.free()

    def begin(self, batches: Iterable[Sequence[Journal]]) -> list[Result]:
        """Begin jobs, those of a batch in one worker; return the outcomes that there are."""
        begun = self._round = _Round(self.state.ledger.wishes(), self.active_jobs)
        results: list[Result] = []
        # 1. enter the attempts, or the settled ends, in the ledger
        try:
            with self._transaction():
                for batch in batches:
                    self._noted |= {job.id: job for job in batch}
                    results += self._enter(batch)
        except OutputError as error:
            return results + self._roll_back(error)
        # 2. divide series into their jobs
        for series in begun.series:
            results += self._guarded(series, "dividing it", partial(self._divide, series))
        # 3. make the folders in the outbox, and submit the orders
        for attempts in begun.batches:
            results += self._submit(attempts)
        return results

    def handle_events(self) -> list[Result]:
        """Handle the events of the executor; return the outcomes of jobs.

        Jobs that are painted, refused or failed have none yet: they are settled, to be finalized.
        """
        results: list[Result] = []
        try:
            with self._transaction():
                for event in self.executor.events():
                    results += self._handle(event)
        except OutputError as error:
            results += self._roll_back(error)
        return results

    def finalize(self) -> list[Result]:
        """Finalize the settled jobs, receipts and all, and return what became of each."""
        return self._finalizer.finalize()

    def ask(self) -> None:
        """Ask the executor to stop, finish or cancel attempts, where that has changed."""
        wishes = self.state.ledger.wishes()
        if not wishes and not self.stopping():
            return
        for ticket, attempt in self.attempts.items():
            wanted = self._wanted(wishes.get(attempt.job.id, ""))
            if wanted != attempt.wanted:
                attempt.wanted = wanted
                self.executor.ask(ticket, wanted)

    def leave(self) -> None:
        """Enter running attempts as stopped, as the daemon exits: they are no crashes."""
        with suppress(OSError), self.state.ledger.transaction():
            for attempt in self.attempts.values():
                attempt.end(AttemptEnd.STOPPED, JobState.QUEUED)
        self.attempts.clear()

    # -- one transaction of the ledger

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Write all changes within into the ledger at once; raises OutputError."""
        self._noted.clear()
        with self.state.ledger.transaction():
            yield
        self._noted.clear()

    def _roll_back(self, error: OutputError) -> list[Result]:
        """Undo what followed from changes that the ledger did not take; their jobs wait."""
        self.reporter.paused("the ledger", str(error))
        self._finalizer.drop(self._noted)
        for ticket, attempt in self.attempts.items():
            if self._noted.pop(attempt.job.id, None) is not None:
                attempt.given_up = attempt.given_up or error
                self.executor.drop(ticket)
        waiting = list(self._noted.values())
        self._noted.clear()
        return [(job, self._finalizer.pause(job, error)) for job in waiting]

    def _guarded(
        self, attempt: ActiveAttempt, doing: str, step: Callable[[], Outcome | None]
    ) -> list[Result]:
        """Do one step for a job, which returns an outcome or None.

        OSError makes the job wait; an error that nobody foresaw sets the job aside.
        """
        try:
            with self.state.guard(attempt.job.id, doing):
                result = step()
        except OSError as error:
            result = self._finalizer.pause(attempt.job, error)
        except QuarantinedError as error:
            result = quarantined(attempt.job, error)
        return [] if result is None else [(attempt.job, result)]

    # -- beginning jobs

    def _enter(self, batch: Sequence[Journal]) -> list[Result]:
        """Enter the attempts at the jobs of a batch."""
        self._round.batches.append([])
        results: list[Result] = []
        for job in batch:
            attempt = ActiveAttempt(job, self.state, self.reporter, self.settings)
            enter = partial(self._enter_job, attempt, len(batch))
            results += self._guarded(attempt, "beginning it", enter)
        return results

    def _enter_job(self, attempt: ActiveAttempt, together: int) -> None:
        """Enter an attempt in the ledger, or settle the end of its job, unless that is active."""
        job = attempt.job
        if job.id in self._round.active:
            return
        self.state.mount_guard.check(job.outbox)
        if job.state in DECIDED:
            self._finalizer.settled.append(job)
        elif self._round.wishes.get(job.id) == "cancel":
            self._finalizer.settle(job, JobState.REFUSING, CANCELED)
        elif retry_after(job.attempts, self.settings.limits.attempts) is RetryMode.NEVER:
            self._finalizer.give_up(job)
        else:
            self._enter_attempt(attempt, together)

    def _enter_attempt(self, attempt: ActiveAttempt, together: int) -> None:
        """Enter an attempt, to be submitted; or note that its job is a series."""
        job = attempt.job
        try:
            if job.outbox not in self._round.probed:
                Outbox(job.outbox, self.settings.outbox.sharing).probe()
                self._round.probed.add(job.outbox)
            attempt.apply(self._resolver.resolve(self.state.job_file(job)))
            if attempt.settings.sweep and not job.series:
                self._round.series.append(attempt)
                return
            attempt.begin(together)
            self._round.batches[-1].append(attempt)
        except (InputError, SettingsError) as error:
            if (shortage := shortages.shortage(error)) is not None:
                raise shortage from error
            self._finalizer.settle(attempt.job, JobState.REFUSING, str(error))

    def _divide(self, attempt: ActiveAttempt) -> Outcome | None:
        """Make the jobs of a series."""
        try:
            count = Series(self.state, self.settings).begin(attempt)
        except IN_THE_WAY as error:
            return self._obstructed(attempt, error)
        self.reporter.divided(attempt.title, count)
        return Outcome(OutcomeKind.DIVIDED, attempt.title)

    def _submit(self, batch: Sequence[ActiveAttempt]) -> list[Result]:
        """Order the attempts of a batch, and submit them to as few workers as can take them."""
        orders: dict[str, Order] = {}
        attempts: dict[str, ActiveAttempt] = {}
        results: list[Result] = []
        for attempt in batch:
            order = partial(self._order, attempt, orders)
            results += self._guarded(attempt, "ordering it", order)
            attempts[attempt.ticket] = attempt
        for submitted in _by_worker(orders):
            try:
                self.executor.submit(submitted)
                self.attempts |= {ticket: attempts[ticket] for ticket in submitted}
            except OSError as error:
                for attempt in (attempts[ticket] for ticket in submitted):
                    result = self._obstructed(attempt, error)
                    results += [] if result is None else [(attempt.job, result)]
        return results

    def _order(self, attempt: ActiveAttempt, orders: dict[str, Order]) -> Outcome | None:
        try:
            parts = Series(self.state, self.settings).parts(attempt.job, attempt.settings)
            orders[attempt.ticket] = attempt.order(parts)
        except IN_THE_WAY as error:
            return self._obstructed(attempt, error)
        return None

    def _obstructed(
        self, attempt: ActiveAttempt, error: OSError | InputError | SettingsError
    ) -> Outcome | None:
        """Refuse or pause a job whose attempt could not start; the attempt does not count."""
        try:
            error = shortages.shortage(error) or error
            if not isinstance(error, OSError):
                self._finalizer.settle(attempt.job, JobState.REFUSING, str(error))
                return None
            if attempt.job.state == JobState.RUNNING:
                reason = shortages.in_words(error)
                attempt.end(AttemptEnd.PAUSED, JobState.QUEUED, reason)
        except OSError as worse:
            error = worse
        return self._finalizer.pause(attempt.job, error)

    # -- following attempts

    def _handle(self, received: AttemptEvent) -> list[Result]:
        attempt = self.attempts.get(received.ticket)
        if attempt is None:
            return []  # entered as stopped already, as we leave
        results = self._guarded(attempt, "painting it", partial(self._follow, attempt, received))
        if results and self.attempts.pop(received.ticket, None) is not None:
            self.executor.drop(received.ticket)  # by an error: whatever still comes is ignored
        return results

    def _follow(self, attempt: ActiveAttempt, received: AttemptEvent) -> Outcome | None:
        """Handle an event; returns the job's outcome, once it has one."""
        event = received.event
        if isinstance(event, Started):
            self.batch_sizes.learn(attempt.job.shape, event)
        if isinstance(event, Started | End):
            self._noted[attempt.job.id] = attempt.job
        try:
            end = attempt.handle(event)
        except OSError as error:
            attempt.given_up = attempt.given_up or error
            self.executor.drop(received.ticket)
            end = event if isinstance(event, End) else None
        if end is None:
            return None
        del self.attempts[received.ticket]
        try:
            return self._ended(attempt, end)
        except OSError as error:  # the attempt stays recorded as cut off, which is bearable
            return self._finalizer.pause(attempt.job, error)

    def _ended(self, attempt: ActiveAttempt, end: End) -> Outcome | None:
        """Write down how an attempt ended, and what that makes of its job."""
        job = attempt.job
        if attempt.given_up is not None:
            reason = shortages.in_words(attempt.given_up)
            attempt.end(AttemptEnd.PAUSED, JobState.QUEUED, reason)
            return self._finalizer.pause(job, attempt.given_up)
        if isinstance(end, Done):
            self._complete(attempt, end)
        elif self._finalizer.is_canceled(job):
            attempt.end(AttemptEnd.CANCELED, JobState.REFUSING, CANCELED)
        elif isinstance(end, Refused):
            attempt.end(AttemptEnd.REFUSED, JobState.REFUSING, end.reason)
        elif isinstance(end, Stopped | Divided) or self.stopping():
            attempt.end(AttemptEnd.STOPPED, JobState.QUEUED)
            step = end.step if isinstance(end, Stopped) else 0
            self.reporter.stopped(job.title, step, attempt.running.unit)
            return Outcome(OutcomeKind.STOPPED, job.title)
        elif isinstance(end, Failed) and end.exit_code != OUR_FAULT:
            attempt.end(AttemptEnd.PAUSED, JobState.QUEUED, end.reason)
            self.reporter.paused(job.title, end.reason)
            return Outcome(OutcomeKind.PAUSED, job.title, end.reason, end.exit_code)
        else:
            return self._retry_after_crash(attempt, end)
        self._finalizer.settled.append(attempt.job)
        return None

    def _complete(self, attempt: ActiveAttempt, end: Done) -> None:
        """Settle that the job ends well, and enter the checksums that its receipt has."""
        how = AttemptEnd(end.receipt.get("state", AttemptEnd.DONE))
        attempt.end(how, JobState.ENDING)
        digests = {
            entry["name"]: entry["sha256"]
            for entry in end.receipt.get("inputs", ())
            if "sha256" in entry
        }
        if digests.items() <= attempt.job.digests.items():
            return  # as mostly: the inspection saw the same
        if (entry := self.state.ledger.find(attempt.job.id)) is not None:
            inputs = [
                {**record, "sha256": digests[record["name"]]}
                if record["name"] in digests
                else record
                for record in entry.inputs
            ]
            self.state.ledger.change(attempt.job.id, inputs=inputs)

    def _retry_after_crash(self, attempt: ActiveAttempt, end: Failed | Lost) -> Outcome | None:
        """Try a job again whose worker died or met a bug; give it up after `limits.attempts`."""
        attempt.end(AttemptEnd.FAILED, JobState.QUEUED, end.reason)
        trace = end.trace if isinstance(end, Failed) else ""
        self.reporter.failed(attempt.title, end.reason, trace, for_good=False)
        if crashes(attempt.job.attempts) < self.settings.limits.attempts:
            return Outcome(OutcomeKind.RETRY, attempt.title, end.reason, OUR_FAULT)
        self._finalizer.give_up(attempt.job)
        return None

    def _wanted(self, wish: str) -> AttemptRequest:
        """Return the request to an attempt for what people asked; leaving outranks finishing."""
        if wish == "cancel":
            return AttemptRequest.CANCEL
        if self.stopping():
            return AttemptRequest.STOP
        return AttemptRequest.FINISH if wish == "finish" else AttemptRequest.GO_ON


def _by_worker(orders: Mapping[str, Order]) -> Iterable[Mapping[str, Order]]:
    """Split `orders` into those that one worker can take: by the backend and device they name."""
    by_worker: dict[tuple[str, str | None], dict[str, Order]] = {}
    for ticket, order in orders.items():
        where = (order.settings.backend, order.settings.device)
        by_worker.setdefault(where, {})[ticket] = order
    return by_worker.values()
