"""Commands and a daemon in a process of its own."""

import csv
import json
import signal
from pathlib import Path

import pytest
from tests.e2e.daemon import PAIR, SLOW, Daemon, lines, until

from stylewatch_daemon.cli.main import call


def test_jobs_are_submitted_waited_for_dismissed_and_retried(
    daemon: Daemon, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("bad.jpg").write_text("this is no picture")
    daemon.start("--set", "limits.attempts=1", "--set", "backends.sketch={fail_at_step: 5}")
    assert call([*PAIR, "--steps", "3", "--seed", "7", "--wait"]) == 0
    assert lines(capfd) == ["sea-wave", str(daemon.root / "outbox/sea-wave")]
    first = daemon.receipt("sea-wave")
    assert (first["seed"], first["recipe"]["schedule"]["steps"]) == (7, 3)
    assert call([*PAIR, "--steps", "6", "--wait", "--name", "crash"]) == 70
    assert call(["submit", "bad.jpg", "wave.jpg", "--name", "bad", "--wait"]) == 65
    assert "bad: refused: content.jpg holds text" in capfd.readouterr().err
    board = daemon.root / "outbox/_status.txt"
    until(lambda: "bad: content.jpg holds text" in board.read_text())
    assert call(["dismiss", "bad"]) == 0
    until(lambda: "bad" not in board.read_text())
    until(lambda: daemon.published["counts"]["refused"] == 0)

    lines(capfd)
    assert call(["retry", "sea-wave", "--set", "steps=4"]) == 0
    (line,) = lines(capfd)
    until(lambda: daemon.published["counts"]["done"] == 2)
    assert call(["show", line.split()[-1]]) == 0
    assert "job       sea-wave-2\n" in capfd.readouterr().out
    second = daemon.receipt("sea-wave-2")
    assert (second["retry_of"], second["recipe"]["schedule"]["steps"]) == ("sea-wave", 4)
    assert first["inputs"] == second["inputs"]
    assert call(["drain"]) == 0
    assert daemon.process is not None and daemon.process.wait() == 0


def test_a_running_job_is_finished_or_canceled_and_a_pause_outlives_a_kill(
    daemon: Daemon, capfd: pytest.CaptureFixture[str]
) -> None:
    daemon.start(*SLOW)
    assert call([*PAIR, "--steps", "10000"]) == 0
    until(lambda: daemon.step > 9)  # from which the time left can be told
    lines(capfd)
    assert call(["status", "--json"]) == 0
    (running,) = json.loads(lines(capfd)[0])["running"]
    assert running["seconds_left"] > 100, "each of the 10,000 steps sleeps for 0.02 s"

    assert call(["pause"]) == 0
    for name in ("later", "unwanted"):
        assert call([*PAIR, "--steps", "3", "--name", name]) == 0
    until(lambda: sorted(daemon.published["waiting"]) == ["later", "unwanted"])
    assert call(["finish", "sea-wave"]) == 0
    until(lambda: daemon.published["counts"]["stopped early"] == 1)
    receipt = daemon.receipt("sea-wave")
    assert receipt["state"] == receipt["attempts"][-1]["ended"] == "stopped early"
    assert 2 < receipt["stages"][-1]["step"] < 10000

    until(lambda: daemon.published["counts"]["waiting"] == 2)
    daemon.end(signal.SIGKILL)
    lines(capfd)
    assert call(["cancel", "unwanted"]) == 0
    assert lines(capfd)[0].startswith("recorded for the next start: stylewatch is not running: ")
    daemon.start(*SLOW)
    until(lambda: daemon.published["waiting"] == ["later"])
    assert daemon.published["health"]["paused"] and daemon.painted == ["sea-wave"]
    until(lambda: daemon.reason("unwanted") == "canceled\n")
    assert call(["cancel", "later"]) == 0
    folder = daemon.root / "outbox/_canceled/later"
    assert lines(capfd)[0].startswith(("canceled: ", "canceling: "))  # depends on who is faster
    until(lambda: daemon.reason("later"))
    assert sorted(path.name for path in folder.iterdir()) == [
        "content.jpg", "job.yaml", "reason.txt", "style.jpg"
    ]  # fmt: skip
    assert call(["resume"]) == 0
    until(lambda: not daemon.published["health"]["paused"])


def test_a_canceled_job_goes_on_from_a_stage_with_other_settings(daemon: Daemon) -> None:
    daemon.start(*SLOW)
    scales = ["--set", "scales=[{scale: 0.5, steps: 6}]", "--set", "smallest=1"]
    assert call([*PAIR, "--steps", "10000", "--save-every", "4", *scales]) == 0
    until((daemon.root / "outbox/sea-wave/stages/00004.png").exists)
    assert call(["cancel", "sea-wave"]) == 0
    until(lambda: daemon.published["counts"]["canceled"] == 1)
    changes = ["--set", "strength=0.9", "--set", "steps=9"]
    assert call(["retry", "sea-wave", "--from-stage", "4", *changes]) == 0
    until(lambda: daemon.published["counts"]["done"] == 1)
    (job,) = daemon.painted
    receipt = daemon.receipt(job)
    assert (job, receipt["retry_of"]) == ("sea-wave-2", "sea-wave")
    schedule = receipt["recipe"]["schedule"]
    assert (schedule["start"], schedule["steps"], schedule["done"]) == ("picture", 9, 4)
    assert receipt["recipe"]["objective"]["strength"] == 0.9
    start = next(entry for entry in receipt["inputs"] if entry["role"] == "init")
    assert start["name"] == "stage-00004.png"
    with (daemon.root / f"outbox/{job}/losses.csv").open(encoding="utf-8") as table:
        assert [row["width"] for row in csv.DictReader(table)] == ["24"] * 2 + ["48"] * 9
    assert call(["retry", job]) == 0  # with the same start, and as many steps
    until(lambda: daemon.published["counts"]["done"] == 2)
    finals = [(daemon.root / f"outbox/{name}/final.png").read_bytes() for name in daemon.painted]
    assert finals[0] == finals[1]
