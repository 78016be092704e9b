"""The page's process over real sockets, and its limits for connections."""

import asyncio
import http.client
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from unittest.mock import patch

import pytest
import uvicorn
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from tests.daemon.web.world import TOKEN, enter, publish, settings

from stylewatch_daemon.base.child import Child
from stylewatch_daemon.settings.config import WebPage
from stylewatch_daemon.settings.sections import parse_address
from stylewatch_daemon.web import serve
from stylewatch_daemon.web.serve import LimitedProtocol
from stylewatch_daemon.web.supervisor import NAME, SERVE

HANGS = "tests.daemon.web.test_serve:hang"
HOST = b"Host: localhost\r\n"


def hang(life: Connection, fd: int, page: WebPage) -> None:
    """Serve a page that hangs at the first request, with more signs of life until then."""
    with patch.multiple(serve, BEAT_EVERY_S=0.1, application=lambda *_: halt):
        serve.serve(life, fd, page)


async def halt(scope: Scope, receive: Receive, send: Send) -> None:
    while True:
        time.sleep(1)


class Page:
    """A process that serves the page at `address`."""

    def __init__(self, root: Path, entry: str = SERVE) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address = self.listening.getsockname()
        enter(root / "state")
        page = WebPage(parse_address("127.0.0.1:1"), settings(root), SecretStr(TOKEN))
        fd = self.listening.fileno()
        self.process = Child(entry, fd, page, name=NAME, pass_fds=[fd])

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        host, port = self.address
        with closing(http.client.HTTPConnection(host, port, timeout=60)) as connection:
            connection.request("GET", path, headers={"Host": "localhost", **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def send(self, content: bytes) -> bytes:
        """Send raw bytes; return all that comes back."""
        return received(connect(self.address, content))

    def close(self) -> None:
        self.listening.close()
        self.process.kill()


def connect(address: tuple[str, int], content: bytes) -> socket.socket:
    connection = socket.create_connection(address, timeout=60)
    connection.sendall(content)
    return connection


def received(connection: socket.socket) -> bytes:
    """All bytes until the connection is closed."""
    answer = b""
    with connection, suppress(ConnectionResetError):
        while chunk := connection.recv(9999):
            answer += chunk
    return answer


@pytest.mark.usefixtures("children_exit_slowly")
def test_it_serves_until_its_pipe_is_closed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with closing(Page(tmp_path)) as page:
        assert page.get("/healthz") == (200, b"ok\n")
        for option in (socket.TCP_NODELAY, socket.TCP_USER_TIMEOUT):  # connections inherit both
            assert page.listening.getsockopt(socket.IPPROTO_TCP, option)
        for number in (signal.SIGTERM, signal.SIGINT):  # left to the daemon
            os.kill(page.process.pid, number)
        assert page.get(f"/login?token={TOKEN}", Accept="text/html")[0] == 200
        assert page.get(f"/{TOKEN}")[0] == 401
        assert page.get("/metrics", Authorization=f"Bearer {TOKEN}")[0] == 200
        page.process.line.close()
        assert page.process.exit_reason() == "exit code 0"
    assert TOKEN not in "".join(capfd.readouterr())


def test_an_open_stream_of_events_ends_with_its_session(tmp_path: Path) -> None:
    form = f"token={TOKEN}".encode()
    head = HOST + b"Origin: http://localhost\r\nConnection: close\r\n"
    kind = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n" % len(form)
    with closing(Page(tmp_path)) as page:
        entered = page.send(b"POST /login HTTP/1.1\r\n" + head + kind + b"\r\n" + form)
        cookie = b"Cookie: " + entered.partition(b"set-cookie: ")[2].partition(b";")[0] + b"\r\n"
        watching = connect(page.address, b"GET /events HTTP/1.1\r\n" + head + cookie + b"\r\n")
        seen = b""
        while b'"part": "news"' not in seen:
            seen += watching.recv(9999)
        left = page.send(b"POST /logout HTTP/1.1\r\n" + head + cookie + b"\r\n")
        assert left.startswith(b"HTTP/1.1 303")
        publish(tmp_path, waiting=("a-name-that-is-new",))
        assert b"a-name-that-is-new" not in received(watching)


@pytest.mark.usefixtures("children_exit_slowly")
def test_a_page_that_hangs_gives_no_sign_of_life(tmp_path: Path) -> None:
    with closing(Page(tmp_path, HANGS)) as page:
        assert page.process.line.poll(60)
        with socket.create_connection(page.address) as visitor:
            visitor.sendall(ASK)
            while page.process.line.poll(2):
                page.process.receive_bytes()
        assert page.process.is_alive()


# Connections

ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
SLOW = ASK.replace(b"/ ", b"/?slow=yes ")
CLOSE = ASK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
SLOW_CLOSE = CLOSE.replace(b"/ ", b"/?slow=yes ")


class Server:
    """A server in this process that answers slow requests once it `may_answer`."""

    def __init__(self, listening: socket.socket) -> None:
        self.address: tuple[str, int] = listening.getsockname()
        self.slow_requests: SimpleQueue[Request] = SimpleQueue()
        self.may_answer = threading.Event()
        app = Starlette(routes=[Route("/", self._greet)])
        config = uvicorn.Config(
            app, http=LimitedProtocol, ws="none", lifespan="off", log_config=None,
            log_level="critical",
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self.thread = threading.Thread(target=lambda: asyncio.run(self._server.serve([listening])))

    async def _greet(self, request: Request) -> Response:
        if request.query_params:
            self.slow_requests.put(request)
            await asyncio.to_thread(self.may_answer.wait)
        return PlainTextResponse("hello")

    def stop(self) -> None:
        self.may_answer.set()
        self._server.should_exit = True
        self.thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    """A server whose thread a test starts; clients can connect before."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Server(listening)
        yield server
        server.stop()


def test_a_connection_without_a_whole_request_is_closed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "REQUEST_TIMEOUT_S", 0.2)
    contents = {b"": 0, ASK[:-2]: 0, ASK + ASK[:9]: 1, SLOW: 1}
    # all is sent before the server can count the time
    connections = [connect(server.address, content) for content in contents]
    server.thread.start()
    *others, slow = connections
    answers = [received(connection).count(b"hello") for connection in others]
    server.slow_requests.get()
    time.sleep(0.6)  # the request may take longer than its arrival
    server.may_answer.set()
    assert [*answers, received(slow).count(b"hello")] == list(contents.values())


def test_the_longest_idle_connections_make_room_and_those_with_a_request_stay(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "REQUEST_TIMEOUT_S", 600.0)
    monkeypatch.setattr(serve, "MAX_CONNECTIONS", 2)
    server.thread.start()
    first, second = connect(server.address, b"G"), connect(server.address, b"G")
    assert b"hello" in received(connect(server.address, CLOSE))
    assert received(first) == b""
    with monkeypatch.context() as patch:
        patch.setattr(resource, "getrlimit", lambda _: (2, 2))  # one connection only
        assert b"hello" in received(connect(server.address, CLOSE))
        assert received(second) == b""
    busy = [connect(server.address, SLOW_CLOSE), connect(server.address, SLOW_CLOSE)]
    for _ in busy:
        server.slow_requests.get()
    assert received(connect(server.address, b"G")) == b""
    server.may_answer.set()
    assert all(b"hello" in received(connection) for connection in busy)
