"""The page's process, as it is started by the supervisor, met over real sockets."""

import http.client
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from unittest.mock import patch

import pytest
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send
from tests.daemon.web.visitors import TOKEN, settings, standing

from stylewatch_daemon.processes.child import Child
from stylewatch_daemon.settings.config import WebPage
from stylewatch_daemon.settings.sections import parse_address
from stylewatch_daemon.web import serve
from stylewatch_daemon.web.supervisor import ENTRY, NAME

HANGS = "tests.daemon.web.test_serve:hang"


def hang(life: Connection, listening: socket.socket, served: WebPage) -> None:
    """The page, which is given less time, and comes to a halt for good when it is visited."""
    with patch.multiple(serve, HUNG_S=1, BEAT_EVERY=0.1, application=lambda *_: halt):
        serve.serve(life, listening, served)


async def halt(scope: Scope, receive: Receive, send: Send) -> None:
    while True:
        time.sleep(1)


class Page:
    """A process that serves at `place`."""

    def __init__(self, root: Path, door: str = "stylewatch_daemon.web.serve:serve") -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.place = self.listening.getsockname()
        (root / "state").mkdir()
        what = WebPage(parse_address("127.0.0.1:1"), settings(root), SecretStr(TOKEN))
        fd = self.listening.fileno()
        self.process = Child(ENTRY, door, fd, what, name=NAME, pass_fds=[fd])

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        with closing(
            http.client.HTTPConnection(self.place[0], self.place[1], timeout=60)
        ) as visiting:
            visiting.putrequest("GET", path, skip_host=True)
            for name, value in {"Host": "localhost", **headers}.items():
                visiting.putheader(name, value)
            visiting.endheaders()
            answer = visiting.getresponse()
            return answer.status, answer.read()

    def say(self, said: bytes, ends: bool = True) -> bytes:
        """What comes back for these very bytes, until the line is cut; that we said all, `ends`."""
        with socket.create_connection(self.place, timeout=60) as visiting:
            visiting.sendall(said)
            if ends:
                visiting.shutdown(socket.SHUT_WR)
            found = b""
            while chunk := visiting.recv(9999):
                found += chunk
            return found

    def close(self) -> None:
        self.listening.close()
        self.process.kill()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with closing(Page(tmp_path)) as found:
        yield found


BEARER = {"Authorization": f"Bearer {TOKEN}"}


def test_it_serves_and_leaves_when_it_is_let_go(page: Page) -> None:
    assert page.get("/healthz") == (200, b"ok\n")
    assert page.get("/metrics")[0] == 401
    assert page.get("/metrics", **BEARER)[0] == 200
    page.process.line.close()
    assert page.process.exit_reason() == "exit code 0"


def test_an_open_stream_of_events_ends_with_its_session(page: Page, tmp_path: Path) -> None:
    form = f"token={TOKEN}".encode()
    head = b"Host: localhost\r\nOrigin: http://localhost\r\nConnection: close\r\n"
    kind = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n" % len(form)
    entered = page.say(b"POST /login HTTP/1.1\r\n" + head + kind + b"\r\n" + form, ends=False)
    cookie = b"Cookie: " + entered.partition(b"set-cookie: ")[2].partition(b";")[0] + b"\r\n"
    with socket.create_connection(page.place, timeout=60) as watching:
        watching.sendall(b"GET /events HTTP/1.1\r\n" + head + cookie + b"\r\n")
        seen = b""
        while b'"part": "news"' not in seen:
            seen += watching.recv(9999)
        left = page.say(b"POST /logout HTTP/1.1\r\n" + head + cookie + b"\r\n", ends=False)
        assert left.startswith(b"HTTP/1.1 303")
        standing(tmp_path, waiting=("a-name-that-is-new",))
        while chunk := watching.recv(9999):
            seen += chunk
    assert b"a-name-that-is-new" not in seen


def test_answers_do_not_wait_for_one_another(page: Page) -> None:
    page.get("/healthz")
    for option in (socket.TCP_NODELAY, socket.TCP_USER_TIMEOUT):  # what comes of it has both
        assert page.listening.getsockopt(socket.IPPROTO_TCP, option)


def test_signals_are_the_supervisors(page: Page) -> None:
    page.get("/healthz")
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(page.process.pid, number)
    assert page.get("/healthz")[0] == 200


def test_a_page_that_hangs_is_ended_by_the_kernel(tmp_path: Path) -> None:
    with closing(Page(tmp_path, HANGS)) as page, pytest.raises(OSError):
        page.get("/")
    assert page.process.exit_reason() == f"signal {int(signal.SIGALRM)}"


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/static/../app.py",
        "/static/..%2f..%2fapp.py",
        "/static/%2e%2e/%2e%2e/config.py",
        "//static//x",
        "/jobs/../healthz/../metrics",
        "/%00",
        "/static/%00",
        "/jobs/id/pictures/..%2f..%2f..%2fetc%2fpasswd",
    ],
)
def test_no_path_leads_to_a_file(page: Page, path: str) -> None:
    status, told = page.get(path, **BEARER)
    assert 400 <= status < 500
    assert b"root:" not in told and b"import" not in told


@pytest.mark.parametrize(
    "said",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 99_999 + b"\r\n\r\n",
        b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ],
    ids=["tls", "no host", "two hosts", "a proxy's", "long", "length", "smuggled", "websocket"],
)
def test_nonsense_is_answered_with_nothing_worth_having(page: Page, said: bytes) -> None:
    try:
        told = page.say(said)
    except ConnectionResetError:
        told = b""
    assert b" 200 " not in told.split(b"\r\n")[0]
    assert page.get("/healthz")[0] == 200


def test_a_flood_of_silent_visitors_leaves_room_for_others(page: Page) -> None:
    page.get("/healthz")
    silent = [socket.create_connection(page.place) for _ in range(200)]
    assert page.get("/healthz")[0] == 200
    for one in silent:
        one.close()


def test_one_who_does_not_read_holds_nobody_up(page: Page) -> None:
    asked = b"GET /static/page.css HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(page.place) as greedy:
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        greedy.sendall(asked * 500)
        assert page.get("/healthz")[0] == 200


def test_the_log_tells_no_secret(page: Page, capfd: pytest.CaptureFixture[str]) -> None:
    page.get(f"/login?token={TOKEN}", Accept="text/html")
    page.get("/metrics", **BEARER)
    page.get(f"/{TOKEN}")
    page.close()
    out, told = capfd.readouterr()
    assert TOKEN not in out + told
