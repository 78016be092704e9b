"""The socket that the page listens at: made by the supervisor, or handed to it by systemd."""

import os
import socket
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.settings.config import WebPage
from stylewatch_daemon.settings.sections import NO_TOKEN, SYSTEMD

QUEUE = 128
"""Connections that wait to be accepted."""

FIRST = 3
"""The number of the first file that systemd hands over."""

_SHARED = 0o660
"""Who may connect to a UNIX socket of ours: its owner, and its group."""


def handed(environment: MutableMapping[str, str]) -> socket.socket | None:
    """The socket that systemd hands over; its variables are taken out of `environment`."""
    names = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
    count, pid, _ = (environment.pop(name, "") for name in names)
    if pid != str(os.getpid()) or not count.isdecimal() or int(count) < 1:
        return None
    os.set_inheritable(FIRST, False)
    return socket.socket(fileno=FIRST)


def check(served: WebPage, ours: socket.socket | None) -> None:
    """Raise SettingsError where systemd is to hand a socket over, and did not, or a wrong one."""
    if str(served.address) != SYSTEMD:
        return
    if ours is None or not _listens(ours):
        raise SettingsError(
            "web.listen is systemd, and systemd handed no socket over that listens: "
            "`systemctl enable --now stylewatch-web.socket`, or say an address"
        )
    if served.token is None and not is_near(ours):
        raise SettingsError(f"web.listen: {NO_TOKEN.format(told(ours))}")


@contextmanager
def bound(served: WebPage, ours: socket.socket | None) -> Iterator[socket.socket]:
    """The socket to listen at, `ours` where systemd is to hand it over; raises OSError."""
    address = served.address
    if address.socket is not None:
        with _at(address.socket) as listening:
            yield listening
    elif address.host:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        with socket.create_server(
            (address.host, address.port), family=family, backlog=QUEUE
        ) as listening:
            yield listening
    elif ours is not None:
        yield ours


def told(listening: socket.socket, path: str = "") -> str:
    """Where the page is, for a person to go to."""
    if listening.family == socket.AF_UNIX:
        return f"unix:{listening.getsockname()}"
    host, port, *_ = listening.getsockname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{path}/"


def _listens(listening: socket.socket) -> bool:
    with suppress(OSError):
        return bool(listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    return False


def is_near(listening: socket.socket) -> bool:
    """Whether this machine alone reaches it."""
    if listening.family == socket.AF_UNIX:
        return True
    return ip_address(listening.getsockname()[0]).is_loopback


@contextmanager
def _at(path: Path) -> Iterator[socket.socket]:
    """A UNIX socket; one that somebody left, and nobody listens at any more, is replaced."""
    with socket.socket(socket.AF_UNIX) as listening:
        if path.is_socket() and _is_left(path):
            path.unlink(missing_ok=True)
        listening.bind(str(path))
        made = path.stat().st_ino
        try:
            path.chmod(_SHARED)
            listening.listen(QUEUE)
            yield listening
        finally:
            with suppress(OSError):
                if path.stat().st_ino == made:
                    path.unlink()


def _is_left(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as trying:
        try:
            trying.connect(str(path))
        except ConnectionRefusedError:
            return True
    return False
