"""From inbox to queue: find pairs, move them into the state folder, have them inspected.

Inboxes take turns, and only a few jobs are claimed at a time, so that a single picture need not
wait for five hundred earlier ones in another inbox.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from stylewatch_daemon.base import shortages, words
from stylewatch_daemon.base.errors import InputError, SettingsError
from stylewatch_daemon.base.lanes import LONG, Lanes
from stylewatch_daemon.base.model import Cause, End, Job, Pair, State, are_drawn_together, new_ids
from stylewatch_daemon.files import atomic, entries
from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.files.leftovers import Ignored
from stylewatch_daemon.files.names import folded, is_picture, shown
from stylewatch_daemon.intake.absences import ScanNumbers
from stylewatch_daemon.intake.claim import ChangedError, Claiming, Taken, claims_for
from stylewatch_daemon.intake.inbox import Inbox
from stylewatch_daemon.intake.inspection.client import Inspector
from stylewatch_daemon.intake.inspection.messages import Answer, Question
from stylewatch_daemon.intake.kept import Kept
from stylewatch_daemon.intake.library import Library
from stylewatch_daemon.intake.pairing import LIVE_PHOTO, job_named
from stylewatch_daemon.intake.scanner import Checked, Scan, Scanner
from stylewatch_daemon.jobs.endings import Release
from stylewatch_daemon.jobs.jobs import Jobs, job_of
from stylewatch_daemon.jobs.lifecycle import (
    MACHINE,
    Abandoned,
    Activity,
    Blocked,
    Broke,
    Doing,
    Effect,
    Found,
    Inspected,
    Kind,
    Moved,
    Obstacle,
    Restarted,
)
from stylewatch_daemon.ledger import claim as claims
from stylewatch_daemon.ledger.claim import Claim, File
from stylewatch_daemon.ledger.state_dir import RETRY
from stylewatch_daemon.outbox.destination import Destination
from stylewatch_daemon.settings.config import defaults, resolve
from stylewatch_daemon.settings.job import JobFile
from stylewatch_painter.errors import RecipesAwayError

AHEAD = 16
"""Maximum number of jobs of an inbox that are claimed at a time; enough to share a commit of the
ledger."""


@dataclass(frozen=True)
class _Remains:
    """Remains of a group that an earlier daemon claimed, or was about to claim."""

    has_begun: bool
    """True if files of the group may have been moved: the first claim, which is written last, was
    complete."""
    claims: tuple[Claim, ...]
    """Readable claims of the group, that of the first job in front."""
    damaged: Mapping[Path, ValueError]
    """Errors of the damaged claims of the group, by the folder of the claim."""
    has_unowned: bool
    """True if files are left, but neither a claim nor the ledger tells to which job they belong."""

    @property
    def is_retry(self) -> bool:
        """True if the group is a retry, whose files are copies."""
        return any(claim.is_copy for claim in self.claims)


class Intake:
    """Intake of pairs into `jobs`; `clock` is monotonic, in seconds.

    Call `recover` once, `scan` whenever something may have changed in an inbox, and `claim` as long
    as there is more to do.
    """

    def __init__(
        self, jobs: Jobs, lanes: Lanes, inspector: Inspector, clock: Callable[[], float]
    ) -> None:
        self._jobs = jobs
        self._lanes = lanes
        self._inspector = inspector
        self._clock = clock
        self._state = jobs.state
        self._ledger = jobs.ledger
        self._reporter = jobs.reporter
        settings = self._settings = jobs.settings
        self._defaults = defaults(settings)
        self._ledger_id = jobs.ledger.own_id
        self._claiming = Claiming(
            jobs.state,
            self._ledger_id,
            settings.limits.free_bytes,
            jobs.mount_guard,
            Ignored(settings.watch.ignore),
        )
        self._groups: dict[str, tuple[Claim, ...]] = {}
        """Claims of the groups that are being moved, by the id of each of their jobs."""
        self._moving: list[Sequence[Claim]] = []
        """Groups whose files the next call of `claim` gives to lanes to move."""
        self._unrecorded: set[str] = set()
        """Jobs of pairs that this daemon found, which the ledger may not have yet."""
        self._being_moved: set[str] = set()
        """Jobs of the groups that are to be moved, or that a lane is moving."""
        self._claimed: dict[Path, tuple[Sequence[Claim], float]] = {}
        """For each file that left an inbox lately, by path: its group, and the monotonic time in
        seconds at which it had left."""
        self._incomplete: list[Pair] = []
        self._unread: list[str] = []
        """Ids of the groups of earlier daemons whose claims could not be read yet."""
        self._swept: dict[Path, str] = {}
        """Identity of the disk of each inbox when it was swept, by inbox path."""
        jobs.handlers |= {Effect.MOVE: self._move, Effect.INSPECT: self._inspect}
        self.library = Library(
            settings, jobs.state, jobs.mount_guard, lanes, clock, self._styles_changed
        )
        self.inboxes = self._all_inboxes()
        self.kept = Kept(jobs, lanes, self.inboxes, clock)

    def _all_inboxes(self) -> list[Inbox]:
        """Create the inboxes of the settings; those with the same outbox share its destination."""
        state = self._state.root
        guard = self._jobs.mount_guard
        reserves = {
            **dict.fromkeys(self._settings.finals, 0),
            **dict.fromkeys((*self._settings.outboxes, state), self._settings.limits.free_bytes),
        }
        destinations = {
            folder: Destination(folder, reserve, guard, self._lanes, self._destination_changed)
            for folder, reserve in reserves.items()
        }
        numbers = ScanNumbers(1 + self._ledger.last_scan)
        inboxes = []
        for settings in self._settings.inboxes:
            scanner = Scanner(
                settings,
                self._settings,
                self._ledger.memory_reader(),
                self._ledger_id,
                self.library,
                guard,
                self._clock,
                numbers,
            )
            folders = (settings.outbox, settings.finals, state)
            inbox = Inbox(
                settings,
                scanner,
                [destinations[folder] for folder in folders if folder is not None],
                self._lanes,
                self._reporter,
                self._clock,
                self._scanned,
                self._in_work,
            )
            inboxes.append(inbox)
        return inboxes

    @property
    def release(self) -> Release:
        """Function that removes the originals of a job that are held in its inbox."""
        return self._claiming.release

    # -- recovery

    def recover(self) -> None:
        """Continue claims that a kill interrupted, drop those that had not begun, sweep inboxes.

        The claim of the first job of a group is written last, before any file is moved.
        """
        self._unread = entries.names(self._state.claims)
        self._recover_groups(self._state.claimed())
        for inbox in self.inboxes:
            self._sweep(inbox)

    def _recover_unread(self) -> None:
        """Try again to continue the groups whose claims could not be read."""
        try:
            moved = self._state.claimed()
        except OSError:  # the next scan tries it again
            return
        self._recover_groups(moved)

    def _recover_groups(self, moved: Collection[str]) -> None:
        """Continue the groups of earlier daemons; an unreadable group waits for the next scan.

        `moved` are the ids of jobs whose files are in the state folder. Any other claimed job
        without a group had not begun, and is abandoned; but it waits if it may belong to a group
        that cannot be read, because their ids are of the same moment.
        """
        self._jobs.commit()  # a part of a group may just have been moved
        claimed = {job.id: job for job in self._ledger.in_state(State.CLAIMED)}
        reason = ""
        unread = list[str]()
        for gathered_at in self._unread:
            try:
                self._recover_group(gathered_at, claimed)
            except OSError as error:
                unread.append(gathered_at)
                reason = shortages.in_words(error)
        self._unread = unread
        for job_id, job in claimed.items():
            if job_id in self._groups or job_id in moved:
                continue
            if not any(are_drawn_together(job_id, gathered_at) for gathered_at in unread):
                self._jobs.post(job_id, Abandoned())  # no file of it was touched
            elif self._jobs.known(job_id).doing.reason != reason:
                self._jobs.hold(job_id, reason)
                self._reporter.waits(shown(job.title), reason)
        self._jobs.commit()

    def _recover_group(self, gathered_at: str, claimed: Mapping[str, Job]) -> None:
        """Continue a group whose claims are in the folder `gathered_at`, or remove that folder.

        A retry begins anew, because it still has its request. The folder stays if nothing tells of
        which job its files are (law 1). `claimed` are the claimed jobs in the ledger, by id. Raises
        OSError if a claim cannot be read now.
        """
        folder = self._state.claims / gathered_at
        if gathered_at.startswith(RETRY):
            atomic.discard(folder, self._state.trash)
            return
        remains = self._remains_of(gathered_at, claimed)
        if not remains.has_begun:
            atomic.discard(folder, self._state.trash)
            return
        for path, error in remains.damaged.items():
            self._fail_damaged(path, error)
        if remains.has_unowned:
            return  # nothing tells whose the files are, so they stay (law 1)
        if not remains.claims or remains.is_retry:  # a retry still has its request
            atomic.discard(folder, self._state.trash)
            return
        self._continue(remains.claims, claimed)

    def _remains_of(self, gathered_at: str, claimed: Collection[str]) -> _Remains:
        """Return what is left of a group, whose first job has the id `gathered_at`.

        Nothing is changed. `claimed` are the jobs that the ledger has as claimed. Raises OSError if
        a claim cannot be read now.
        """
        folder = self._state.claims / gathered_at
        is_alone = entries.exists(folder / claims.FILES)
        folders = [folder] if is_alone else [folder / name for name in entries.names(folder)]
        group, damaged = _loaded(folders)
        is_first_whole = any(claim.id == gathered_at for claim in group)
        is_first_moved = entries.exists(self._state.jobs / gathered_at)
        with_files = [path for path in folders if entries.names(path / claims.FILES)]
        if not is_alone:
            moved = sorted(self._state.claimed().intersection(claimed))
            claims_moved, damaged_moved = _loaded(self._state.jobs / job_id for job_id in moved)
            group += [claim for claim in claims_moved if claim.group == gathered_at]
            damaged |= damaged_moved
        unowned = [path for path in with_files if self._ledger.get(path.name) is None]
        return _Remains(
            has_begun=is_first_whole or is_first_moved or bool(with_files),
            claims=tuple(sorted(group, key=lambda claim: (claim.id != gathered_at, claim.id))),
            damaged=damaged,
            has_unowned=bool(unowned) and not group,
        )

    def _fail_damaged(self, folder: Path, error: ValueError) -> None:
        """Log a damaged claim in a folder, and make its job fail if the ledger knows that job."""
        job_id = folder.name
        self._jobs.log(job_id, f"a damaged claim: {error}", error)
        if self._ledger.get(job_id) is not None and folder.parent != self._state.jobs:
            atomic.move(folder, self._state.jobs / job_id)
            self._jobs.post(job_id, Broke(str(error), Cause.DISK))

    def _continue(self, group: tuple[Claim, ...], claimed: Collection[str]) -> None:
        """Begin to move the files of a group again; enter jobs anew that the ledger has lost."""
        self._groups |= {claim.id: group for claim in group}
        for claim in group:
            self._jobs.known(claim.id).claim = claim
            is_lost = claim.id not in claimed and self._ledger.get(claim.id) is None
            self._jobs.post(claim.id, Found(job_of(claim)) if is_lost else Restarted())

    def _sweep(self, inbox: Inbox) -> None:
        """Have the lane of an inbox put back the files that the inbox holds for no job.

        If that fails, the next scan of the inbox repeats it.
        """
        jobs = self._ledger.open_jobs()
        disk = inbox.last.disks.root
        beside = inbox.last.held

        def done(result: list[Path] | Exception) -> None:
            if isinstance(result, list):
                self._swept[inbox.path] = disk
                for path in result:
                    self._reporter.ignored(path, "it was claimed for a job that the ledger lost")

        work = partial(self._claiming.sweep, inbox.path, jobs, beside)
        self._lanes.do(inbox.path, lambda step: work(), done)

    # -- scanning

    def scan(self, inboxes: Sequence[Inbox] | None = None) -> None:
        """Begin a scan of each of `inboxes`, by default of all, and a look at the style library.

        Also end idle inspection processes, and try again to recover groups that could not be read.
        """
        self._inspector.end_if_idle()
        if self._unread:
            self._recover_unread()
        self.library.look()
        for inbox in self.inboxes if inboxes is None else inboxes:
            inbox.scan()

    def _destination_changed(self, destination: Destination) -> None:
        if destination.trouble:
            self._reporter.waits(shown(destination.folder), destination.trouble)
        for inbox in self.inboxes:
            inbox.report()

    def _styles_changed(self) -> None:
        for inbox in self.inboxes:
            inbox.scan()

    def _scanned(self, inbox: Inbox, scan: Scan) -> None:
        """Act on the result of a scan.

        Drop late clips from its pairs, record what it says of files, hold jobs whose files are
        written again, report incomplete pairs, and begin to probe the outbox if pairs are to be
        claimed. Sweep the inbox if it holds files for no open job, or was not swept on this disk.
        """
        late = self._late_clips(inbox, scan)
        inbox.incomplete = [pair for pair in inbox.incomplete if pair.main not in late]
        inbox.pending = type(inbox.pending)(
            group for group in inbox.pending if group[0].main not in late
        )
        self.kept.scanned(inbox, scan)
        if inbox.pending:
            inbox.destinations[0].probe()  # before anything is claimed for its outbox
        self._hold_reopened(scan)
        self._report_incomplete()
        not_live = scan.held.keys() - self._jobs.live.keys()
        is_over = bool(not_live) and not not_live <= self._ledger.open_jobs().keys()
        # its disk was away at the start, or is another one now
        is_unswept = self._swept.get(inbox.path) != scan.disks.root
        if is_over or is_unswept:
            self._sweep(inbox)

    def _late_clips(self, inbox: Inbox, scan: Scan) -> list[Path]:
        """Leave out clips that came after the pictures of their live photos had been claimed.

        Returns the paths of these clips. A clip is recognized by its name as soon as it appears: by
        the time it is stable, the ledger may have forgotten the job.
        """
        pairs = [*inbox.incomplete, *(group[0] for group in inbox.pending)]
        mains = scan.files.keys() & {pair.main for pair in pairs}
        clips = [main for main in mains if not is_picture(main) and job_named(main) is None]
        if not clips:
            return []
        sources = map(Path, self._ledger.sources(str(inbox.path)))
        stills = {_live_photo(path) for path in (*self._claimed, *sources) if is_picture(path)}
        late = [clip for clip in clips if _live_photo(clip) in stills]
        for clip in late:
            self.kept.leave_out(inbox, clip, scan.files[clip], LIVE_PHOTO)
        return late

    def _hold_reopened(self, scan: Scan) -> None:
        """Hold queued jobs whose files are in the inbox again, soon after they left it (law 4).

        The program that uploads such a file has started over.
        """
        until = self._clock() - self._settings.watch.truncated_s
        self._claimed = {
            path: (group, claimed_at)
            for path, (group, claimed_at) in self._claimed.items()
            if claimed_at > until
        }
        for path in self._claimed.keys() & scan.files.keys():
            group, _ = self._claimed[path]
            for claim in group:
                job = self._ledger.get(claim.id)
                if job is not None and job.state is State.QUEUED:
                    self._jobs.hold(job.id, f"{shown(path.name)} is written again in the inbox")

    def _report_incomplete(self) -> None:
        if self.incomplete != self._incomplete:
            self._incomplete = self.incomplete
            self._reporter.incomplete(self.incomplete)

    # -- claiming

    def claim(self) -> None:
        """Begin the moves that are due, the hashing of files, and checks of the next pairs.

        Pairs of an inbox are checked only while few of its jobs are being claimed, its outbox
        works, its lane is free, and the machine has no shortage. While the ledger cannot be
        written, no pair is checked, and new jobs that it has not recorded are withdrawn.
        """
        self._take_moving()
        waits = self._jobs.waits
        trouble = bool(self._jobs.trouble)
        if trouble:
            self._withdraw()
        for inbox in self.inboxes:
            self.kept.hash(inbox)
            outbox = Obstacle(Kind.OUTBOX, str(inbox.outbox))
            is_blocked = trouble or waits.is_paused(MACHINE) or waits.is_paused(outbox)
            places = 0 if is_blocked else self._places(inbox)
            enough = min(AHEAD // 2, len(inbox.pending))  # several jobs share a commit
            if places >= enough > 0 and inbox.outbox_works and not inbox.is_busy:
                inbox.check(places, partial(self._is_held, inbox), partial(self._checked, inbox))

    def _withdraw(self) -> None:
        """Withdraw new jobs that the ledger cannot record now.

        Until the ledger can record them, further files may come that belong to their pairs.
        """
        for job_id in list(self._unrecorded):
            if self._jobs.withdraw(job_id):
                self._unrecorded.discard(job_id)
                del self._groups[job_id]

    def _is_held(self, inbox: Inbox, group: Sequence[Pair]) -> bool:
        """Return whether a group uses a default style while a look at the library is under way."""
        styles = group[0].styles
        return self.library.is_looking and not all(
            path.is_relative_to(inbox.path) for path in styles
        )

    def _places(self, inbox: Inbox) -> int:
        """Return the number of additional jobs that may be claimed from an inbox now.

        Jobs that wait for an obstacle of their own, for example a file that cannot be moved, do not
        count. Jobs with a common obstacle do: one of them tries it for all, so more jobs would be
        of no use.
        """
        claims = [
            live.claim
            for job_id, live in self._jobs.live.items()
            if live.doing.is_claiming and live.doing.obstacle != Obstacle(Kind.JOB, job_id)
        ]
        return AHEAD - sum(claim is not None and claim.inbox == inbox.path for claim in claims)

    def _checked(self, inbox: Inbox, result: Checked) -> None:
        """Post the ready pairs of a check as new jobs."""
        self._report_incomplete()
        for pairs in result.ready:
            self._found(inbox, pairs, result)

    def _found(self, inbox: Inbox, pairs: Sequence[Pair], checked: Checked) -> None:
        ids = new_ids(len(pairs))
        near = checked.near[pairs[0].main]
        found = inbox.last.disks.by_folder(inbox.path)
        group = tuple(
            claims_for(pairs, checked.looks, near, found, inbox.own, ids, self._ledger_id)
        )
        for claim in group:
            self._groups[claim.id] = group
            self._unrecorded.add(claim.id)
            self._jobs.known(claim.id).claim = claim
            self._jobs.turn(claim.id, Doing(Activity.MOVING, Effect.MOVE))
            self._jobs.post(claim.id, Found(job_of(claim)))

    def _move(self, job: Job, event: object) -> None:
        """Have the next `claim` begin to move the files of a job, with those of its group."""
        self._jobs.begin(job, Effect.MOVE)
        self._unrecorded.discard(job.id)
        if job.id not in self._groups:  # it is a retry, or was moved before a kill
            with self._jobs.mount_guard.checked(self._state.root):
                self._groups[job.id] = (claims.load(self._state.jobs / job.id),)
        group = self._groups[job.id]
        self._jobs.known(job.id).claim = {claim.id: claim for claim in group}[job.id]
        if group[0].is_copy:
            self._taken([group], [Taken()])
        elif job.id not in self._being_moved:
            self._being_moved.update(claim.id for claim in group)
            self._moving.append(group)  # the next `claim` begins it, as groups share a sync

    def _take_moving(self) -> None:
        """Have lanes move the files of all groups that are to be moved.

        A lane gets the groups of its inbox together, because one sync of a disk serves all of them.
        """
        moving = self._moving
        self._moving = []
        batches = defaultdict[tuple[Path, int], list[Sequence[Claim]]](list)
        for group in moving:
            size = sum(file.look.size for file in group[0].files)
            batches[group[0].inbox, size if size > LONG else 0].append(group)
        for (inbox, size), groups in batches.items():
            work = partial(self._claiming.take, groups)
            done = partial(self._taken, groups)
            self._lanes.do(inbox, work, done, size)

    def _taken(
        self, groups: Sequence[Sequence[Claim]], results: Sequence[Taken | Exception] | Exception
    ) -> None:
        """Post the events that follow from moving the files of `groups`.

        A job is moved, is abandoned because a file has changed or its content was painted before,
        or waits after an error. After a change the inbox is scanned again. `results` are those of
        `Claiming.take`, or one error for all groups.
        """
        if isinstance(results, Exception):
            results = [results] * len(groups)
        for group, result in zip(groups, results, strict=True):
            self._being_moved.difference_update(claim.id for claim in group)
            for claim in group:
                job = self._ledger.get(claim.id)
                is_moving = claim.id in self._groups  # else an earlier try has moved this job
                if job is not None and job.state is State.CLAIMED and is_moving:
                    done = partial(self._moved, job, claim)
                    self._jobs.then(job, Effect.MOVE, done, claim.inbox)(result)
            if isinstance(result, Taken) and result.stays and group[0].folder is not None:
                self._reporter.ignored(group[0].folder, result.stays)
            if isinstance(result, ChangedError):
                for inbox in self._inbox_of(group[0]):
                    inbox.not_claimed(group[0].name, group[0].main.source, result)
                    inbox.scan()

    def _moved(self, job: Job, claim: Claim, result: Taken | Exception) -> None:
        if isinstance(result, ChangedError):
            self._groups.pop(job.id, None)
            self._jobs.forget(job.id)
            self._jobs.post(job.id, Abandoned())
            return
        if isinstance(result, OSError):
            self._jobs.block(job, result, again=Effect.MOVE, root=claim.inbox)
            return
        if isinstance(result, Exception):
            self._hold_by_fault(job, result)
            return
        group = self._groups.pop(job.id)
        if self.kept.is_painted(claim, result.digests):
            self._drop_equal(job, claim, result)
            return
        if not claim.is_copy:
            self._reporter.claimed(job.name)
        for file in filter(claim.leaves_inbox, claim.files):
            self._claimed[file.source] = group, self._clock()
        self._jobs.post(job.id, Moved(), self.kept.remembering(claim, result))

    def _hold_by_fault(self, job: Job, error: Exception) -> None:
        """Make a job wait, and move its files later, after an unexpected exception in their move.

        Any other such exception ends its job (law 14). After this one, files may be in two places:
        an end would miss some of them, and the next scan would claim the rest as another job.
        """
        reason = shown(words.fault(error))
        self._jobs.log(job.id, reason, error)
        self._jobs.hold(job.id, reason, Effect.MOVE)
        self._reporter.waits(shown(job.title), reason)
        self._jobs.post(job.id, Blocked(Cause.BUG, reason))

    def _drop_equal(self, job: Job, claim: Claim, taken: Taken) -> None:
        """Give up a job whose content was painted under another name, and remove its copies.

        The next scan recognizes the files in the inbox, and the status names them.
        """
        atomic.discard(self._state.jobs / job.id, self._state.trash)
        self._jobs.forget(job.id)
        self._jobs.post(job.id, Abandoned(), self.kept.remembering(claim, taken))

    # -- inspection

    def _inspect(self, job: Job, event: object) -> None:
        """Have the pictures of a job inspected, or let it end at once if it is canceled."""
        if job.asked is End.CANCELED:  # no obstacle may delay its end
            self._jobs.post(job.id, Inspected())
            return
        self._jobs.begin(job, Effect.INSPECT)
        limits = self._settings.limits
        folder = self._state.files(job.id)
        pictures = self._jobs.claim_of(job).pictures
        self._inspector.ask(
            Question(
                tuple(folder / file.name for file in pictures),
                limits.max_pixels,
                self._state.thumbs,
                tuple(file.role for file in pictures),
                size=job.bytes,
                max_frames=limits.max_frames,
            ),
            self._jobs.then(job, Effect.INSPECT, partial(self._inspected, job)),
        )

    def _inspected(self, job: Job, answer: Answer | Exception) -> None:
        """Post the result of an inspection, or make the job wait for a second inspection.

        A job from an inbox is refused only by a second inspection, or by one that tried several
        times: the program that wrote the picture may have renamed the file before it wrote the end.
        A retry is refused at once.
        """
        if isinstance(answer, Exception):
            raise answer
        claim = self._jobs.claim_of(job)
        problem = answer.reason
        cause = answer.cause or Cause.PICTURE
        is_first = not (self._jobs.waits.has_crashed(job.id) or answer.is_final)
        if problem and is_first and not claim.is_copy:
            self._jobs.waits.crashed(job.id, times=self._settings.watch.quiet_s)
            job_obstacle = Obstacle(Kind.JOB, job.id)
            self._jobs.turn(job.id, Doing(Activity.WAITING, Effect.INSPECT, job_obstacle))
            return
        self._jobs.waits.forget_job(job.id)
        self._jobs.turn(job.id, Doing())
        settings = self._defaults
        if claim.job_file is not None and not problem:
            try:
                settings = self._resolved(claim, claim.job_file)
            except RecipesAwayError:
                pass  # the job waits for them once it is to begin
            except (SettingsError, InputError) as error:
                problem = str(error)
                cause = error.cause
        pictures = () if problem else answer.pictures
        styles = {file.name for file in claim.files if file.role == "style"}
        needs = settings.needs(each.sha256 for each in pictures if each.name in styles)
        event = Inspected(pictures, problem, cause, settings.priority, needs)
        self._jobs.post(job.id, event)

    def _resolved(self, claim: Claim, job_file: File) -> JobFile:
        """Return the settings of a claimed job with a job.yaml; raises as `resolve` does."""
        path = self._state.files(claim.id) / job_file.name
        guard = self._jobs.mount_guard
        with guard.checked(self._state.root):
            settings, _ = resolve(self._settings, path, guard, is_retry=claim.is_copy)
        return settings

    # -- state, for the main loop and the status

    @property
    def _claims(self) -> list[Claim]:
        """The claims of the jobs that are being claimed."""
        lives = self._jobs.live.values()
        return [live.claim for live in lives if live.doing.is_claiming and live.claim is not None]

    def _in_work(self, inbox: Inbox) -> list[Claim]:
        """Return the claims from an inbox whose files may still be there.

        The files have not left yet, stay until the ledger has recorded them, or were copied by
        version 1.
        """
        stay = [claim for claim in self._claims if claim.after == "keep" or not claim.ledger]
        moving = chain.from_iterable(self._groups.values())
        claims = [*stay, *moving, *self.kept.being_remembered()]
        if self._unread:  # the ledger tells which files these have (law 2)
            known = {claim.id for claim in claims}
            claimed = self._ledger.in_state(State.CLAIMED)
            claims += [_claim_of(job) for job in claimed if job.inputs and job.id not in known]
        return [claim for claim in claims if claim.inbox == inbox.path and not claim.is_copy]

    def _inbox_of(self, claim: Claim) -> list[Inbox]:
        return [inbox for inbox in self.inboxes if inbox.path == claim.inbox]

    @property
    def is_claiming(self) -> bool:
        """True while the intake scans, checks, hashes, moves or inspects, or looks at a disk."""
        doings = [live.doing for live in self._jobs.live.values()]
        if any(doing.is_claiming and doing.is_work for doing in doings):
            return True
        busy = (inbox.is_busy or inbox.is_looking for inbox in self.inboxes)
        return self.kept.is_hashing or self.library.is_looking or any(busy)

    @property
    def is_stable(self) -> bool:
        """True if the last scan of each inbox found it stable, as `Scan.is_stable` says."""
        return all(inbox.last.is_stable for inbox in self.inboxes)

    @property
    def is_final(self) -> bool:
        """True if no file of the last scans is changing, may come back, or has unknown content."""
        if not self.is_stable or any(pair.changing for pair in self.incomplete):
            return False
        scans = [inbox.last for inbox in self.inboxes]
        return not any(scan.unknown for scan in scans)

    @property
    def incomplete(self) -> list[Pair]:
        """The incomplete pairs of all inboxes."""
        return [pair for inbox in self.inboxes for pair in inbox.incomplete]


def _claim_of(job: Job) -> Claim:
    """Return the claim of a job as far as the ledger knows it: its files, but not their times.

    The style of an album, whose name has no part for a job, counts as shared.
    """
    files = tuple(
        File(
            file.role,
            file.name,
            Path(file.source),
            Look(file.size, 0),
            own=file.role.startswith("content") or bool(job_named(Path(file.source))),
        )
        for file in job.inputs
    )
    inbox = Path(job.inbox)
    main = files[0].source
    has_own_folder = job_named(main) == "" and main.parent != inbox
    folder = main.parent if has_own_folder else None
    return Claim(job.id, job.name, inbox, Path(job.outbox), "archive", files, folder, job.retry_of)


def _loaded(folders: Iterable[Path]) -> tuple[list[Claim], dict[Path, ValueError]]:
    """Return the claims in `folders`, and the errors of the damaged claims by their folders."""
    loaded = list[Claim]()
    damaged = dict[Path, ValueError]()
    for folder in folders:
        try:
            loaded.append(claims.load(folder))
        except ValueError as error:
            damaged[folder] = error
    return loaded, damaged


def _live_photo(path: Path) -> tuple[Path, str]:
    """Return the folder and the folded stem, which the two files of a live photo have in common."""
    return path.parent, folded(path.stem)
