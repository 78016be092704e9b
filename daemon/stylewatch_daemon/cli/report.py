"""Report of the daemon's work, in the log and as a progress line on a terminal."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stylewatch_daemon.cli.progress import Begin, Lines, Tell, moving
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files.disk_space import amount
from stylewatch_daemon.files.names import shortened
from stylewatch_daemon.model import Incomplete, Progress, Started
from stylewatch_daemon.service.log import logging_as
from stylewatch_daemon.settings.sections import Log
from stylewatch_daemon.worker.messages import Done, Staged


@contextmanager
def reporting(settings: Log, *, quiet: bool) -> Iterator[Reporter]:
    """A reporter as `settings` say; `quiet` leaves nothing but errors."""
    with logging_as(settings, quiet=quiet) as log:
        people = settings.format == "console" and sys.stderr.isatty()
        if people and log.isEnabledFor(logging.INFO):
            with moving() as begin:
                yield Report(log, begin)
        else:
            yield Report(log, lambda job: Lines(lambda text: log.info(text, extra={"job": job})))


class Report(Reporter):
    """Tells `log` of everything; what tells of one painting's steps comes from `begin`."""

    def __init__(self, log: logging.Logger, begin: Begin) -> None:
        self._log = log
        self._begin = begin
        self._tells: dict[str, Tell] = {}
        self._waiting: frozenset[Incomplete] = frozenset()

    def watching(self, inboxes: Sequence[Path]) -> None:
        """The inboxes are watched from now on."""
        self._log.info("watching %s", ", ".join(str(inbox) for inbox in inboxes))

    def reloaded(self) -> None:
        """The settings were read again, and hold from the next job on."""
        self._log.info("the settings were read again, and hold from the next job on")

    def not_reloaded(self, reason: str) -> None:
        """The settings were read again and are wrong: those from before hold on."""
        for line in reason.splitlines():
            self._log.error("%s", line)
        self._log.error("the settings from before hold on, since those in the file are wrong")

    def needs_restart(self, key: str) -> None:
        """`key` was changed in the settings, and holds from the next start on."""
        self._log.warning("%s was changed, which holds from the next start on", key)

    def asked(self, what: str) -> None:
        """A command asked for something, and it is done."""
        self._log.info("%s", what)

    def taken(self, job: str) -> None:
        """A pair was taken out of its inbox."""
        self._log.info("taken", extra={"job": job})

    def divided(self, job: str, jobs: int) -> None:
        """It is a series, of so many jobs, which are painted first."""
        self._log.info("a series of %d jobs", jobs, extra={"job": job})

    def job_started(self, job: str, started: Started) -> None:
        """The first step is about to be made."""
        self._tells[job] = self._begin(job)
        self._tells[job](started)

    def progress(self, job: str, progress: Progress) -> None:
        """A step was made."""
        self._tells[job](progress)

    def staged(self, job: str, path: Path) -> None:
        """A file of the job is in the outbox."""
        if job in self._tells and path.parent.name == "stages":
            self._tells[job](Staged(f"stages/{path.name}", sha256=""))
        self._log.debug("%s is there", path, extra={"job": job})

    def done(self, job: str, folder: Path) -> None:
        """The painting is in `folder`."""
        self._end(job)
        self._log.info("done, in %s", folder, extra={"job": job})

    def refused(self, job: str, reason: str, folder: Path) -> None:
        """The input cannot be painted; it lies in `folder` with the reason."""
        self._end(job)
        self._log.error("refused: %s; it lies in %s", reason, folder, extra={"job": job})

    def cancelled(self, job: str, folder: Path) -> None:
        """The job was ended as people asked; what was dropped lies in `folder`."""
        self._end(job)
        self._log.info("cancelled; what was dropped lies in %s", folder, extra={"job": job})

    def failed(self, job: str, reason: str, trace: str, *, for_good: bool) -> None:
        """A try went wrong by a fault of ours; `for_good`: it was the last."""
        self._end(job)
        how = "failed for good" if for_good else "failed, and will be tried again"
        level = logging.ERROR if for_good else logging.WARNING
        self._log.log(level, "%s: %s", how, reason, extra={"job": job, "trace": trace})

    def paused(self, what: str, reason: str) -> None:
        """Something outside of us keeps a job, or an inbox, from going on; it waits."""
        self._end(what)
        self._log.error("waits: %s", reason, extra={"job": what})

    def input_changed(self, job: str, what: str) -> None:
        """An input of the job changed after it was taken."""
        self._log.warning("%s", what, extra={"job": job})

    def stopped(self, job: str, step: int) -> None:
        """The job was interrupted; it goes on from `step` at the next start."""
        self._end(job)
        self._log.info("stopped; it goes on from step %d", step, extra={"job": job})

    def incomplete(self, waiting: Sequence[Incomplete]) -> None:
        """Log the incomplete pairs that are new, or wait for something else than before."""
        for one in waiting:
            if one not in self._waiting:
                self._log.warning("waits for %s", one.waits_for, extra={"job": one.name})
        self._waiting = frozenset(waiting)

    def left_alone(self, path: Path, why: str) -> None:
        """Something that will not be looked at: a link in an inbox, a damaged job."""
        self._log.warning("%s is left alone: %s", shortened(path), why)

    def pruned(self, files: int, bytes_: int) -> None:
        """Files of finished jobs were kept long enough, and are gone."""
        self._log.info("removed %d files (%s) by `retention`", files, amount(bytes_))

    def _end(self, job: str) -> None:
        tell = self._tells.pop(job, None)
        if tell is not None:
            tell(Done({}))
