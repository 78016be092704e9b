"""Sessions of people who know the token of the page."""

import asyncio
import hashlib
import hmac
import json
import logging
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock

from pydantic import SecretStr

from stylewatch_daemon.files import atomic

LASTS_S = 7 * 24 * 3600
"""Duration of a session in seconds."""

LOGGED_EVERY_S = 60.0
"""Minimum number of seconds between two lines in the log about wrong tokens."""

LOGINS_AT_ONCE = 8
"""Maximum number of logins handled at a time; more logins are refused, because anybody can send
them."""

MAX_SESSIONS = 1_000
"""Maximum number of sessions; one more ends the oldest session."""


class Sessions:
    """Sessions of browsers whose users know `token`; without a token nobody needs a session.

    A session is a random number in a cookie. The file `path` has the signature of each session,
    made with the token, the time of its end, and a signature by which the token is recognized. So
    a session survives a restart of the page and ends for good at logout; if the token is changed,
    all sessions end for good. `clock` returns Unix time in seconds.
    """

    def __init__(
        self, token: SecretStr | None, path: Path, clock: Callable[[], float] = time.time
    ) -> None:
        self._token = None if token is None else token.get_secret_value().encode()
        self._path = path
        self._clock = clock
        self._writing = Lock()
        self.cookie = f"stylewatch-{_digest(os.fsencode(path)).hex()[:8]}"
        """Name of the cookie. It depends on `path`, because browsers do not tell ports apart."""
        self.logins = asyncio.Semaphore(LOGINS_AT_ONCE)
        self._log = logging.getLogger(__name__)
        self._wrong = 0
        self._logged_at = -LOGGED_EVERY_S
        self._ends: dict[str, float] = {}
        """The time at which each session ends, by its signature, the oldest first."""
        if token is not None:
            self._read()

    @property
    def are_needed(self) -> bool:
        """True if visitors have to log in."""
        return self._token is not None

    def is_token(self, text: str) -> bool:
        """Return whether `text` is the token, by a comparison in constant time."""
        return self._token is not None and hmac.compare_digest(
            _digest(text.encode(errors="replace")), _digest(self._token)
        )

    def note_wrong_token(self, client: str) -> None:
        """Count a wrong token from `client`; log the count at most every LOGGED_EVERY_S seconds."""
        self._wrong += 1
        if self._clock() - self._logged_at >= LOGGED_EVERY_S:
            times = "once" if self._wrong == 1 else f"{self._wrong} times"
            self._log.warning("the page got a wrong token, %s, now from %s", times, client)
            self._wrong = 0
            self._logged_at = self._clock()

    def begin(self) -> str:
        """Begin a session; return the value of its cookie."""
        cookie = secrets.token_urlsafe(32)
        with self._writing:
            self._write({**self._ends, self._signature(cookie): self._clock() + LASTS_S})
        return cookie

    def end(self, cookie: str) -> None:
        """End the session of this cookie, for everybody who has a copy of the cookie."""
        signature = self._signature(cookie)
        with self._writing:
            if signature in self._ends:
                self._write({other: end for other, end in self._ends.items() if other != signature})

    def is_open(self, cookie: str) -> bool:
        """Return whether `cookie` belongs to a session that has not ended."""
        return self._ends.get(self._signature(cookie), 0.0) > self._clock()

    def _signature(self, cookie: str) -> str:
        key = _digest(b"session of " + (self._token or b""))
        return hmac.new(key, cookie.encode(errors="replace"), hashlib.sha256).hexdigest()

    def _read(self) -> None:
        """Read the sessions from the file, unless it belongs to an earlier token or is damaged."""
        try:
            content = self._path.read_bytes()
        except OSError:
            return
        try:
            plain = json.loads(content)
            is_ours = hmac.compare_digest(plain["token"], self._signature(""))
            is_valid = is_ours and all(type(end) is float for end in plain["ends"].values())
        except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
            is_valid = False
        if is_valid:
            self._ends = plain["ends"]
        else:
            self._write({})

    def _write(self, ends: dict[str, float]) -> None:
        now = self._clock()
        current = [(signature, end) for signature, end in ends.items() if end > now]
        self._ends = dict(current[-MAX_SESSIONS:])
        plain = {"token": self._signature(""), "ends": self._ends}  # no cookie is empty
        try:
            atomic.write(self._path, json.dumps(plain).encode("ascii"))
        except OSError as error:
            # An old file may list a session that has been ended, and would revive it at a restart.
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            self._log.warning(
                "%s cannot be written (%s): everybody has to log in again once the page restarts",
                self._path,
                error.strerror or error,
            )


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
