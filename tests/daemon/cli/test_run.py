"""`stylewatch run`, and its report in the log and on a terminal."""

import json
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from tests.daemon.cli.conftest import Run
from tests.daemon.states import ended_job

from stylewatch_daemon.base.model import End, Progress, Started
from stylewatch_daemon.cli.run import reporting
from stylewatch_daemon.client.condition import PAUSED
from stylewatch_daemon.settings.sections import LogSettings

SKETCH = ("--set", "backend=sketch", "--set", "watch.quiet_s=0", "--set", "steps=3")
PAIR = ("content.jpg", "style.jpg")


def drop(job: str, *names: str) -> Path:
    """Drop pictures into the inbox."""
    folder = Path("inbox", job)
    folder.mkdir(parents=True)
    for name in names:
        shutil.copy(name, folder / name)
    return folder


def test_once_runs_all_jobs_with_the_settings_of_highest_precedence_and_names_incomplete_pairs(
    here: Path, run: Run
) -> None:
    (here / "config.yaml").write_text("job: {steps: 9, seed: 9, format: jpg}\n")
    (drop("sea", *PAIR) / "job.yaml").write_text("steps: 5\nseed: 5\n")
    drop("half", "content.jpg")
    (here / "inbox").rename(here / "in")
    folders = ("--inbox", "in", "--outbox", "out", "--state", "mine", "--config", "config.yaml")
    run("pause", "--state", "mine")
    ended = run("run", "--once", "--quiet", *folders, *SKETCH)
    reason = f"stylewatch: {PAUSED.sentence} Jobs that wait: 1\n"
    assert (ended.code, ended.err) == (75, reason)
    run("resume", "--state", "mine")
    ended = run("run", "--once", *folders, *SKETCH)
    assert ended.code == 0
    receipt = json.loads((here / "out/sea/receipt.json").read_text())
    steps = receipt["recipe"]["schedule"]["steps"]
    assert (steps, receipt["seed"], receipt["final"]) == (3, 5, "final.jpg")
    assert "sea: done, in" in ended.err and "half: waits for a style picture" in ended.err
    assert {path.name for path in here.iterdir() if path.is_dir()} == {"in", "out", "mine"}


# 10 steps at 8x8, then 5 at 16x16
STARTED = Started("sketch", "cpu", ((8, 8), (16, 16)), (10, 5), warnings=("only colors",))
OUT = Path("out/sea")


@pytest.mark.parametrize("quiet", [False, True])
def test_events_are_logged_and_quiet_logs_only_errors(
    quiet: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with reporting(LogSettings(), quiet=quiet) as reporter:
        reporter.job_started("sea", STARTED)
        reporter.claimed("sea")  # another job with that name
        reporter.progress("sea", Progress(1, 15, (8, 8), 0.5, 1))
        reporter.progress("sea", Progress(2, 15, (8, 8), 0.5, 12))
        reporter.staged("sea", OUT / "stages/0002.png")
        reporter.ended(ended_job("sea", End.DONE), OUT)
        bad = ended_job("bad", End.REFUSED, "it is {text}")
        reporter.ended(bad, Path("out/_refused/bad"))
        reporter.ended(ended_job("air", End.STOPPED_EARLY), Path("out/air"))
        reporter.waits("sky", "the disk is full")
        reporter.progress("sea", Progress(3, 15, (8, 8), 0.5, 13))
    lines = [
        "sea: painting 16x16 after 8x8 on sketch (cpu)",
        "sea: only colors",
        "sea: claimed",
        "sea: step 2 of 15 at 8x8, loss 0.5, 2 min 24 s left",
        "sea: done, in out/sea",
        "bad: refused: it is {text}; it is in out/_refused/bad",
        "air: stopped early, in out/air",
        "sky: waits: the disk is full",
    ]
    errors = [lines[5], lines[7]]
    shown = [f"stylewatch: {line}" for line in (errors if quiet else lines)]
    assert capsys.readouterr().err.splitlines() == shown


def test_a_closed_terminal_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = os.openpty()
    with suppress(OSError), os.fdopen(slave, "w") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        with reporting(LogSettings(), quiet=False) as reporter:
            reporter.job_started("first", STARTED)
            os.close(master)
            reporter.ended(ended_job("first", End.DONE), OUT)
