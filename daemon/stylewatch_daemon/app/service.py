"""The service: a daemon with its page, its log and its alerts, and its restarts (law 15)."""

import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Protocol

from stylewatch_daemon.app import daemon, monitoring, restart
from stylewatch_daemon.app.alerts import Notifier
from stylewatch_daemon.app.page import Supervisor
from stylewatch_daemon.app.restart import Handover
from stylewatch_daemon.app.settings_file import (
    COPY,
    EARLIER,
    SettingsFile,
    check,
    loaded,
    rehearsed,
    secret_versions,
    version_of,
)
from stylewatch_daemon.base.events import Reporter, Reporters
from stylewatch_daemon.base.wakeup import ignore_hang_ups, open_terminals, release_signals
from stylewatch_daemon.settings import config, yaml_lines
from stylewatch_daemon.settings.config import ServiceSettings, Start
from stylewatch_daemon.settings.sections import AlertSettings, LogSettings


class Reporting(Protocol):
    """Function that opens the report of the daemon's work in the log."""

    def __call__(self, settings: LogSettings, *, quiet: bool) -> AbstractContextManager[Reporter]:
        """Open the report by these `settings`; with `quiet` it has only errors."""


class Service:
    """The daemon of a command line; `reporting` opens its log, only for errors if `quiet`.

    The constructor takes over a handover, and reads and checks the settings; it raises
    SettingsError if they are wrong.
    """

    def __init__(self, start: Start, reporting: Reporting, *, quiet: bool) -> None:
        self._start = start
        self._reporting = reporting
        self._quiet = quiet
        received = self._received = restart.received(os.environ)
        self._path = received.file or (start.config_file or config.find()).absolute()
        self._environment = dict(os.environ)
        """The environment of the start, with which the process starts anew."""
        self._has_begun = False
        with self._going_back():
            copy = received.settings
            self._version = version_of(
                self._path
            )  # taken before the file is read, so that a later edit counts as new
            self._content = yaml_lines.content_of(copy or self._path)
            # without a path, messages say where the file was found
            named = start.config_file if copy is None else self._path
            self.settings = start.read(named, self._content)
            check(self.settings, ())

    def once(self) -> int:
        """Process the files in the inboxes; return the exit code."""
        with self._reporters(self.settings.alerts.targets()) as reporters:
            summary = daemon.once(self.settings, reporters)
            if summary.waiting and summary.held:
                logging.getLogger(monitoring.LOGGER).error(
                    "%s Jobs that wait: %d", summary.held, len(summary.waiting)
                )
        return summary.exit_code

    def watch(self) -> None:
        """Run the daemon until it is told to stop, or replace it by a new one in this process.

        If the new daemon cannot begin with new settings, the process goes back once to the settings
        that worked last.
        """
        with self._going_back():
            handover = self._watch()
        if handover is not None:
            restart.begin_anew(handover, self._environment)

    def _watch(self) -> Handover | None:
        """Run the daemon; return the handover for the next one if it should start anew."""
        received = self._received
        looked = self._version, *secret_versions(self.settings)
        now = loaded(self._content, self.settings)
        versions = received.versions or looked
        start = replace(self._start, config_file=self._path)
        file = SettingsFile(
            self._path,
            self._load,
            now,
            versions,
            trouble=received.problem,
            rehearse=partial(rehearsed, start, self._path),
        )
        page = Supervisor(now.page and replace(now.page, start=start), inherited=received.page)
        with self._reporters(now.alerts) as reporters, closing(page):

            def at_work() -> None:
                self._has_begun = True
                if received.problem:
                    monitoring.log_old_settings(received.problem)
                page.start()

            handover = daemon.watch(
                self.settings,
                reporters,
                systemd=monitoring.SystemdNotifier(os.environ),
                file=file,
                at_work=at_work,
                at_end=page.leave,
                received=received,
            )
            if handover is None:
                ignore_hang_ups()
                return None
            listening = page.hand_over()
        state = self.settings.state.path
        terminals = received.terminals
        return replace(
            handover,
            page=listening,
            terminals=open_terminals() if terminals is None else terminals,
            file=self._path,
            settings=state / COPY,
            earlier=state / EARLIER,
            versions=file.versions,
        )

    def _load(self, content: bytes) -> ServiceSettings:
        return self._start.read(self._path, content)

    @contextmanager
    def _going_back(self) -> Iterator[None]:
        """Start anew with the settings that worked last if the block fails with newer settings.

        Once the daemon is at work, or if there are no such settings, the error is raised.
        """
        try:
            yield
        except Exception as error:
            received = self._received
            if self._has_begun or received.earlier is None:
                release_signals()
                raise
            problem = f"stylewatch could not start with the settings in {self._path}: {error}"
            handover = replace(received, settings=received.earlier, earlier=None, problem=problem)
            restart.begin_anew(handover, self._environment)

    @contextmanager
    def _reporters(self, alerts: AlertSettings) -> Iterator[Reporters]:
        """Open the reporters: the log, and the sender of alerts."""
        with (
            self._reporting(self.settings.log, quiet=self._quiet) as log,
            Notifier(alerts) as notifier,
        ):
            yield Reporters(log, notifier)
