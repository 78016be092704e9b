"""From inbox to queue: find pairs, move them into the state folder, have them inspected.

Inboxes take turns, and few jobs are claimed at a time: a single picture need not wait for the
five hundred that came before it into another inbox.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from stylewatch_daemon.base.errors import DaemonError, InputError, SettingsError
from stylewatch_daemon.base.model import Cause, Job, Pair, Picture, State, new_id
from stylewatch_daemon.base.mover import Mover
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.intake import claim as claiming
from stylewatch_daemon.intake.claim import StuckError
from stylewatch_daemon.intake.inbox import Inbox
from stylewatch_daemon.intake.inspection.client import InspectionClient
from stylewatch_daemon.intake.inspection.messages import Inspected as Verdict
from stylewatch_daemon.intake.inspection.messages import Question
from stylewatch_daemon.jobs.jobs import Also, Jobs, job_of
from stylewatch_daemon.jobs.lifecycle import (
    Effect,
    Found,
    Inspected,
    Moved,
    OriginalsChanged,
    PutBack,
)
from stylewatch_daemon.ledger import claim as claims
from stylewatch_daemon.ledger.claim import Claim
from stylewatch_daemon.ledger.writer import Kept, LedgerWriter
from stylewatch_daemon.outbox.ending import changed_after_copy
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.resolve import SettingsResolver, queue_columns

AHEAD = 16
"""Jobs of an inbox that are claimed at a time: enough that they share a commit of the ledger."""

INSPECTION = "inspection of pictures"
"""What waits, for people, if pictures cannot be inspected."""

REMOVE_EVERY_S = 60.0
"""Seconds between two tries to remove originals from an inbox that cannot be written."""


class Intake:
    """Brings pairs into `jobs`; `clock` is monotonic, in seconds.

    Call `recover` once, `scan` and `find_pairs` if something may have changed, and `claim` as long
    as there is more to do.
    """

    def __init__(
        self,
        jobs: Jobs,
        mover: Mover,
        inspector: InspectionClient,
        clock: Callable[[], float],
        request_scan: Callable[[], object],
    ) -> None:
        self._jobs, self._mover, self._inspector, self._clock = jobs, mover, inspector, clock
        self._state, self._ledger, self._reporter = jobs.state, jobs.ledger, jobs.reporter
        self._request_scan = request_scan
        self.inboxes: list[Inbox] = []
        self.stable = True
        """True if all files of the last scan were stable."""
        self.scan_seconds = 0.0
        """Seconds that the last scan took, with pairing."""
        self._scanned = -float("inf")
        self._stuck: dict[str, str] = {}
        """The inboxes whose originals cannot be removed, and why."""
        self._removed_at = -float("inf")
        self._inspection_trouble = ""
        """Why pictures cannot be inspected, as it was reported."""
        jobs.handlers |= {
            Effect.MOVE: self._move,
            Effect.INSPECT: self._inspect,
            Effect.REMOVE_ORIGINALS: self._remove_originals,
        }
        self.apply_settings(jobs.settings)

    def apply_settings(self, settings: ServiceSettings) -> None:
        """Continue with other `settings`."""
        self._settings, self._resolver = settings, SettingsResolver(settings)
        guard = self._jobs.mount_guard
        self.inboxes = [
            Inbox(
                *(inbox, settings, self._ledger, self._reporter, guard, self._clock),
                is_claimed=self._is_claimed,
            )
            for inbox in settings.inboxes
        ]

    def recover(self) -> None:
        """Forget the pairs whose claim had not begun: they are found again in their inbox."""
        for job in self._ledger.in_state(State.CLAIMED):
            if not self._has_begun(job.id):
                self._jobs.post(job.id, PutBack())
        self._jobs.commit()

    def _has_begun(self, job_id: str) -> bool:
        """Return whether a claim is written, or has taken files, which comes after that."""
        folder = self._state.claims / job_id
        files = folder / claims.FILES
        is_written = (folder / claims.FILE_NAME).exists() or (self._state.jobs / job_id).exists()
        return is_written or (files.is_dir() and any(files.iterdir()))

    @property
    def _folders(self) -> tuple[Path, Path]:
        return self._state.claims, self._state.jobs

    # -- scanning

    def scan(self) -> None:
        """Scan the inboxes once."""
        began = self._clock()
        stable = [inbox.scan() for inbox in self.inboxes]
        self.stable = all(stable)
        self._scanned = self._clock()
        self.scan_seconds = self._scanned - began
        if self._clock() - self._removed_at >= REMOVE_EVERY_S:
            self._removed_at, self._stuck = self._clock(), {}
            for kept in self._ledger.doomed():
                self._remove(kept, None, "")

    def find_pairs(self) -> None:
        """Find the pairs of the last scan."""
        before, began = self.incomplete, self._clock()
        for inbox in self.inboxes:
            inbox.find_pairs()
        self.scan_seconds += self._clock() - began
        if self.incomplete != before:
            self._reporter.incomplete(self.incomplete)

    def _is_claimed(self, pair: Pair, looks: Mapping[Path, Look]) -> bool:
        """Return whether a job has this pair, or had it with these very files.

        A file is the same if its name, inode and size are, and its time or its content is.
        """
        for live in self._jobs.live.values():
            claim = live.claim
            is_here = claim is not None and claim.inbox in pair.main.parents
            if is_here and live.is_claiming and claim is not None and claim.key == pair.key:
                return True
        kept = self._ledger.kept(pair.key)
        touched = None if kept is None else claiming.touched(kept, pair, looks)
        if kept is not None and touched:
            self._compare(kept, touched)
        return touched is not None

    def _compare(self, kept: Kept, touched: Mapping[Path, Look]) -> None:
        """Hash files of which only the time changed: a changed one makes its pair a new one."""
        digests = {file.path: file.sha256 for file in kept.files}

        def work(step: Callable[[], object]) -> bool:
            return all(atomic.digest(path, step=step) == digests[str(path)] for path in touched)

        def done(result: bool | Exception) -> None:
            times = {str(path): seen.mtime_ns for path, seen in touched.items()}
            files = tuple(
                replace(file, mtime_ns=times.get(file.path, file.mtime_ns)) for file in kept.files
            )

            def write(ledger: LedgerWriter) -> None:
                ledger.keep(replace(kept, files=files)) if result is True else ledger.forget(
                    kept.main
                )

            if not isinstance(result, OSError):
                self._jobs.post("", None, write)
                self._request_scan()

        self._mover.do(work, done, sum(seen.size for seen in touched.values()))

    # -- claiming

    def claim(self) -> None:
        """Post the next pairs as jobs, inboxes in turn, while few are being claimed."""
        self._report_trouble()
        for verdict in self._inspector.verdicts():
            job = self._ledger.get(verdict.job)
            if job is not None and job.state is State.CLAIMED:
                self._jobs.then(job, Effect.INSPECT, partial(self._apply, job))(verdict)
        copied = {
            file.source
            for live in self._jobs.live.values()
            if live.is_claiming and live.is_busy and live.claim is not None
            for file in live.claim.files
        }
        for inbox in self.inboxes:
            for _ in range(AHEAD - self._in_work(inbox.path)):
                if (pair := inbox.next_pair(copied)) is None:
                    break
                claim = self._found(inbox, pair)
                copied |= {file.source for file in claim.files} if claim else set()

    def _report_trouble(self) -> None:
        """Report once why pictures cannot be inspected."""
        trouble = self._inspector.trouble if self.is_claiming else ""
        if trouble and trouble != self._inspection_trouble:
            self._reporter.waits(INSPECTION, trouble)
        self._inspection_trouble = trouble

    def _in_work(self, inbox: Path) -> int:
        """Return how many jobs of an inbox are being claimed."""
        lives = self._jobs.live.values()
        return sum(1 for live in lives if live.is_claiming and _inbox(live.claim) == inbox)

    def _found(self, inbox: Inbox, pair: Pair) -> Claim | None:
        """Post a pair as a new job."""
        try:
            claim = claiming.claim_for(
                pair, inbox.files, inbox.own, new_id(), self._settings.limits
            )
        except InputError as error:  # it has changed: the next scan shows how
            inbox.not_claimed(pair, error)
            return None
        job = job_of(claim)
        live = self._jobs.known(job.id)
        live.claim, live.is_claiming, live.is_busy = claim, True, True
        live.pair = pair
        self._jobs.post(job.id, Found(job))
        return claim

    def _move(self, job: Job, event: object) -> None:
        """Have the mover bring the files of a job into the state folder."""
        live = self._jobs.known(job.id)
        if live.claim is None:  # after a kill, or made for a retry
            folder = next(folder for folder in self._folders if (folder / job.id).exists())
            live.claim = claims.load(folder / job.id)
        live.is_busy = live.is_claiming = True
        live.reason = ""
        claim, free_bytes = live.claim, self._settings.limits.free_bytes
        size = sum(file.look.size for file in claim.files)
        self._mover.do(
            lambda step: claiming.move(claim, self._state, free_bytes, step),
            self._jobs.then(job, Effect.MOVE, partial(self._moved, job, claim)),
            size,
        )

    def _moved(self, job: Job, claim: Claim, result: str | Exception) -> None:
        """Post that the files of a job are moved, or that they are in the inbox as before."""
        live = self._jobs.known(job.id)
        if isinstance(result, str):
            if not claim.is_copy:
                self._reporter.claimed(job.name)
                for inbox in self._inbox_of(claim):
                    if live.pair is not None:
                        inbox.claimed(live.pair)
            too_large = claiming.too_large(claim, self._settings.limits) if claim.in_place else ""
            problem = result or too_large
            also = self._keeping(job, claim, ()) if problem or job.asked else None
            self._jobs.post(job.id, Moved(problem), also)
        elif isinstance(result, StuckError):
            self._jobs.block(job, result, again=Effect.MOVE)
        elif isinstance(result, OSError | DaemonError):
            for inbox in self._inbox_of(claim):
                inbox.not_claimed(live.pair or Pair(job.name, claim.main.source), result)
            self._jobs.forget(job.id)
            self._jobs.post(job.id, PutBack())
            self.stable = False
        else:
            claiming.keep(claim, self._state)
            self._jobs.broke(job.id, result)

    # -- inspection

    def _inspect(self, job: Job, event: object) -> None:
        """Ask about the pictures of a job."""
        live = self._jobs.known(job.id)
        live.is_busy = live.is_claiming = True
        claim, limits, folder = (
            self._jobs.claim_of(job),
            self._settings.limits,
            self._state.files(job.id),
        )
        pictures = claim.pictures
        self._inspector.ask(
            Question(
                job.id,
                tuple(folder / file.name for file in pictures),
                limits.max_pixels,
                self._state.thumbs,
                tuple(file.role for file in pictures),
                max_frames=limits.max_frames,
                max_seconds=limits.max_seconds,
            )
        )

    def _apply(self, job: Job, verdict: Verdict) -> None:
        """Post what the inspection found."""
        live = self._jobs.known(job.id)
        claim = self._jobs.claim_of(job)
        problem, cause = verdict.reason, verdict.cause or Cause.PICTURE
        job_file = None
        if claim.job_file is not None:
            job_file = self._state.files(job.id) / claim.job_file.name
        if not problem:
            try:
                self._resolver.resolve(job_file)
            except (SettingsError, InputError) as error:
                problem, cause = str(error), error.cause
        priority, needs = queue_columns(self._settings, job_file)
        live.is_claiming = False
        pictures = () if problem else verdict.pictures
        self._jobs.post(
            job.id,
            Inspected(pictures, problem, cause, priority, needs),
            self._keeping(job, claim, pictures),
        )

    def _keeping(self, job: Job, claim: Claim, pictures: tuple[Picture, ...]) -> Also | None:
        """Return what records which files of a claimed job are still in the inbox."""
        if claim.is_copy:
            return None
        kept = claiming.kept_files(claim, self._state.files(job.id), pictures)
        main = str(claim.main.source)

        def write(ledger: LedgerWriter) -> None:
            ledger.forget(main) if kept is None else ledger.keep(kept)

        return write

    # -- originals

    def _remove_originals(self, job: Job, event: object) -> None:
        """Remove the originals that were copied, and the job's own folder."""
        self._jobs.known(job.id).is_claiming = False
        claim = self._jobs.claim_of(job)
        kept = None if claim.is_copy else self._ledger.kept(claim.key)
        if kept is not None and kept.doomed:
            self._remove(kept, claim.folder, job.id)
        elif claim.folder is not None and not claim.is_copy and not claim.in_place:
            empty = Kept("", "", str(claim.inbox), doomed=True, files=())
            claiming.remove_originals(empty, claim.folder)

    def _remove(self, kept: Kept, folder: Path | None, job_id: str) -> None:
        def done(result: frozenset[str] | Exception) -> None:
            if isinstance(result, Exception):
                if kept.inbox not in self._stuck:
                    reason = f"originals cannot be removed ({result}); they are tried again"
                    self._stuck[kept.inbox] = reason
                    self._reporter.waits(shown(kept.inbox), reason)
                return
            event = OriginalsChanged(result) if result else None
            for name in sorted(result):
                title = self._jobs.title(job_id) if job_id else shown(kept.inbox)
                self._reporter.input_changed(title, changed_after_copy(name))
            self._jobs.post(job_id, event, lambda ledger: ledger.forget(kept.main))

        self._mover.do(lambda step: claiming.remove_originals(kept, folder), done)

    # -- state, for the main loop and the status

    def _inbox_of(self, claim: Claim) -> list[Inbox]:
        return [inbox for inbox in self.inboxes if inbox.path == claim.inbox]

    @property
    def since_scan(self) -> float:
        """Seconds since the last scan."""
        return self._clock() - self._scanned

    @property
    def is_claiming(self) -> bool:
        """True if jobs are being moved or inspected, or wait to be."""
        lives = self._jobs.live.values()
        return any(live.is_claiming and live.is_busy for live in lives) or self.has_more

    @property
    def has_more(self) -> bool:
        """True if pairs are to be claimed."""
        return any(inbox.pending for inbox in self.inboxes)

    @property
    def is_final(self) -> bool:
        """True if no file of the last scan is still changing."""
        return self.stable and not any(pair.changing for pair in self.incomplete)

    @property
    def awaits_rest(self) -> bool:
        """True if a file is incomplete and may still grow."""
        return any(inbox.stability.any_awaited for inbox in self.inboxes)

    @property
    def trouble(self) -> Mapping[str, str]:
        """What cannot be done now, with the reason."""
        reason = self._inspector.trouble if self.is_claiming else ""
        found = {INSPECTION: reason} if reason else {}
        return {**found, **{shown(inbox): why for inbox, why in self._stuck.items()}}

    @property
    def incomplete(self) -> list[Pair]:
        """The incomplete pairs of all inboxes."""
        return [pair for inbox in self.inboxes for pair in inbox.incomplete]


def _inbox(claim: Claim | None) -> Path | None:
    return None if claim is None else claim.inbox
