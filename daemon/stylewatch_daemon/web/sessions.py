"""Who knows the token, compared in constant time, and the sessions of browsers that said it."""

import hashlib
import hmac
import json
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock

from pydantic import SecretStr

from stylewatch_daemon.files import atomic

COOKIE = "stylewatch"

LASTS_S = 7 * 24 * 3600
"""Seconds that a session lasts."""

MOST = 1_000
"""Sessions at once; with one more the oldest ends."""

FILE_NAME = "sessions.json"


class Sessions:
    """Sessions of those who know `token`; without one everybody is let in.

    A session is a random number in a cookie. The file `path` keeps the signature of each, made
    with the token, and the time of its end: so a session survives a restart of the page, ends for
    good at logout, and all end when the token is changed. `clock` gives Unix time in seconds.
    """

    def __init__(
        self, token: SecretStr | None, path: Path, clock: Callable[[], float] = time.time
    ) -> None:
        self._token = None if token is None else token.get_secret_value().encode()
        self._path, self._clock, self._writing = path, clock, Lock()
        self._log = logging.getLogger(__name__)
        self._ends = {} if token is None else self._read()
        """The time at which each session ends, by its signature, the oldest first."""

    @property
    def are_needed(self) -> bool:
        """Whether one has to know a token."""
        return self._token is not None

    def knows(self, given: str) -> bool:
        """Whether `given` is the token; takes as long whatever it is."""
        return self._token is not None and hmac.compare_digest(
            _digest(given.encode(errors="replace")), _digest(self._token)
        )

    def begin(self) -> str:
        """Begin a session; returns its cookie's value."""
        cookie = secrets.token_urlsafe(32)
        with self._writing:
            ends = {**self._ends, self._signature(cookie): self._clock() + LASTS_S}
            self._write(ends)
        return cookie

    def end(self, cookie: str) -> None:
        """End the session of this cookie, whoever else has a copy of it."""
        signature = self._signature(cookie)
        with self._writing:
            if signature in self._ends:
                self._write({one: end for one, end in self._ends.items() if one != signature})

    def holds(self, cookie: str) -> bool:
        """Whether `cookie` is the value of a session that has not ended."""
        return self._ends.get(self._signature(cookie), 0.0) > self._clock()

    def _signature(self, cookie: str) -> str:
        key = _digest(b"session of " + (self._token or b""))
        return hmac.new(key, cookie.encode(errors="replace"), hashlib.sha256).hexdigest()

    def _read(self) -> dict[str, float]:
        with suppress(OSError, ValueError, RecursionError):
            found = json.loads(self._path.read_bytes())
            if isinstance(found, dict) and all(type(end) is float for end in found.values()):
                return found
        return {}

    def _write(self, ends: dict[str, float]) -> None:
        now = self._clock()
        current = [(one, end) for one, end in ends.items() if end > now]
        self._ends = dict(current[-MOST:])
        try:
            atomic.write(self._path, json.dumps(self._ends).encode("ascii"))
        except OSError as error:
            # A file that still has a session which was ended would bring it back at a restart.
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            self._log.warning(
                "%s cannot be written (%s): everybody has to log in again once the page restarts",
                self._path,
                error.strerror or error,
            )


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
