"""Retention: remove old stages and inputs of jobs that have ended, and forget old jobs."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.base.model import OutputFile
from stylewatch_daemon.base.mover import Mover, Step
from stylewatch_daemon.jobs.jobs import Jobs
from stylewatch_daemon.ledger import thumbs
from stylewatch_daemon.outbox import removal
from stylewatch_daemon.outbox.removal import Removed

DAY = 86400.0
"""Length of a day in seconds."""


class Upkeep:
    """Performer of `retention`, at the start and then once a day by `clock` (seconds).

    Only unchanged files that the ledger lists are removed.
    """

    def __init__(self, jobs: Jobs, mover: Mover, clock: Callable[[], float]) -> None:
        self._jobs, self._mover, self._clock = jobs, mover, clock
        self._last = -float("inf")
        self._open = 0
        """Number of jobs whose files the mover is removing."""

    @property
    def in_work(self) -> bool:
        """True while files are being removed."""
        return self._open > 0

    def go(self) -> None:
        """Remove and forget what retention no longer keeps, if a day has passed."""
        if self._clock() - self._last < DAY:
            return
        self._last = self._clock()
        retention, ledger = self._jobs.settings.retention, self._jobs.ledger
        limited = {
            part: days
            for part, days in (("stages", retention.stages), ("inputs", retention.inputs))
            if days != "keep"
        }
        for part, days in limited.items():
            self._remove(part, removal.cutoff(days))
        if retention.ledger != "keep":
            before = removal.cutoff(retention.ledger)
            self._jobs.post("", None, lambda ledger: ledger.expire(before, limited))
            self._jobs.commit()
            thumbs.sweep(self._jobs.state.thumbs, ledger.digests())

    def _remove(self, part: str, before: str) -> None:
        """Remove the files of one part of the jobs that ended before a time."""
        files: defaultdict[tuple[str, str], list[OutputFile]] = defaultdict(list)
        for job_id, outbox, file in self._jobs.ledger.outlived(part, before):
            files[job_id, outbox].append(file)
        for (job_id, outbox), theirs in files.items():
            self._remove_of(job_id, Path(outbox), theirs)

    def _remove_of(self, job_id: str, outbox: Path, files: list[OutputFile]) -> None:
        def work(step: Step) -> Removed:
            self._jobs.mount_guard.check(outbox)
            return removal.remove(outbox, files, step)

        def done(result: Removed | Exception) -> None:
            self._open -= 1
            if isinstance(result, Exception):
                error = result if isinstance(result, OutputError) else OutputError(str(result))
                self._jobs.reporter.waits("retention", str(error))
                return
            paths = [file.path for file in (*result.gone, *result.kept)]
            self._jobs.post("", None, lambda ledger: ledger.drop_files(job_id, paths))
            self._jobs.reporter.pruned(len(result.gone), sum(file.size for file in result.gone))

        self._open += 1
        self._mover.do(work, done, sum(file.size for file in files))
