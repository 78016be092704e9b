"""`stylewatch run`: the daemon, from its command line, and its report in the log."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import typer

from stylewatch_daemon.app import monitoring
from stylewatch_daemon.base.errors import UsageError
from stylewatch_daemon.base.events import Reporter
from stylewatch_daemon.base.model import End, Job, Pair, Progress, Started
from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.progress import JobProgress
from stylewatch_daemon.files.disks import amount
from stylewatch_daemon.files.names import shortened, shown
from stylewatch_daemon.outbox.publish import STAGES
from stylewatch_daemon.settings.config import Start
from stylewatch_daemon.settings.sections import LogSettings
from stylewatch_daemon.worker.messages import FileStaged


def run(
    context: typer.Context,
    *,
    once: bool = typer.Option(False, "--once", help="Finish all pairs in the inboxes and exit."),
    config_file: options.Config = None,
    inbox: Path | None = typer.Option(
        None, metavar="FOLDER", help="Watch this folder, not those in config.yaml."
    ),
    outbox: Path | None = typer.Option(None, metavar="FOLDER", help="Write the outputs here."),
    state: options.State = None,
    sets: options.Sets = None,
    quiet: options.Quiet = False,
) -> None:
    """Watch the inboxes, and run a job for each pair."""
    from stylewatch_daemon.app.service import Service

    overrides = _overrides(sets, {"inboxes": inbox or outbox, "state": state})
    service = Service(Start(config_file, overrides, inbox, outbox), reporting, quiet=quiet)
    context.obj["debug"] |= service.settings.log.level == "debug"
    if once:
        raise typer.Exit(service.once())
    service.watch()


def _overrides(sets: list[str] | None, folders: Mapping[str, Path | None]) -> dict[str, Any]:
    """Return the settings of `--set` and `--state`, by the dotted keys of config.yaml.

    `folders` are the values of the options for folders, by the section that each option sets.
    Raises UsageError if an option and `--set` set the same section.
    """
    overrides = options.parse_sets(sets)
    for section, folder in folders.items():
        if folder is not None and any(key.split(".")[0] == section for key in overrides):
            raise UsageError(f"{section} is given twice, by an option and by --set: leave one out")
    state = folders["state"]
    return overrides if state is None else {**overrides, "state.path": state}


_OF_ENDS = {
    End.DONE: (logging.INFO, "done, in {folder}"),
    End.STOPPED_EARLY: (logging.INFO, "stopped early, in {folder}"),
    End.REFUSED: (logging.ERROR, "refused: {reason}; it is in {folder}"),
    End.FAILED: (logging.ERROR, "failed permanently: {reason}; it is in {folder}"),
    End.CANCELED: (logging.INFO, "canceled; the inputs are in {folder}"),
}
"""Level of the log and text for each end of a job."""


@contextmanager
def reporting(settings: LogSettings, *, quiet: bool) -> Iterator[Reporter]:
    """Yield a reporter that writes to the log; with `quiet`, only errors."""
    with monitoring.logging_as(settings, quiet=quiet) as log:
        yield _LogReporter(log)


class _LogReporter(Reporter):
    """Reporter that logs every event; events of a job are logged with its name."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._displays: dict[str, JobProgress] = {}
        self._incomplete: set[tuple[str, str]] = set()

    def _show(self, job: str, event: Progress | FileStaged) -> None:
        """Show an event of a running job, unless another job with its name has ended meanwhile."""
        display = self._displays.get(job)
        if display:
            display(event)

    def _of_job(self, job: str, level: int, text: str) -> None:
        """Log `text`, and end the display of the progress of a job."""
        self._displays.pop(job, None)
        self._log.log(level, "%s", text, extra={"job": job})

    def claimed(self, job: str) -> None:
        self._log.info("claimed", extra={"job": job})

    def waits(self, what: str, reason: str) -> None:
        self._of_job(what, logging.ERROR, f"waits: {reason}")

    def stopped(self, job: str, step: int, unit: str) -> None:
        self._of_job(job, logging.INFO, f"stopped; it continues from {unit} {step}")

    def ended(self, job: Job, folder: Path, final: Path | None = None) -> None:
        assert job.end is not None
        level, text = _OF_ENDS[job.end]
        text = text.format(reason=job.reason, folder=folder)
        self._of_job(shown(job.title), level, text)

    def watching(self, inboxes: Sequence[Path]) -> None:
        self._log.info("watching %s", ", ".join(str(inbox) for inbox in inboxes))

    def requested(self, what: str) -> None:
        self._log.info("%s", what)

    def job_started(self, job: str, started: Started) -> None:
        self._displays[job] = JobProgress(partial(self._log.info, extra={"job": job}))
        self._displays[job](started)

    def progress(self, job: str, progress: Progress) -> None:
        self._show(job, progress)

    def staged(self, job: str, path: Path) -> None:
        if path.parent.name == STAGES:
            self._show(job, FileStaged(f"{STAGES}/{path.name}", sha256=""))
        self._log.debug("%s is published", path, extra={"job": job})

    def input_changed(self, job: str, what: str) -> None:
        self._log.warning("%s", what, extra={"job": job})

    def attempt_failed(self, job: str, reason: str, trace: str) -> None:
        self._displays.pop(job, None)
        self._log.warning("an attempt failed: %s", reason, extra={"job": job, "trace": trace})

    def incomplete(self, pairs: Sequence[Pair]) -> None:
        for pair in pairs:
            if (pair.name, pair.waits_for) not in self._incomplete:
                self._log.warning("waits for %s", pair.waits_for, extra={"job": pair.name})
        self._incomplete = {(pair.name, pair.waits_for) for pair in pairs}

    def ignored(self, path: Path, why: str) -> None:
        self._log.warning("%s is ignored: %s", shortened(path), why)

    def pruned(self, files: int, bytes_: int) -> None:
        self._log.info("removed %d files (%s) by `retention`", files, amount(bytes_))
