"""The listening socket of the page: opened by the supervisor, or passed by systemd."""

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
"""Connections that may wait to be accepted."""

FIRST = 3
"""The first file descriptor that systemd passes."""

_MODE = 0o660
"""The owner and the group of a UNIX socket may connect."""


def handed(environment: MutableMapping[str, str]) -> socket.socket | None:
    """The socket that systemd passes; its variables are removed from `environment`."""
    names = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
    count, pid, _ = (environment.pop(name, "") for name in names)
    if pid != str(os.getpid()) or not count.isdecimal() or int(count) < 1:
        return None
    os.set_inheritable(FIRST, False)
    return socket.socket(fileno=FIRST)


def check(served: WebPage, ours: socket.socket | None) -> None:
    """Raise SettingsError where systemd should pass a socket, and did not, or a wrong one."""
    if str(served.address) != SYSTEMD:
        return
    if ours is None or not _listens(ours):
        raise SettingsError(
            "web.listen is systemd, but systemd passed no listening socket: run "
            "`systemctl enable --now stylewatch-web.socket`, or set an address"
        )
    if served.token is None and not is_near(ours):
        raise SettingsError(f"web.listen: {NO_TOKEN.format(told(ours))}")


@contextmanager
def bound(served: WebPage, ours: socket.socket | None) -> Iterator[socket.socket]:
    """Open the socket to listen at, or take `ours` of systemd; raises OSError."""
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
    """Address of the page, for a browser."""
    if listening.family == socket.AF_UNIX:
        return f"unix:{listening.getsockname()}"
    host, port, *_ = listening.getsockname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{path}/"


def _listens(listening: socket.socket) -> bool:
    with suppress(OSError):
        return bool(listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    return False


def is_near(listening: socket.socket) -> bool:
    """Check that only this machine can reach it."""
    if listening.family == socket.AF_UNIX:
        return True
    return ip_address(listening.getsockname()[0]).is_loopback


@contextmanager
def _at(path: Path) -> Iterator[socket.socket]:
    """Open a UNIX socket; replaces one that a process left behind."""
    with socket.socket(socket.AF_UNIX) as listening:
        if path.is_socket() and _is_abandoned(path):
            path.unlink(missing_ok=True)
        listening.bind(str(path))
        made = path.stat().st_ino
        try:
            path.chmod(_MODE)
            listening.listen(QUEUE)
            yield listening
        finally:
            with suppress(OSError):
                if path.stat().st_ino == made:
                    path.unlink()


def _is_abandoned(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except ConnectionRefusedError:
            return True
    return False
