"""Notifications go out as single datagrams, and only where somebody listens."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from stylewatch_daemon.service.systemd import Manager


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """An address as NOTIFY_SOCKET has it, and the socket that receives what is sent there."""
    kind = request.param
    address = str(tmp_path / "notify") if kind == "path" else f"@stylewatch-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address.replace("@", "\0", 1) if kind == "abstract" else address)
        receiver.settimeout(10)
        yield address, receiver


def test_each_message_is_a_datagram(listener: tuple[str, socket.socket]) -> None:
    address, receiver = listener
    manager = Manager({"NOTIFY_SOCKET": address})
    manager.ready()
    for _ in range(2):  # the second is no news, and neither forges another message
        manager.status("painting sea\nMAINPID=1 \udcff")
    manager.ping()
    manager.stopping()
    manager.reloading()
    assert [receiver.recv(4096).decode() for _ in range(4)] == [
        "READY=1",
        "STATUS=painting sea MAINPID=1 ?",
        "WATCHDOG=1",
        "STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000",
    ]
    first, second = receiver.recv(4096).decode().splitlines()
    assert first == "RELOADING=1"
    assert second.removeprefix("MONOTONIC_USEC=").isdecimal()


@pytest.mark.parametrize("address", [None, "gone", "tcp:1"])
def test_no_listener_is_no_error(address: str | None, tmp_path: Path) -> None:
    path = str(tmp_path / "gone") if address == "gone" else address
    manager = Manager({} if path is None else {"NOTIFY_SOCKET": path})
    manager.ready()
    assert not manager.ping_due()


def test_pings_are_due_after_half_the_time_and_children_inherit_no_variables() -> None:
    environment = {"NOTIFY_SOCKET": "@nobody", "WATCHDOG_USEC": "3600000000",
                   "WATCHDOG_PID": str(os.getpid()), "HOME": "/home/somebody"}  # fmt: skip
    manager = Manager(environment)
    assert environment == {"HOME": "/home/somebody"}
    assert (manager.ping_every, manager.ping_due()) == (1800.0, True)
    manager.ping()
    assert not manager.ping_due()


@pytest.mark.parametrize(
    "variables",
    [{"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"},
     {"WATCHDOG_USEC": "soon"}, {}],
)  # fmt: skip
def test_no_ping_is_due_where_none_is_wanted(variables: dict[str, str]) -> None:
    manager = Manager({"NOTIFY_SOCKET": "@nobody", **variables})
    assert (manager.ping_every, manager.ping_due()) == (None, False)
