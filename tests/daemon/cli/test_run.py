"""`stylewatch run`, and its report in the log and on a terminal."""

import json
import os
import shutil
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.cli.conftest import Run
from tests.daemon.states import ended_job

from stylewatch_daemon.app import daemon, hooks
from stylewatch_daemon.app.daemon import Summary
from stylewatch_daemon.base.errors import DamagedError, OutputError
from stylewatch_daemon.base.events import Reporter
from stylewatch_daemon.base.model import End, Progress, Started
from stylewatch_daemon.cli.run import reporting
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.sections import Log

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
    reason = "stylewatch: paused until `stylewatch resume`; jobs that wait: 1\n"
    assert (ended.code, ended.err) == (75, reason)
    run("resume", "--state", "mine")
    ended = run("run", "--once", *folders, *SKETCH)
    assert ended.code == 0
    receipt = json.loads((here / "out/sea/receipt.json").read_text())
    steps = receipt["recipe"]["schedule"]["steps"]
    assert (steps, receipt["seed"], receipt["final"]) == (3, 5, "final.jpg")
    assert "sea: done, in" in ended.err and "half: waits for a style picture" in ended.err
    assert {path.name for path in here.iterdir() if path.is_dir()} == {"in", "out", "mine"}


def test_a_reload_starts_again_with_the_file_of_the_start_unless_that_has_mistakes(
    here: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, steps = here / "config.yaml", list[int]()
    file.write_text("job: {steps: 9}\n")

    def watch(settings: ServiceSettings, reporter: Reporter, **more: Any) -> bool:
        changed, may_reload = more["settings_changed"], more["may_reload"]
        steps.append(settings.job.steps or 0)
        if len(steps) == 2:
            return False
        assert not changed() and not changed()
        file.write_text("job: {steps")
        assert not changed()  # an editor may still write it
        for text in ("jobb: {}", "web: {listen: '127.0.0.1:1', token_file: gone}"):
            file.write_text(text)
            assert not changed() and changed()
            assert not may_reload() and not changed()  # the mistake is logged once
        (here / "gone").touch()
        for mode in (0o644, 0o600):  # others can read it, or it is too short
            (here / "gone").chmod(mode)
            assert not changed() and changed() and not may_reload() and not changed()
        file.unlink()
        assert not changed() and changed() and not may_reload()
        file.write_text("job: {steps: 7}\n")
        accepted = bool(may_reload())
        file.write_text("job: {steps")  # while running jobs write their checkpoints
        return accepted

    monkeypatch.setattr(daemon, "watch", watch)
    ended = run("run")
    assert (ended.code, steps) == (0, [9, 7])
    assert ended.err.count("the daemon continues with the earlier ones") == 5
    assert "jobb" in ended.err and "config.yaml cannot be read: No such file" in ended.err


def test_settings_with_which_the_daemon_cannot_start_are_given_up(
    here: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, steps = here / "config.yaml", list[int]()
    file.write_text("job: {steps: 9}\n")

    def watch(settings: ServiceSettings, reporter: Reporter, **more: Any) -> bool:
        steps.append(settings.job.steps or 0)
        if settings.job.steps == 7:
            raise OutputError("the inbox cannot be written")
        file.write_text("job: {steps: 7}\n")
        return len(steps) == 1 and bool(more["may_reload"]())

    monkeypatch.setattr(daemon, "watch", watch)
    ended = run("run")
    assert (ended.code, steps) == (0, [9, 7, 9])
    assert "the inbox cannot be written" in ended.err


def test_an_error_long_after_a_reload_is_not_taken_for_one_of_the_settings(
    here: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, starts = here / "config.yaml", [False, True]
    file.write_text("job: {steps: 9}\n")

    def watch(settings: ServiceSettings, reporter: Reporter, **more: Any) -> bool:
        more["at_work"]()
        if starts.pop():
            return bool(more["may_reload"]())
        raise DamagedError("the ledger is damaged")

    monkeypatch.setattr(daemon, "watch", watch)
    ended = run("run")
    assert (ended.code, starts) == (78, [])
    assert "the settings are wrong" not in ended.err


def test_hooks_outlast_a_reload_and_run_once_ends_after_them(
    here: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = "while [ ! -e go ]; do sleep 0.01; done; echo $STYLEWATCH_JOB >> "
    file, names = here / "config.yaml", ["first", "second"]
    file.write_text(f"hooks: {{done: [sh, -c, '{wait} first']}}\n")

    def watch(settings: ServiceSettings, reporter: Reporter, **more: Any) -> bool:
        name = names.pop(0)
        reporter.ended(ended_job(name, End.DONE), OUT)
        if not names:
            (here / "go").touch()
            return False
        file.write_text(f"hooks: {{done: [sh, -c, '{wait} second']}}\n")
        return bool(more["may_reload"]())

    def once(settings: ServiceSettings, reporter: Reporter, **more: Any) -> Summary:
        for name in "abc":
            reporter.ended(ended_job(name, End.DONE), OUT)
        return Summary()

    monkeypatch.setattr(daemon, "watch", watch)
    assert run("run").code == 0
    assert [(here / name).read_text() for name in ("first", "second")] == ["first\n", "second\n"]
    monkeypatch.setattr(daemon, "once", once)
    monkeypatch.setattr(hooks, "monotonic", count(0, 1000).__next__)
    assert run("run", "--once").code == 0
    assert (here / "second").read_text() == "second\na\nb\nc\n"


# 10 steps at 8x8, then 5 at 16x16
STARTED = Started("sketch", "cpu", ((8, 8), (16, 16)), (10, 5), warnings=("only colors",))
OUT = Path("out/sea")


@pytest.mark.parametrize("quiet", [False, True])
def test_events_are_logged_and_quiet_logs_only_errors(
    quiet: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with reporting(Log(), quiet=quiet) as reporter:
        reporter.job_started("sea", STARTED)
        reporter.claimed("sea")  # another job with that name
        reporter.progress("sea", Progress(1, 15, (8, 8), 0.5, 1))
        reporter.progress("sea", Progress(2, 15, (8, 8), 0.5, 12))
        reporter.staged("sea", OUT / "stages/0002.png")
        reporter.ended(ended_job("sea", End.DONE), OUT)
        bad = ended_job("bad", End.REFUSED, "it is {text}")
        reporter.ended(bad, Path("out/_refused/bad"))
        reporter.waits("sky", "the disk is full")
        reporter.progress("sea", Progress(3, 15, (8, 8), 0.5, 13))
    lines = [
        "sea: painting 16x16 after 8x8 on sketch (cpu)",
        "sea: only colors",
        "sea: claimed",
        "sea: step 2 of 15 at 8x8, loss 0.5, 2 min 24 s left",
        "sea: done, in out/sea",
        "bad: refused: it is {text}; it is in out/_refused/bad",
        "sky: waits: the disk is full",
    ]
    shown = [f"stylewatch: {line}" for line in (lines[5:] if quiet else lines)]
    assert capsys.readouterr().err.splitlines() == shown


def test_a_closed_terminal_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = os.openpty()
    with suppress(OSError), os.fdopen(slave, "w") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        with reporting(Log(), quiet=False) as reporter:
            reporter.job_started("first", STARTED)
            os.close(master)
            reporter.ended(ended_job("first", End.DONE), OUT)
