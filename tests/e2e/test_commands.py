"""Commands and a daemon in a process of its own."""

import csv
import json
import os
import signal
import threading
from pathlib import Path

import pytest
from tests.e2e.daemon import FAST, PAIR, SLOW, Daemon, lines, until

from stylewatch_daemon.cli.main import call
from stylewatch_daemon.ingest.inbox import new_id
from stylewatch_daemon.store import requests
from stylewatch_daemon.store.ledger import reading

NOT_RUNNING = "recorded for the next start: no daemon is running with "


def test_jobs_are_submitted_waited_for_shown_dismissed_and_retried(
    daemon: Daemon, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("bad.jpg").write_text("no picture")
    daemon.start("--set", "limits.attempts=1", "--set", "backends.sketch={fail_at_step: 5}")
    assert call([*PAIR, "--steps", "3", "--seed", "7", "--wait"]) == 0
    printed = capfd.readouterr()
    assert printed.out.splitlines() == ["sea-wave", str(daemon.root / "outbox/sea-wave")]
    assert printed.err.startswith("stylewatch: sea-wave: ")
    first = daemon.receipt("sea-wave")
    assert (first["seed"], first["recipe"]["schedule"]["steps"]) == (7, 3)

    assert call([*PAIR, "--steps", "6", "--wait", "--name", "crash"]) == 70
    assert "crash: failed: " in capfd.readouterr().err
    assert call(["submit", "bad.jpg", "wave.jpg", "--name", "bad", "--wait"]) == 65
    assert "bad: refused: content.jpg holds text" in capfd.readouterr().err
    board = daemon.root / "outbox/_status.txt"
    until(lambda: "bad: content.jpg holds text" in board.read_text())
    assert call(["dismiss", "bad"]) == 0
    assert "bad" not in [entry["job"] for entry in daemon.published["refused"]]
    assert "bad" not in board.read_text()
    assert daemon.published["counts"]["refused"] == 1
    lines(capfd)
    assert call(["show", "bad"]) == 0
    shown = capfd.readouterr().out
    assert "state      refused" in shown and "dismissed  yes" in shown
    assert str(daemon.root / "outbox/_refused/bad") in shown

    assert call(["retry", "sea-wave", "--set", "steps=4"]) == 0
    (line,) = lines(capfd)
    assert line.startswith("sea-wave runs again, as the job ")
    until(lambda: daemon.published["counts"]["done"] == 2)
    assert call(["show", line.split()[-1]]) == 0
    shown = capfd.readouterr().out
    assert "job       sea-wave-2\n" in shown and "retry of  sea-wave\n" in shown
    second = daemon.receipt("sea-wave-2")
    assert (second["retry_of"], second["recipe"]["schedule"]["steps"]) == ("sea-wave", 4)
    assert first["inputs"] == second["inputs"]

    half = daemon.root / "inbox/half"
    half.mkdir()
    Path("sea.jpg").rename(half / "content.jpg")
    until(lambda: [entry["name"] for entry in daemon.published["incomplete"]] == ["half"])
    assert call(["cancel", "half"]) == 65
    assert (
        "half is not a job yet: it waits in the inbox for a style picture" in capfd.readouterr().err
    )
    (half / "content.jpg").unlink()
    until(lambda: not daemon.published["incomplete"])

    folder = daemon.root / "state/requests"
    for number, content in enumerate((b"{", b'{"verb": "dance", "arguments": {}}', os.urandom(99))):
        (folder / f"{number}.json").write_bytes(content)
    until(lambda: not list(folder.iterdir()))
    assert len(list((daemon.root / "state/damaged").iterdir())) == 3
    assert call(["drain"]) == 0
    assert daemon.process is not None and daemon.process.wait() == 0


def test_a_running_job_is_shown_finished_or_canceled_and_a_pause_outlives_a_kill(
    daemon: Daemon, capfd: pytest.CaptureFixture[str]
) -> None:
    daemon.start(*SLOW)
    assert call([*PAIR, "--steps", "10000"]) == 0
    until(lambda: daemon.step > 2)
    lines(capfd)
    assert call(["status"]) == 0
    text = capfd.readouterr().out
    assert f"is running with the state folder {daemon.root / 'state'} since" in text
    assert "0 waiting, 1 running, 0 done" in text
    assert "  sea-wave  step " in text and " of 10000 at 48x36, loss " in text
    assert call(["show", "sea-wave"]) == 0
    assert "state     running" in capfd.readouterr().out
    assert call(["status", "--json"]) == 0
    (running,) = json.loads(lines(capfd)[0])["running"]
    assert running["seconds_left"] > 100, "each of the 10,000 steps sleeps for 0.02 s"
    assert "Painting:\n  sea-wave: " in (daemon.root / "outbox/_status.txt").read_text()

    assert call(["pause"]) == 0
    assert lines(capfd) == ["paused: no new job is started"]
    for name in ("later", "unwanted"):
        assert call([*PAIR, "--steps", "3", "--name", name]) == 0
    until(lambda: sorted(daemon.published["waiting"]) == ["later", "unwanted"])
    assert call(["finish", "later"]) == 65
    assert "later was not started, so it has no picture yet; " in capfd.readouterr().err
    assert call(["finish", "sea-wave"]) == 0
    assert lines(capfd) == ["finishing: the current picture of sea-wave becomes the final one"]
    until(lambda: daemon.published["counts"]["done"] == 1)
    receipt = daemon.receipt("sea-wave")
    assert receipt["state"] == receipt["attempts"][-1]["ended"] == "finished"
    assert 2 < receipt["stages"][-1]["step"] < 10000
    assert call(["finish", "sea-wave"]) == 65
    assert "UTC): there is nothing to finish" in capfd.readouterr().err

    until(lambda: daemon.published["counts"]["waiting"] == 2)
    daemon.end(signal.SIGKILL)
    assert call(["status"]) == 0
    assert capfd.readouterr().out.startswith(
        f"no daemon is running with the state folder {daemon.root / 'state'}"
    )
    assert call(["cancel", "unwanted"]) == 0
    assert lines(capfd)[0].startswith(NOT_RUNNING)
    daemon.start(*SLOW)
    until(lambda: daemon.published["waiting"] == ["later"])
    assert daemon.published["health"]["paused"] and daemon.painted == ["sea-wave"]
    assert daemon.reason("unwanted") == "cancelled\n"
    assert "is paused" in (daemon.root / "outbox/_status.txt").read_text()
    assert call(["cancel", "later"]) == 0
    folder = daemon.root / "outbox/_refused/later"
    assert lines(capfd) == [f"canceled: the inputs are in {folder}"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "content.jpg", "job.yaml", "reason.txt", "style.jpg"
    ]  # fmt: skip
    assert call(["resume"]) == 0
    assert lines(capfd) == ["resumed: waiting jobs are started"]
    until(lambda: not daemon.published["health"]["paused"])


def test_drain_completes_what_runs_and_a_waiting_command_reports_the_stop(
    daemon: Daemon, capfd: pytest.CaptureFixture[str]
) -> None:
    daemon.start(*SLOW)
    assert call([*PAIR, "--steps", "60"]) == 0
    until(lambda: daemon.step > 2)

    def drain() -> None:
        until(lambda: daemon.published["waiting"] == ["later"])
        assert call(["drain"]) == 0

    thread = threading.Thread(target=drain)
    thread.start()
    assert call([*PAIR, "--steps", "3", "--name", "later", "--wait"]) == 75
    thread.join()
    printed = capfd.readouterr()
    assert "later waits: no daemon is running" in printed.err and "draining: " in printed.out
    assert daemon.process is not None and daemon.process.wait() == 0
    assert daemon.painted == ["sea-wave"]
    assert call(["drain"]) == 0
    assert lines(capfd)[0].startswith("there is nothing to drain: ")


def test_commands_without_a_daemon_are_noted_for_the_next_start(
    daemon: Daemon, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("bad.jpg").write_text("no picture")
    for verb in ("pause", "resume", "pause"):
        assert call([verb]) == 0
        assert lines(capfd)[0].startswith(NOT_RUNNING)
    assert call([*PAIR, "--steps", "3", "--wait"]) == 75
    assert "no daemon is running" in capfd.readouterr().err
    assert call(["run", "--once", *FAST]) == 75
    assert daemon.painted == []
    assert call(["resume"]) == 0
    assert call(["submit", "bad.jpg", "wave.jpg", "--name", "bad"]) == 0
    assert call(["run", "--once", *FAST]) == 65
    assert daemon.painted == ["sea-wave"]
    assert call(["dismiss", "bad"]) == 0
    assert call(["retry", "sea-wave", "--set", "recipe=devos"]) == 0
    content = daemon.root / "outbox/sea-wave/inputs/content.jpg"
    assert call(["run", "--once", *FAST]) == 0
    assert daemon.published["refused"] == []
    assert daemon.receipt("sea-wave-2")["recipe"]["name"] == "devos"

    content.rename(daemon.root / "away.jpg")
    content.symlink_to(daemon.root / "away.jpg")
    capfd.readouterr()
    assert call(["retry", "sea-wave"]) == 65
    assert "content.jpg (content) is no longer as it was in" in capfd.readouterr().err
    with reading(daemon.root / "state/ledger.sqlite3") as ledger:
        entry = ledger.find("sea-wave")
        assert entry is not None
        requests.leave(daemon.root / "state", "retry", job=entry.id, new=new_id(), settings={})
    assert call(["run", "--once", *FAST]) == 0
    assert daemon.painted == ["sea-wave", "sea-wave-2"]
    assert len(list((daemon.root / "state/damaged").iterdir())) == 1  # what cannot be acted on


def test_a_canceled_job_goes_on_from_a_stage_with_other_settings(daemon: Daemon) -> None:
    daemon.start(*SLOW)
    scales = ["--set", "scales=[{scale: 0.5, steps: 6}]", "--set", "smallest=1"]
    assert call([*PAIR, "--steps", "10000", "--save-every", "4", *scales]) == 0
    until((daemon.root / "outbox/sea-wave/stages/00004.png").exists)
    assert call(["cancel", "sea-wave"]) == 0
    until(lambda: daemon.published["counts"]["cancelled"] == 1)
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
