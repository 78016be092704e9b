"""The page's process over real sockets, and the supervisor, which replaces one that fails."""

import http.client
import logging
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from unittest.mock import patch

import pytest
from pydantic import SecretStr
from tests.daemon.states import publish
from tests.daemon.web.world import TOKEN, enter, settings
from tests.daemon.world import child_pids
from tests.nodes import unused_port

from stylewatch_daemon.app import page as supervisor
from stylewatch_daemon.app.page import NAME, SERVE, Listening, Supervisor, listening_socket, url_of
from stylewatch_daemon.base.child import Child
from stylewatch_daemon.base.errors import ShortageError
from stylewatch_daemon.base.wakeup import Backoff
from stylewatch_daemon.settings.config import WebPage
from stylewatch_daemon.settings.sections import parse_address
from stylewatch_daemon.web import serve

HOST = b"Host: localhost\r\n"
KNOWN = f"Authorization: Bearer {TOKEN}\r\n".encode()
PROBE = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
NEWS = "a-name-that-is-new"


class Page:
    """A process that serves the page at `address`."""

    def __init__(self, root: Path, entry: str = SERVE) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address = self.listening.getsockname()
        self.root = root
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

    def connect(self, content: bytes) -> socket.socket:
        connection = socket.create_connection(self.address, timeout=60)
        connection.sendall(content)
        return connection

    @contextmanager
    def watching(self, who: bytes = KNOWN) -> Iterator[socket.socket]:
        """A stream of events after its beginning; news are published at the end."""
        with self.connect(b"GET /events HTTP/1.1\r\n" + HOST + who + b"\r\n") as stream:
            read_until(b'"part": "news"', stream)
            yield stream
            publish(self.root / "state", waiting=(NEWS,))
            if who == KNOWN:
                read_until(NEWS.encode(), stream)
            else:
                assert NEWS.encode() not in received(stream)

    def close(self) -> None:
        self.listening.close()
        self.process.kill()


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


def hasty(life: Connection, fd: int, page: WebPage) -> None:
    """Serve the page to clients that have a second for each request."""
    with patch.multiple(serve, REQUEST_TIMEOUT_S=1.0, BEAT_EVERY_S=0.1):
        serve.serve(life, fd, page)


def crowded(life: Connection, fd: int, page: WebPage) -> None:
    """Serve the page to two clients at a time."""
    with patch.multiple(serve, REQUEST_TIMEOUT_S=600.0, MAX_CONNECTIONS=2):
        serve.serve(life, fd, page)


@pytest.mark.usefixtures("children_exit_slowly")
def test_it_serves_until_its_pipe_is_closed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with closing(Page(tmp_path)) as page:
        assert page.get("/healthz") == (200, b"ok\n")
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
        login = page.connect(b"POST /login HTTP/1.1\r\n" + head + kind + b"\r\n" + form)
        cookie = received(login).partition(b"set-cookie: ")[2].partition(b";")[0]
        who = b"Cookie: " + cookie + b"\r\n"
        with page.watching(who):
            left = received(page.connect(b"POST /logout HTTP/1.1\r\n" + head + who + b"\r\n"))
            assert left.startswith(b"HTTP/1.1 303")


@pytest.mark.usefixtures("children_exit_slowly")
def test_clients_that_send_no_whole_request_are_disconnected(tmp_path: Path) -> None:
    with closing(Page(tmp_path, f"{__name__}:hasty")) as page, page.watching():
        contents = {b"": 0, PROBE[:-2]: 0, PROBE + PROBE[:9]: 1}
        clients = [page.connect(content) for content in contents]
        assert [received(client).count(b"ok\n") for client in clients] == list(contents.values())


@pytest.mark.usefixtures("children_exit_slowly")
def test_the_client_that_waits_longest_makes_room_and_not_one_with_a_request(
    tmp_path: Path,
) -> None:
    with closing(Page(tmp_path, f"{__name__}:crowded")) as page, page.watching():
        idle = page.connect(PROBE[:9])
        assert page.get("/healthz")[0] == 200
        assert received(idle) == b""


# Listening sockets


