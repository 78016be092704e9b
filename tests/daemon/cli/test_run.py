"""`stylewatch run`."""

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

from stylewatch_daemon.cli.main import call
from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.config import service_settings

SKETCH = ("--set", "backend=sketch", "--set", "watch.quiet_s=0", "--set", "steps=3")
Drop = Callable[..., Path]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, a test's own, where inbox, outbox and state are by default."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config-home"))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def drop(here: Path, pictures: Path) -> Drop:
    """Drops a pair, or a half of one, into the inbox."""

    def drop_(job: str, *names: str) -> Path:
        folder = here / "inbox" / job
        folder.mkdir(parents=True)
        for name in names or ("content.jpg", "style.jpg"):
            shutil.copy(pictures / name, folder / name)
        return folder

    return drop_


def test_once_paints_what_is_there_and_leaves(
    here: Path, drop: Drop, capsys: pytest.CaptureFixture[str]
) -> None:
    drop("sea")
    drop("half", "content.jpg")
    assert call(["run", "--once", *SKETCH]) == 0
    assert json.loads((here / "outbox/sea/receipt.json").read_text())["state"] == "done"
    told = capsys.readouterr().err
    assert "sea: done, in" in told
    assert "half: waits for a style picture" in told


def test_folders_are_named_on_the_command_line(here: Path, drop: Drop) -> None:
    drop("sea")
    (here / "inbox").rename(here / "in")
    places = ["--inbox", "in", "--outbox", "out", "--state", "mine"]
    assert call(["run", "--once", *places, *SKETCH]) == 0
    assert (here / "out/sea/final.png").is_file()
    assert {path.name for path in here.iterdir()} == {"in", "out", "mine"}


def test_a_refusal_is_exit_code_65_and_named(
    drop: Drop, capsys: pytest.CaptureFixture[str]
) -> None:
    (drop("sea") / "style.jpg").write_text("no picture")
    assert call(["run", "--once", "--quiet", *SKETCH]) == 65
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("stylewatch: sea: refused: style.jpg ")


def test_the_command_line_beats_job_yaml_which_beats_config_yaml(here: Path, drop: Drop) -> None:
    (here / "config.yaml").write_text("job: {steps: 9, seed: 9, quality: 9, format: jpg}\n")
    (drop("sea") / "job.yaml").write_text("steps: 5\nseed: 5\n")
    assert call(["run", "--once", "--config", "config.yaml", *SKETCH]) == 0
    receipt = json.loads((here / "outbox/sea/receipt.json").read_text())
    assert receipt["recipe"]["schedule"]["steps"] == 3
    assert receipt["seed"] == 5
    assert receipt["final"] == "final.jpg"


def test_a_mistake_in_job_yaml_is_told_with_its_line(here: Path, drop: Drop) -> None:
    (drop("sea") / "job.yaml").write_text("seed: 5\nstepps: 5\n")
    assert call(["run", "--once", *SKETCH]) == 65
    reason = (here / "outbox/_refused/sea/reason.txt").read_text()
    assert "job.yaml line 2: unknown key 'stepps'; did you mean 'steps'?" in reason


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--outbox", "inbox/out"], 78),
        (["--set", "pairing.default_style=wave"], 78),
        (["--set", "stepps=3"], 64),
        (["--config", "absent.yaml"], 78),
        (["--state", "file"], 73),
    ],
)
def test_what_keeps_it_from_working_is_one_sentence_and_an_exit_code(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int
) -> None:
    (here / "file").touch()
    assert call(["run", "--once", *arguments]) == code
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_told_to_stop_the_daemon_leaves_with_0(here: Path, drop: Drop) -> None:
    drop("sea")
    code = "from stylewatch_daemon.cli.main import main; main()"
    with subprocess.Popen([sys.executable, "-c", code, "run", *SKETCH], cwd=here) as process:
        while process.poll() is None and not (here / "outbox/sea/receipt.json").exists():
            os.sched_yield()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


@pytest.mark.usefixtures("hears_hangups")
def test_a_hangup_has_config_yaml_read_again_and_every_mistake_in_it_told(here: Path) -> None:
    file, log = here / "config.yaml", here / "log"
    file.write_text("log: {format: json}\n")
    code = "from stylewatch_daemon.cli.main import main; main()"
    words = [sys.executable, "-c", code, "run", "--config", "config.yaml"]
    with log.open("wb") as err, subprocess.Popen(words, cwd=here, stderr=err) as process:

        def told(what: str) -> None:
            while process.poll() is None and what not in log.read_text():
                os.sched_yield()

        told("watching")
        file.write_text("wach: {}\nlimits: {attempts: none}\n")
        process.send_signal(signal.SIGHUP)
        told("hold on")
        assert "config.yaml line 1: unknown key 'wach'" in log.read_text()
        assert "config.yaml line 2: limits.attempts" in log.read_text()
        file.write_text("log: {format: console}\n")
        process.send_signal(signal.SIGHUP)
        told("from the next job on")
        assert "log was changed, which holds from the next start on" in log.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_the_service_gets_all_settings() -> None:
    overrides: dict[str, Any] = {"job.steps": 3, "job.set.smallest": 2, "limits.attempts": 7}
    overrides |= {"watch.rescan_s": 9, "limits.out_of_memory": "smaller", "limits.memory": 7}
    ready = service_settings(config.load(None, overrides), overrides)
    assert (ready.limits.out_of_memory, ready.limits.memory) == ("smaller", 7)
    assert ready.overrides == {"steps": 3, "set": {"smallest": 2}}
    assert (ready.limits.attempts, ready.watch.rescan_s) == (7, 9)
    assert ready.inboxes[0].path == Path.cwd() / "inbox"


def test_folders_in_one_another_are_refused_before_anything_is_made(here: Path) -> None:
    with pytest.raises(SettingsError, match="lies in the inbox"):
        service_settings(config.load(None, outbox=Path("inbox/out")), {})
    assert list(here.iterdir()) == []


def test_a_page_that_cannot_be_served_is_a_mistake_told_before_anything_is_touched(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("stylewatch_daemon.settings.config.find_spec", lambda name: None)
    assert call(["run", *SKETCH, "--set", "web.listen=127.0.0.1:0"]) == 78
    assert "pip install 'stylewatch[web]'" in capsys.readouterr().err
    assert not (here / "state").exists()
    assert call(["run", "--once", *SKETCH, "--set", "web.listen=127.0.0.1:0"]) == 0


def test_a_page_far_away_without_a_token_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["run", *SKETCH, "--set", "web.listen=0.0.0.0:8787"]) == 64
    assert "token_file" in capsys.readouterr().err


def test_a_socket_that_systemd_did_not_hand_over_is_a_mistake(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(["run", *SKETCH, "--set", "web.listen=systemd"]) == 78
    assert "stylewatch-web.socket" in capsys.readouterr().err
