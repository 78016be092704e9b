"""Sessions of people who know the token of the page."""

import hmac
import logging
import secrets
import time
from collections.abc import Callable
from hashlib import sha256

from pydantic import SecretStr

LASTS_S = 7 * 24 * 3600
"""Seconds that a session lasts."""

LOGGED_EVERY_S = 60.0
"""Seconds between two lines in the log about wrong tokens."""

MAX_SESSIONS = 1_000
"""Sessions at once; with one more the oldest ends."""


class Sessions:
    """Sessions of browsers whose users know `token`; without a token nobody needs any.

    A session is a random number in a cookie. They are only in memory, so none outlives the process
    of the page. `clock` gives seconds.
    """

    def __init__(
        self, token: SecretStr | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._token = None if token is None else sha256(token.get_secret_value().encode()).digest()
        self._clock = clock
        self._wrong, self._logged_at = 0, -LOGGED_EVERY_S
        self._ends: dict[str, float] = {}
        """The time at which each session ends, by its cookie, the oldest first."""

    @property
    def are_needed(self) -> bool:
        """True if people have to log in."""
        return self._token is not None

    def is_token(self, text: str) -> bool:
        """Compare `text` with the token, in constant time."""
        given = sha256(text.encode(errors="replace")).digest()
        return self._token is not None and hmac.compare_digest(given, self._token)

    def note_wrong_token(self, client: str) -> None:
        """Log that `client` gave a wrong token, once a minute with the number of times."""
        self._wrong += 1
        if self._clock() - self._logged_at >= LOGGED_EVERY_S:
            times = "once" if self._wrong == 1 else f"{self._wrong} times"
            log = logging.getLogger(__name__)
            log.warning("the page got a wrong token, %s, now from %s", times, client)
            self._wrong, self._logged_at = 0, self._clock()

    def begin(self) -> str:
        """Begin a session; return the value of its cookie."""
        cookie = secrets.token_urlsafe(32)
        open_ones = [*filter(self.is_open, self._ends)][1 - MAX_SESSIONS :]
        self._ends = {each: self._ends[each] for each in open_ones}
        self._ends[cookie] = self._clock() + LASTS_S
        return cookie

    def end(self, cookie: str) -> None:
        """End the session of this cookie, for all who have a copy of it."""
        self._ends.pop(cookie, None)

    def is_open(self, cookie: str) -> bool:
        """Check that `cookie` is that of a session that has not ended."""
        return self._ends.get(cookie, -1.0) > self._clock()
