"""A child process: its start, its messages, and its end."""

import errno
import os
import pickle
import signal
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from tests.daemon.world import child_pids

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.child import Child, decode, encode, received, send
from stylewatch_daemon.base.model import Progress
from stylewatch_daemon.intake.inspection.messages import Opening
from stylewatch_daemon.worker.messages import Done, Event, FileStaged

HERE = "tests.daemon.base.test_child"
READY = FileStaged("ready", "12ab")


def echo(pipe: Connection, *prefix: str) -> None:
    """Send back each string, until the parent closes the connection."""
    send(pipe, READY)
    while (text := received(pipe)) is not None:
        send(pipe, FileStaged("".join((*prefix, text)), ""))


def start(entry: str = "echo", *args: Any, **options: Any) -> Child:
    return Child(f"{HERE}:{entry}", *args, name="test", **options)


@pytest.mark.usefixtures("children_exit_slowly")
def test_messages_go_both_ways_until_the_child_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pickle.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)  # no module is imported from there
    child = start("echo", "a", "b")
    assert child.receive(FileStaged) == READY
    child.send("c")
    assert child.receive(Opening, FileStaged, timeout=60) == FileStaged("abc", "")
    assert child.is_alive() and child_pids("test") == [child.pid]
    with pytest.raises(TimeoutError):
        child.receive(FileStaged, timeout=0.01)
    child.stop()
    assert (child.exit_reason(), child_pids("test")) == ("exit code 0", [])


PARENT = f"""
import signal, sys
sys.path.append({str(Path(__file__).parents[3])!r})
from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.child import Child
child = Child("{HERE}:hang", name="test")
signal.pause()
"""


def hang(pipe: Connection) -> None:
    print("begun", flush=True)
    signal.pause()


def test_a_child_exits_when_its_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == b"begun\n"
        parent.kill()
        assert parent.stdout.read() == b"", "until the child has closed it, too"


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
        b'["FileStaged"]',
        b'["FileStaged", {"path": null, "sha256": "12ab"}]',
        b'["Progress", {"step": 1, "steps": 2, "size": [1], "loss": 1.0, "seconds": 0.0}]',
        encode(Opening("a kind that is not expected")),
        b"[" * 100_000,
    ):
        with pytest.raises(ValueError, match="an invalid message"):
            decode(data, *get_args(Event))
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.EACCES, "/bin/python cannot be started: Permission denied"),
        (errno.EAGAIN, "raise the limit with TasksMax="),
        (errno.ENOMEM, "no memory left for another process"),
        (errno.EMFILE, "out of file descriptors"),
    ],
)
def test_a_process_that_cannot_be_started_says_why(number: int, says: str) -> None:
    assert says in str(shortages.no_process(OSError(number, os.strerror(number), "/bin/python")))
