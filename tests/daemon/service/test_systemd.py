"""What systemd is told goes out as single datagrams, and only where somebody listens."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from stylewatch_daemon.service.systemd import Manager


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """An address as NOTIFY_SOCKET has it, and the socket that hears what is sent there."""
    kind = request.param
    address = str(tmp_path / "notify") if kind == "path" else f"@stylewatch-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hears:
        hears.bind(address.replace("@", "\0", 1) if kind == "abstract" else address)
        hears.settimeout(10)
        yield address, hears


def test_each_message_is_a_datagram(listener: tuple[str, socket.socket]) -> None:
    address, hears = listener
    manager = Manager({"NOTIFY_SOCKET": address})
    manager.ready()
    manager.status("painting sea")
    manager.ping()
    manager.stopping()
    told = [hears.recv(4096).decode() for _ in range(4)]
    assert told == [
        "READY=1",
        "STATUS=painting sea",
        "WATCHDOG=1",
        "STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000",
    ]


def test_a_reload_says_when_it_began(listener: tuple[str, socket.socket]) -> None:
    address, hears = listener
    Manager({"NOTIFY_SOCKET": address}).reloading()
    first, second = hears.recv(4096).decode().splitlines()
    assert first == "RELOADING=1"
    assert second.removeprefix("MONOTONIC_USEC=").isdecimal()


def test_a_status_forges_no_other_message_and_is_said_once(
    listener: tuple[str, socket.socket],
) -> None:
    address, hears = listener
    manager = Manager({"NOTIFY_SOCKET": address})
    for _ in range(2):
        manager.status("painting sea\nMAINPID=1 \udcff")
    manager.ready()
    assert hears.recv(4096) == b"STATUS=painting sea MAINPID=1 ?"
    assert hears.recv(4096) == b"READY=1"


def test_nobody_listening_is_no_error(tmp_path: Path) -> None:
    for environment in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone")}, {"NOTIFY_SOCKET": "tcp:1"}):
        manager = Manager(environment)
        manager.ready()
        manager.status("well")
        assert not manager.ping_due()


def test_its_variables_are_kept_from_children() -> None:
    environment = {
        "NOTIFY_SOCKET": "@nobody",
        "WATCHDOG_USEC": "4000000",
        "WATCHDOG_PID": str(os.getpid()),
        "HOME": "/home/somebody",
    }
    manager = Manager(environment)
    assert environment == {"HOME": "/home/somebody"}
    assert manager.ping_every == 2.0


@pytest.mark.parametrize(
    "variables",
    [
        {"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {},
    ],
)
def test_no_ping_is_due_where_none_is_wanted_of_us(variables: dict[str, str]) -> None:
    manager = Manager({"NOTIFY_SOCKET": "@nobody", **variables})
    assert manager.ping_every is None
    assert not manager.ping_due()


def test_a_ping_is_due_at_once_and_then_after_half_the_time() -> None:
    manager = Manager({"NOTIFY_SOCKET": "@nobody", "WATCHDOG_USEC": "3600000000"})
    assert manager.ping_due()
    manager.ping()
    assert not manager.ping_due()