def test_a_unix_socket_is_for_owner_and_group_and_replaces_none_in_use(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    address = parse_address(f"unix:{path}")
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(str(path))
    with listening_socket(address) as listening:
        assert path.stat().st_mode & 0o777 == 0o660
        assert url_of(listening) == f"unix:{path}"
        with pytest.raises(OSError, match="in use"), listening_socket(address):
            pass
        assert path.is_socket()
    assert not path.exists()
    path.write_text("mine")
    with pytest.raises(OSError, match="in use"), listening_socket(address):
        pass
    assert path.read_text() == "mine"


# The supervisor


def until(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.01)


def server_id(root: Path) -> int:
    """The id of the process that answers."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        until(lambda: connection.connect_ex(str(root / "web.sock")) == 0)
        return int(connection.recv(99))


Start = Callable[[WebPage | None], None]


@pytest.fixture
def start(caplog: pytest.LogCaptureFixture) -> Iterator[Start]:
    """Starts a supervisor, whose process tells its id."""
    supervisors: list[Supervisor] = []

    def start(page: WebPage | None) -> None:
        retry = Backoff(first=0.01, most=0.02)
        supervisors.append(Supervisor(page, "tests.daemon.web.greeter:greet", retry))
        supervisors[-1].start()

    caplog.set_level(logging.INFO)
    yield start
    for each in supervisors:
        each.close()
    assert not child_pids(NAME)
    assert NAME not in {thread.name for thread in threading.enumerate()}


def page_at(root: Path, listen: str = "") -> WebPage:
    return WebPage(parse_address(listen or f"unix:{root / 'web.sock'}"), settings(root))


def test_a_port_in_use_is_logged_once_and_tried_until_it_is_free(
    tmp_path: Path, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    port = unused_port()
    with socket.create_server(("0.0.0.0", port)), patch.object(
        supervisor, "listening_socket", side_effect=listening_socket
    ) as tried:  # fmt: skip
        start(replace(page_at(tmp_path, f"0.0.0.0:{port}"), token=SecretStr(TOKEN)))
        until(lambda: tried.call_count > 3)
        assert caplog.text.count("painting goes on") == 1
    until(lambda: f":{port}/, for other machines too, with the token" in caplog.text)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        assert int(connection.recv(99)) > 0
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    ("number", "reason"),
    [(signal.SIGKILL, "signal 9"), (signal.SIGSTOP, "no sign of life for 3 s")],
)
def test_a_page_that_is_killed_or_stopped_is_replaced(
    number: signal.Signals,
    reason: str,
    tmp_path: Path,
    start: Start,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor, "SILENT_S", 3.0)
    start(None)
    assert NAME not in {thread.name for thread in threading.enumerate()}
    start(page_at(tmp_path))
    first = server_id(tmp_path)
    os.kill(first, number)
    until(lambda: first not in child_pids(NAME))
    assert server_id(tmp_path) not in (first, os.getpid())
    assert f"the page's process ended ({reason}" in caplog.text


@pytest.mark.parametrize("is_there", [True, False])
def test_an_inherited_socket_that_is_not_wanted_any_more_goes_with_its_name(
    is_there: bool, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    address = parse_address(f"unix:{folder / 'web.sock'}")
    with listening_socket(address) as listening:
        inherited = Listening(listening.detach(), str(address))
    if not is_there:
        shutil.rmtree(folder)
    Supervisor(None, inherited=inherited).start()
    assert not (folder / "web.sock").exists()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(inherited.fd)


def test_a_page_that_cannot_start_waits_longer_after_each_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def fail(self: Supervisor, page: WebPage, listening: socket.socket) -> None:
        raise ShortageError("no process can be started")

    def is_leaving(self: Supervisor, others: object, seconds: float) -> bool:
        waits.extend([seconds] * bool(seconds))
        return len(waits) == 3

    monkeypatch.setattr(Supervisor, "_keep_serving", fail)
    monkeypatch.setattr(Supervisor, "_is_leaving", is_leaving)
    failing = Supervisor(page_at(tmp_path), retry=Backoff(first=1, most=60))
    failing.start()
    failing.close()
    assert waits == [1, 2, 4]
