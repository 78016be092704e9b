"""What the daemon does, told as it happens."""

import io
import sys
from pathlib import Path

import pytest

from stylewatch_daemon.cli.report import reporting
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.model import Incomplete, Progress, Started
from stylewatch_daemon.settings.sections import Log

STARTED = Started("sketch", "cpu", ((4, 3),), (9,))
OUT = Path("out")


def a_day(reporter: Reporter) -> None:
    """Everything that a reporter may hear of."""
    reporter.watching([Path("in")])
    reporter.reloaded()
    reporter.not_reloaded("config.yaml line 1: no\nconfig.yaml line 2: no")
    reporter.needs_restart("log")
    reporter.taken("sea")
    reporter.job_started("sea", STARTED)
    for step in (1, 2):
        reporter.progress("sea", Progress(step, 9, (4, 3), 0.5, step))
    reporter.staged("sea", OUT / "sea/stages/0002.png")
    reporter.staged("sea", OUT / "sea/losses.csv")
    reporter.done("sea", OUT / "sea")
    reporter.refused("text", "it holds text", OUT / "_refused/text")
    reporter.cancelled("fog", OUT / "_refused/fog")
    reporter.job_started("bad", STARTED)
    reporter.failed("bad", "a fault", "Traceback", for_good=False)
    reporter.failed("bad", "a fault", "Traceback", for_good=True)
    reporter.paused("sky", "the disk is full")
    reporter.stopped("sky", 7)
    reporter.incomplete([Incomplete("half", "a style picture")])
    reporter.left_alone(Path("in/link"), "a link")
    reporter.pruned(3, 1_500_000)


DAY = [
    "watching in",
    "the settings were read again, and hold from the next job on",
    "config.yaml line 1: no",
    "config.yaml line 2: no",
    "the settings from before hold on, since those in the file are wrong",
    "log was changed, which holds from the next start on",
    "sea: taken",
    "sea: painting 4x3 on sketch (cpu)",
    "sea: step 2 of 9 at 4x3, loss 0.5, 7 s left",
    "sea: done, in out/sea",
    "text: refused: it holds text; it lies in out/_refused/text",
    "fog: cancelled; what was dropped lies in out/_refused/fog",
    "bad: painting 4x3 on sketch (cpu)",
    "bad: failed, and will be tried again: a fault",
    "bad: failed for good: a fault",
    "sky: waits: the disk is full",
    "sky: stopped; it goes on from step 7",
    "half: waits for a style picture",
    "in/link is left alone: a link",
    "removed 3 files (1.5 MB) by `retention`",
]


def test_everything_is_told_in_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting(Log(), quiet=False) as reporter:
        a_day(reporter)
    told = capsys.readouterr()
    assert told.err.splitlines() == [f"stylewatch: {line}" for line in DAY]
    assert told.out == ""


def test_what_waits_is_told_again_only_when_it_waits_for_something_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lone, half = Incomplete("lone", "a style picture"), Incomplete("half", "a style picture")
    with reporting(Log(), quiet=False) as reporter:
        for waiting in ([lone], [lone, half], [lone], [Incomplete("lone", "its rest")], [], [lone]):
            reporter.incomplete(waiting)
    assert capsys.readouterr().err.splitlines() == [
        "stylewatch: lone: waits for a style picture",
        "stylewatch: half: waits for a style picture",
        "stylewatch: lone: waits for its rest",
        "stylewatch: lone: waits for a style picture",
    ]


def test_quiet_leaves_what_went_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting(Log(), quiet=True) as reporter:
        a_day(reporter)
    told = capsys.readouterr().err.splitlines()
    wrong = (
        "config.yaml",
        "config.yaml",
        "the settings",
        "text: refused",
        "bad: failed for good",
        "sky: waits",
    )
    assert [line.split(": ", 1)[1].startswith(way) for line, way in zip(told, wrong, strict=True)]


class Terminal(io.StringIO):
    """A stderr that people look at."""

    def isatty(self) -> bool:
        return True


def on_a_terminal(settings: Log, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a day looks like there."""
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stderr", terminal)
    with reporting(settings, quiet=False) as reporter:
        a_day(reporter)
    return terminal.getvalue()


def test_on_a_terminal_a_line_moves_and_the_log_stands_above(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = on_a_terminal(Log(), monkeypatch)
    assert "step 2/9" in told
    assert "7 s left" in told
    assert "stylewatch: sea: done, in out/sea" in told


def test_programs_get_no_moving_line_even_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    told = on_a_terminal(Log(format="json"), monkeypatch)
    assert len(told.splitlines()) == len(DAY)
    assert "step 2/9" not in told


def test_what_a_command_asked_for_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting(Log(), quiet=False) as reporter:
        reporter.asked("resumed")
    assert capsys.readouterr().err == "stylewatch: resumed\n"
