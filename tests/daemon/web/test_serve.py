"""The page's process over real sockets, and its limits for connections."""

import http.client
import os
import resource
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from unittest.mock import patch

import pytest
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send
from tests.daemon.web.world import TOKEN, enter, publish, settings

from stylewatch_daemon.base.child import Child
from stylewatch_daemon.settings.config import WebPage
from stylewatch_daemon.settings.sections import parse_address
from stylewatch_daemon.web import serve
from stylewatch_daemon.web.supervisor import NAME, SERVE

HERE = "tests.daemon.web.test_serve"
HOST = b"Host: localhost\r\n"
KNOWN = f"Authorization: Bearer {TOKEN}\r\n".encode()


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

    @contextmanager
    def watching(self, who: bytes = KNOWN) -> Iterator[socket.socket]:
        """A stream of events after its beginning."""
        with connect(self.address, b"GET /events HTTP/1.1\r\n" + HOST + who + b"\r\n") as stream:
            read_until(b'"part": "news"', stream)
            yield stream

    def close(self) -> None:
        self.listening.close()
        self.process.kill()


def connect(address: tuple[str, int], content: bytes) -> socket.socket:
    connection = socket.create_connection(address, timeout=60)
    connection.sendall(content)
    return connection


def read_until(content: bytes, connection: socket.socket) -> None:
    seen = b""
    while content not in seen:
        chunk = connection.recv(9999)
        assert chunk, f"the connection was closed after {seen!r}"
        seen += chunk


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
        with page.watching(cookie) as stream:
            left = page.send(b"POST /logout HTTP/1.1\r\n" + head + cookie + b"\r\n")
            assert left.startswith(b"HTTP/1.1 303")
            publish(tmp_path, waiting=("a-name-that-is-new",))
            assert b"a-name-that-is-new" not in received(stream)


@pytest.mark.usefixtures("children_exit_slowly")
def test_a_page_that_hangs_gives_no_sign_of_life(tmp_path: Path) -> None:
    with closing(Page(tmp_path, f"{HERE}:hang")) as page:
        assert page.process.line.poll(60)
        with socket.create_connection(page.address) as visitor:
            visitor.sendall(PROBE)
            while page.process.line.poll(2):
                page.process.receive_bytes()
        assert page.process.is_alive()


# Connections

PROBE = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"


def hasty(life: Connection, fd: int, page: WebPage) -> None:
    """Serve the page to clients that have a second for each request."""
    with patch.multiple(serve, REQUEST_TIMEOUT_S=1.0, BEAT_EVERY_S=0.1):
        serve.serve(life, fd, page)


def crowded(life: Connection, fd: int, page: WebPage) -> None:
    """Serve the page to two clients at a time."""
    with patch.multiple(serve, REQUEST_TIMEOUT_S=600.0, MAX_CONNECTIONS=2):
        serve.serve(life, fd, page)


def poor(life: Connection, fd: int, page: WebPage) -> None:
    """Serve the page in a process that may open 64 files."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    serve.serve(life, fd, page)


@pytest.mark.usefixtures("children_exit_slowly")
def test_clients_that_send_no_whole_request_are_disconnected(tmp_path: Path) -> None:
    with closing(Page(tmp_path, f"{HERE}:hasty")) as page, page.watching() as stream:
        contents = {b"": 0, PROBE[:-2]: 0, PROBE + PROBE[:9]: 1}
        clients = [connect(page.address, content) for content in contents]
        assert [received(client).count(b"ok\n") for client in clients] == list(contents.values())
        publish(tmp_path, waiting=("a-name-that-is-new",))
        read_until(b"a-name-that-is-new", stream)  # an answer may take longer than a request


@pytest.mark.parametrize(("entry", "most"), [("crowded", 2), ("poor", 32)])
@pytest.mark.usefixtures("children_exit_slowly")
def test_the_client_that_waits_longest_makes_room_and_not_one_with_a_request(
    entry: str, most: int, tmp_path: Path
) -> None:
    with closing(Page(tmp_path, f"{HERE}:{entry}")) as page, page.watching() as stream:
        first, *others = [connect(page.address, PROBE[:9]) for _ in range(most - 1)]
        assert page.get("/healthz")[0] == 200
        assert received(first) == b""
        for client in others:
            client.sendall(PROBE[9:])
            assert client.recv(99).startswith(b"HTTP/1.1 200")
            client.close()
        publish(tmp_path, waiting=("a-name-that-is-new",))
        read_until(b"a-name-that-is-new", stream)
