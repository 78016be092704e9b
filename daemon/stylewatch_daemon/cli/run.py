"""`stylewatch run`: the daemon, with a report of its work in the log and on the terminal."""

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from stylewatch_daemon.alerts.notifier import notifying
from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.progress import Begin, Lines, Show, moving_lines
from stylewatch_daemon.events import Both, Reporter
from stylewatch_daemon.files.disk_space import amount
from stylewatch_daemon.files.names import shortened
from stylewatch_daemon.model import Incomplete, Progress, Started
from stylewatch_daemon.service.monitoring import LOGGER, SystemdNotifier, logging_as
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.config import ServiceSettings, service_settings, web_page
from stylewatch_daemon.settings.sections import Log
from stylewatch_daemon.store.requests import is_paused
from stylewatch_daemon.web.supervisor import Supervisor, systemd_socket
from stylewatch_daemon.worker.messages import Done, Event, Staged


def run(
    context: typer.Context,
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Finish all pairs in the inboxes and exit.")
    ] = False,
    config_file: options.Config = None,
    inbox: Annotated[
        Path | None, typer.Option(help="Watch this folder, not those in config.yaml.")
    ] = None,
    outbox: Annotated[Path | None, typer.Option(help="Write the outputs here.")] = None,
    state: Annotated[Path | None, typer.Option(help="Use this state folder.")] = None,
    sets: options.Sets = None,
    quiet: options.Quiet = False,
) -> None:
    """Watch the inboxes, and run a job for each pair."""
    overrides = {**options.parse_sets(sets), **({} if state is None else {"state.path": state})}
    load = partial(config.load, overrides=overrides, inbox=inbox, outbox=outbox)
    settings = load(config_file)
    source = (config_file or config.find()).absolute()
    context.obj["debug"] |= settings.log.level == "debug"
    ready, to = service_settings(settings, overrides), settings.alerts.targets()
    page = None if once else web_page(settings)
    from stylewatch_daemon.service import daemon as service

    with (
        reporting(settings.log, quiet=quiet) as log,
        notifying(to) as notifier,
        closing(Supervisor(page, systemd_socket(os.environ))) as supervisor,
    ):
        reporter = Both(log, Both(notifier, supervisor))
        if once:
            summary = service.once(ready, reporter)
            if summary.waiting and is_paused(ready.state.path):
                logging.getLogger(LOGGER).error(
                    "paused until `stylewatch resume`; jobs that wait: %d", len(summary.waiting)
                )
            raise typer.Exit(summary.exit_code)

        def reread() -> ServiceSettings:
            new = load(source)
            if new.log != settings.log:
                reporter.needs_restart("log")
            supervisor.offer(web_page(new))
            notifier.offer(new.alerts.targets())
            return service_settings(new, overrides)

        service.watch(ready, reporter, systemd=SystemdNotifier(os.environ), reread=reread)


@contextmanager
def reporting(settings: Log, *, quiet: bool) -> Iterator[Reporter]:
    """Open a reporter; `quiet` logs only errors."""
    with logging_as(settings, quiet=quiet) as log:
        on_terminal = settings.format == "console" and sys.stderr.isatty()
        if on_terminal and log.isEnabledFor(logging.INFO):
            with moving_lines() as begin:
                yield _LogReporter(log, begin)
        else:
            yield _LogReporter(log, lambda job: Lines(partial(log.info, extra={"job": job})))


class _LogReporter(Reporter):
    """Logs every event; `begin` makes the progress display of a job."""

    def __init__(self, log: logging.Logger, begin: Begin) -> None:
        self._log = log
        self._begin = begin
        self._displays: dict[str, Show] = {}
        self._waiting: frozenset[Incomplete] = frozenset()

    def watching(self, inboxes: Sequence[Path]) -> None:
        self._log.info("watching %s", ", ".join(str(inbox) for inbox in inboxes))

    def reloaded(self) -> None:
        self._log.info("the settings were read again; they apply from the next job on")

    def not_reloaded(self, reason: str) -> None:
        for line in reason.splitlines():
            self._log.error("%s", line)
        self._log.error("the new settings are wrong; the old ones still apply")

    def needs_restart(self, key: str) -> None:
        self._log.warning("%s was changed; this applies from the next start on", key)

    def requested(self, what: str) -> None:
        self._log.info("%s", what)

    def claimed(self, job: str) -> None:
        self._log.info("claimed", extra={"job": job})

    def divided(self, job: str, jobs: int) -> None:
        self._log.info("a series of %d jobs", jobs, extra={"job": job})

    def job_started(self, job: str, started: Started) -> None:
        self._displays[job] = self._begin(job)
        self._show(job, started)

    def progress(self, job: str, progress: Progress) -> None:
        self._show(job, progress)

    def staged(self, job: str, path: Path) -> None:
        if job in self._displays and path.parent.name == "stages":
            self._show(job, Staged(f"stages/{path.name}", sha256=""))
        self._log.debug("%s is published", path, extra={"job": job})

    def done(self, job: str, folder: Path) -> None:
        self._end(job)
        self._log.info("done, in %s", folder, extra={"job": job})

    def refused(self, job: str, reason: str, folder: Path) -> None:
        self._end(job)
        self._log.error("refused: %s; it is in %s", reason, folder, extra={"job": job})

    def canceled(self, job: str, folder: Path) -> None:
        self._end(job)
        self._log.info("canceled; the inputs are in %s", folder, extra={"job": job})

    def failed(self, job: str, reason: str, trace: str, *, for_good: bool) -> None:
        self._end(job)
        outcome = "failed permanently" if for_good else "failed, and will be tried again"
        level = logging.ERROR if for_good else logging.WARNING
        self._log.log(level, "%s: %s", outcome, reason, extra={"job": job, "trace": trace})

    def paused(self, what: str, reason: str) -> None:
        self._end(what)
        self._log.error("waits: %s", reason, extra={"job": what})

    def input_changed(self, job: str, what: str) -> None:
        self._log.warning("%s", what, extra={"job": job})

    def stopped(self, job: str, step: int, unit: str) -> None:
        self._end(job)
        self._log.info("stopped; it continues from %s %d", unit, step, extra={"job": job})

    def incomplete(self, waiting: Sequence[Incomplete]) -> None:
        for pair in waiting:
            if pair not in self._waiting:
                self._log.warning("waits for %s", pair.waits_for, extra={"job": pair.name})
        self._waiting = frozenset(waiting)

    def ignored(self, path: Path, why: str) -> None:
        self._log.warning("%s is ignored: %s", shortened(path), why)

    def pruned(self, files: int, bytes_: int) -> None:
        self._log.info("removed %d files (%s) by `retention`", files, amount(bytes_))

    def _end(self, job: str) -> None:
        if job in self._displays:
            self._show(job, Done({}))
            del self._displays[job]

    def _show(self, job: str, event: Event) -> None:
        with suppress(OSError):  # the terminal may be closed
            self._displays[job](event)
