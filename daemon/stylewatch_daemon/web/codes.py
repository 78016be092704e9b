"""The code that pairs a phone with the page: 40 random bits, valid once and for ten minutes.

The page and `stylewatch phone` make codes, in processes of their own; the page alone takes them. A
file in the state folder has the digest of the latest code, the time of its end and the tries that
are left, for all clients together. A code outlives a restart of the page, but not the token.
"""

import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from stylewatch_daemon.base.errors import InputError, OutputError
from stylewatch_daemon.files import atomic, lock

FILE_NAME = "phone-code.json"

ALPHABET, LENGTH = "0123456789ABCDEFGHJKMNPQRSTVWXYZ", 8
"""Crockford's digits, five bits each, and their number in a code."""

LASTS_S, TRIES = 600.0, 5
"""Time in seconds that a code is valid, and its number of tries."""

LOCKED_S = 5.0
"""Maximum time in seconds to wait for another process that makes or takes a code."""

NO_CODE = "no code is valid now: make a new one, by `stylewatch phone` or on the page under Phones"

_MEANT = str.maketrans("ILO", "110", " -")
"""Letters that people type in place of digits, and characters that they type between them."""


class Codes:
    """The code of the page with the folder `state` and `token`.

    The code is stored as a digest that depends on the token, so a change of the token ends the
    code. `clock` returns Unix time in seconds.
    """

    def __init__(
        self, state: Path, token: SecretStr | None, clock: Callable[[], float] = time.time
    ) -> None:
        self.path = state / FILE_NAME
        self._key = b"code of " + (b"" if token is None else token.get_secret_value().encode())
        self._clock = clock

    def make(self) -> str:
        """Make a code, which ends the one before, and return it, such as `0AZ7-K3MQ`.

        Raises OSError if its file cannot be written, and OutputError if another process uses the
        file.
        """
        code = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
        with self._locked():
            self._write(self._digest(code), self._clock() + LASTS_S, TRIES)
        return f"{code[:4]}-{code[4:]}"

    def take(self, text: str) -> None:
        """End the code if `text` is the code.

        Raises InputError if it is not, or if no code is valid, OSError if the file of the code
        cannot be written, and OutputError if another process uses the file.

        A try is recorded before the comparison. So a full disk or a killed process gives no further
        tries.
        """
        code = text.upper().translate(_MEANT)
        if len(code) != LENGTH:  # a slip of somebody who types; it costs no try
            raise InputError(f"a code has {LENGTH} letters and digits: look at it again")
        with self._locked():
            digest, end, tries = self._read()
            if tries < 1 or not 0 < end - self._clock() <= LASTS_S:
                raise InputError(NO_CODE)
            self._write(digest, end, tries - 1)
            if not hmac.compare_digest(digest, self._digest(code)):
                left = f"tries left: {tries - 1}" if tries > 1 else NO_CODE
                raise InputError(f"wrong code; {left}")
            self._write("", 0.0, 0)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with lock.held(self.path.with_suffix(".lock"), LOCKED_S):
                yield
        except lock.HeldError:
            raise OutputError("another process is using the code: try again") from None

    def _read(self) -> tuple[str, float, int]:
        """Return the digest, the end and the remaining tries; no tries without a valid file."""
        try:
            plain = json.loads(atomic.read(self.path, 1_000))
            return str(plain["digest"]), float(plain["end"]), int(plain["tries"])
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return "", 0.0, 0

    def _digest(self, code: str) -> str:
        return hmac.new(self._key, code.encode(errors="replace"), hashlib.sha256).hexdigest()

    def _write(self, digest: str, end: float, tries: int) -> None:
        plain = {"digest": digest, "end": end, "tries": tries}
        with atomic.replacing(self.path) as file:
            os.fchmod(file.fileno(), 0o600)  # before there is anything to read
            file.write(json.dumps(plain).encode("ascii"))
