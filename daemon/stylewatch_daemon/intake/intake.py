"""From inbox to queue: find pairs, move them into the state folder, have them inspected.

Inboxes take turns, and only a few jobs are claimed at a time, so that a single picture need not
wait for five hundred earlier ones in another inbox.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from stylewatch_daemon.base.errors import InputError, OutputError, SettingsError
from stylewatch_daemon.base.model import Cause, End, Job, Pair, State, new_id
from stylewatch_daemon.base.mover import Mover, Step
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.intake import claim as claiming
from stylewatch_daemon.intake.claim import Taken
from stylewatch_daemon.intake.inbox import Inbox
from stylewatch_daemon.intake.inspection.client import Inspector
from stylewatch_daemon.intake.inspection.messages import Inspected as Verdict
from stylewatch_daemon.intake.inspection.messages import Question
from stylewatch_daemon.jobs.jobs import Also, Jobs, job_of
from stylewatch_daemon.jobs.lifecycle import (
    Abandoned,
    Effect,
    Found,
    Inspected,
    Moved,
    OriginalsChanged,
)
from stylewatch_daemon.jobs.waits import MACHINE
from stylewatch_daemon.ledger import claim as claims
from stylewatch_daemon.ledger.claim import Claim
from stylewatch_daemon.ledger.writer import Kept
from stylewatch_daemon.outbox.ending import changed_after_copy
from stylewatch_daemon.settings.config import resolve

AHEAD = 16
"""Maximum number of jobs of an inbox that are claimed at a time; enough to share a commit of the
ledger."""

MAX_WAITING = 4 * AHEAD
"""Maximum number of jobs of an inbox that are being claimed or wait to be claimed."""

REMOVE_EVERY_S = 60.0
"""Interval in seconds between attempts to remove originals from an inbox that cannot be written."""


class Intake:
    """Intake of pairs into `jobs`; `clock` is monotonic, in seconds.

    Call `recover` once, `scan` and `find_pairs` whenever something may have changed, and `claim` as
    long as there is more to do.
    """

    def __init__(
        self,
        jobs: Jobs,
        mover: Mover,
        inspector: Inspector,
        clock: Callable[[], float],
        request_scan: Callable[[], object],
    ) -> None:
        self._jobs, self._mover, self._inspector, self._clock = jobs, mover, inspector, clock
        self._state, self._ledger, self._reporter = jobs.state, jobs.ledger, jobs.reporter
        self._request_scan = request_scan
        self.stable = True
        """True if all files of the last scan were stable and no early scan is needed."""
        self.scan_seconds = 0.0
        """Duration of the last scan in seconds, including pairing."""
        self._scanned = self._removed_at = -float("inf")
        self.unremoved: dict[str, str] = {}
        """Inboxes whose originals cannot be removed, with the reasons."""
        self._compared: set[str] = set()
        """Keys of the pairs whose files the mover is hashing."""
        jobs.handlers |= {
            Effect.MOVE: self._move,
            Effect.INSPECT: self._inspect,
            Effect.REMOVE_ORIGINALS: self._remove_originals,
        }
        self._settings = jobs.settings
        settings, guard = jobs.settings, jobs.mount_guard
        self.inboxes = [
            Inbox(
                *(inbox, settings, self._ledger, self._reporter, guard, self._clock),
                is_claimed=self._is_claimed,
            )
            for inbox in settings.inboxes
        ]

    def recover(self) -> None:
        """Forget pairs whose claim had not begun: they are found again in their inbox."""
        for job in self._ledger.in_state(State.CLAIMED):
            # the claim is written before any file is taken
            taken = (self._state.claims / job.id).rglob("[!.]*")
            if not ((self._state.jobs / job.id).exists() or any(map(Path.is_file, taken))):
                self._jobs.post(job.id, Abandoned())
        self._jobs.commit()

    # -- scanning

    def scan(self) -> None:
        """Scan the inboxes once."""
        began = self._clock()
        self._inspector.end_if_idle()
        stable = [inbox.scan() for inbox in self.inboxes]
        self.stable = all(stable)
        self._scanned = self._clock()
        self.scan_seconds = self._scanned - began
        if self._clock() - self._removed_at >= REMOVE_EVERY_S:
            self._removed_at = self._clock()
            keys = {claim.key for claim in self._claims}
            doomed = [kept for kept in self._ledger.doomed() if kept.key not in keys]
            if not doomed:
                self.unremoved.clear()
            for kept in doomed:
                self._remove(kept, "")

    def find_pairs(self) -> None:
        """Find the pairs in the files of the last scan."""
        before, began = self.incomplete, self._clock()
        for inbox in self.inboxes:
            inbox.find_pairs()
        self.scan_seconds += self._clock() - began
        if self.incomplete != before:
            self._reporter.incomplete(self.incomplete)

    def _is_claimed(self, pair: Pair, looks: Mapping[Path, Look]) -> bool:
        """Return whether a job has this pair, or had it with exactly these files.

        A file is the same if its name, inode and size are the same, and also its time or its
        content.
        """
        if any(each.key == pair.key and each.inbox in pair.main.parents for each in self._claims):
            return True
        kept = self._ledger.kept(pair.key)
        now = None if kept is None else claiming.touched(kept, pair, looks)
        if kept is not None and now is not None and now != kept:
            self._compare(kept, now)
        return now is not None

    def _compare(self, kept: Kept, now: Kept) -> None:
        """Hash files of which only the time changed; a changed file makes its pair a new one."""
        if now.key in self._compared:
            return
        files = [file for file in now.files if file not in kept.files]

        def work(step: Step) -> bool:
            return all(atomic.digest(file.path, step=step) == file.sha256 for file in files)

        def done(is_same: bool | Exception) -> None:
            self._compared.remove(now.key)
            if not isinstance(is_same, OSError):
                self._jobs.post("", None, _record(kept.main, now if is_same is True else None))
                self._request_scan()

        self._compared.add(now.key)
        self._mover.do(work, done, sum(file.size for file in files))

    # -- claiming

    def claim(self) -> None:
        """Post the next pairs as jobs, taking inboxes in turn, while few are being claimed."""
        waited_for = {live.waits_for for live in self._jobs.live.values()}
        blocked = self._jobs.waits.blocked.all() & waited_for  # one of these jobs will try again
        copied = {file.source for claim in self._claims for file in claim.files}
        for inbox in self.inboxes:
            is_blocked = not blocked.isdisjoint((MACHINE, str(inbox.outbox)))
            for _ in range(0 if is_blocked else self._places(inbox)):
                if (pair := inbox.next_pair(copied)) is None:
                    break
                if (claim := self._found(inbox, pair)) is not None:
                    copied |= {file.source for file in claim.files}
            if inbox.was_skipped and not inbox.pending:
                inbox.was_skipped = False
                self._request_scan()

    def _places(self, inbox: Inbox) -> int:
        """Return the number of additional jobs that may be claimed from an inbox now.

        A few waiting jobs, for example for a file that cannot be read, do not hold up others; many
        do.
        """
        lives = [live for live in self._jobs.live.values() if live.is_claiming and live.claim]
        own = [live for live in lives if live.claim and live.claim.inbox == inbox.path]
        busy = sum(live.is_busy for live in own)
        return min(AHEAD - busy, MAX_WAITING - len(own))

    def _found(self, inbox: Inbox, pair: Pair) -> Claim | None:
        """Post a pair as a new job."""
        try:
            claim = claiming.claim_for(pair, inbox.files, inbox.own, new_id())
        except InputError as error:  # it has changed, as the next scan will show
            inbox.not_claimed(pair.name, pair.main, error)
            return None
        live = self._jobs.known(claim.id)
        live.claim, live.is_claiming, live.is_busy = claim, True, True
        self._jobs.post(claim.id, Found(job_of(claim)))
        return claim

    def _move(self, job: Job, event: object) -> None:
        """Make the mover bring the files of a job into the state folder."""
        live = self._jobs.known(job.id)
        if live.claim is None:  # after a kill, or for a retry
            places = (self._state.claims / job.id, self._state.jobs / job.id)
            live.claim = claims.load(next(place for place in places if place.exists()))
        live.is_busy = live.is_claiming = True
        live.reason = ""
        claim, free_bytes = live.claim, self._settings.limits.free_bytes
        self._mover.do(
            lambda step: claiming.move(claim, self._state, free_bytes, step),
            self._jobs.then(job, Effect.MOVE, partial(self._moved, job, claim)),
            sum(file.look.size for file in claim.files),
        )

    def _moved(self, job: Job, claim: Claim, result: Taken | Exception) -> None:
        """Post that the files of a job were moved or have changed, or move them later."""
        if isinstance(result, Taken):
            if not claim.is_copy:
                self._reporter.claimed(job.name)
                for inbox in self._inbox_of(claim):
                    inbox.claimed(claim)
            also = None if claim.is_copy else _record(str(claim.main.source), result.kept)
            self._jobs.post(job.id, Moved(result.problem), also)
            return
        if isinstance(result, InputError):
            for inbox in self._inbox_of(claim):
                inbox.not_claimed(job.name, claim.main.source, result)
            self._jobs.forget(job.id)
            self._jobs.post(job.id, Abandoned())
            self.stable = False
            return
        if not isinstance(result, OSError):
            reason = f"a fault of stylewatch: {type(result).__name__}: {shown(result)}"
            self._jobs.log(job.id, reason, result)
            result = OutputError(reason)
        self._jobs.block(job, result, again=Effect.MOVE)

    # -- inspection

    def _inspect(self, job: Job, event: object) -> None:
        """Have the pictures of a job inspected, unless it is canceled."""
        if job.asked is End.CANCELED:  # no obstacle may delay its end
            self._jobs.post(job.id, Inspected())
            return
        live = self._jobs.known(job.id)
        live.is_busy = live.is_claiming = True
        live.reason = ""
        limits, folder = self._settings.limits, self._state.files(job.id)
        pictures = self._jobs.claim_of(job).pictures
        self._inspector.ask(
            Question(
                tuple(folder / file.name for file in pictures),
                limits.max_pixels,
                self._state.thumbs,
                tuple(file.role for file in pictures),
                max_frames=limits.max_frames,
            ),
            self._jobs.then(job, Effect.INSPECT, partial(self._inspected, job)),
        )

    def _inspected(self, job: Job, verdict: Verdict | Exception) -> None:
        """Post the result of the inspection; refused pictures are inspected again after a pause.

        The program that wrote them may have renamed a file before writing its end.
        """
        if isinstance(verdict, Exception):
            raise verdict
        live, claim = self._jobs.known(job.id), self._jobs.claim_of(job)
        problem, cause = verdict.reason, verdict.cause or Cause.PICTURE
        is_first = not (live.was_refused or verdict.is_final)
        if problem and is_first and not claim.is_copy:
            live.was_refused, live.again, live.waits_for = True, Effect.INSPECT, job.id
            self._jobs.waits.crashed.begin(job.id, times=self._settings.watch.quiet_s)
            return
        live.is_claiming = False
        job_file = None
        if claim.job_file is not None:
            job_file = self._state.files(job.id) / claim.job_file.name
        settings = self._settings.job
        if not problem:
            try:
                settings = resolve(self._settings, job_file, is_retry=claim.is_copy)
            except (SettingsError, InputError) as error:
                problem, cause = str(error), error.cause
        pictures = () if problem else verdict.pictures
        event = Inspected(pictures, problem, cause, settings.priority, settings.needs)
        self._jobs.post(job.id, event)

    # -- originals

    def _remove_originals(self, job: Job, event: object) -> None:
        """Remove the originals that were copied, and the job's own folder."""
        self._jobs.known(job.id).is_claiming = False
        try:
            claim = self._jobs.claim_of(job)
        except ValueError:  # a damaged claim says nothing about originals
            return
        # the record may belong to a later job once this one has ended
        kept = None if claim.is_copy or job.has_ended else self._ledger.kept(claim.key)
        if kept is not None and kept.doomed:
            self._remove(kept, job.id, claim)
        else:
            claiming.remove_folder(claim)

    def _remove(self, kept: Kept, job_id: str, claim: Claim | None = None) -> None:
        inbox = shown(kept.inbox)

        def work(step: Step) -> frozenset[str]:
            self._jobs.mount_guard.check(Path(kept.inbox))
            changed = claiming.remove_originals(kept)
            if claim is not None:
                claiming.remove_folder(claim)
            return changed

        def done(result: frozenset[str] | Exception) -> None:
            if isinstance(result, Exception):
                reason = f"originals cannot be removed ({result}); this will be tried again"
                if self.unremoved.get(inbox) != reason:
                    self._reporter.waits(inbox, reason)
                self.unremoved[inbox] = reason
                return
            self.unremoved.pop(inbox, None)
            for name in sorted(result):
                title = self._jobs.title(job_id) if job_id else inbox
                self._reporter.input_changed(title, changed_after_copy(name))
            event = OriginalsChanged(result) if result else None
            self._jobs.post(job_id, event, _record(kept.main, None))

        self._mover.do(work, done)

    # -- state, for the main loop and the status

    @property
    def _claims(self) -> list[Claim]:
        """The claims of the jobs that are being claimed."""
        lives = self._jobs.live.values()
        return [live.claim for live in lives if live.is_claiming and live.claim is not None]

    def _inbox_of(self, claim: Claim) -> list[Inbox]:
        return [inbox for inbox in self.inboxes if inbox.path == claim.inbox]

    @property
    def since_scan(self) -> float:
        """Seconds since the last scan."""
        return self._clock() - self._scanned

    @property
    def is_claiming(self) -> bool:
        """True if jobs are being moved or inspected."""
        return any(live.is_claiming and live.is_busy for live in self._jobs.live.values())

    @property
    def is_final(self) -> bool:
        """True if no file of the last scan is still changing."""
        return self.stable and not any(pair.changing for pair in self.incomplete)

    @property
    def incomplete(self) -> list[Pair]:
        """The incomplete pairs of all inboxes."""
        return [pair for inbox in self.inboxes for pair in inbox.incomplete]


def _record(main: str, kept: Kept | None) -> Also:
    """Return a function that records the files of a pair that stay in the inbox, if any."""
    return lambda ledger: ledger.forget(main) if kept is None else ledger.keep(kept)
