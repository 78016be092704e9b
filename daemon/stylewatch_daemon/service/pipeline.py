"""All steps of a job from inbox to outbox; each method does one step and returns soon."""

import random
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from stylewatch_daemon.errors import QuarantinedError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.executors.base import Executor
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.files.transfers import Transfers
from stylewatch_daemon.ingest.ingest import STRETCH, Ingest
from stylewatch_daemon.ingest.inspection.client import InspectionClient
from stylewatch_daemon.outbox.retention import Expiry
from stylewatch_daemon.processes.wakeup import Wakeup
from stylewatch_daemon.queue.dispatcher import Dispatcher
from stylewatch_daemon.queue.job_actions import JobActions
from stylewatch_daemon.queue.job_queue import JobQueue
from stylewatch_daemon.queue.states import Outcome, OutcomeKind, Result
from stylewatch_daemon.service.status_updates import Snapshot, StatusUpdates
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.store.journal import Journal
from stylewatch_daemon.store.requests import Act, Control
from stylewatch_daemon.store.state_dir import State

STATUS_EVERY = 5.0
"""Seconds between two updates of `_status.txt` while jobs make progress."""

NEWS_EVERY = 0.5
"""Seconds between two updates of `_status.txt` while pairs are claimed and jobs start and end."""

MAX_OUTCOMES = 1000
"""How many outcomes of each kind are kept: a daemon may run for years."""

CLOCK = time.monotonic


