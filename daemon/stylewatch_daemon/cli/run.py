"""`stylewatch run`: the daemon, with a report of its work in the log and on the terminal."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import typer

from stylewatch_daemon.app import monitoring
from stylewatch_daemon.app.alerts import Notifier
from stylewatch_daemon.app.hooks import HookRunner
from stylewatch_daemon.base.errors import DaemonError, UsageError
from stylewatch_daemon.base.events import Reporter, Reporters
from stylewatch_daemon.base.model import End, Job, Pair, Progress, Started
from stylewatch_daemon.base.wakeup import Wakeup
from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.progress import JobProgress
from stylewatch_daemon.files.disks import MountGuard, amount
from stylewatch_daemon.files.names import shortened, shown
from stylewatch_daemon.ledger.requests import is_paused
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.sections import Log
from stylewatch_daemon.web.supervisor import Supervisor
from stylewatch_daemon.worker.messages import Staged

_Version = tuple[int, int, int, int] | None


class _Source:
    """The files of the settings and of the token, and their versions when they were last read."""

    def __init__(self, path: Path, load: Callable[[Path], config.ServiceSettings]) -> None:
        self.path, self._load = path, load
        self._token: Path | None = None
        self._known = self._seen = self._look()

    def read(self) -> config.ServiceSettings:
        """Read the settings again; raises as `config.load` does."""
        self._known = self._look()
        settings = self._load(self.path)
        self.add_token(settings.web.token_file)
        return settings

    def add_token(self, path: Path | None) -> None:
        """Record the file of the token, before it is read."""
        self._token = path
        self._known = self._known[0], _version(path)

    def changed(self) -> bool:
        """Return True if a file has changed since it was read, but not since the last call."""
        before, self._seen = self._seen, self._look()
        return self._seen == before != self._known

    def _look(self) -> tuple[_Version, _Version]:
        return _version(self.path), _version(self._token)


def _version(path: Path | None) -> _Version:
    """Return mode, inode, size and mtime of a file; None if there is none."""
    try:
        status = None if path is None else path.stat()
    except OSError:
        status = None
    return status and (status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns)


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
    overrides = _overrides(sets, {"inboxes": inbox or outbox, "state": state})
    load = partial(config.load, overrides=overrides, inbox=inbox, outbox=outbox)
    source = _Source((config_file or config.find()).absolute(), load)
    settings = load(config_file)
    source.add_token(settings.web.token_file)
    context.obj["debug"] |= settings.log.level == "debug"
    with HookRunner(settings.hooks) as hooks:  # hooks that wait outlast a reload
        if once:
            raise typer.Exit(_once(settings, hooks, quiet=quiet))
        systemd = monitoring.SystemdNotifier(os.environ)
        earlier: list[config.ServiceSettings] = []  # those that worked, until others do
        mount_guard = MountGuard()  # which disks there were outlasts a reload, too
        while True:
            try:
                new = _watch(settings, source, systemd, hooks, earlier, mount_guard, quiet=quiet)
            except DaemonError as error:
                if not earlier:
                    raise
                settings = earlier.pop()
                with reporting(settings.log, quiet=quiet):
                    monitoring.log_wrong_settings(str(error))
                continue
            if new is None:
                return
            earlier.append(settings)
            settings = new


def _overrides(sets: list[str] | None, folders: Mapping[str, Path | None]) -> dict[str, Any]:
    """Return the settings of `--set` and `--state`; `folders` are those of options, by section.

    Raises UsageError if both set one section.
    """
    overrides = options.parse_sets(sets)
    for section, folder in folders.items():
        if folder is not None and any(key.split(".")[0] == section for key in overrides):
            raise UsageError(f"{section} is given twice, by an option and by --set: leave one out")
    state = folders["state"]
    return overrides if state is None else {**overrides, "state.path": state}


@contextmanager
def _reporters(
    settings: config.ServiceSettings, hooks: HookRunner, *, quiet: bool
) -> Iterator[Reporters]:
    """Open the reporters: the log, the sender of alerts and the runner of hooks."""
    hooks.hooks = settings.hooks
    with (
        reporting(settings.log, quiet=quiet) as log,
        Notifier(settings.alerts.targets()) as notifier,
    ):
        yield Reporters(log, notifier, hooks)


def _once(settings: config.ServiceSettings, hooks: HookRunner, *, quiet: bool) -> int:
    """Process what is in the inboxes; return the exit code."""
    from stylewatch_daemon.app import daemon

    wakeup = Wakeup()
    with _reporters(settings, hooks, quiet=quiet) as reporters:
        summary = daemon.once(settings, reporters, wakeup=wakeup)
        if summary.waiting and is_paused(settings.state.path):
            logging.getLogger(monitoring.LOGGER).error(
                "paused until `stylewatch resume`; jobs that wait: %d", len(summary.waiting)
            )
        hooks.finish(settings.hooks.timeout_s if wakeup.stopping else float("inf"))
    return summary.exit_code


def _watch(
    settings: config.ServiceSettings,
    source: _Source,
    systemd: monitoring.SystemdNotifier,
    hooks: HookRunner,
    earlier: list[config.ServiceSettings],
    mount_guard: MountGuard,
    *,
    quiet: bool,
) -> config.ServiceSettings | None:
    """Run the daemon; return the settings with which it should start again, if it should.

    Clear the `earlier` settings once the daemon is at work.
    """
    from stylewatch_daemon.app import daemon

    accepted: list[config.ServiceSettings] = []

    def at_work() -> None:
        supervisor.start()
        earlier.clear()

    def may_reload() -> bool:
        """Return whether the settings in the file are valid now; log their mistakes."""
        try:
            new = source.read()
            daemon.check(new)
            new.alerts.targets()
            config.web_page(new)
        except (DaemonError, OSError) as error:
            monitoring.log_wrong_settings(str(error))
            return False
        accepted.append(new)
        logging.getLogger(monitoring.LOGGER).info("new settings are read from %s", source.path)
        return True

    with _reporters(settings, hooks, quiet=quiet) as reporters:
        with closing(Supervisor(config.web_page(settings))) as supervisor:
            reloads = daemon.watch(
                settings,
                reporters,
                systemd=systemd,
                may_reload=may_reload,
                settings_changed=source.changed,
                at_work=at_work,
                mount_guard=mount_guard,
            )
        if not reloads:
            hooks.finish(settings.hooks.timeout_s)
    return accepted[-1] if reloads else None


_OF_ENDS = {
    End.DONE: (logging.INFO, "done, in {folder}"),
    End.STOPPED_EARLY: (logging.INFO, "done, in {folder}"),
    End.REFUSED: (logging.ERROR, "refused: {reason}; it is in {folder}"),
    End.FAILED: (logging.ERROR, "failed permanently: {reason}; it is in {folder}"),
    End.CANCELED: (logging.INFO, "canceled; the inputs are in {folder}"),
}
"""Level and text for each end of a job."""


@contextmanager
def reporting(settings: Log, *, quiet: bool) -> Iterator[Reporter]:
    """Open a reporter; `quiet` logs only errors."""
    with monitoring.logging_as(settings, quiet=quiet) as log:
        yield _LogReporter(log)


class _LogReporter(Reporter):
    """Reporter that logs every event; events of a job are logged with its name."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._displays: dict[str, JobProgress] = {}
        self._incomplete: set[tuple[str, str]] = set()

    def _show(self, job: str, event: Progress | Staged) -> None:
        """Show an event of a running job, unless another job with its name has ended meanwhile."""
        if display := self._displays.get(job):
            display(event)

    def _of_job(self, job: str, level: int, text: str) -> None:
        """Log an event that ends the progress display of a job."""
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
        if path.parent.name == "stages":
            self._show(job, Staged(f"stages/{path.name}", sha256=""))
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
