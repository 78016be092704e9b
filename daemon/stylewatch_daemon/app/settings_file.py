"""The file of the settings of a daemon that runs: has it changed, and is it right (law 15)?"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from stylewatch_daemon.app import monitoring
from stylewatch_daemon.app.restart import Version
from stylewatch_daemon.base.errors import DaemonError, SettingsError
from stylewatch_daemon.base.lanes import bounded
from stylewatch_daemon.executors.ray.demand import Demand
from stylewatch_daemon.files import atomic, entries
from stylewatch_daemon.settings import config, yaml_lines
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.style_library import check_default_style

COPY, EARLIER = "settings.yaml", "settings.earlier.yaml"
"""Copies in the state folder: of the settings that a daemon starts anew with, and of those that
worked before."""

ANSWER_WITHIN = 5.0
"""Time in seconds that disks have to answer when the settings are checked."""

Load = Callable[[bytes], ServiceSettings]
"""Function that returns the settings in the content of the file, with the command line on top."""


@dataclass(frozen=True)
class Loaded:
    """Settings in force, the content of their file, and what the secret files say."""

    content: bytes
    settings: ServiceSettings
    secrets: tuple[Any, ...]


def check(settings: ServiceSettings) -> None:
    """Raise SettingsError if the daemon cannot run with `settings`.

    A folder whose disk is away or does not answer is no mistake: it is found later (law 16).
    """
    bounded(settings.check, ANSWER_WITHIN)
    if settings.executor.kind == "ray":
        Demand.of(settings.executor).check()
    look = partial(check_default_style, settings.pairing, may_be_away=True)
    bounded(look, ANSWER_WITHIN)


def loaded(content: bytes, load: Load) -> Loaded:
    """Check the settings in `content` whole; raises DaemonError."""
    settings = load(content)
    check(settings)
    page = config.web_page(settings)
    secrets = (settings.alerts.targets(), None if page is None else page.token)
    return Loaded(content, settings, secrets)


class SettingsFile:
    """The file `path` of the settings in force; `clock` is monotonic, in seconds.

    `trouble` says why the daemon keeps other settings than the file has.
    """

    def __init__(
        self,
        path: Path,
        load: Load,
        now: Loaded,
        versions: Sequence[Version] = (),
        trouble: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path, self._load, self._now, self._clock = path, load, now, clock
        self.trouble = trouble
        self.versions = tuple(versions) or self._look()
        self._seen, self._since = self.versions, clock()

    def has_changed(self) -> bool:
        """Return whether a file has changed since it was read, but not for the last `quiet_s`."""
        seen, now = self._look(), self._clock()
        if seen != self._seen:
            self._seen, self._since = seen, now
        return seen != self.versions and now - self._since >= self._now.settings.watch.quiet_s

    def accept(self, *, even_if_equal: bool) -> bool:
        """Read the file; return whether the daemon should start anew with the copy that it made.

        It should not if the settings are wrong, or if they are those in force, unless it is asked
        to start `even_if_equal`.
        """
        self.versions = self._look()
        try:
            new = loaded(yaml_lines.content_of(self.path), self._load)
            self._refuse_other_places(new.settings)
            is_wanted = even_if_equal or self._differs(new)
            if is_wanted:
                state = self._now.settings.state.path
                atomic.write(state / EARLIER, self._now.content)
                atomic.write(state / COPY, new.content)
        except (DaemonError, OSError) as error:
            if isinstance(error.__cause__ or error, OSError):
                self.versions = ()  # of a disk: it is tried again
            self._refuse(error)
            return False
        self.trouble = ""
        if is_wanted:
            log = logging.getLogger(monitoring.LOGGER)
            log.info("new settings are read from %s: stylewatch starts anew", self.path)
        return is_wanted

    def wait(self, reason: str) -> None:
        """Note that the new settings have to wait, and log it once."""
        if reason != self.trouble:
            self.trouble = reason
            logging.getLogger(monitoring.LOGGER).warning("%s", reason)

    def _refuse(self, error: DaemonError | OSError) -> None:
        reason = str(error)
        if reason != self.trouble:
            monitoring.log_wrong_settings(reason)
        self.trouble = reason

    def _differs(self, new: Loaded) -> bool:
        now = self._now
        return (new.settings, new.secrets) != (now.settings, now.secrets)

    def _refuse_other_places(self, new: ServiceSettings) -> None:
        """Raise SettingsError if what cannot change while stylewatch runs has changed."""
        now = self._now.settings
        places = {
            "state.path": (now.state.path, new.state.path),
            "executor.kind": (now.executor.kind, new.executor.kind),
        }
        for key, (before, after) in places.items():
            if before != after:
                raise SettingsError(
                    f"{self.path}: {key} cannot be changed from {before} to {after} while "
                    "stylewatch runs: stop it and start it"
                )

    def _look(self) -> tuple[Version, ...]:
        settings = self._now.settings
        paths = (self.path, settings.web.token_file, settings.alerts.urls_file)
        return tuple(_version(path) for path in paths)


def _version(path: Path | None) -> Version:
    found = None if path is None else entries.attempt_status(path)
    if found is None:
        return None
    return found.st_mode, found.st_ino, found.st_size, found.st_mtime_ns
