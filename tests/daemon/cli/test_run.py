"""`stylewatch run`, and its report in the log and on a terminal."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.cli.conftest import Run, Terminal

from stylewatch_daemon.cli.progress import EVERY_S, Lines
from stylewatch_daemon.cli.run import reporting
from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.model import Incomplete, Progress, Started
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.config import service_settings
from stylewatch_daemon.settings.sections import Log

SKETCH = ("--set", "backend=sketch", "--set", "watch.quiet_s=0", "--set", "steps=3")
DAEMON = (sys.executable, "-c", "from stylewatch_daemon.cli.main import main; main()", "run")
Drop = Callable[..., Path]


@pytest.fixture
def drop(here: Path) -> Drop:
    """Drop a pair, or a half of one, into the inbox."""

    def drop_(job: str, *names: str) -> Path:
        folder = here / "inbox" / job
        folder.mkdir(parents=True)
        for name in names or ("content.jpg", "style.jpg"):
            shutil.copy(here / name, folder / name)
        return folder

    return drop_


def test_once_runs_all_jobs_and_names_incomplete_pairs(here: Path, drop: Drop, run: Run) -> None:
    drop("sea")
    drop("half", "content.jpg")
    (here / "inbox").rename(here / "in")
    folders = ("--inbox", "in", "--outbox", "out", "--state", "mine")
    ended = run("run", "--once", *folders, *SKETCH)
    assert ended.code == 0
    assert json.loads((here / "out/sea/receipt.json").read_text())["state"] == "done"
    assert "sea: done, in" in ended.err and "half: waits for a style picture" in ended.err
    assert {path.name for path in here.iterdir() if path.is_dir()} == {"in", "out", "mine"}


def test_the_command_line_beats_job_yaml_which_beats_config_yaml(
    here: Path, drop: Drop, run: Run
) -> None:
    (here / "config.yaml").write_text("job: {steps: 9, seed: 9, quality: 9, format: jpg}\n")
    (drop("sea") / "job.yaml").write_text("steps: 5\nseed: 5\n")
    assert run("run", "--once", "--config", "config.yaml", *SKETCH).code == 0
    receipt = json.loads((here / "outbox/sea/receipt.json").read_text())
    assert receipt["recipe"]["schedule"]["steps"] == 3
    assert (receipt["seed"], receipt["final"]) == (5, "final.jpg")


def test_a_refused_job_is_exit_code_65_with_its_reason(here: Path, drop: Drop, run: Run) -> None:
    (drop("sea") / "job.yaml").write_text("seed: 5\nstepps: 5\n")
    ended = run("run", "--once", "--quiet", *SKETCH)
    reason = "job.yaml line 2: unknown key 'stepps'; did you mean 'steps'?"
    assert ended.code == 65
    assert ended.err.startswith(f"stylewatch: sea: refused: {reason}")
    assert len(ended.err.splitlines()) == 1
    assert reason in (here / "outbox/_refused/sea/reason.txt").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--once", "--outbox", "inbox/out"], 78, "lies in the inbox"),
        (["--once", "--set", "pairing.default_style=wave"], 78, "wave"),
        (["--once", "--set", "stepps=3"], 64, "did you mean 'steps'"),
        (["--once", "--config", "absent.yaml"], 78, "absent.yaml"),
        (["--once", "--state", "file"], 73, "file"),
        (["--set", "web.listen=0.0.0.0:8787"], 64, "token_file"),
        (["--set", "web.listen=systemd"], 78, "stylewatch-web.socket"),
    ],
)
def test_a_mistake_is_one_sentence_with_an_exit_code(
    here: Path, run: Run, arguments: list[str], code: int, message: str
) -> None:
    (here / "file").touch()
    ended = run("run", *SKETCH, *arguments)
    assert ended.code == code and message in ended.err
    assert len(ended.err.splitlines()) == 1


@pytest.mark.usefixtures("here")
def test_a_page_without_its_packages_is_a_mistake_before_anything_is_created(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stylewatch_daemon.settings.config.find_spec", lambda name: None)
    page = ("--set", "web.listen=127.0.0.1:0")
    ended = run("run", *SKETCH, *page)
    assert ended.code == 78 and "pip install 'stylewatch[web]'" in ended.err
    assert not Path("state").exists()
    assert run("run", "--once", *SKETCH, *page).code == 0


@pytest.mark.usefixtures("hears_hangups")
def test_sighup_reloads_config_yaml_and_reports_mistakes_and_sigterm_stops_with_0(
    here: Path,
) -> None:
    file, log = here / "config.yaml", here / "log"
    file.write_text("log: {format: json}\n")
    words = (*DAEMON, "--config", "config.yaml")
    with log.open("wb") as err, subprocess.Popen(words, cwd=here, stderr=err) as process:

        def wait_for(text: str) -> None:
            while process.poll() is None and text not in log.read_text():
                os.sched_yield()

        wait_for("watching")
        file.write_text("wach: {}\nlimits: {attempts: none}\n")
        process.send_signal(signal.SIGHUP)
        wait_for("the old ones still apply")
        assert "config.yaml line 1: unknown key 'wach'" in log.read_text()
        assert "config.yaml line 2: limits.attempts" in log.read_text()
        file.write_text("log: {format: console}\n")
        process.send_signal(signal.SIGHUP)
        wait_for("from the next job on")
        assert "log was changed; this applies from the next start on" in log.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_the_service_gets_all_settings(here: Path) -> None:
    overrides: dict[str, Any] = {"job.steps": 3, "job.set.smallest": 2, "limits.attempts": 7}
    overrides |= {"watch.rescan_s": 9, "limits.out_of_memory": "smaller", "limits.memory": 7}
    ready = service_settings(config.load(None, overrides), overrides)
    assert (ready.limits.out_of_memory, ready.limits.memory) == ("smaller", 7)
    assert ready.overrides == {"steps": 3, "set": {"smallest": 2}}
    assert (ready.limits.attempts, ready.watch.rescan_s) == (7, 9)
    assert ready.inboxes[0].path == Path.cwd() / "inbox"
    with pytest.raises(SettingsError, match="lies in the inbox"):
        service_settings(config.load(None, outbox=Path("inbox/out")), {})


# 10 steps at 8x8, then 5 at 16x16: 640 and 1280 pixels
STARTED = Started("sketch", "cpu", ((8, 8), (16, 16)), (10, 5), warnings=("only colors",))
OUT = Path("out")


def step(number: int, seconds: float) -> Progress:
    return Progress(number, 15, (8, 8), 0.5, seconds)


def report_all(reporter: Reporter) -> None:
    """Report every kind of event."""
    reporter.watching([Path("in")])
    reporter.reloaded()
    reporter.not_reloaded("config.yaml line 1: no\nconfig.yaml line 2: no")
    reporter.needs_restart("log")
    reporter.asked("resumed")
    reporter.taken("sea")
    reporter.divided("sea", 2)
    reporter.job_started("sea", STARTED)
    for number in (1, 2):
        reporter.progress("sea", step(number, number))
    reporter.staged("sea", OUT / "sea/stages/0002.png")
    reporter.staged("sea", OUT / "sea/losses.csv")
    reporter.done("sea", OUT / "sea")
    reporter.refused("text", "it holds text", OUT / "_refused/text")
    reporter.cancelled("fog", OUT / "_refused/fog")
    reporter.job_started("bad", Started("sketch", "cpu", ((4, 3),), (9,)))
    reporter.failed("bad", "a fault", "Traceback", for_good=False)
    reporter.failed("bad", "a fault", "Traceback", for_good=True)
    reporter.paused("sky", "the disk is full")
    reporter.stopped("sky", 7)
    half, lone = Incomplete("half", "a style picture"), Incomplete("lone", "a style picture")
    for waiting in ([half], [half, lone], [Incomplete("half", "its rest")], [], [half]):
        reporter.incomplete(waiting)
    reporter.left_alone(Path("in/link"), "a link")
    reporter.pruned(3, 1_500_000)


LINES = [
    "watching in",
    "the settings were read again; they apply from the next job on",
    "config.yaml line 1: no",
    "config.yaml line 2: no",
    "the new settings are wrong; the old ones still apply",
    "log was changed; this applies from the next start on",
    "resumed",
    "sea: claimed",
    "sea: a series of 2 jobs",
    "sea: painting 16x16 after 8x8 on sketch (cpu)",
    "sea: only colors",
    "sea: step 2 of 15 at 8x8, loss 0.5, 32 s left",
    "sea: done, in out/sea",
    "text: refused: it holds text; it is in out/_refused/text",
    "fog: canceled; the inputs are in out/_refused/fog",
    "bad: painting 4x3 on sketch (cpu)",
    "bad: failed, and will be tried again: a fault",
    "bad: failed permanently: a fault",
    "sky: waits: the disk is full",
    "sky: stopped; it continues from step 7",
    "half: waits for a style picture",
    "lone: waits for a style picture",
    "half: waits for its rest",
    "half: waits for a style picture",
    "in/link is ignored: a link",
    "removed 3 files (1.5 MB) by `retention`",
]
ERRORS = (2, 3, 4, 13, 17, 18)


@pytest.mark.parametrize("quiet", [False, True])
def test_every_event_is_logged_and_quiet_logs_only_errors(
    quiet: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with reporting(Log(), quiet=quiet) as reporter:
        report_all(reporter)
    out, err = capsys.readouterr()
    lines = [LINES[number] for number in ERRORS] if quiet else LINES
    assert (out, err.splitlines()) == ("", [f"stylewatch: {line}" for line in lines])


@pytest.mark.parametrize("kind", ["console", "json"])
def test_a_terminal_has_a_moving_line_unless_the_log_is_for_programs(
    kind: Any, terminal: Callable[[str], Terminal]
) -> None:
    stderr = terminal("stderr")
    with reporting(Log(format=kind), quiet=False) as reporter:
        report_all(reporter)
    text = stderr.getvalue()
    assert ("step 2/15" in text and "32 s left" in text) == (kind == "console")
    if kind == "console":
        assert "sea: painting 16x16 after 8x8" in text and "only colors" in text
        assert "stylewatch: sea: done, in out/sea" in text
    else:
        assert len(text.splitlines()) == len(LINES)


def test_plain_lines_have_progress_at_intervals() -> None:
    lines: list[str] = []
    now = 100.0
    show = Lines(lines.append, lambda: now)
    show(STARTED)
    show(step(1, 1))
    now += EVERY_S
    show(step(2, 11))
    show(step(3, 12))
    assert lines[2:] == ["step 2 of 15 at 8x8, loss 0.5, 5 min 20 s left"]
