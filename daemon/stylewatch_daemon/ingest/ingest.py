"""From inbox to queue: scan inboxes, enter and claim pairs, have their pictures inspected."""

from collections.abc import Callable, Mapping
from pathlib import Path

from stylewatch_daemon.errors import InputError, QuarantinedError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files.identity import Identity
from stylewatch_daemon.files.transfers import Transfers
from stylewatch_daemon.ingest.claim import Claimer
from stylewatch_daemon.ingest.inbox import Inbox
from stylewatch_daemon.ingest.inspection.contract import Inspector
from stylewatch_daemon.ingest.inspection_queue import InspectionQueue
from stylewatch_daemon.model import Incomplete
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.resolve import Settler, queue_entry
from stylewatch_daemon.store.journal import File, Journal
from stylewatch_daemon.store.state import State

STRETCH = 0.1
"""Seconds for which pairs are claimed, or jobs started, before other work gets its turn."""

QUIET_AFTER = 60.0
"""Seconds after the start from which files that change keep no job from being run."""


class Ingest:
    """Brings pairs into `state` by `settings`; `clock` is monotonic, in seconds.

    Call `recover` once, then `scan` and `enter` when something may have changed, and `claim` and
    `apply_verdicts` as long as there is more to do.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        state: State,
        inspector: Inspector,
        reporter: Reporter,
        clock: Callable[[], float],
        transfers: Transfers | None = None,
    ) -> None:
        self._state, self._reporter, self._clock = state, reporter, clock
        self._claimer = Claimer(
            state, lambda job_file, sizes: queue_entry(self._settings, job_file, sizes), transfers
        )
        self._inspection = InspectionQueue(
            state,
            self._claimer,
            inspector,
            reporter,
            self._await_rest,
            self._check_settings,
        )
        self.inboxes: list[Inbox] = []
        self.settled = True
        self._started = clock()
        self.scan_seconds = 0.0
        """Seconds that the last scan took, with entering its pairs."""
        self._scanned = -float("inf")
        self.apply_settings(settings)

    def apply_settings(self, settings: ServiceSettings) -> None:
        """Continue with other `settings`."""
        self._settings, self._settler = settings, Settler(settings)
        self._state.ledger.withdraw_all_but(str(inbox.path) for inbox in settings.inboxes)
        self.inboxes = [
            Inbox(inbox, settings, self._state, self._claimer, self._reporter, self._clock)
            for inbox in settings.inboxes
        ]

    def recover(self) -> None:
        """Continue the claims and inspections that were interrupted."""
        for name, reason in self._claimer.recover().items():
            self._reporter.paused(name, reason)
        for job in self._claimer.claimed.values():
            self._inspection.add(job)

    def scan(self) -> None:
        """Scan the inboxes once."""
        began = self._clock()
        settled = [inbox.scan() for inbox in self.inboxes]
        self.settled = all(settled)
        self._scanned = self._clock()
        self.scan_seconds = self._scanned - began

    def enter(self) -> None:
        """Enter in the ledger the complete pairs of the last scan, to be claimed."""
        self._inspection.retry_deferred()
        before, began = self.incomplete, self._clock()
        for inbox in self.inboxes:
            inbox.enter()
        self.scan_seconds += self._clock() - began
        if self.incomplete != before:
            self._reporter.incomplete(self.incomplete)

    def claim(self) -> int:
        """Claim entered pairs for STRETCH seconds, inboxes in turn; return how many."""
        until, claimed = self._clock() + STRETCH, self._finish_copies()
        while (claimable := self._claimable()) and self._clock() < until:
            for inbox in claimable:
                claimed += self._claim_next(inbox)
                self.settled = self.settled and not inbox.truncated.any_awaited
            self._inspection.ask(self._settings.limits.max_pixels)
        return claimed

    def apply_verdicts(self) -> list[str]:
        """Queue, refuse or give back inspected jobs, and ask about more; return the jobs' ids."""
        jobs: list[str] = []
        try:
            jobs = self._inspection.apply()
        except OSError as error:  # the claims are safe, and the ledger is written later
            self._reporter.paused("the ledger", str(error))
        self._inspection.ask(self._settings.limits.max_pixels)
        return jobs

    def _claim_next(self, inbox: Inbox) -> bool:
        """Claim the first pending pair of `inbox` that can be claimed; return whether one was."""
        while (ready := inbox.next_pair()) is not None:
            pair, job_id = ready
            job: Journal | None = None
            try:
                with self._state.guard(job_id, "taking it"):
                    try:
                        job = self._claimer.claim(pair, inbox.entered_files, inbox.own, job_id)
                    except InputError as error:  # it has changed: the next scan shows how
                        inbox.not_claimed(pair, error)
            except QuarantinedError:
                self._claimer.exclude_pair(pair, inbox.entered_files)
            except OSError as error:
                inbox.not_claimed(pair, error)
            if job or job_id in self._state.quarantined or self._state.has(job_id):
                inbox.claimed(pair, job)
            if job is not None:
                self._inspection.add(job, final=inbox.truncated.gave_up(pair.files))
                return True
        return False

    def _check_settings(self, job_file: Path | None) -> None:
        """Raise SettingsError for a mistake in the settings of a job."""
        self._settler.settle(job_file)

    def _finish_copies(self) -> int:
        """Finish the claims whose files are copied by now; return how many."""
        claimed = 0
        for job, error in self._claimer.finish_copies():
            if error is None:
                sources = [file.source for file in job.files]
                inboxes = [inbox for inbox in self.inboxes if inbox.path == job.inbox]
                final = any(inbox.truncated.gave_up(sources) for inbox in inboxes)
                self._reporter.taken(job.name)
                self._inspection.add(job, final=final)
                claimed += 1
            elif isinstance(error, OSError):
                self._reporter.paused(job.name, str(error))
        return claimed

    def _claimable(self) -> list[Inbox]:
        return [
            inbox
            for inbox in self.inboxes
            if inbox.has_pending and self._inspection.has_room(inbox.path)
        ]

    def _await_rest(self, job: Journal, file: File) -> None:
        """Wait for the rest of a `file` of a job that was given back."""
        self.settled = False  # so that the next scan is soon
        for inbox in self.inboxes:
            if inbox.path == job.inbox:
                inbox.truncated.add(file.source, file.look)

    @property
    def folders(self) -> Mapping[Path, Mapping[Path, Identity]]:
        """The folders below each inbox, by the last scan."""
        return {inbox.path: inbox.folders for inbox in self.inboxes}

    @property
    def since_scan(self) -> float:
        """Seconds since the last scan."""
        return self._clock() - self._scanned

    @property
    def has_more(self) -> bool:
        """True if more could be claimed now."""
        return bool(self._claimable())

    @property
    def is_inspecting(self) -> bool:
        """True if a verdict is pending, or files are being copied."""
        return self._inspection.is_waiting or bool(self._claimer.copying)

    @property
    def is_quiet(self) -> bool:
        """True if no job is about to be queued, as far as scans show.

        Files that still change QUIET_AFTER seconds after the start are not waited for.
        """
        has_scanned = self._scanned > -float("inf")
        settled = self.settled or self._clock() - self._started >= QUIET_AFTER
        return has_scanned and settled and not (self.is_inspecting or self.has_more)

    @property
    def is_final(self) -> bool:
        """True if no file of the last scan is still changing."""
        return self.settled and not any(waiting.changing for waiting in self.incomplete)

    @property
    def awaits_rest(self) -> bool:
        """True if a file is truncated and may still grow."""
        return any(inbox.truncated.any_awaited for inbox in self.inboxes)

    @property
    def trouble(self) -> Mapping[str, str]:
        """Why pictures cannot be inspected now."""
        reason = self._inspection.trouble
        return {"inspection of pictures": reason} if reason else {}

    @property
    def incomplete(self) -> list[Incomplete]:
        """The incomplete pairs of all inboxes."""
        return [waiting for inbox in self.inboxes for waiting in inbox.incomplete]

    @property
    def not_queued(self) -> tuple[str, ...]:
        """The names of the pairs that are complete, and do not queue yet."""
        claimed = (job.name for job in self._claimer.jobs)
        return (*claimed, *(name for inbox in self.inboxes for name in inbox.pending))
