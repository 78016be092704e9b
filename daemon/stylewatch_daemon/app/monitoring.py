"""Reports of the daemon about itself: its log, and notifications to systemd."""

import json
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from traceback import format_exception

from stylewatch_daemon.settings.sections import LogSettings

LOGGER = "stylewatch_daemon"
"""Name of the parent of all loggers of the daemon."""

EXTEND_S = 30.0
"""Time in seconds that a stopping daemon requests from systemd each time; a checkpoint may need it.
"""

SEND_WITHIN = 5.0
"""Timeout in seconds for sending a message, after which it is dropped."""


class _Stderr(logging.Handler):
    """Handler for the current `sys.stderr`, which a progress line replaces temporarily."""

    def __init__(self, line_of: Callable[[logging.LogRecord], str]) -> None:
        super().__init__()
        self._line_of = line_of

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):  # the daemon continues even if its log cannot be written
            print(self._line_of(record), file=sys.stderr, flush=True)


def _trace(record: logging.LogRecord) -> str:
    error = record.exc_info[1] if record.exc_info else None
    return getattr(record, "trace", "") or "".join(format_exception(error) if error else ())


def _text(record: logging.LogRecord) -> str:
    """Return `stylewatch: JOB: message`, with the trace of an error if the level is debug."""
    job = getattr(record, "job", "")
    trace = _trace(record)
    text = f"stylewatch: {f'{job}: ' if job else ''}{record.getMessage()}"
    is_wanted = trace and logging.getLogger(LOGGER).isEnabledFor(logging.DEBUG)
    return f"{text}\n{trace}".rstrip() if is_wanted else text


def _json(record: logging.LogRecord) -> str:
    """Return a line of JSON, with the time in UTC, and with `job` and `trace` if there are any."""
    plain = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "event": record.getMessage(),
        "job": getattr(record, "job", None),
        "trace": _trace(record),
    }
    return json.dumps({key: value for key, value in plain.items() if value}, ensure_ascii=False)


@contextmanager
def logging_as(settings: LogSettings, *, quiet: bool) -> Iterator[logging.Logger]:
    """Yield the daemon's logger, configured by `settings`; if `quiet`, it logs only errors."""
    logger = logging.getLogger(LOGGER)
    level = "error" if quiet else settings.level
    handler = _Stderr(_json if settings.format == "json" else _text)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level.upper())
    try:
        yield logger
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def log_old_settings(reason: str) -> None:
    """Log why reloaded settings are refused, and that the earlier ones still apply."""
    log = logging.getLogger(LOGGER)
    for line in reason.splitlines():
        log.error("%s", line)
    log.error("the daemon continues with the earlier settings")


class SystemdNotifier:
    """Reporter of the daemon's state to systemd; without systemd, messages are dropped.

    `ping_every` is half of the watchdog's interval in seconds, or None if no pings are expected.
    The variables of systemd are removed from `environment`, because children must not notify it.
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
        """Report that the daemon works: for the first time, or after `reloading`."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Report that the daemon may restart with new settings; `ready` ends this state."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Report that the daemon is stopping, and request EXTEND_S seconds from now on."""
        self._send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={EXTEND_S * 1e6:.0f}")

    def status(self, text: str) -> None:
        """Report `text` on the daemon's work in one line, if it has changed."""
        line = " ".join(text.split())  # a newline would start another message
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def ping_due(self) -> bool:
        """Return whether a ping is due."""
        return self.ping_every is not None and time.monotonic() - self._pinged >= self.ping_every

    def ping(self) -> None:
        """Report to the watchdog that the daemon works; call this only after checking that."""
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
