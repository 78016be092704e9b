"""Who knows the token: told in constant time, and remembered by a cookie that is not the token."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

from pydantic import SecretStr

COOKIE = "stylewatch"

LASTS_S = 7 * 24 * 3600
"""Seconds that a session lasts."""


class Sessions:
    """Sessions of those who know `token`; without one everybody is let in.

    They are nowhere kept: a cookie's value is a time and a chance number, signed by the token, so
    that a session outlives the process, and ends when the token is changed. `clock` gives Unix
    time in seconds.
    """

    def __init__(self, token: SecretStr | None, clock: Callable[[], float] = time.time) -> None:
        self._token = None if token is None else token.get_secret_value().encode()
        self._clock = clock

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
        """A cookie's value, for somebody who knows the token."""
        what = f"{int(self._clock()) + LASTS_S}.{secrets.token_urlsafe(16)}"
        return f"{what}.{self._signature(what)}"

    def holds(self, cookie: str) -> bool:
        """Whether `cookie` is the value of a session that still lasts."""
        what, _, signature = cookie.rpartition(".")
        until, _, _ = what.partition(".")
        expected = self._signature(what).encode()
        genuine = hmac.compare_digest(signature.encode(errors="replace"), expected)
        return genuine and until.isascii() and until.isdecimal() and int(until) > self._clock()

    def _signature(self, what: str) -> str:
        key = _digest(b"session of " + (self._token or b""))
        return hmac.new(key, what.encode(errors="replace"), hashlib.sha256).hexdigest()


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
