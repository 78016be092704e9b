"""The file of the settings while the daemon runs: noticing changes and checking them (law 15)."""

import logging
import stat
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from stylewatch_daemon.app import monitoring
from stylewatch_daemon.app.restart import Version
from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.child import Child, send
from stylewatch_daemon.base.errors import DaemonError, LedgerError, SettingsError, UnavailableError
from stylewatch_daemon.base.lanes import Lanes, bounded
from stylewatch_daemon.files import atomic, entries
from stylewatch_daemon.ledger import ledger
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.settings import config, yaml_lines
from stylewatch_daemon.settings.config import ServiceSettings, Start, WebPage
from stylewatch_daemon.settings.sections import AlertSettings
from stylewatch_daemon.settings.style_library import check_default_style

COPY, EARLIER = "settings.yaml", "settings.earlier.yaml"
"""Copies in the state folder: the settings with which a daemon starts anew, and the settings that
worked before."""

ANSWER_WITHIN = 5.0
"""Timeout in seconds for disks to answer when the settings are checked."""

REHEARSAL_S = 60.0
"""Timeout in seconds for a new process to say whether it could begin with new settings."""

LOOK_EVERY = 7.0
"""Interval in seconds between two looks at the files of the settings."""

REHEARSE = "stylewatch_daemon.app.settings_file:rehearse"
DAEMON = "stylewatch_daemon.app.service"
"""The module of the daemon, which imports this one."""

Rehearse = Callable[[bytes], str]
"""Function that says why a new process could not begin with the content of the file; the result is
empty if it could."""

Load = Callable[[bytes], ServiceSettings]
"""Function that returns the settings in the content of the file, with the options of the command
line applied."""

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Loaded:
    """Settings, the content of their file, and the page and the alerts with their secrets.

    `page` is None if there is none.
    """

    content: bytes
    settings: ServiceSettings
    page: WebPage | None
    alerts: AlertSettings

    def means(self, other: "Loaded") -> bool:
        """Return whether the settings and the secrets are the same, even if the files differ."""
        mine = self.settings
        theirs = other.settings
        return (mine, self.page, self.alerts) == (theirs, other.page, other.alerts)


def loaded(content: bytes, settings: ServiceSettings) -> Loaded:
    """Read the secrets that `settings` name, and return them together; raises as `check` does."""
    check(settings, SECRETS)
    return Loaded(content, settings, config.web_page(settings), settings.alerts.targets())


@dataclass(frozen=True)
class Rehearsal:
    """Why a process could not begin with settings; empty if it could."""

    problem: str


def rehearse(line: Connection, start: Start, path: Path, content: bytes) -> None:
    """Begin like a daemon with these settings, in a process of its own, and change nothing.

    Import the daemon, read and check the settings in the `content` of the file `path`, look at the
    ledger, and send a Rehearsal through `line`.
    """
    try:
        import_module(DAEMON)
        settings = start.read(path, content)
        check(settings)
        loaded(content, settings)
        with suppress(LedgerError):  # it cannot be read now, or is upgraded at the start
            ledger.opened(StateDir(settings.state.path).ledger).close()
    except (DaemonError, OSError) as error:
        send(line, Rehearsal(str(error)))
    else:
        send(line, Rehearsal(""))


def rehearsed(start: Start, path: Path, content: bytes) -> str:
    """Return why a new process could not begin with the `content` of the file; empty if it could.

    The program and its packages may have been replaced since this process began. The new versions
    may refuse settings that this process accepts, even the settings that worked (law 15). Raises
    ShortageError.
    """
    child = Child(REHEARSE, start, path, content, name="settings", isolated=True)
    try:
        return child.receive(Rehearsal, timeout=REHEARSAL_S).problem
    except (OSError, EOFError, ValueError) as error:
        why = child.exit_reason(0) or f"no answer within {REHEARSAL_S:.0f} s"
        logging.getLogger(__name__).debug("%r", error)
        return f"the stylewatch that is installed now cannot begin with {path} ({why})"
    finally:
        child.kill()


