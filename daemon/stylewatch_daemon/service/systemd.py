"""Notify systemd, or any process that listens at NOTIFY_SOCKET, of the daemon's state."""

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress

EXTEND_S = 30.0
"""Seconds that a stopping daemon asks for, each time; a checkpoint may need them."""

SEND_WITHIN = 5.0
"""Seconds that the listener gets to receive a message; then it is lost."""


class Manager:
    """The service manager, if there is one; otherwise messages are dropped.

    `ping_every` is half of the watchdog's interval in seconds; None where it wants no ping. The
    manager's variables are removed from `environment`: children must not notify it.
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
        """Report that the daemon works, for the first time or again."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Report that the settings are being read again; `ready` ends that."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Report that the daemon stops, and ask for EXTEND_S from now on."""
        self._send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={EXTEND_S * 1e6:.0f}")

    def status(self, text: str) -> None:
        """Report in one line what the daemon does, if that changed."""
        line = " ".join(text.split())  # a newline would begin another message
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def ping_due(self) -> bool:
        """Return whether it is time for a ping."""
        return self.ping_every is not None and time.monotonic() - self._pinged >= self.ping_every

    def ping(self) -> None:
        """Report that the daemon works; call this only after checking that."""
        self._pinged = time.monotonic()
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address.startswith(("/", "@")):
            return
        address = self._address.encode("utf-8", "surrogateescape")
        if self._address.startswith("@"):  # an abstract address
            address = b"\0" + address[1:]
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.settimeout(SEND_WITHIN)
            to.connect(address)
            to.sendall(message.encode("utf-8", "replace"))
