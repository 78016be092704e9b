"""Real processes serve the page; one that is killed or hangs affects nothing else."""

import http.client
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.daemon.web.world import TOKEN, settings
from tests.daemon.world import child_pids

from stylewatch_daemon.processes.wakeup import Backoff
from stylewatch_daemon.settings.config import WebPage
from stylewatch_daemon.settings.sections import parse_address
from stylewatch_daemon.web.supervisor import NAME, Keeper, kept

SOON = Backoff(first=0.01, most=0.02)
HERE = "tests.daemon.web.test_supervisor"


def greet(life: Connection, listening: socket.socket, served: WebPage) -> None:
    """Serve the id of the page's process."""
    threading.Thread(target=lambda: (life.poll(None), os._exit(0))).start()
    while True:
        visitor, _ = listening.accept()
        visitor.sendall(str(os.getpid()).encode())
        visitor.close()


def fail(life: Connection, listening: socket.socket, served: WebPage) -> None:
    os._exit(3)


def hang(life: Connection, listening: socket.socket, served: WebPage) -> None:
    while True:
        signal.pause()


def until(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.01)


def page(root: Path, listen: str = "") -> WebPage:
    return WebPage(parse_address(listen or f"unix:{root / 'web.sock'}"), settings(root))


def asked(root: Path) -> int:
    """Return the id of the process that answers."""
    with socket.socket(socket.AF_UNIX) as visiting:
        visiting.settimeout(60)
        until(lambda: visiting.connect_ex(str(root / "web.sock")) == 0)  # it is there, then listens
        return int(visiting.recv(99))


def is_over(pid: int) -> bool:
    """Return True if a process has ended, waited for or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture
def keepers() -> Iterator[list[Keeper]]:
    keepers: list[Keeper] = []
    yield keepers
    for keeper in keepers:
        keeper.leave()
    assert not child_pids(NAME)
    assert NAME not in {thread.name for thread in threading.enumerate()}


def start(keepers: list[Keeper], served: WebPage | None, serve: str = "greet") -> Keeper:
    keepers.append(Keeper(served, serve=f"{HERE}:{serve}", retry=SOON))
    keepers[-1].watching([])
    return keepers[-1]


def test_a_page_that_is_killed_is_started_again_and_no_visitor_is_lost(
    tmp_path: Path, keepers: list[Keeper]
) -> None:
    start(keepers, page(tmp_path))
    until((tmp_path / "web.sock").is_socket)
    first = asked(tmp_path)
    os.kill(first, signal.SIGKILL)
    until(lambda: is_over(first))
    second = asked(tmp_path)
    assert second not in (first, os.getpid())
    keepers.pop().leave()
    assert not (tmp_path / "web.sock").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


def test_a_page_that_exits_at_once_is_started_again_and_that_is_logged(
    tmp_path: Path, keepers: list[Keeper], caplog: pytest.LogCaptureFixture
) -> None:
    start(keepers, page(tmp_path), "fail")
    until(lambda: caplog.text.count("the page's process ended (exit code 3)") >= 2)


def test_a_page_that_hangs_does_not_delay_the_end(tmp_path: Path, keepers: list[Keeper]) -> None:
    start(keepers, page(tmp_path), "hang")
    until(lambda: child_pids(NAME))
    keepers.pop().leave()


def test_a_port_in_use_is_logged_once_and_tried_until_it_is_free(
    tmp_path: Path, keepers: list[Keeper], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        start(keepers, page(tmp_path, f"127.0.0.1:{port}"))
        until(lambda: "painting goes on" in caplog.text)
        time.sleep(0.1)
        assert caplog.text.count("painting goes on") == 1
    until(lambda: f"the page is at http://127.0.0.1:{port}/, for this machine" in caplog.text)
    with socket.create_connection(("127.0.0.1", port)) as visiting:
        assert int(visiting.recv(99)) > 0


def test_the_log_says_who_can_see_the_page_and_not_the_token(
    tmp_path: Path, keepers: list[Keeper], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    start(keepers, replace(page(tmp_path, "0.0.0.0:0"), token=SecretStr(TOKEN)))
    until(lambda: "for other machines too, where one knows the token" in caplog.text)
    assert TOKEN not in caplog.text


def test_new_settings_hold_once_they_are_known_to_be_right(
    tmp_path: Path, keepers: list[Keeper]
) -> None:
    keeper = start(keepers, None)
    assert NAME not in {thread.name for thread in threading.enumerate()}
    keeper.offer(page(tmp_path))
    keeper.reloaded()
    keeper.watching([])
    until((tmp_path / "web.sock").is_socket)
    first = asked(tmp_path)
    keeper.reloaded()  # nothing has changed
    assert asked(tmp_path) == first
    elsewhere = replace(page(tmp_path), address=parse_address(f"unix:{tmp_path / 'b.sock'}"))
    keeper.offer(elsewhere)
    keeper.not_reloaded("another mistake")
    keeper.reloaded()
    assert asked(tmp_path) == first
    keeper.offer(elsewhere)
    keeper.reloaded()
    until((tmp_path / "b.sock").is_socket)
    assert not (tmp_path / "web.sock").exists()
    keeper.offer(None)
    keeper.reloaded()
    until(lambda: not (tmp_path / "b.sock").exists())


PROGRAM = """
from stylewatch_daemon.cli.main import call
import sys
code = call(["run", "--set", "backend=sketch", "--set", f"web.listen=unix:{sys.argv[1]}"])
heavy = {"starlette", "uvicorn", "jinja2", "prometheus_client", "python_multipart"}
print(sorted(heavy & set(sys.modules)), code)
"""


def healthy(path: Path) -> bool:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(60)
    try:
        connection.sock.connect(str(path))
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a daemon with its page at web.sock."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "web.sock")]
    with subprocess.Popen(
        command, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        until(lambda: healthy(tmp_path / "web.sock"))
        yield process
        process.kill()


def pages(daemon: subprocess.Popen[str]) -> list[int]:
    """The processes of the daemon's page."""
    return child_pids(NAME, of=str(daemon.pid))


def test_the_supervisor_serves_a_page_and_loads_nothing_for_it(
    daemon: subprocess.Popen[str], tmp_path: Path
) -> None:
    daemon.terminate()
    out, told = daemon.communicate()
    assert out.strip() == "[] 0"
    assert f"the page is at unix:{tmp_path}/web.sock, for this machine alone" in told
    assert not (tmp_path / "web.sock").exists()


def test_a_page_ends_with_a_daemon_that_is_killed(
    daemon: subprocess.Popen[str], tmp_path: Path
) -> None:
    below = pages(daemon)
    assert below
    daemon.kill()
    daemon.wait()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below))
    assert not healthy(tmp_path / "web.sock")


def test_a_page_that_is_stopped_does_not_keep_the_daemon_from_leaving(
    daemon: subprocess.Popen[str],
) -> None:
    for pid in pages(daemon):
        os.kill(pid, signal.SIGSTOP)
    daemon.terminate()
    assert daemon.communicate()[0].strip() == "[] 0"


def test_what_is_kept_ends_with_the_block(tmp_path: Path) -> None:
    with kept(page(tmp_path)) as keeper:
        keeper.watching([])
        until(lambda: healthy(tmp_path / "web.sock"))
    assert not (tmp_path / "web.sock").exists()
