"""Retention: remove old stages and inputs, forget old jobs, and delete old jobs in the trash.

Favorites are left out.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from stylewatch_daemon.base.errors import OutputError, ShortageError
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.base.model import Job, OutputFile, now
from stylewatch_daemon.jobs.jobs import Jobs
from stylewatch_daemon.jobs.wall_clock import DAY, NOTICEABLE, WallClock
from stylewatch_daemon.ledger import favorites, thumbs
from stylewatch_daemon.ledger.ledger import EXPIRE, Sight
from stylewatch_daemon.outbox import removal
from stylewatch_daemon.outbox.removal import Removed

EXPIRED_AT_ONCE = 20
"""Maximum number of jobs of an outbox that are deleted at a time because their days in the trash
are over, so that requests of people do not wait for all of them."""


class Upkeep:
    """Performer of `retention`, at the start and then once a day.

    Only unchanged files that the ledger lists are removed. The age of a job begins when an upkeep
    first sees its end, and counts only time that has passed for certain, not by the wall clock.
    """

    def __init__(self, jobs: Jobs, wall_clock: WallClock) -> None:
        self._jobs = jobs
        self._wall_clock = wall_clock
        self._sight = jobs.ledger.sight()
        self._due_s = 0.0
        """Value of `Sight.counted_s` at which the next upkeep is due."""
        self._expired = set[str]()
        """Ids of the jobs whose deletion was requested since the last daily upkeep. A request does
        not wait for a disk that is away: it is made again after the next upkeep."""
        self._open = 0
        """Number of pieces of work of retention that lanes have not ended yet."""

    @property
    def in_work(self) -> bool:
        """True while lanes work for retention."""
        return self._open > 0

    def go(self) -> None:
        """Remove and forget what retention no longer keeps, at the first call and then once a day.

        Each call requests the deletion of further jobs whose days in the trash are over. The sight
        of the clocks is recorded once a day, and when the wall clock was set since the last call.
        Lanes remove the files.
        """
        last = self._sight
        sight = self._wall_clock.look(self._sight)
        self._sight = sight
        is_due = sight.counted_s >= self._due_s
        # Otherwise the next start would take a jump for time without a daemon.
        if is_due or (last is not None and _has_jumped(last, sight)):
            self._jobs.post("", None, lambda ledger: ledger.see(sight))
            self._jobs.commit()
        if is_due:
            self._expired.clear()
        self._empty_trash(sight)
        if not is_due:
            return
        self._due_s = sight.counted_s + DAY
        retention = self._jobs.settings.retention
        limited = {
            part: days
            for part, days in (("stages", retention.stages), ("inputs", retention.inputs))
            if days != "keep"
        }
        for part, days in limited.items():
            self._remove(part, sight.counted_s - days * DAY)
        if retention.ledger != "keep":
            self._expire(sight.counted_s - retention.ledger * DAY, limited)

    def _empty_trash(self, sight: Sight) -> None:
        """Request the deletion of jobs whose days in the trash are over, a few at a time."""
        jobs = self._jobs
        days = jobs.settings.retention.trash
        if days == "keep":
            return
        outlived = jobs.ledger.outlived_trash(sight.counted_s - days * DAY)
        if not outlived:
            return
        asked = [request for request in jobs.ledger.requests() if request.verb == EXPIRE]
        owners = (jobs.ledger.get(str(request.arguments.get("job"))) for request in asked)
        waiting = Counter(job.outbox for job in owners if job is not None)
        chosen = list[str]()
        for job_id, outbox in outlived:
            if waiting[outbox] < EXPIRED_AT_ONCE and job_id not in self._expired:
                waiting[outbox] += 1
                chosen.append(job_id)
        self._expired.update(chosen)
        if chosen:
            jobs.post("", None, lambda it: it.ask_to_expire(chosen, sight.counted_s, now()))
            jobs.commit()

    def _expire(self, threshold: float, parts: Iterable[str]) -> None:
        """Forget jobs whose age began before `threshold`, a time of `Sight.counted_s`.

        Favorites, jobs in the state folder, and jobs that still have files of `parts` are kept.
        Thumbnails that no job in the ledger needs are then removed.
        """
        jobs = self._jobs
        state = self._jobs.state

        def work(step: Step) -> set[str]:
            with jobs.mount_guard.checked(state.root):
                return state.claimed() | favorites.marked(state.root)

        def done(kept: set[str] | Exception) -> None:
            self._open -= 1
            if isinstance(kept, Exception):
                jobs.reporter.waits("retention", str(kept))
                return
            try:
                jobs.check_state()
                kept |= favorites.marked(state.root)  # some may be newer than those the lane found
                jobs.check_state()
            except (OutputError, ShortageError) as error:
                jobs.reporter.waits("retention", str(error))
                return
            jobs.post("", None, lambda ledger: ledger.expire(threshold, parts, kept))
            jobs.commit()
            thumbs.sweep(state.thumbs, jobs.ledger.digests())

        self._open += 1
        self._jobs.lanes.do(state.root, work, done)

    def _remove(self, part: str, threshold: float) -> None:
        """Have lanes remove the files of `part` of the jobs whose age began before `threshold`."""
        files: defaultdict[tuple[str, str], list[OutputFile]] = defaultdict(list)
        for job_id, outbox, file in self._jobs.ledger.outlived(part, threshold):
            files[job_id, outbox].append(file)
        for (job_id, outbox), listed in files.items():
            job = self._jobs.ledger.get(job_id)
            if job is not None:
                self._remove_of(job, Path(outbox), listed)

    def _remove_of(self, job: Job, outbox: Path, files: list[OutputFile]) -> None:
        listed = self._jobs.ledger.files(job.id)
        state = self._jobs.state.root

        def work(step: Step) -> Removed:
            """Remove the files, but stop if the job becomes a favorite while its disk is slow."""
            folder = str(Path(files[0].path).parent)
            is_kept = partial(favorites.is_marked, state, job.id)
            guard = self._jobs.mount_guard
            with guard.checked(state), guard.checked_inside(outbox, folder, disk=job.disk):
                if is_kept():
                    return Removed([], [])
                return removal.remove(
                    outbox, files, step, place=job.place, listed=listed, ends=is_kept
                )

        def done(result: Removed | Exception) -> None:
            self._open -= 1
            if isinstance(result, Exception):
                self._jobs.reporter.waits("retention", str(result))
                return
            gone = result.gone
            paths = [file.path for file in (*gone, *result.left)]
            if paths:
                self._jobs.post("", None, lambda ledger: ledger.drop_files(job.id, paths))
                self._jobs.reporter.pruned(len(gone), sum(file.size for file in gone))

        self._open += 1
        self._jobs.lanes.do(outbox, work, done, sum(file.size for file in files))


def _has_jumped(last: Sight, sight: Sight) -> bool:
    """Return whether the wall clock was set between two looks."""
    passed = sight.counted_s - last.counted_s
    return abs((sight.latest - last.latest).total_seconds() - passed) > NOTICEABLE
