"""Sessions of people who know the token of the page, and of phones that had a code."""

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
from typing import NamedTuple

from pydantic import SecretStr

from stylewatch_daemon.files import atomic

LASTS_S = 7 * 24 * 3600
"""Duration of a session in seconds."""

PHONE_LASTS_S = 180 * 24 * 3600
"""Duration in seconds of the session of a phone, which is paired only once."""

LOGGED_EVERY_S = 60.0
"""Minimum number of seconds between two lines in the log about wrong tokens."""

LOGINS_AT_ONCE = 8
"""Maximum number of logins handled at a time; more logins are refused, because anybody can send
them."""

KEY_LENGTH = 16
"""Number of digits of a session's signature by which the page identifies a phone."""

MAX_SESSIONS = 1_000
"""Maximum number of sessions; one more ends the oldest session."""


class Phone(NamedTuple):
    """A paired phone: `key`, the first digits of its session's signature, and its name.

    `since` is the Unix time in seconds at which it was paired.
    """

    key: str
    name: str
    since: float


class Sessions:
    """Sessions of browsers whose users know `token`; without a token nobody needs a session.

    A session is a random number in a cookie. The file `path` has a signature of the token and, for
    each session, a signature made with the token, the time of its end, and for a phone the name. So
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
        self._names: dict[str, str] = {}
        """The names of phones, by the signatures of their sessions."""
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
        """Count a wrong token or code; log the count at most every LOGGED_EVERY_S seconds."""
        self._wrong += 1
        if self._clock() - self._logged_at >= LOGGED_EVERY_S:
            times = "once" if self._wrong == 1 else f"{self._wrong} times"
            self._log.warning("the page got a wrong token or code, %s, now from %s", times, client)
            self._wrong = 0
            self._logged_at = self._clock()

    def begin(self, phone: str = "") -> str:
        """Begin a session of a browser or, with `phone`, of the phone of this name.

        Return the value of its cookie.
        """
        cookie = secrets.token_urlsafe(32)
        signature = self._signature(cookie)
        end = self._clock() + (PHONE_LASTS_S if phone else LASTS_S)
        with self._writing:
            names = {**self._names, signature: phone} if phone else self._names
            self._write({**self._ends, signature: end}, names)
        return cookie

    def phones(self) -> list[Phone]:
        """Return the phones whose sessions are open, the latest first."""
        phones = [
            Phone(signature[:KEY_LENGTH], self._names[signature], end - PHONE_LASTS_S)
            for signature, end in self._ends.items()
            if signature in self._names and end > self._clock()
        ]
        return phones[::-1]

    def is_phone(self, cookie: str) -> bool:
        """Return whether `cookie` belongs to the session of a phone, which may have expired."""
        return self._signature(cookie) in self._names

    def end_phone(self, key: str) -> None:
        """End the session of the phone with this key, if there is one."""
        with self._writing:
            ended = {name for name in self._names if name[:KEY_LENGTH] == key}
            if ended:
                self._write({each: end for each, end in self._ends.items() if each not in ended})

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
        """Read the sessions from the file; empty the file if it is damaged or of another token."""
        try:
            content = self._path.read_bytes()
        except OSError:
            return
        try:
            plain = json.loads(content)
            is_ours = hmac.compare_digest(plain["token"], self._signature(""))
            names = plain.get("names", {})
            is_valid = is_ours and all(type(end) is float for end in plain["ends"].values())
            is_valid = is_valid and all(type(name) is str for name in names.values())
        except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
            is_valid = False
        if is_valid:
            self._ends = plain["ends"]
            self._names = names
        else:
            self._write({})

    def _write(self, ends: dict[str, float], names: dict[str, str] | None = None) -> None:
        now = self._clock()
        current = [(signature, end) for signature, end in ends.items() if end > now]
        self._ends = dict(current[-MAX_SESSIONS:])
        named = self._names if names is None else names
        self._names = {each: name for each, name in named.items() if each in self._ends}
        plain = {"token": self._signature(""), "ends": self._ends}  # no cookie is empty
        plain |= {"names": self._names}
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
