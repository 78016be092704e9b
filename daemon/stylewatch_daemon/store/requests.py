"""Requests of commands to the daemon: one file each in its state folder, acted on once."""

import inspect
import json
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stylewatch_daemon.errors import InProgressError, OutputError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.names import shown

FOLDER = "requests"
"""In the state folder; requests that cannot be carried out are set aside in `damaged` beside it."""

PAUSED = "paused"
"""A file in the state folder: while it exists no job is started, also after a restart."""

_PAUSED = "paused: no new job is started until `stylewatch resume`"

_PAUSING = ("pause", "resume")

LONGEST = 100_000
"""Bytes of a request."""

Act = Callable[..., object]
"""Function for a verb; called with the arguments of the request, by name.

It raises InProgressError where it has to be called again later."""


def leave(state: Path, verb: str, **arguments: Any) -> Path:
    """Write a request to the daemon of the folder `state`, running or not; return its file.

    The file goes when the daemon has acted. Raises OutputError where it cannot be written.
    """
    now = datetime.now(UTC)
    path = state / FOLDER / f"{now:%Y%m%dT%H%M%S.%f}-{secrets.token_hex(4)}.json"
    made = now.isoformat(timespec="seconds")
    request = {"verb": verb, "arguments": arguments, "made": made}
    try:
        atomic.make_folder(path.parent)
        atomic.write(path, json.dumps(request).encode("ascii"))
    except OSError as error:
        raise OutputError(
            f"{path.parent} cannot be written ({error.strerror or error}): "
            "ask as the user whom the daemon runs as"
        ) from error
    return path


def is_paused(state: Path) -> bool:
    """Return whether the daemon is paused, or will be once it acts on the waiting requests."""
    asked = [verb for path in _waiting(state / FOLDER) if (verb := _asked(path)[0]) in _PAUSING]
    return asked[-1] == "pause" if asked else (state / PAUSED).exists()


def is_asked(state: Path, verb: str, **arguments: Any) -> bool:
    """Return whether a request with that verb and at least these arguments waits."""
    waiting = map(_asked, _waiting(state / FOLDER))
    return any(of == verb and arguments.items() <= given.items() for of, given in waiting)


class Control:
    """Acts on the requests in the folder `state`; reports to `reporter` what is wrong with one.

    `acts` are the functions for verbs other than pause, resume and drain.
    """

    def __init__(
        self, state: Path, reporter: Reporter, acts: Mapping[str, Act] | None = None
    ) -> None:
        self.draining = False
        self.folder = state / FOLDER
        self.acts: Mapping[str, Act] = {
            "pause": self.pause, "resume": self.resume, "drain": self.drain, **(acts or {})
        }  # fmt: skip
        self._state, self._reporter = state, reporter
        self._put_off: set[Path] = set()
        atomic.make_folder(self.folder)
        for path in _waiting(self.folder):  # a drain was meant for a daemon that is gone
            if _asked(path)[0] == "drain":
                with suppress(OSError):  # `act` deals with it
                    self._remove(path)
        if self.paused:
            self._reporter.requested(_PAUSED)

    @property
    def paused(self) -> bool:
        """True if no job may start until `resume`."""
        return (self._state / PAUSED).exists()

    @property
    def holds(self) -> bool:
        """True if no job may start now."""
        return self.draining or self.paused

    def pause(self) -> None:
        """Start no new job; running ones are finished."""
        if not self.paused:
            atomic.write(self._state / PAUSED, b"")
            self._reporter.requested(_PAUSED)

    def resume(self) -> None:
        """Start jobs again."""
        if self.paused:
            (self._state / PAUSED).unlink()
            atomic.sync_folder(self._state)
            self._reporter.requested("resumed")

    def drain(self) -> None:
        """Finish the running jobs, then stop."""
        self.draining = True
        self._reporter.requested("draining: the running jobs are finished, then stylewatch stops")

    def act(self) -> None:
        """Act on the requests, in the order they came; a request goes once that is done.

        A daemon that is killed in between acts again, so acts must be idempotent.
        """
        for path in _waiting(self.folder):
            try:
                self._act(path)
            except OSError as error:  # a full disk, for one: it is tried again
                if path not in self._put_off:
                    self._reporter.paused("a request", shown(error))
                self._put_off.add(path)
            except InProgressError:
                continue

    def _act(self, path: Path) -> None:
        try:
            self._call(*_read(path))
        except (OSError, InProgressError):
            raise
        except Exception as error:  # whatever is asked, it must not bring the daemon down
            aside = self._state / "damaged" / path.name
            atomic.make_folder(aside.parent)
            atomic.rename_folder(path, aside)
            reason = shown(str(error) or type(error).__name__)
            self._reporter.ignored(aside, f"a request that cannot be carried out: {reason}")
        else:
            self._remove(path)

    def _call(self, verb: str, arguments: Mapping[str, Any]) -> None:
        if verb not in self.acts:
            raise ValueError(f"there is no request {verb!r}")
        try:
            inspect.signature(self.acts[verb]).bind(**arguments)
        except TypeError as error:
            raise ValueError(f"{verb}: {error}") from error
        self.acts[verb](**arguments)

    def _remove(self, path: Path) -> None:
        self._put_off.discard(path)
        path.unlink(missing_ok=True)
        atomic.sync_folder(path.parent)


def _waiting(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:  # called all the time: a glob would be slow
            names = sorted(entry.name for entry in entries)
    except OSError:
        return []
    return [folder / name for name in names if name[0] != "." and name.endswith(".json")]


def _asked(path: Path) -> tuple[str, dict[str, Any]]:
    """Return verb and arguments of a request; empty where it cannot be read."""
    try:
        return _read(path)
    except (OSError, ValueError, RecursionError):
        return "", {}


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    """Return verb and arguments of a request; raises ValueError or RecursionError for others."""
    match json.loads(atomic.read(path, LONGEST)):
        case {"verb": str(verb), "arguments": dict(arguments)}:
            return verb, arguments
    raise ValueError("it has no verb with arguments")
