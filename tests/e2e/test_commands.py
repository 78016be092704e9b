"""Commands and a daemon in a process of its own: submit, status, show, pause, resume, drain."""

import json
import os
import signal
import threading
from pathlib import Path

import pytest
from tests.e2e.daemon import FAST, PAIR, SLOW, Place, lines, until

from stylewatch_daemon.cli.main import call


def test_what_is_submitted_is_painted_and_waited_for(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place.start()
    assert call([*PAIR, "--steps", "3", "--seed", "7", "--wait"]) == 0
    told = capfd.readouterr()
    assert told.out.splitlines() == ["sea-wave", str(place.root / "outbox/sea-wave")]
    assert told.err.startswith("stylewatch: sea-wave: ")
    receipt = json.loads((place.root / "outbox/sea-wave/receipt.json").read_bytes())
    assert receipt["seed"] == 7
    assert receipt["recipe"]["schedule"]["steps"] == 3
    assert call([*PAIR, "--steps", "3", "--wait", "-q"]) == 0
    assert place.painted == ["sea-wave", "sea-wave-2"]


def test_the_end_of_what_is_waited_for_is_the_exit_code(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("bad.jpg").write_text("no picture")
    place.start("--set", "limits.attempts=1", "--set", "backends.sketch={fail_at_step: 2}")
    assert call(["submit", "bad.jpg", "wave.jpg", "--wait"]) == 65
    assert "bad-wave: refused: content.jpg holds text" in capfd.readouterr().err
    assert call([*PAIR, "--steps", "3", "--wait", "--name", "crash"]) == 70
    assert "crash: failed: " in capfd.readouterr().err
    assert call(["status"]) == 0
    assert "  bad-wave  content.jpg holds text" in "\n".join(lines(capfd))
    assert call(["show", "bad-wave"]) == 0
    assert str(place.root / "outbox/_refused/bad-wave") in "\n".join(lines(capfd))


def test_without_a_daemon_nothing_is_waited_for_and_nothing_is_lost(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call([*PAIR, "--steps", "3", "--wait"]) == 75
    assert "no daemon is running" in capfd.readouterr().err
    place.start()
    until(lambda: place.painted == ["sea-wave"])


def test_a_daemon_that_leaves_meanwhile_is_told(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place.start(*SLOW)

    def leave() -> None:
        until(lambda: place.step > 2)
        place.end()

    thread = threading.Thread(target=leave)
    thread.start()
    assert call([*PAIR, "--steps", "10000", "--wait"]) == 75
    thread.join()
    assert "sea-wave waits: no daemon is running" in capfd.readouterr().err
    assert call(["status", "--json"]) == 0
    now = json.loads(lines(capfd)[-1])
    assert now["counts"]["waiting"] == 1
    assert (now["running"], now["health"]["at_work"]) == ([], False)


def test_status_and_show_tell_how_far_a_painting_is(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place.start(*SLOW)
    assert call([*PAIR, "--steps", "10000"]) == 0
    until(lambda: place.step > 2)
    lines(capfd)
    assert call(["status"]) == 0
    text = "\n".join(lines(capfd))
    assert f"is at work with {place.root / 'state'} since" in text
    assert "0 waiting, 1 running, 0 done" in text
    assert "  sea-wave  step " in text and " of 10000 at 48x36, loss " in text
    assert call(["show", "sea-wave"]) == 0
    text = "\n".join(lines(capfd))
    assert "state     running" in text
    assert " of 10000 at 48x36, loss " in text
    assert call(["status", "--json"]) == 0
    (running,) = json.loads(lines(capfd)[0])["running"]
    assert running["seconds_left"] == pytest.approx(200, rel=0.8)
    said = (place.root / "outbox/_status.txt").read_text()
    assert "Painting:\n  sea-wave: " in said
    place.end(signal.SIGKILL)
    assert call(["status"]) == 0
    text = "\n".join(lines(capfd))
    assert text.startswith(f"no daemon is at work with {place.root / 'state'}")
    assert "1 waiting, 0 running" in text and "painting:" not in text


def test_a_pause_begins_nothing_and_outlives_a_kill(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place.start()
    assert call(["pause"]) == 0
    assert lines(capfd) == ["paused: nothing new is begun"]
    assert call([*PAIR, "--steps", "3"]) == 0
    until(lambda: place.published["counts"]["waiting"] == 1)
    place.end(signal.SIGKILL)
    place.start()
    until(lambda: place.published["waiting"] == ["sea-wave"])
    assert place.painted == []
    assert place.published["health"]["paused"]
    assert "is paused" in (place.root / "outbox/_status.txt").read_text()
    lines(capfd)
    assert call(["status"]) == 0
    assert "paused: nothing new is begun until" in lines(capfd)[0]
    assert call(["resume"]) == 0
    assert lines(capfd) == ["resumed: what waits is begun"]
    until(lambda: place.painted == ["sea-wave"])
    until(lambda: not place.published["health"]["paused"])


def test_a_pause_lets_what_is_painted_go_on(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place.start(*SLOW)
    assert call([*PAIR, "--steps", "60"]) == 0
    until(lambda: place.step > 2)
    lines(capfd)
    assert call(["pause"]) == 0
    assert lines(capfd) == ["paused: nothing new is begun"]
    assert call([*PAIR, "--steps", "3", "--name", "later"]) == 0
    until(lambda: place.painted == ["sea-wave"])
    until(lambda: place.published["waiting"] == ["later"])


def test_pause_and_resume_are_noted_for_the_next_start(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    for verb in ("pause", "resume", "pause"):
        assert call([verb]) == 0
        (line,) = lines(capfd)
        assert line.startswith("noted for the next start: no daemon is at work with ")
    assert call([*PAIR, "--steps", "3"]) == 0
    place.start()
    until(lambda: place.published["waiting"] == ["sea-wave"])
    assert place.published["health"]["paused"]
    assert call(["resume"]) == 0
    until(lambda: place.painted == ["sea-wave"])


def test_drain_finishes_what_runs_and_leaves_with_0(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place.start(*SLOW)
    assert call([*PAIR, "--steps", "60"]) == 0
    until(lambda: place.step > 2)
    assert call([*PAIR, "--steps", "3", "--name", "later"]) == 0
    lines(capfd)
    assert call(["drain"]) == 0
    assert lines(capfd)[0].startswith("draining: ")
    assert place.process is not None
    assert place.process.wait() == 0
    assert place.painted == ["sea-wave"]
    assert call(["drain"]) == 0
    assert lines(capfd)[0].startswith("there is nothing to drain: ")
    place.start()
    until(lambda: place.painted == ["later", "sea-wave"])


def test_a_daemon_with_nothing_to_do_drains_at_once(place: Place) -> None:
    place.start()
    assert call(["drain"]) == 0
    assert place.process is not None
    assert place.process.wait() == 0


def test_once_keeps_to_a_pause(place: Place) -> None:
    assert call(["pause"]) == 0
    assert call([*PAIR, "--steps", "3"]) == 0
    assert call(["run", "--once", *FAST]) == 75
    assert place.painted == []
    assert call(["resume"]) == 0
    assert call(["run", "--once", *FAST]) == 0
    assert place.painted == ["sea-wave"]


def test_nonsense_among_the_requests_brings_no_daemon_down(place: Place) -> None:
    folder = place.root / "state/requests"
    place.start()
    (folder / "0.json").write_text("{")
    (folder / "1.json").write_text('{"verb": "dance", "arguments": {}}')
    (folder / "2.json").write_bytes(os.urandom(100))
    until(lambda: not list(folder.iterdir()))
    assert len(list((place.root / "state/damaged").iterdir())) == 3
    assert call([*PAIR, "--steps", "3", "--wait", "-q"]) == 0
    assert place.end() == 0


def test_a_refused_job_is_dismissed_from_the_status_and_can_be_tried_again(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("bad.jpg").write_text("no picture")
    place.start()
    assert call(["submit", "bad.jpg", "wave.jpg", "--name", "bad", "--wait", "-q"]) == 65
    until(lambda: [one["job"] for one in place.published["refused"]] == ["bad"])
    board = place.root / "outbox/_status.txt"
    until(lambda: "bad: content.jpg holds text" in board.read_text())
    lines(capfd)
    assert call(["dismiss", "bad"]) == 0
    assert place.published["refused"] == [] and "bad" not in board.read_text()
    assert place.published["counts"]["refused"] == 1
    assert call(["show", "bad"]) == 0
    told = "\n".join(lines(capfd))
    assert "state      refused" in told and "dismissed  yes" in told
    assert call(["retry", "bad"]) == 0
    until(lambda: [one["job"] for one in place.published["refused"]] == ["bad"])
    assert call(["dismiss", "--all"]) == 0
    assert place.end() == 0
    assert call(["run", "--once", *FAST]) == 0
    assert place.published["refused"] == []


def test_what_is_dismissed_while_no_daemon_runs_is_so_from_its_next_start_on(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("bad.jpg").write_text("no picture")
    assert call(["submit", "bad.jpg", "wave.jpg", "--name", "bad"]) == 0
    assert call(["run", "--once", *FAST]) == 65
    lines(capfd)
    assert call(["dismiss", "bad"]) == 0
    assert lines(capfd)[0].startswith("noted for the next start")
    assert call(["run", "--once", *FAST]) == 0
    assert place.published["refused"] == []


def test_a_half_that_waits_cannot_be_cancelled_and_ends_when_its_files_go(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    half = place.root / "inbox/half"
    half.mkdir(parents=True)
    Path("sea.jpg").rename(half / "content.jpg")
    place.start()
    until(lambda: [one["name"] for one in place.published["incomplete"]] == ["half"])
    assert call(["cancel", "half"]) == 65
    assert "half is no job yet: it waits in the inbox for a style picture" in capfd.readouterr().err
    (half / "content.jpg").unlink()
    until(lambda: not place.published["incomplete"])
    assert call(["cancel", "half"]) == 64
