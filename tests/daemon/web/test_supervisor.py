"""Listening sockets, and real processes that serve the page: a dead one affects nothing else."""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pytest
from pydantic import SecretStr
from tests.daemon.web.world import TOKEN, settings
from tests.daemon.world import child_pids
from tests.nodes import unused_port

from stylewatch_daemon.base.wakeup import Backoff
from stylewatch_daemon.settings.config import WebPage
from stylewatch_daemon.settings.sections import parse_address
from stylewatch_daemon.web import supervisor
from stylewatch_daemon.web.supervisor import NAME, Supervisor, listening_socket, url_of

SOON = Backoff(first=0.01, most=0.02)
GREET = "tests.daemon.web.greeter:greet"


def page_at(root: Path, listen: str = "") -> WebPage:
    return WebPage(parse_address(listen or f"unix:{root / 'web.sock'}"), settings(root))


# Sockets


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


def has_ipv6() -> bool:
    with suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


LOOPBACK = {"127.0.0.1": socket.AF_INET, **({"::1": socket.AF_INET6} if has_ipv6() else {})}
REACHED = {"0.0.0.0": ["127.0.0.1"], "127.0.0.1": ["127.0.0.1"]}
if "::1" in LOOPBACK:
    REACHED |= {"[::]": ["127.0.0.1", "::1"], "[::1]": ["::1"]}


@pytest.mark.parametrize(("listen", "reached"), REACHED.items())
def test_the_page_is_reached_at_the_addresses_that_it_listens_at(
    listen: str, reached: list[str]
) -> None:
    with listening_socket(parse_address(f"{listen}:0")) as listening:
        port = listening.getsockname()[1]
        for host, family in LOOPBACK.items():
            with socket.socket(family) as visitor:
                assert (visitor.connect_ex((host, port)) == 0) == (host in reached), host


# Processes


def until(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.01)


def server_id(root: Path) -> int:
    """The id of the process that answers."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        until(lambda: connection.connect_ex(str(root / "web.sock")) == 0)
        return int(connection.recv(99))


@pytest.fixture
def supervisors() -> Iterator[list[Supervisor]]:
    supervisors: list[Supervisor] = []
    yield supervisors
    for each in supervisors:
        each.close()
    assert not child_pids(NAME)
    assert NAME not in {thread.name for thread in threading.enumerate()}


def start(supervisors: list[Supervisor], page: WebPage | None) -> None:
    supervisors.append(Supervisor(page, serve=GREET, retry=SOON))
    supervisors[-1].start()


def test_a_port_in_use_is_logged_once_and_tried_until_it_is_free(
    tmp_path: Path, supervisors: list[Supervisor], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    port = unused_port()
    with socket.create_server(("0.0.0.0", port)):
        page = replace(page_at(tmp_path, f"0.0.0.0:{port}"), token=SecretStr(TOKEN))
        start(supervisors, page)
        until(lambda: "painting goes on" in caplog.text)
        time.sleep(0.1)
        assert caplog.text.count("painting goes on") == 1
    until(lambda: f":{port}/, for other machines too, with the token" in caplog.text)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        assert int(connection.recv(99)) > 0
    assert TOKEN not in caplog.text


def test_a_killed_page_is_replaced(
    tmp_path: Path, supervisors: list[Supervisor], caplog: pytest.LogCaptureFixture
) -> None:
    start(supervisors, None)
    assert NAME not in {thread.name for thread in threading.enumerate()}
    start(supervisors, page_at(tmp_path))
    first = server_id(tmp_path)
    os.kill(first, signal.SIGKILL)
    until(lambda: first not in child_pids(NAME))
    assert server_id(tmp_path) not in (first, os.getpid())
    assert "the page's process ended (signal 9" in caplog.text


def test_a_page_that_hangs_or_is_stopped_is_replaced(
    tmp_path: Path,
    supervisors: list[Supervisor],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor, "SILENT_S", 3.0)
    start(supervisors, page_at(tmp_path))
    first = server_id(tmp_path)
    os.kill(first, signal.SIGSTOP)
    until(lambda: first not in child_pids(NAME))
    assert server_id(tmp_path) != first
    assert "the page's process ended (no sign of life for 3 s)" in caplog.text


def test_without_a_thread_to_spare_there_is_no_page(
    tmp_path: Path,
    supervisors: list[Supervisor],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        start(supervisors, page_at(tmp_path))
    (line,) = caplog.messages
    assert "TasksMax=" in line and "painting goes on" in line


PROGRAM = """
from stylewatch_daemon.cli.main import call
import sys
code = call(["run", "--set", "backend=sketch", "--set", f"web.listen={sys.argv[1]}"])
heavy = {"starlette", "uvicorn", "jinja2", "prometheus_client", "python_multipart"}
print(sorted(heavy & set(sys.modules)), code)
"""


def healthy(address: str) -> bool:
    with suppress(OSError), urlopen(f"http://{address}/healthz", timeout=60):
        return True
    return False


def test_a_daemon_serves_a_page_that_ends_with_it_and_loads_nothing_for_it(tmp_path: Path) -> None:
    address = f"127.0.0.1:{unused_port()}"
    command = [sys.executable, "-c", PROGRAM, address]
    with subprocess.Popen(
        command, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as daemon:
        until(lambda: healthy(address))
        (server,) = child_pids(NAME, of=str(daemon.pid))
        os.kill(server, signal.SIGSTOP)  # a page that hangs does not delay the end
        daemon.terminate()
        out, log = daemon.communicate()
    assert out.strip() == "[] 0"
    assert not healthy(address)
    assert f"the page is at http://{address}/, for this machine alone" in log
