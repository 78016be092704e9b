"""Nobody holds a connection for nothing: those who say too little, or come too many, are cut off.

A real server on a real socket, in this process.
"""

import asyncio
import resource
import socket
import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from stylewatch_daemon.web import timeouts
from stylewatch_daemon.web.timeouts import Patient

ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


greeting: SimpleQueue[Request] = SimpleQueue()
"""Those that are being answered slowly."""


async def greet(request: Request) -> Response:
    if request.query_params.get("slow"):
        greeting.put(request)
        await asyncio.sleep(1.0)
    return PlainTextResponse("hello")


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """Where a server listens that has little patience."""
    monkeypatch.setattr(timeouts, "ASKS_WITHIN", 0.2)
    app = Starlette(routes=[Route("/", greet)])
    config = uvicorn.Config(
        app, http=Patient, ws="none", lifespan="off", log_config=None, log_level="critical"
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
        serving.start()
        yield listening.getsockname()
        server.should_exit = True
        serving.join()


def visit(address: tuple[str, int], said: bytes) -> socket.socket:
    visiting = socket.create_connection(address, timeout=60)
    visiting.sendall(said)
    return visiting


def heard(visiting: socket.socket) -> bytes:
    """All until the line is cut."""
    found = b""
    try:
        while chunk := visiting.recv(999):
            found += chunk
    except ConnectionResetError:
        pass
    visiting.close()
    return found


@pytest.mark.parametrize("said", [b"", b"G", ASK[:-2]], ids=["nothing", "a letter", "no end"])
def test_who_does_not_come_to_the_point_is_cut_off(said: bytes, address: tuple[str, int]) -> None:
    assert heard(visit(address, said)) == b""


def test_who_was_answered_once_has_to_come_to_the_point_again(address: tuple[str, int]) -> None:
    found = heard(visit(address, ASK + ASK[:9]))
    assert found.count(b"hello") == 1


def test_who_waits_for_an_answer_may(address: tuple[str, int]) -> None:
    said = ASK.replace(b"/ ", b"/?slow=yes ")
    assert b"hello" in heard(visit(address, said))


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that has patience, and holds two connections."""
    monkeypatch.setattr(timeouts, "ASKS_WITHIN", 60.0)
    monkeypatch.setattr(timeouts, "CONNECTIONS", 2)


def test_of_too_many_those_that_waited_longest_make_room(
    address: tuple[str, int], crowded: None
) -> None:
    first, second = visit(address, b"G"), visit(address, b"G")
    third = visit(address, ASK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert b"hello" in heard(third)
    assert heard(first) == b""
    second.sendall(ASK[1:].replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert b"hello" in heard(second)


def test_who_is_being_answered_makes_room_for_nobody(
    address: tuple[str, int], crowded: None
) -> None:
    slow = ASK.replace(b"/ ", b"/?slow=yes ").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    busy = [visit(address, slow), visit(address, slow)]
    for _ in busy:
        greeting.get()
    assert heard(visit(address, b"G")) == b""
    assert all(b"hello" in heard(one) for one in busy)


def test_fewer_connections_are_held_where_few_files_may_be_open(
    address: tuple[str, int], crowded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2, 2))
    first = visit(address, b"G")
    second = visit(address, ASK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert b"hello" in heard(second)
    assert heard(first) == b""