class Pipeline:
    """Steps of all jobs by `settings`, with the jobs that are in the state folder already."""

    def __init__(
        self,
        settings: ServiceSettings,
        state: State,
        executor: Executor,
        reporter: Reporter,
        wakeup: Wakeup,
        inspector: InspectionClient,
        metrics: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self.state, self.reporter, self._wakeup = state, reporter, wakeup
        self._transfers = Transfers(wakeup.wake)
        self.dispatcher = Dispatcher(
            *(settings, state, executor, reporter),
            stopping=lambda: wakeup.stopping,
            transfers=self._transfers,
        )
        self.ingest = Ingest(settings, state, inspector, reporter, CLOCK, self._transfers)
        self.ingest.recover()  # before the queue is read
        self.status = StatusUpdates(state, reporter, CLOCK, metrics)
        self.outcomes: dict[str, Outcome] = {}
        """Outcomes of jobs, by id."""
        self.ended = 0
        """How many outcomes there were, of all jobs."""
        self._actions = actions = JobActions(
            *(state, reporter, lambda: self._settings, lambda: self.dispatcher.active_jobs),
            *(self._cancel, self.update_status, self._transfers),
        )
        acts: dict[str, Act] = {
            "cancel": actions.cancel,
            "cancel_incomplete": self._cancel_incomplete,
            "finish": actions.finish,
            "dismiss": actions.dismiss,
            "retry": actions.retry,
            "delete": actions.delete,
            "submitted": self._submitted,
        }
        self.control = Control(state.root, reporter, acts)
        self._expiry = Expiry(lambda: state.ledger, CLOCK, state.thumbs)
        self._has_news = False
        self._inspection_trouble: Mapping[str, str] = {}
        self._apply_settings(settings)

    def apply_settings(self, settings: ServiceSettings) -> None:
        """Continue with other `settings`, from the next job on."""
        self.ingest.apply_settings(settings)
        self._apply_settings(settings)

    def _apply_settings(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self.queue = JobQueue(
            self.state,
            {str(inbox.path): inbox.weight for inbox in settings.inboxes},
            CLOCK,
            random.random,
            self.dispatcher.active_jobs,
            settings.limits.attempts,
        )
        self.dispatcher.apply_settings(settings)
        self.status.apply_settings(settings)

    # From inbox to queue

    def _submitted(self, inbox: str, name: str) -> None:
        self.ingest.submitted(inbox, name)
        self._wakeup.request_scan()

    def scan(self) -> None:
        """Scan the inboxes once."""
        self.ingest.scan()
        self.reporter.scanned(self.ingest.scan_seconds)
        self._expiry.go(self._settings.retention)

    def enter(self) -> None:
        """Enter in the ledger the complete pairs of the last scan, and begin to claim them."""
        self.ingest.enter()
        self.claim()
        self.update_status()

    def claim(self) -> bool:
        """Queue inspected jobs and claim pairs; return whether there is more to do now."""
        queued = self._queue_inspected()
        claimed = self.ingest.claim()
        queued = self._queue_inspected() or queued
        self._has_news |= bool(claimed) or queued
        return queued or self.ingest.has_more

    def _queue_inspected(self) -> bool:
        """Apply the verdicts of inspection; return whether there were any."""
        job_ids = self.ingest.apply_verdicts()
        if (trouble := self.ingest.trouble) != self._inspection_trouble:
            self._inspection_trouble, self._has_news = trouble, True
            for what, reason in trouble.items():
                self.reporter.paused(what, reason)
        for job_id in job_ids:
            self.queue.entered(job_id)
            if self.state.ledger.wish(job_id) == "cancel":  # asked for during inspection
                with suppress(QuarantinedError, OSError):  # else it ends once it is begun
                    self._cancel(self.state.load(job_id))
        if job_ids:
            self._start_decided()
        return bool(job_ids)

    # From queue to worker

    @property
    def busy(self) -> bool:
        """True if any job is running or being finished."""
        return self.dispatcher.busy

    def next_job(self, retry: bool = True) -> Journal | None:
        """Return the job whose turn it is; with `retry` also one that had to wait, after a time."""
        self.queue.refresh()
        return None if self.control.holds else self.queue.next(retry)

    def start_jobs(self, retry: bool = True) -> bool:
        """Start jobs on free workers for STRETCH seconds; return whether there may be more.

        With `retry` also those that had to wait, after a time.
        """
        until = CLOCK() + STRETCH
        if retry:  # even without a free worker: `soonest` gives the time of the next check
            self.queue.check_probes()
        self._start_decided(retry)
        while self.dispatcher.free > 0 and CLOCK() < until:
            batches = self._next_batches(retry, until)
            if not batches:
                return False
            self._has_news = True
            self._handle_results(self.dispatcher.begin(batches))
        return CLOCK() >= until

    def _next_batches(self, retry: bool, until: float) -> list[list[Journal]]:
        """Return the next jobs, in batches that run at once, for as many workers as are free."""
        batches: list[list[Journal]] = []
        job, workers = self.next_job(retry), self.dispatcher.free
        while job is not None:
            self.queue.begun(job)
            batches.append([job, *self._batch_with(job, workers - len(batches), retry)])
            has_time = len(batches) < workers and CLOCK() < until
            job = self.queue.next(retry) if has_time else None
        # A job that must run alone waits until no other is running or about to be queued.
        if not (batches or self.busy or self.control.holds) and self.ingest.is_quiet:
            job = self.queue.next_alone(retry)
            if job is not None:
                self.queue.begun(job)
                batches.append([job])
        return batches

    def _batch_with(self, job: Journal, workers: int, retry: bool) -> list[Journal]:
        """Return the jobs to run at once with `job`.

        A job that was tried before runs by itself: it may be what its worker died of.
        """
        is_alone = job.state != "queued" or job.attempts
        size = 1 if is_alone else self.dispatcher.batch_sizes.most(job.shape)
        return [] if size == 1 else self.queue.companions(job, size - 1, workers, retry)

    def _start_decided(self, retry: bool = True) -> None:
        """Have jobs finished that need no worker, as refused ones."""
        if jobs := self.queue.decided(retry):
            self._handle_results(self.dispatcher.begin([job] for job in jobs))

    def _cancel(self, job: Journal) -> None:
        """Finish a waiting job that was canceled."""
        self._handle_results(self.dispatcher.begin([[job]]))
        self.finish_jobs()
        self.update_status()

    def _cancel_incomplete(self, name: str) -> None:
        """Finish the incomplete pairs of that name as canceled jobs; raises InProgressError.

        A pair that is complete by now is canceled as a job.
        """
        if not self.ingest.cancel(name):
            if job := self.state.ledger.latest_open(name):
                self._actions.cancel(job.id)
            return
        self.reporter.requested(f"asked to cancel {shown(name)}, which was incomplete")
        self.claim()

    # From worker to outbox

    def handle_worker_events(self) -> None:
        """Pass requests on to the workers, and handle what they report."""
        self.dispatcher.ask()
        self._handle_results(self.dispatcher.handle_events())
        if self.dispatcher.attempts:
            self._has_news |= self.status.is_due(STATUS_EVERY)
            self.publish_status()

    def finish_jobs(self) -> bool:
        """Finish the jobs that workers are done with; return whether there may be more to do now.

        Start other jobs before, so that workers don't wait. A series waits for its last job.
        """
        finished = self.dispatcher.finalize()
        self._handle_results(finished)
        return bool(finished)

    def stop_workers(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Let all workers write a checkpoint and stop, once the daemon was told to stop.

        Copies that are not done are left to the next start. `meanwhile` is called again and again.
        """
        while self.busy:
            meanwhile()
            self.handle_worker_events()
            self.finish_jobs()
            if not self.dispatcher.attempts:
                return
            self._wakeup.wait(NEWS_EVERY)

    def close(self) -> None:
        """End copies, and publish that the daemon stops."""
        self._transfers.close()
        self.update_status(leaving=True)

    def _handle_results(self, results: Iterable[Result]) -> None:
        """Record the outcomes of jobs."""
        for job, outcome in results:
            self._has_news = True
            self.queue.ended(job, outcome)
            self.outcomes.pop(job.id, None)
            if outcome.kind in (OutcomeKind.RETRY, OutcomeKind.DIVIDED):
                continue
            self.outcomes[job.id] = outcome
            self.ended += 1
            alike = [id_ for id_, known in self.outcomes.items() if known.kind == outcome.kind]
            if len(alike) > MAX_OUTCOMES:
                del self.outcomes[alike[0]]

    # Status

    @property
    def not_begun(self) -> tuple[str, ...]:
        """The names of the jobs without an outcome, and of the pairs that do not queue yet."""
        jobs = self.state.ledger.open_jobs()
        waiting = (name for job_id, name in jobs.items() if job_id not in self.outcomes)
        return (*waiting, *self.ingest.not_queued)

    @property
    def summary(self) -> str:
        """Current work of the daemon, in one line."""
        attempts = self.dispatcher.attempts
        first, others = next(iter(attempts.values()), None), len(attempts) - 1
        more = f" and {others} more" if others > 0 else ""
        doing = f"painting {first.title}{more}" if first else "nothing to paint"
        return f"{doing}; {self.state.ledger.counts()['waiting']} waiting"

    def update_status(self, leaving: bool = False) -> None:
        """Update `_status.txt` in every outbox, and `status.json`."""
        self._has_news = False
        self.status.update(self._snapshot(leaving))

    def update_status_if_changed(self, resting: bool) -> None:
        """Update the status where something changed: now and then, or when `resting`."""
        is_idle = resting and not self.busy
        if self._has_news and (is_idle or self.status.is_due(NEWS_EVERY)):
            self.update_status()

    def publish_status(self, at_once: bool = False) -> None:
        """Update `status.json`, now and then or `at_once`."""
        if at_once or self.status.publish_is_due():
            self.status.publish(self._snapshot())

    def _snapshot(self, leaving: bool = False) -> Snapshot:
        running = {
            attempt.job.id: (attempt.job.outbox, attempt.running)
            for attempt in self.dispatcher.attempts.values()
        }
        return Snapshot(
            inboxes=self.ingest.inboxes,
            running=running,
            # A completed step, not the start, shows that what a job waited for is gone.
            outcomes=[
                outcome
                for job_id, outcome in self.outcomes.items()
                if job_id not in running or running[job_id][1].loss is None
            ],
            paused=self.control.paused,
            leaving=leaving,
            trouble=self.ingest.trouble,
        )
