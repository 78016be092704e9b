"""Things are drawn by another process, and whatever becomes of that is told in words."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.artifacts.paintings import painting, seen

from stylewatch_daemon.artifacts.contract import Small
from stylewatch_daemon.artifacts.process import drawn


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module `another` that can be named as the child, to be written."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path[1:]]))
    return tmp_path / "another.py"


def test_what_is_asked_for_comes_in_its_order(tmp_path: Path) -> None:
    found = list(drawn(painting(tmp_path, wanted=["sheet.png", "losses.png"])))
    assert [one.name for one in found] == ["sheet.png", "losses.png"]
    assert all(one.content.startswith(b"\x89PNG") and not one.problem for one in found)


def test_nothing_is_drawn_where_nothing_is_asked_for() -> None:
    assert list(drawn(Small((), 24))) == []


HEAD = "import sys, os\nsys.stdin.buffer.readline()\nout = sys.stdout.buffer\n"
ONE = """out.write(b'{"name": "0", "bytes": 3, "problem": ""}\\nabc')\nout.flush()\n"""


@pytest.mark.parametrize(
    ("then", "why"),
    [
        ("os.kill(os.getpid(), 9)", "ended (signal 9, often for want of memory)"),
        ("sys.exit(3)", "ended (exit code 3)"),
        ("out.write(b'nonsense\\n'); out.flush(); sys.stdin.buffer.read()", "ended (signal 9"),
        ('out.write(b\'{"name": "1", "bytes": 9, "problem": ""}\\nabc\')', "ended"),
        ("out.write(b'[]\\n')", "ended"),
    ],
)
def test_what_was_drawn_before_it_ended_counts_and_the_rest_has_a_reason(
    then: str, why: str, module: Path, tmp_path: Path
) -> None:
    module.write_text(HEAD + ONE + then)
    one = seen(tmp_path / "a.png")
    first, second = drawn(Small((one, one), 24), module.stem)
    assert (first.name, first.content, first.problem) == ("0", b"abc", "")
    assert second.name == "1" and not second.content and why in second.problem


def test_one_that_hangs_is_ended(module: Path, tmp_path: Path) -> None:
    module.write_text(HEAD + "sys.stdin.buffer.read()")
    (one,) = drawn(Small((seen(tmp_path / "a.png"),), 24), module.stem, within=0.5)
    assert one.problem == "it took longer than 0 s"


def test_where_no_process_can_be_had_that_is_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    (one,) = drawn(Small((seen(tmp_path / "a.png"),), 24))
    assert "no process could be had" in one.problem


def test_who_stops_listening_leaves_no_process_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def popen(*args: Any, **more: Any) -> subprocess.Popen[bytes]:
        started.append(real(*args, **more))
        return started[-1]

    one = seen(tmp_path / "a.png")
    answers = drawn(Small((one, one), 24))
    monkeypatch.setattr(subprocess, "Popen", popen)
    next(answers)
    answers.close()
    assert started[0].returncode is not None


def test_whoever_asks_loads_neither_pillow_nor_matplotlib() -> None:
    code = "import sys, stylewatch_daemon.artifacts.process\n"
    code += "print([n for n in ('PIL', 'numpy', 'matplotlib') if n in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