Look = Callable[[ServiceSettings], Iterable[object]]
"""Function that returns mistakes, or raises a SettingsError with them; raises UnavailableError if a
package that it asks cannot be used."""


def _folders_and_hooks(settings: ServiceSettings) -> Iterable[object]:
    def found() -> list[object]:
        is_known = not settings.origin.spoils("inboxes", "state", "pairing")
        return [*(settings.mistakes() if is_known else ()), *settings.hooks.mistakes()]

    return bounded(found, ANSWER_WITHIN) or ()


def _executor(settings: ServiceSettings) -> Iterable[object]:
    return settings.executor.own.mistakes()


def default_style(settings: ServiceSettings, *, may_be_away: bool = False) -> Iterable[object]:
    """Return no mistakes; raise SettingsError if the default style cannot be used.

    With `may_be_away` it is no mistake if the library of the style is away.
    """
    if not settings.origin.spoils("pairing"):
        look = partial(check_default_style, settings.pairing, may_be_away=may_be_away)
        bounded(look, ANSWER_WITHIN)
    return ()


def _page(settings: ServiceSettings) -> Iterable[object]:
    config.web_page(settings)
    return ()


def _alerts(settings: ServiceSettings) -> Iterable[object]:
    settings.alerts.targets()
    return ()


FOLDERS = (_folders_and_hooks,)
PLACES: Sequence[Look] = (*FOLDERS, _executor, partial(default_style, may_be_away=True))
PAGE = (_page,)
SECRETS: Sequence[Look] = (*PAGE, _alerts)
ALL = (*PLACES, *SECRETS)
"""All checks beyond those of single values."""


def mistakes(settings: ServiceSettings, looks: Iterable[Look]) -> list[str]:
    """Return a sentence, with its place, for each mistake in `settings` and each that `looks` find.

    A folder whose disk does not answer or is away is no mistake: the next use of the folder reports
    it (law 16). Only `default_style` without `may_be_away` reports a disk that is away. Raises
    UnavailableError if a package that a look asks cannot be used, and there are no mistakes.
    """
    reports: list[object] = []
    unavailable: list[UnavailableError] = []
    for look in looks:
        try:
            reports += look(settings)
        except SettingsError as error:
            reports += str(error).splitlines()
        except UnavailableError as error:
            unavailable.append(error)
    refusal = settings.origin.refusal
    sentences = [] if refusal is None else str(refusal).splitlines()
    sentences += map(settings.origin.placed, reports)
    if unavailable and not sentences:
        raise unavailable[0]
    # two looks may meet one mistake
    return [*dict.fromkeys([*sentences, *map(str, unavailable)])]


def check(settings: ServiceSettings, looks: Sequence[Look] = PLACES) -> None:
    """Raise SettingsError if the `looks` find that the daemon cannot run with `settings`.

    The error lists all mistakes, also those that only the other looks find. Raises UnavailableError
    as `mistakes` does.
    """
    if not mistakes(settings, looks):
        return
    sentences = mistakes(settings, ALL)
    if not sentences:  # a disk has answered meanwhile, whose silence looked like a mistake
        return
    refusal = settings.origin.refusal
    if refusal is not None and str(refusal) == "\n".join(sentences):
        raise refusal
    raise SettingsError("\n".join(sentences))


@dataclass(frozen=True)
class Reading:
    """The settings that were read, or the error; `versions` were taken just before the reading."""

    versions: tuple[Version, ...]
    result: Loaded | DaemonError | OSError


class Phase(Enum):
    """What happens with the file of the settings now."""

    RESTING = "resting"
    """Nothing: a look at the file is due LOOK_EVERY after the last one."""
    LOOKING = "looking"
    """The lane looks whether the file has changed."""
    READING = "reading"
    """The lane reads and checks the file."""
    READ = "read"
    """The file was read, and the main loop decides: by `accept`, or `wait`."""
    WAITING = "waiting"
    """New settings have to wait: for LOOK_EVERY seconds the file is not even read for a signal."""


