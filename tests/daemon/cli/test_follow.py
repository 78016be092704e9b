"""Following a job to its end; tests/e2e has it with a real daemon."""

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
from stylewatch_daemon.cli.follow import painting
from stylewatch_daemon.files import lock
from stylewatch_daemon.outbox.status_txt import Running, Status

RUNNING = {"step": 3, "steps": 50, "loss": 0.25, "size": [48, 36], "seconds_left": 190.0}


def test_progress_is_said_in_words() -> None:
    assert painting(RUNNING) == "step 3 of 50 at 48x36, loss 0.25, 3 min 10 s left"
    assert painting({**RUNNING, "seconds_left": None}) == "step 3 of 50 at 48x36, loss 0.25"
    assert painting({**RUNNING, "loss": None}) == "preparing"


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.parametrize(
    ("state", "code"), [("done", 0), ("refused", 65), ("failed", 70), ("cancelled", 75)]
)
def test_each_final_state_has_its_exit_code(
    state: str, code: int, quiet: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    enter(tmp_path, entry("sea", state, place="sea-2", reason="" if code == 0 else "why"))
    assert follow.follow(Daemon(tmp_path), "sea", quiet=quiet) == code
    out = "out/sea-2\n" if code == 0 and not quiet else ""
    err = f"stylewatch: sea-2: {state}: why\n" if code else ""
    assert capsys.readouterr() == (out, err)


def then(monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], Any]) -> None:
    """Let one of the `steps` happen at each wait."""
    remaining = iter(steps)
    monkeypatch.setattr(time, "sleep", lambda seconds: next(remaining)())


@pytest.mark.parametrize("every_s", [0.0, 999.0])
def test_progress_is_printed_now_and_then(
    every_s: float, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(follow, "EVERY_S", every_s)
    running = Running("sea", 3, 50, 0.25, (48, 36), 9.0, id="id-sea")
    then(
        monkeypatch,
        lambda: publish(tmp_path, Status(paused=True)),
        lambda: enter(tmp_path, entry("sea", "queued", place=None)),
        lambda: publish(tmp_path, Status()),
        lambda: enter(tmp_path, entry("sea", "running")),
        lambda: publish(tmp_path, Status(running=(running,))),
        lambda: enter(tmp_path, entry("sea")),
    )
    with lock.held(tmp_path / "lock"):
        assert follow.follow(Daemon(tmp_path), "sea", quiet=False) == 0
    lines = [
        "stylewatch: sea: waits in the inbox",
        "stylewatch: sea: waits: the daemon is paused",
        "stylewatch: sea: waits in the queue",
        "stylewatch: sea: step 3 of 50 at 48x36, loss 0.25, 9 s left",
    ]
    assert capsys.readouterr().err.splitlines() == (lines[:1] if every_s else lines)


def test_a_terminal_has_one_line_without_markup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    then(monkeypatch, lambda: enter(tmp_path, entry("sea[red]x")))
    with lock.held(tmp_path / "lock"):
        assert follow.follow(Daemon(tmp_path), "sea[red]x", quiet=False) == 0
    assert "sea[red]x: waits in the inbox" in terminal.getvalue()


def test_without_a_daemon_it_does_not_wait(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    enter(tmp_path, entry("sea", "running"))
    assert follow.follow(Daemon(tmp_path), "sea", quiet=True) == 75
    message = f"sea waits: no daemon is running with the state folder {tmp_path}"
    assert message in capsys.readouterr().err
