"""Files are drawn by a child process, and whatever happens to it has a reason in words."""

import os
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from tests.daemon.artifacts.paintings import painting, seen
from tests.daemon.world import child_pids

from stylewatch_daemon.artifacts.contract import Keepsakes, Small
from stylewatch_daemon.artifacts.process import Header, drawn
from stylewatch_daemon.processes.child import send

HERE = "tests.daemon.artifacts.test_process"


def one(pipe: Connection) -> None:
    """Draw the first file."""
    send(pipe, Header("0"))
    pipe.send_bytes(b"abc")


def killed(pipe: Connection, asked: Small) -> None:
    one(pipe)
    os.kill(os.getpid(), 9)


def exits(pipe: Connection, asked: Small) -> None:
    one(pipe)
    sys.exit(3)


def nonsense(pipe: Connection, asked: Small) -> None:
    one(pipe)
    pipe.send_bytes(b"nonsense")
    time.sleep(1000)


def another_file(pipe: Connection, asked: Small) -> None:
    one(pipe)
    one(pipe)
    time.sleep(1000)


def half_a_file(pipe: Connection, asked: Small) -> None:
    one(pipe)
    send(pipe, Header("1"))


def hangs(pipe: Connection, asked: Small) -> None:
    one(pipe)
    send(pipe, Header("1"))
    time.sleep(1000)


@pytest.mark.parametrize("with_content", [True, False])
def test_the_files_come_in_the_order_of_the_request(tmp_path: Path, with_content: bool) -> None:
    asked = painting(tmp_path, wanted=["sheet.png", "losses.png"])
    if not with_content:
        asked = Keepsakes(asked.wanted, asked.curves, asked.styles, asked.stages, asked.final)
    files = list(drawn(asked))
    assert [file.name for file in files] == ["sheet.png", "losses.png"]
    assert all(file.content.startswith(b"\x89PNG") and not file.problem for file in files)


def test_nothing_is_drawn_for_an_empty_request() -> None:
    assert list(drawn(Small((), 24))) == []


@pytest.mark.parametrize(
    ("serve", "why"),
    [
        ("killed", "ended (signal 9, often for want of memory)"),
        ("exits", "ended (exit code 3)"),
        ("half_a_file", "ended (exit code 0)"),
        ("nonsense", "sent an invalid message"),
        ("another_file", "sent an invalid message"),
        ("hangs", "it took longer than 4 s"),
    ],
)
def test_what_was_drawn_before_it_ended_counts_and_the_rest_has_a_reason(
    serve: str, why: str, tmp_path: Path
) -> None:
    picture = seen(tmp_path / "a.png")
    timeout = 4.0 if serve == "hangs" else 60.0
    first, second = drawn(Small((picture, picture), 24), f"{HERE}:{serve}", timeout)
    assert (first.name, first.content, first.problem) == ("0", b"abc", "")
    assert second.name == "1" and not second.content and why in second.problem
    assert child_pids("artifacts") == []


def test_if_no_process_can_be_started_that_is_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    (file,) = drawn(Small((seen(tmp_path / "a.png"),), 24))
    assert "no process could be had" in file.problem


def test_closing_the_generator_leaves_no_process_behind(tmp_path: Path) -> None:
    picture = seen(tmp_path / "a.png")
    files = drawn(Small((picture, picture), 24))
    next(files)
    assert len(child_pids("artifacts")) == 1
    files.close()
    assert child_pids("artifacts") == []


def test_the_parent_loads_neither_pillow_nor_matplotlib() -> None:
    code = "import sys, stylewatch_daemon.artifacts.process\n"
    code += "print([n for n in ('PIL', 'numpy', 'matplotlib') if n in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