class SettingsFile:
    """The file `path` of the settings `now` in force; `clock` is monotonic, in seconds.

    A lane looks at the file and reads it, because its disk may not answer (law 9). `versions` are
    the versions of the files when `now` was read. `trouble` says why the settings in the file are
    not in force; it is empty if they are.
    """

    def __init__(
        self,
        path: Path,
        load: Load,
        now: Loaded,
        versions: tuple[Version, ...],
        trouble: str = "",
        clock: Callable[[], float] = time.monotonic,
        rehearse: Rehearse = lambda content: "",
    ) -> None:
        self.path = path
        self._load = load
        self._now = now
        self._clock = clock
        self._rehearse = rehearse
        self.versions = versions
        self.trouble = trouble
        self._seen = versions
        self._since = clock()
        """Versions of the files at the last look, and the time since which they are unchanged."""
        self._phase = Phase.RESTING
        self._looked = clock()
        self._waits_until = clock()
        """Time at which the phase WAITING ends."""
        self._reading: Reading | None = None
        """Result of the latest read in the lane; None before the first one."""
        self._is_asked = False
        """True from a request for a restart until `accept` acts on it, in every phase."""
        self.accepted: ServiceSettings | None = None
        """The settings with which the daemon should start anew; None until `accept` returns True.
        """

    # -- in the main loop

    def ask(self) -> None:
        """Request that the file is read for a restart, even if it has not changed."""
        self._is_asked = True

    def follow(self, lanes: Lanes) -> None:
        """Begin to read the file if a restart was requested, else look for changes if that is due.

        Looks are LOOK_EVERY seconds apart; a file that has changed is read. A lane does both.
        """
        now = self._clock()
        if self._phase is Phase.WAITING and now >= self._waits_until:
            self._phase = Phase.RESTING
        if self._phase is not Phase.RESTING:
            return
        if self._is_asked:
            self._work(lanes, Phase.READING, self.read, self._take)
        elif now - self._looked >= LOOK_EVERY:
            self._looked = now
            self._work(lanes, Phase.LOOKING, self.look, partial(self._noticed, lanes))

    @property
    def is_read(self) -> bool:
        """True if the file was read and `accept` has not judged it yet."""
        return self._phase is Phase.READ

    @property
    def is_wrong(self) -> bool:
        """True if the settings that were read cannot be taken."""
        return self._reading is not None and not isinstance(self._reading.result, Loaded)

    def accept(self) -> bool:
        """Judge the settings that were read; return whether the daemon should start anew with them.

        The result is False if they are wrong, or if they are in force already and no signal asked
        for a restart. Otherwise they are copied into the state folder; if that fails, the result is
        False, too. Only call this if `is_read`.
        """
        assert self._reading is not None
        self._phase = Phase.RESTING
        self.versions = self._reading.versions
        new = self._reading.result
        is_asked = self._is_asked
        self._is_asked = False
        if not isinstance(new, Loaded):
            self._refuse(new)
            return False
        self.trouble = ""
        if new.means(self._now) and not is_asked:
            return False
        try:
            self._keep(new)
        except OSError as error:
            self._refuse(error)
            return False
        self.accepted = new.settings
        log = logging.getLogger(monitoring.LOGGER)
        log.info("new settings are read from %s: stylewatch starts anew", self.path)
        return True

    def wait(self, reason: str) -> None:
        """Note that new settings have to wait, and log the `reason` once.

        The file is read again later, because people may change it meanwhile.
        """
        self._phase = Phase.WAITING
        self._waits_until = self._clock() + LOOK_EVERY
        if reason != self.trouble:
            self.trouble = reason
            logging.getLogger(monitoring.LOGGER).warning("%s", reason)

    def _work(
        self,
        lanes: Lanes,
        phase: Phase,
        work: Callable[[], _Result],
        done: Callable[[_Result], object],
    ) -> None:
        """Enter a `phase` and queue its `work` in the lane of the file; then rest and call `done`.

        After an OSError `done` is not called; other errors of `work` are raised in the main loop.
        """

        def finish(result: _Result | Exception) -> None:
            self._phase = Phase.RESTING
            if not isinstance(result, Exception):
                done(result)
            elif not isinstance(result, OSError):
                raise result

        self._phase = phase
        lanes.do(self.path.parent, lambda step: work(), finish)

    def _noticed(self, lanes: Lanes, versions: tuple[Version, ...]) -> None:
        """Begin to read the file if it has changed, but not in the last `watch.quiet_s` seconds."""
        now = self._clock()
        if versions != self._seen:
            self._seen = versions
            self._since = now
        is_quiet = now - self._since >= self._now.settings.watch.quiet_s
        if versions != self.versions and is_quiet:
            self._work(lanes, Phase.READING, self.read, self._take)

    def _take(self, reading: Reading) -> None:
        self._reading = reading
        self._phase = Phase.READ

    def _keep(self, new: Loaded) -> None:
        """Copy the new settings, and those in force, into the state folder; raises OSError."""
        state = self._now.settings.state.path
        for name, content in ((EARLIER, self._now.content), (COPY, new.content)):
            atomic.write(state / name, content)
            entries.attempt_mode(state / name, 0o600)  # the settings may contain secrets

    def _refuse(self, error: DaemonError | OSError) -> None:
        """Keep the settings in force, log the `error` if it is new, and keep it in `trouble`.

        After an error of a disk the file is read again at the next look.
        """
        if isinstance(error.__cause__ or error, OSError):
            self.versions = ()
        if isinstance(error, DaemonError):
            reason = str(error)
        else:
            reason = f"new settings cannot be taken now: {shortages.in_words(error)}"
        if reason != self.trouble:
            monitoring.log_old_settings(reason)
        self.trouble = reason

    # -- in the lane

    def look(self) -> tuple[Version, ...]:
        """Return the versions of the files."""
        return version_of(self.path), *secret_versions(self._now.settings)

    def read(self) -> Reading:
        """Read the files, and check the settings whole; return an error as part of the Reading."""
        versions = self.look()
        try:
            return Reading(versions, self._checked(versions[0]))
        except (DaemonError, OSError) as error:
            return Reading(versions, error)

    def _checked(self, version: Version) -> Loaded:
        if version is not None and not stat.S_ISREG(version[0]):
            raise SettingsError(f"{self.path} is a pipe or a device, not a file")
        content = yaml_lines.content_of(self.path)
        settings = self._load(content)
        if self._values_in(self._now.content) and not self._values_in(content):
            raise SettingsError(
                f"{self.path} is empty, as when a save fails: the settings in force stay; to run "
                "with the defaults, stop stylewatch and start it"
            )
        check(settings)
        self._refuse_other_places(settings)
        new = loaded(content, settings)
        problem = self._rehearse(content)
        if problem:
            raise SettingsError(problem)
        return new

    def _values_in(self, content: bytes) -> Mapping[str, Any]:
        return yaml_lines.parse_bytes(content, str(self.path), yaml_lines.LONGEST).plain

    def _refuse_other_places(self, new: ServiceSettings) -> None:
        """Raise SettingsError if a setting differs that cannot change while stylewatch runs."""
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
    """Return the versions of the files with the token of the page and with the URLs of alerts."""
    return version_of(settings.web.token_file), version_of(settings.alerts.urls_file)


def version_of(path: Path | None) -> Version:
    """Return the version of a file; None if it does not exist, or if its status cannot be read.

    Without a `path` the result is None.
    """
    status = None if path is None else entries.attempt_status(path)
    if status is None:
        return None
    return (
        status.st_mode,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
