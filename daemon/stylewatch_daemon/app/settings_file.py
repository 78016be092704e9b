"""The file of the settings of a daemon that runs: has it changed, and is it right (law 15)?"""

import logging
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from stylewatch_daemon.app import monitoring
from stylewatch_daemon.app.restart import Version
from stylewatch_daemon.base import shortages
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


@dataclass(frozen=True)
class Reading:
    """What was read of the files of the settings: their versions before, and settings or errors."""

    versions: tuple[Version, ...]
    result: Loaded | DaemonError | OSError


class SettingsFile:
    """The file `path` of the settings in force; `clock` is monotonic, in seconds.

    Its disk may not answer: `look` and `read` are called in a lane, and change nothing (law 9).
    `trouble` says why the daemon keeps other settings than the file has.
    """

    def __init__(
        self,
        path: Path,
        load: Load,
        now: Loaded,
        versions: tuple[Version, ...],
        trouble: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path, self._load, self._now, self._clock = path, load, now, clock
        self.trouble = trouble
        self.versions = versions
        """Versions of the files before they were last read."""
        self._seen, self._since = versions, clock()

    # -- in a lane

    def look(self) -> tuple[Version, ...]:
        """Return the versions of the files."""
        return version_of(self.path), *secret_versions(self._now.settings)

    def read(self) -> Reading:
        """Read the files, and check the settings whole."""
        versions = self.look()
        try:
            if versions[0] is not None and not stat.S_ISREG(versions[0][0]):
                raise SettingsError(f"{self.path} is a pipe or a device, not a file")
            new = loaded(yaml_lines.content_of(self.path), self._load)
            self._refuse_other_places(new.settings)
        except (DaemonError, OSError) as error:
            return Reading(versions, error)
        return Reading(versions, new)

    # -- in the main loop

    def has_changed(self, seen: tuple[Version, ...]) -> bool:
        """Return whether files have changed since they were read, but not for `quiet_s`.

        `seen` are their versions now.
        """
        now = self._clock()
        if seen != self._seen:
            self._seen, self._since = seen, now
        return seen != self.versions and now - self._since >= self._now.settings.watch.quiet_s

    def accept(self, reading: Reading, *, even_if_equal: bool) -> bool:
        """Return whether the daemon should start anew with the copy of the settings made here.

        It should not if they are wrong, or are those in force, unless `even_if_equal`.
        """
        self.versions, new = reading.versions, reading.result
        if not isinstance(new, Loaded):
            self._refuse(new)
            return False
        now = self._now
        is_new = (new.settings, new.secrets) != (now.settings, now.secrets)
        if is_new or even_if_equal:
            state = now.settings.state.path
            try:
                for name, content in ((EARLIER, now.content), (COPY, new.content)):
                    atomic.write(state / name, content)
                    entries.attempt_mode(state / name, 0o600)  # it may have secrets
            except OSError as error:
                self._refuse(error)
                return False
            log = logging.getLogger(monitoring.LOGGER)
            log.info("new settings are read from %s: stylewatch starts anew", self.path)
        self.trouble = ""
        return is_new or even_if_equal

    def wait(self, reason: str) -> None:
        """Note that the new settings have to wait, and log it once."""
        if reason != self.trouble:
            self.trouble = reason
            logging.getLogger(monitoring.LOGGER).warning("%s", reason)

    def _refuse(self, error: DaemonError | OSError) -> None:
        is_of_disk = isinstance(error.__cause__ or error, OSError)
        if is_of_disk:
            self.versions = ()  # it is tried again
        if isinstance(error, DaemonError):
            reason = str(error)
        else:
            reason = f"new settings cannot be taken now: {shortages.in_words(error)}"
        if reason != self.trouble:
            monitoring.log_old_settings(reason)
        self.trouble = reason

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


def secret_versions(settings: ServiceSettings) -> tuple[Version, Version]:
    """Return the versions of the files with the token of the page and the URLs of alerts."""
    return version_of(settings.web.token_file), version_of(settings.alerts.urls_file)


def version_of(path: Path | None) -> Version:
    """Return the version of a file; None if it is not there, or cannot be looked at."""
    found = None if path is None else entries.attempt_status(path)
    if found is None:
        return None
    return found.st_mode, found.st_ino, found.st_size, found.st_mtime_ns
