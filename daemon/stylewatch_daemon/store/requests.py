"""Requests of commands to the daemon: one file each in its state folder, acted on once."""

import inspect
import json
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.names import shown

FOLDER = "requests"
"""In the state folder; requests that cannot be acted on are set aside in `damaged` beside it."""

LONGEST = 100_000
"""Bytes of a request."""

Act = Callable[..., object]
"""Function for a verb; called with the arguments of the request, by name."""


@dataclass(frozen=True)
class Request:
    """Request with its arguments by name; `made` is UTC, ISO 8601."""

    verb: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    made: str = ""


def leave(state: Path, verb: str, **arguments: Any) -> Path:
    """Ask the daemon that works, or will work, with the folder `state`; the request's file.

    The file goes when the daemon has acted. Raises OutputError where it cannot be written.
    """
    now = datetime.now(UTC)
    path = state / FOLDER / f"{now:%Y%m%dT%H%M%S.%f}-{secrets.token_hex(4)}.json"
    request = Request(verb, arguments, now.isoformat(timespec="seconds"))
    try:
        atomic.make_folder(path.parent)
        atomic.write(path, json.dumps(asdict(request)).encode("ascii"))
    except OSError as error:
        raise OutputError(
            f"{path.parent} cannot be written ({error.strerror or error}): "
            "ask as the user whom the daemon runs as"
        ) from error
    return path


@dataclass
class Requests:
    """The requests in the folder `state`; what is wrong with one is told to `reporter`."""

    state: Path
    reporter: Reporter
    _put_off: set[Path] = field(default_factory=set)

    def act(self, acts: Mapping[str, Act]) -> None:
        """Act on what was asked, in the order it came; a request goes once that is done.

        A daemon that is killed in between acts again, so an act done twice must be as one.
        """
        for path in self._waiting():
            try:
                self._act(path, acts)
            except OSError as error:  # a full disk, for one: it is tried again
                if path not in self._put_off:
                    self.reporter.paused("a request", shown(error))
                self._put_off.add(path)

    def _act(self, path: Path, acts: Mapping[str, Act]) -> None:
        try:
            _call(_read(path), acts)
        except OSError:
            raise
        except Exception as error:  # whatever is asked, it must not bring the daemon down
            self._set_aside(path, str(error) or type(error).__name__)
        else:
            self._remove(path)

    def drop(self, *verbs: str) -> None:
        """Forget requests of these `verbs` that nobody acted on."""
        for path in self._waiting():
            try:
                if _read(path).verb in verbs:
                    self._remove(path)
            except (OSError, ValueError):
                continue  # `act` deals with it

    def _waiting(self) -> list[Path]:
        folder = self.state / FOLDER
        try:
            with os.scandir(folder) as entries:  # looked for all the time: a glob would be slow
                names = sorted(entry.name for entry in entries)
        except OSError:
            return []
        return [folder / name for name in names if name[0] != "." and name.endswith(".json")]

    def _remove(self, path: Path) -> None:
        self._put_off.discard(path)
        path.unlink(missing_ok=True)
        atomic.sync_folder(path.parent)

    def _set_aside(self, path: Path, why: str) -> None:
        aside = self.state / "damaged" / path.name
        atomic.make_folder(aside.parent)
        atomic.rename_folder(path, aside)
        self.reporter.left_alone(aside, f"a request that cannot be acted on: {shown(why)}")


def _read(path: Path) -> Request:
    """The request in the file `path`; ValueError where it is none."""
    with atomic.open_regular(path) as file:
        content = file.read(LONGEST + 1)
    if len(content) > LONGEST:
        raise ValueError(f"it is longer than {LONGEST} bytes")
    try:
        request = Request(**json.loads(content))
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if not isinstance(request.verb, str) or not isinstance(request.arguments, dict):
        raise ValueError("it has no verb with arguments")
    return request


def _call(request: Request, acts: Mapping[str, Act]) -> None:
    if request.verb not in acts:
        raise ValueError(f"nothing is known by the name of {request.verb!r}")
    act = acts[request.verb]
    try:
        bound = inspect.signature(act).bind(**request.arguments)
    except TypeError as error:
        raise ValueError(f"{request.verb}: {error}") from error
    act(*bound.args, **bound.kwargs)
