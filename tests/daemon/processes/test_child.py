"""A child process: its start, its messages, and its end."""

import os
import pickle
import signal
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from tests.daemon.children import children
from tests.daemon.worker.records import EVENTS

from stylewatch_daemon.errors import ShortageError
from stylewatch_daemon.ingest.inspection.contract import Begun, CutOff, Fine
from stylewatch_daemon.model import Picture, Progress
from stylewatch_daemon.processes import child as module
from stylewatch_daemon.processes.child import Child, decode, encode, received, send
from stylewatch_daemon.worker.messages import Done, Event, Staged

HERE = "tests.daemon.processes.test_child"
ROOT = Path(__file__).parents[3]
READY = Staged("ready", "12ab")
ORPHAN = f"""
import time, sys
sys.path.append({str(ROOT)!r})
from stylewatch_daemon.processes.child import Child
from stylewatch_daemon.worker.messages import Staged
child = Child("{HERE}:hang", name="test")
child.receive(Staged)
print(child.pid, flush=True)
time.sleep(1000)
"""


def echo(pipe: Connection, *prefix: str) -> None:
    """Send back each string, until the parent closes the connection."""
    send(pipe, READY)
    while (text := received(pipe)) is not None:
        send(pipe, Staged("".join((*prefix, text)), ""))


def hang(pipe: Connection) -> None:
    with suppress(OSError):
        send(pipe, READY)
    while True:
        signal.pause()


def with_grandchild(pipe: Connection) -> None:
    sleeper = subprocess.Popen(["sleep", "600"], close_fds=False)
    print("noise", sleeper.pid, flush=True)
    send(pipe, Staged(str(sleeper.pid), ""))
    hang(pipe)


def raw(pipe: Connection, data: bytes) -> None:
    pipe.send_bytes(data)


def leave(pipe: Connection, code: int) -> None:
    if code < 0:
        os.kill(os.getpid(), -code)
    os._exit(code)


def start(entry: str = "echo", *args: Any, **options: Any) -> Child:
    return Child(f"{HERE}:{entry}", *args, name="test", **options)


def is_alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_messages_go_both_ways_until_the_child_is_stopped() -> None:
    child = start("echo", "a", "b")
    assert child.receive(Staged) == READY
    child.send("c")
    assert child.receive(Begun, Staged, timeout=60) == Staged("abc", "")
    assert child.is_alive() and children("test") == [child.pid]
    with pytest.raises(TimeoutError):
        child.receive(Staged, timeout=0.01)
    child.stop()
    assert (child.exit_reason(), children("test")) == ("exit code 0", [])


def test_no_module_is_imported_from_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pickle.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    child = start()
    assert child.receive(Staged) == READY
    child.kill()


def test_signals_do_not_reach_it_and_a_stop_that_it_ignores_kills_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "STOP_TIMEOUT", 0.1)
    child = start("hang")
    child.receive(Staged)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(child.pid, number)
    assert child.exit_reason() == ""
    child.stop()
    assert child.exit_reason() == "signal 9, often for want of memory"


@pytest.mark.parametrize(("code", "reason"), [(3, "exit code 3"), (-15, "exit code 241")])
def test_the_end_of_a_child_is_seen_and_has_a_reason(code: int, reason: str) -> None:
    child = start("leave", code)
    with pytest.raises(EOFError):
        child.receive(Staged, timeout=60)
    assert child.exit_reason() == reason
    with pytest.raises(OSError):
        child.send("x")
    child.kill()


def test_a_child_exits_when_its_parent_is_killed() -> None:
    command = [sys.executable, "-c", ORPHAN]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
    while is_alive(pid):
        time.sleep(0.01)


def test_what_an_isolated_child_starts_ends_with_it_and_its_output_goes_to_a_file(
    tmp_path: Path,
) -> None:
    with (tmp_path / "output").open("w+b") as output:
        child = start("with_grandchild", isolated=True, output=output)
        pid = int(child.receive(Staged).path)
        assert is_alive(pid) and os.getsid(child.pid) == child.pid
        child.kill()
    assert (tmp_path / "output").read_text() == f"noise {pid}\n"
    while is_alive(pid):
        time.sleep(0.01)


def test_a_program_that_a_child_starts_does_not_keep_the_connection_open() -> None:
    child = start("with_grandchild")
    pid = int(child.receive(Staged).path)
    child.receive(Staged)
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(EOFError):
        child.receive(Staged, timeout=60)
    child.kill()
    os.kill(pid, signal.SIGKILL)


def test_no_process_to_be_had_is_a_shortage_and_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(ShortageError, match="no process or thread can be started"):
        start()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_message_that_is_too_long_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MESSAGE", 999)
    child = start("raw", b"x" * 1000)
    with pytest.raises(OSError, match="bad message length"):
        child.receive(Staged)
    child.kill()


def test_a_child_without_a_parent_ends() -> None:
    ours, theirs = Pipe()
    ours.close()
    assert received(theirs) is None
    with pytest.raises(SystemExit):
        send(theirs, READY)
    theirs.close()


MESSAGES = (
    *EVENTS,
    Begun("1", "a.jpg"),
    Fine("1", (Picture("a.jpg", "12ab", (4, 3)), Picture("no utf \udcff.jpg", "34cd", (1, 1)))),
    CutOff("1", "a.jpg", "it ends too early"),
    Progress(1, 2, (1, 1), loss=float("inf"), seconds=0.0),
)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_is_decoded_as_it_was_sent(message: Any) -> None:
    assert decode(encode(message), *get_args(Event), Begun, Fine, CutOff) == message


def test_numbers_of_numpy_become_numbers() -> None:
    loss: Any = np.float32(0.5)
    assert decode(encode(Progress(1, 2, (1, 1), loss, seconds=0.0)), Progress).loss == 0.5


class Evil:
    """Would create a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self._path,)


def test_a_pickle_is_not_executed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="an invalid message"):
        decode(pickle.dumps(Evil(tmp_path / "mark")), *get_args(Event))
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"Staged": 1}',
        b'["Staged"]',
        b'["Staged", {"path": 1}]',
        b'["Staged", {"path": null, "sha256": "12ab"}]',
        b'["Staged", {"path": 1, "sha256": "12ab"}]',
        b'["Staged", []]',
        b'["Progress", {"step": 1, "steps": 2, "size": [1], "loss": 1.0, "seconds": 0.0}]',
        b'["Progress", {"step": "x", "steps": 2, "size": [1, 1], "loss": 1.0, "seconds": 0.0}]',
        b'["Started", {"backend": "b", "device": "d", "sizes": 3, "steps_at": []}]',
        encode(Begun("1", "a kind that is not expected")),
        b"[" * 100_000,
    ],
)
def test_an_invalid_message_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="an invalid message"):
        decode(data, *get_args(Event))


def test_what_is_not_plain_is_not_sent() -> None:
    with pytest.raises(TypeError, match="cannot be sent"):
        encode(Done({"receipt": lambda: None}))
