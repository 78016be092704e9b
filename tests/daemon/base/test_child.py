"""A child process: its start, its messages, and its end."""

import os
import pickle
import signal
import subprocess
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from tests.daemon.world import child_pids

from stylewatch_daemon.base.child import Child, decode, encode, received, send
from stylewatch_daemon.base.model import Progress
from stylewatch_daemon.intake.inspection.messages import Begun
from stylewatch_daemon.worker.messages import Done, Event, Staged

HERE = "tests.daemon.base.test_child"
READY = Staged("ready", "12ab")


def echo(pipe: Connection, *prefix: str) -> None:
    """Send back each string, until the parent closes the connection."""
    send(pipe, READY)
    while (text := received(pipe)) is not None:
        send(pipe, Staged("".join((*prefix, text)), ""))


def hang(pipe: Connection) -> None:
    send(pipe, READY)
    while True:
        signal.pause()


def with_grandchild(pipe: Connection) -> None:
    sleeper = subprocess.Popen(["sleep", "600"], close_fds=False)
    print("noise", sleeper.pid, flush=True)
    send(pipe, Staged(str(sleeper.pid), ""))
    hang(pipe)


def start(entry: str = "echo", *args: Any, **options: Any) -> Child:
    return Child(f"{HERE}:{entry}", *args, name="test", **options)


def await_end(pid: int) -> None:
    """Wait until the process is gone, or a zombie."""
    with suppress(OSError):
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.01)


@pytest.mark.usefixtures("children_exit_slowly")
def test_messages_go_both_ways_until_the_child_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pickle.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)  # no module is imported from there
    child = start("echo", "a", "b")
    assert child.receive(Staged) == READY
    child.send("c")
    assert child.receive(Begun, Staged, timeout=60) == Staged("abc", "")
    assert child.is_alive() and child_pids("test") == [child.pid]
    with pytest.raises(TimeoutError):
        child.receive(Staged, timeout=0.01)
    child.stop()
    assert (child.exit_reason(), child_pids("test")) == ("exit code 0", [])


def test_an_isolated_child_is_killed_with_what_it_started_which_keeps_no_connection_open(
    tmp_path: Path,
) -> None:
    with (tmp_path / "output").open("w+b") as output:
        child = start("with_grandchild", isolated=True, output=output)
        pid = int(child.receive(Staged).path)
        child.receive(Staged)
        assert os.getsid(child.pid) == child.pid
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(EOFError):
            child.receive(Staged, timeout=60)
        child.kill()
    assert (tmp_path / "output").read_text() == f"noise {pid}\n"
    await_end(pid)
    with pytest.raises(OSError):
        child.send("x")


class Evil:
    """Would create a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self._path,)


def test_only_plain_values_are_sent_and_pickles_are_not_executed(tmp_path: Path) -> None:
    loss: Any = np.float32(0.5)
    assert decode(encode(Progress(1, 2, (1, 1), loss, seconds=0.0)), Progress).loss == 0.5
    with pytest.raises(TypeError, match="cannot be sent"):
        encode(Done({"receipt": lambda: None}))
    for data in (
        pickle.dumps(Evil(tmp_path / "mark")),
        b"",
        b'["Staged"]',
        b'["Staged", {"path": null, "sha256": "12ab"}]',
        b'["Progress", {"step": 1, "steps": 2, "size": [1], "loss": 1.0, "seconds": 0.0}]',
        encode(Begun("a kind that is not expected")),
        b"[" * 100_000,
    ):
        with pytest.raises(ValueError, match="an invalid message"):
            decode(data, *get_args(Event))
    assert not (tmp_path / "mark").exists()
