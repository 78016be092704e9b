"""Listening sockets: ours, in use, left behind, or passed by systemd."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.daemon.web.world import settings

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.settings.config import WebPage
from stylewatch_daemon.settings.sections import parse_address
from stylewatch_daemon.web.sockets import FIRST, bound, check, handed, told


def served(root: Path, listen: str, token: str | None = None) -> WebPage:
    return WebPage(
        parse_address(listen), settings(root), None if token is None else SecretStr(token)
    )


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:0"])
def test_an_address_is_opened_and_named(listen: str, tmp_path: Path) -> None:
    with bound(served(tmp_path, listen), None) as listening:
        host, port = listening.getsockname()[:2]
        socket.create_connection((host, port)).close()
        where = told(listening, "/studio")
    assert where.startswith("http://") and where.endswith(f":{port}/studio/")


def test_an_address_in_use_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(OSError, match="in use"), bound(served(tmp_path, listen), None):
            pass


def test_a_unix_socket_is_for_owner_and_group_and_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    with bound(served(tmp_path, f"unix:{path}"), None) as listening:
        assert path.stat().st_mode & 0o777 == 0o660
        assert told(listening) == f"unix:{path}"
    assert not path.exists()


def test_an_abandoned_socket_is_replaced_and_one_in_use_is_not(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    ours = served(tmp_path, f"unix:{path}")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with bound(ours, None):
        with pytest.raises(OSError, match="in use"), bound(ours, None):
            pass
        assert path.is_socket()


def test_a_file_in_place_of_a_socket_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    path.write_text("mine")
    with pytest.raises(OSError, match="in use"), bound(served(tmp_path, f"unix:{path}"), None):
        pass
    assert path.read_text() == "mine"


TAKES = f"""
import os, socket, sys
sys.path[:0] = {sys.path!r}
from stylewatch_daemon.web.sockets import handed
ours = socket.create_server(("127.0.0.1", 0))
if ours.fileno() != {FIRST}:
    os.dup2(ours.fileno(), {FIRST})
os.environ |= {{"LISTEN_FDS": "1", "LISTEN_PID": sys.argv[1] or str(os.getpid())}}
found = handed(os.environ)
left = [name for name in os.environ if name.startswith("LISTEN_")]
inherited = os.get_inheritable({FIRST}) if found else None
print(found and found.getsockname() == ours.getsockname(), left, inherited)
"""


@pytest.mark.parametrize(("pid", "said"), [("", "True [] False"), ("1", "None [] None")])
def test_a_socket_of_systemd_is_not_inherited(pid: str, said: str) -> None:
    command = [sys.executable, "-c", TAKES, pid]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == said


def test_without_a_socket_of_systemd_there_is_none() -> None:
    assert handed({}) is None
    assert handed({"LISTEN_FDS": "0", "LISTEN_PID": str(os.getpid())}) is None


def test_systemd_must_pass_a_listening_socket(tmp_path: Path) -> None:
    ours = served(tmp_path, "systemd")
    with pytest.raises(SettingsError, match=r"stylewatch-web\.socket"):
        check(ours, None)
    with socket.socket() as silent, pytest.raises(SettingsError, match="no listening socket"):
        check(ours, silent)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        check(ours, listening)
        with bound(ours, listening) as found:
            assert found is listening
        assert listening.fileno() >= 0, "it is not ours to close"


def test_a_public_socket_of_systemd_needs_a_token(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as far:
        with pytest.raises(SettingsError, match="token_file"):
            check(served(tmp_path, "systemd"), far)
        check(served(tmp_path, "systemd", "t" * 16), far)
    with socket.socket(socket.AF_UNIX) as near:
        near.bind(str(tmp_path / "x.sock"))
        near.listen()
        check(served(tmp_path, "systemd"), near)
