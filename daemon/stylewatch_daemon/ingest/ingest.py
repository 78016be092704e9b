"""From inbox to queue: scan inboxes, enter and claim pairs, have their pictures inspected.

Inboxes take turns, and few jobs are inspected at a time: a single picture need not wait for the
five hundred that came before it into another inbox.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path

from stylewatch_daemon.errors import InputError, OutputError, QuarantinedError, SettingsError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files.identity import Identity
from stylewatch_daemon.files.transfers import Transfers
from stylewatch_daemon.ingest.claim import Claimer
from stylewatch_daemon.ingest.inbox import Inbox
from stylewatch_daemon.ingest.inspection.client import InspectionClient
from stylewatch_daemon.ingest.inspection.messages import CutOff, Fine, Question, Refused, Verdict
from stylewatch_daemon.model import Incomplete, Pair
from stylewatch_daemon.queue.finalize import CANCELED, changed_after_copy
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.resolve import SettingsResolver
from stylewatch_daemon.store.journal import File, Journal
from stylewatch_daemon.store.state_dir import State

STRETCH = 0.1
"""Seconds for which pairs are claimed, or jobs started, before other work gets its turn."""

QUIET_AFTER = 60.0
"""Seconds after the start from which a job that runs alone ignores files that still change."""

AHEAD = 16
"""How many questions are asked at a time: enough that their verdicts share a sync of the ledger. It
is also the number of jobs of an inbox whose files are copied at a time."""


class Ingest:
    """Brings pairs into `state` by `settings`; `clock` is monotonic, in seconds.

    Call `recover` once, then `scan` and `enter` when something may have changed, and `claim` and
    `apply_verdicts` as long as there is more to do.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        state: State,
        inspector: InspectionClient,
        reporter: Reporter,
        clock: Callable[[], float],
        transfers: Transfers | None = None,
    ) -> None:
        self._state, self._inspector = state, inspector
        self._reporter, self._clock = reporter, clock
        self._claimer = Claimer(state, lambda: self._settings, transfers)
        self._copied: dict[str, Pair] = {}
        """The pairs whose files are being copied, by the ids of their jobs."""
        self.inboxes: list[Inbox] = []
        self.settled = True
        self._started = clock()
        self.scan_seconds = 0.0
        """Seconds that the last scan took, with entering its pairs."""
        self._scanned = -float("inf")
        self._waiting: dict[Path, deque[str]] = {}
        """The ids of jobs that are not asked about yet, by inbox; the next inbox comes first."""
        self._asked: set[str] = set()
        self._final: set[str] = set()
        """Jobs whose files are waited for no longer, even if they end too early."""
        self._verdicts: list[Verdict] = []
        self._deferred: list[Verdict] = []
        """Verdicts that could not be applied; they are tried again after the next scan."""
        self.apply_settings(settings)

    def apply_settings(self, settings: ServiceSettings) -> None:
        """Continue with other `settings`."""
        self._settings, self._resolver = settings, SettingsResolver(settings)
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
            self._inspect(job)

    def scan(self) -> None:
        """Scan the inboxes once."""
        began = self._clock()
        settled = [inbox.scan() for inbox in self.inboxes]
        self.settled = all(settled)
        self._scanned = self._clock()
        self.scan_seconds = self._scanned - began

    def submitted(self, inbox: str, name: str) -> None:
        """Take the pair in the folder `name` of `inbox` without a wait, in the next scan."""
        for each in self.inboxes:
            if str(each.path) == inbox:
                each.submitted(name)

    def enter(self) -> None:
        """Enter in the ledger the complete pairs of the last scan, to be claimed."""
        self._verdicts += self._deferred
        self._deferred = []
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
            self._ask()
        return claimed

    def cancel(self, name: str) -> bool:
        """Cancel incomplete pairs in all inboxes, as `Inbox.cancel`."""
        return any([*(inbox.cancel(name) for inbox in self.inboxes)])  # of all inboxes

    def apply_verdicts(self) -> list[str]:
        """Queue, refuse or give back inspected jobs, and ask about more; return the jobs' ids."""
        jobs: list[str] = []
        try:
            jobs = self._apply_all()
        except OSError as error:  # the claims are safe, and the ledger is written later
            self._reporter.paused("the ledger", str(error))
        self._ask()
        return jobs

    # Claims

    def _claim_next(self, inbox: Inbox) -> bool:
        """Claim the first pending pair of `inbox` that can be claimed; return whether one was."""
        while (ready := inbox.next_pair()) is not None:
            pair, job_id = ready
            job: Journal | None = None
            try:
                with self._state.guard(job_id, "claiming it"):
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
            if job_id in self._claimer.copying:
                self._copied[job_id] = pair
                return False
            if job is not None:
                self._inspect(job, final=inbox.truncated.gave_up(pair.files))
                return True
        return False

    def _finish_copies(self) -> int:
        claimed = 0
        for job, error in self._claimer.finish_copies():
            self.settled = False  # other jobs may have waited for the copy of a file they share
            pair = self._copied.get(job.id)
            inboxes = [inbox for inbox in self.inboxes if inbox.path == job.inbox]
            if error is None:
                sources = [file.source for file in job.files]
                self._reporter.claimed(job.name)
                self._inspect(job, final=any(i.truncated.gave_up(sources) for i in inboxes))
                claimed += 1
            elif pair is not None:
                for inbox in inboxes:
                    inbox.not_claimed(pair, error)
            elif isinstance(error, OSError):
                self._reporter.paused(job.name, str(error))
        copying = self._claimer.copying  # not those that were set aside
        self._copied = {id_: pair for id_, pair in self._copied.items() if id_ in copying}
        return claimed

    def _claimable(self) -> list[Inbox]:
        """Return the inboxes with pending pairs whose claimed jobs are all being inspected.

        Files of AHEAD jobs are copied at a time.
        """
        copying = Counter(job.inbox for job in self._claimer.copying.values())
        return [
            inbox
            for inbox in self.inboxes
            if inbox.pending and inbox.path not in self._waiting and copying[inbox.path] < AHEAD
        ]

    # Inspection

    def _inspect(self, job: Journal, *, final: bool = False) -> None:
        """Have the claimed `job` inspected when it is its inbox's turn.

        `final`: its files are waited for no longer. As much as can be decoded is painted, and the
        job is refused if nothing can.
        """
        is_canceled = self._state.ledger.wish(job.id) == "cancel"
        if reason := CANCELED if is_canceled else self._claimer.too_large(job):
            self._verdicts.append(Refused(job.id, reason))
            return
        self._waiting.setdefault(job.inbox, deque()).append(job.id)
        if final:
            self._final.add(job.id)

    def _ask(self) -> None:
        while self._waiting and len(self._asked) + len(self._verdicts) < AHEAD:
            inbox = next(iter(self._waiting))
            jobs = self._waiting.pop(inbox)
            job = self._claimer.claimed[jobs.popleft()]
            if jobs:
                self._waiting[inbox] = jobs  # behind the others
            self._asked.add(job.id)
            files = self._state.pictures(job)
            self._inspector.ask(
                Question(
                    job.id,
                    files,
                    self._settings.limits.max_pixels,
                    self._state.thumbs,
                    tuple(file.role for file in job.files if file.role != "job"),
                    growing=tuple(path for path in files if self._growing_file(job, path.name)),
                    max_frames=self._settings.limits.max_frames,
                    max_seconds=self._settings.limits.max_seconds,
                )
            )

    def _apply_all(self) -> list[str]:
        """Apply the verdicts that arrived; return the ids of the jobs for which that succeeded.

        Raises OutputError where the ledger cannot be written: all are applied later.
        """
        arrived = self._inspector.verdicts()
        self._asked -= {verdict.job for verdict in arrived}
        self._verdicts += arrived
        if not self._verdicts:
            return []
        with self._state.ledger.transaction():
            deferred = [verdict for verdict in self._verdicts if not self._apply(verdict)]
        done = [verdict.job for verdict in self._verdicts if verdict not in deferred]
        self._verdicts = []
        self._deferred += deferred
        for job_id in done:
            self._final.discard(job_id)
            self._claimer.claimed.pop(job_id, None)
        return done

    def _apply(self, verdict: Verdict) -> bool:
        """Queue, refuse or give back a job; return whether that was possible."""
        job = self._claimer.claimed.get(verdict.job)
        if job is None:
            return True
        try:
            with self._state.guard(job.id, "claiming it"):
                if isinstance(verdict, CutOff) and (file := self._growing_file(job, verdict.name)):
                    self._give_back(job, file, verdict.reason)
                else:
                    for changed in self._accept_or_refuse(job, verdict):
                        self._reporter.input_changed(job.name, changed_after_copy(changed.name))
        except OutputError:  # of the ledger: everything is rolled back, and applied again
            raise
        except QuarantinedError:
            self._claimer.exclude(job)
        except OSError as error:
            self._reporter.paused(job.name, str(error))
            return False
        return True

    def _give_back(self, job: Journal, file: File, reason: str) -> None:
        """Put a job back into its inbox, to wait for the rest of its `file`."""
        if self._claimer.give_back(job, reason):
            self.settled = False  # so that the next scan is soon
            for inbox in self.inboxes:
                if inbox.path == job.inbox:
                    inbox.truncated.add(file.source, file.look)

    def _accept_or_refuse(self, job: Journal, verdict: Verdict) -> tuple[File, ...]:
        """Queue or refuse a job; return those of its files that changed since it was claimed."""
        if not isinstance(verdict, Fine):
            return self._claimer.refuse(job, verdict.reason)
        try:
            self._resolver.resolve(self._state.job_file(job))
        except SettingsError as error:
            return self._claimer.refuse(job, str(error))
        return self._claimer.accept(job, verdict.pictures)

    def _growing_file(self, job: Journal, name: str) -> File | None:
        """Return the file called `name` if the rest of it is worth waiting for."""
        if job.id in self._final or self._state.ledger.wish(job.id) == "cancel":
            return None
        named = (file for file in job.files if file.name == name)
        # Not one of the style library, nor a name that a hijacked inspection process made up.
        return next((file for file in named if job.inbox in file.source.parents), None)

    # State, for the main loop and the status

    @property
    def folders(self) -> Mapping[Path, Mapping[Path, Identity]]:
        """The folders below each inbox, by the last scan."""
        return {inbox.path: inbox.listing.folders for inbox in self.inboxes}

    @property
    def since_scan(self) -> float:
        """Seconds since the last scan."""
        return self._clock() - self._scanned

    @property
    def has_more(self) -> bool:
        """True if more could be claimed now."""
        return bool(self._claimable())

    @property
    def _awaits_verdicts(self) -> bool:
        """True if a verdict is pending; False while earlier ones cannot be applied."""
        return bool(self._asked or (self._waiting and not self._verdicts))

    @property
    def is_inspecting(self) -> bool:
        """True if a verdict is pending, or files are being copied."""
        return self._awaits_verdicts or bool(self._claimer.copying)

    @property
    def is_quiet(self) -> bool:
        """True if no job is about to be queued, as far as scans show."""
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
        reason = self._inspector.trouble if self._awaits_verdicts else ""
        return {"inspection of pictures": reason} if reason else {}

    @property
    def incomplete(self) -> list[Incomplete]:
        """The incomplete pairs of all inboxes."""
        return [waiting for inbox in self.inboxes for waiting in inbox.incomplete]

    @property
    def not_queued(self) -> tuple[str, ...]:
        """The names of the pairs that are complete, and do not queue yet."""
        pending = (pair.name for inbox in self.inboxes for _, pair in inbox.pending)
        return (*(job.name for job in self._claimer.jobs), *pending)
