"""How a painting is told to get on."""

import io
import sys

import pytest

from stylewatch_daemon.cli.console import note
from stylewatch_daemon.cli.progress import EVERY_S, Lines, telling
from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.worker.messages import Done, Event, Staged

# 10 steps at 8x8, then 5 at 16x16: 640 and 1280 pixels
STARTED = Started("sketch", "cpu", ((8, 8), (16, 16)), (10, 5), warnings=("only colors",))


def step(number: int, seconds: float) -> Progress:
    return Progress(number, 15, (8, 8) if number <= 10 else (16, 16), 0.5, seconds)


class Now:
    """A clock that is set by hand, in seconds."""

    time = 100.0

    def __call__(self) -> float:
        return self.time


def test_plain_lines_come_at_the_start_and_at_stages(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(note, Now())
    events: list[Event] = [
        STARTED,
        step(1, 1),
        step(2, 2),
        Staged("stages/0002.png", "12ab"),
        Staged("losses.csv", "12ab"),
    ]
    for event in (*events, Staged("final.png", "12ab"), Done({})):
        lines(event)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "stylewatch: painting 16x16 by way of 8x8 on sketch (cpu)",
        "stylewatch: only colors",
        "stylewatch: step 2 of 15 at 8x8, loss 0.5, 32 s left",
    ]


def test_plain_lines_come_now_and_then_between_stages(capsys: pytest.CaptureFixture[str]) -> None:
    now = Now()
    lines = Lines(note, now)
    lines(STARTED)
    lines(step(1, 1))
    now.time += EVERY_S
    lines(step(2, 11))
    lines(step(3, 12))
    told = capsys.readouterr().err.splitlines()
    assert [line for line in told if "step" in line] == [
        "stylewatch: step 2 of 15 at 8x8, loss 0.5, 5 min 20 s left"
    ]


def test_quiet_tells_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with telling(quiet=True) as begin:
        tell = begin("")
        for event in (STARTED, step(1, 1), Staged("stages/0001.png", "12ab")):
            tell(event)
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    """A stderr that people look at."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_one_line_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with telling(quiet=False) as begin:
        tell = begin("sea")
        for event in (STARTED, step(1, 1), step(2, 2), Staged("stages/0002.png", "12ab"), Done({})):
            tell(event)
    told = terminal.getvalue()
    assert "sea: painting 16x16 by way of 8x8 on sketch (cpu)" in told
    assert "only colors" in told
    assert "step 2/15" in told
    assert "32 s left" in told
