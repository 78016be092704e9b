"""Waiting for the end of a job; with a real daemon it is tested in the line."""

import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.cli.states import enter, entry, publish

from stylewatch_daemon.cli import follow
from stylewatch_daemon.cli.client import Daemon
from stylewatch_daemon.cli.follow import ENDS, painting
from stylewatch_daemon.files import lock
from stylewatch_daemon.outbox.status_txt import Running, Status

RUNNING = {"step": 3, "steps": 50, "loss": 0.25, "size": [48, 36], "seconds_left": 190.0}


def test_how_far_a_painting_is_is_told_in_words() -> None:
    assert painting(RUNNING) == "step 3 of 50 at 48x36, loss 0.25, 3 min 10 s left"
    assert painting({**RUNNING, "seconds_left": None}) == "step 3 of 50 at 48x36, loss 0.25"
    assert painting({**RUNNING, "loss": None}) == "being prepared"


@pytest.mark.parametrize(
    ("state", "code"), [("done", 0), ("refused", 65), ("failed", 70), ("cancelled", 75)]
)
def test_each_end_has_its_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], state: str, code: int
) -> None:
    enter(tmp_path, entry("sea", state, place="sea-2", reason="" if code == 0 else "why"))
    assert follow.follow(Daemon(tmp_path), "sea", quiet=False) == code
    told = capsys.readouterr()
    if code == 0:
        assert (told.out, told.err) == ("out/sea-2\n", "")
    else:
        assert (told.out, told.err) == ("", f"stylewatch: sea-2: {state}: why\n")
    assert state in ENDS


def test_quiet_tells_only_what_went_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    enter(tmp_path, entry("sea"), entry("bad", "refused", reason="why"))
    assert follow.follow(Daemon(tmp_path), "sea", quiet=True) == 0
    assert capsys.readouterr() == ("", "")
    follow.follow(Daemon(tmp_path), "bad", quiet=True)
    assert "bad: refused: why" in capsys.readouterr().err


def then(monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], Any]) -> None:
    """Let `steps` happen, one at each look."""
    coming = iter(steps)
    monkeypatch.setattr(time, "sleep", lambda seconds: next(coming)())


def test_what_happens_meanwhile_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "EVERY_S", 0.0)
    then(
        monkeypatch,
        lambda: publish(tmp_path, Status(paused=True)),
        lambda: enter(tmp_path, entry("sea", "queued", place=None)),
        lambda: publish(tmp_path, Status()),
        lambda: enter(tmp_path, entry("sea", "running")),
        lambda: publish(tmp_path, Status(running=(Running("sea", 3, 50, 0.25, (48, 36), 9.0),))),
        lambda: enter(tmp_path, entry("sea")),
    )
    with lock.held(tmp_path / "lock"):
        assert follow.follow(Daemon(tmp_path), "sea", quiet=False) == 0
    assert capsys.readouterr().err.splitlines() == [
        "stylewatch: sea: waits to be taken from the inbox",
        "stylewatch: sea: waits: the daemon is paused",
        "stylewatch: sea: waits its turn",
        "stylewatch: sea: step 3 of 50 at 48x36, loss 0.25, 9 s left",
    ]


def test_plain_lines_come_now_and_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    then(
        monkeypatch,
        lambda: enter(tmp_path, entry("sea", "queued")),
        lambda: enter(tmp_path, entry("sea")),
    )
    with lock.held(tmp_path / "lock"):
        follow.follow(Daemon(tmp_path), "sea", quiet=False)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_on_a_terminal_one_line_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    then(monkeypatch, lambda: enter(tmp_path, entry("sea[red]x")))
    with lock.held(tmp_path / "lock"):
        assert follow.follow(Daemon(tmp_path), "sea[red]x", quiet=False) == 0
    assert "sea[red]x: waits to be taken from the inbox" in terminal.getvalue()


def test_a_daemon_that_is_gone_brings_nothing_to_an_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    enter(tmp_path, entry("sea", "running"))
    assert follow.follow(Daemon(tmp_path), "sea", quiet=True) == 75
    assert f"sea waits: no daemon is at work with {tmp_path}" in capsys.readouterr().err
