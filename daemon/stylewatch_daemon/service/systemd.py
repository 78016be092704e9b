"""Tells systemd, or whoever else listens at NOTIFY_SOCKET, how the daemon is; no library needed."""

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress

EXTEND_S = 30.0
"""Seconds that one who leaves asks for, each time; a checkpoint may need them."""

SEND_WITHIN = 5.0
"""Seconds that one who listens gets to take a message; then it is lost."""


class Manager:
    """Whoever started us, if it wants to hear: else every message goes nowhere.

    `ping_every` is the half of the time, in seconds, in which it wants a ping; None: it wants
    none. Its variables are taken out of `environment`: children must not speak for us.
    """

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self._address = environment.pop("NOTIFY_SOCKET", "")
        within = environment.pop("WATCHDOG_USEC", "")
        ours = environment.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        wanted = bool(self._address) and ours and within.isdecimal() and int(within) > 0
        self.ping_every = int(within) / 2e6 if wanted else None
        self._pinged = -float("inf")
        self._status = ""

    def ready(self) -> None:
        """We are at work, for the first time or again."""
        self._send("READY=1")

    def reloading(self) -> None:
        """The settings are being read again; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """We are about to leave, and want EXTEND_S more from now on for it."""
        self._send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={EXTEND_S * 1e6:.0f}")

    def status(self, text: str) -> None:
        """What we do, in one line for people; sent where it changed."""
        line = " ".join(text.split())  # a newline would begin another message
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def ping_due(self) -> bool:
        """Whether it is time for a ping."""
        return self.ping_every is not None and time.monotonic() - self._pinged >= self.ping_every

    def ping(self) -> None:
        """We are well; to be said only by one who made sure of it."""
        self._pinged = time.monotonic()
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address.startswith(("/", "@")):
            return
        address = self._address.encode("utf-8", "surrogateescape")
        if self._address.startswith("@"):  # a name that is in no file system
            address = b"\0" + address[1:]
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.settimeout(SEND_WITHIN)
            to.connect(address)
            to.sendall(message.encode("utf-8", "replace"))
