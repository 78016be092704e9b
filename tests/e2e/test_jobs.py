"""Commands for single jobs and a daemon in a process of its own: finish, cancel."""

import json
import signal

import pytest
from tests.e2e.daemon import FAST, PAIR, SLOW, Place, lines, until

from stylewatch_daemon.cli.main import call


def test_a_picture_is_final_when_it_is_said_to_be(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place.start(*SLOW)
    assert call([*PAIR, "--steps", "10000"]) == 0
    until(lambda: place.step > 2)
    assert call([*PAIR, "--steps", "3", "--name", "later"]) == 0
    until(lambda: place.published["waiting"] == ["later"])
    lines(capfd)
    assert call(["finish", "later"]) == 65
    assert "later was not begun, so there is no picture yet; " in capfd.readouterr().err
    assert call(["finish", "sea-wave"]) == 0
    assert lines(capfd) == ["finishing: the picture that sea-wave is at becomes the final one"]
    until(lambda: place.painted == ["later", "sea-wave"])
    receipt = json.loads((place.root / "outbox/sea-wave/receipt.json").read_bytes())
    assert receipt["state"] == receipt["attempts"][-1]["ended"] == "finished"
    assert 2 < receipt["stages"][-1]["step"] < 10000
    assert (place.root / "outbox/sea-wave/final.png").exists()
    assert (place.root / "outbox/sea-wave/inputs/content.jpg").exists()
    assert call(["finish", "sea-wave"]) == 65
    assert "UTC): there is nothing to finish" in capfd.readouterr().err


def test_what_is_cancelled_is_given_back_and_the_next_one_painted(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place.start(*SLOW)
    assert call([*PAIR, "--steps", "10000"]) == 0
    until(lambda: place.step > 2)
    for name in ("unwanted", "later"):
        assert call([*PAIR, "--steps", "3", "--name", name]) == 0
    until(lambda: sorted(place.published["waiting"]) == ["later", "unwanted"])
    lines(capfd)
    assert call(["cancel", "unwanted"]) == 0
    folder = place.root / "outbox/_refused"
    assert lines(capfd) == [f"cancelled: what was dropped lies in {folder / 'unwanted'}"]
    assert call(["cancel", "sea-wave"]) == 0
    (line,) = lines(capfd)
    assert line.startswith(("cancelling: sea-wave ends after", "cancelled: what was dropped"))
    until(lambda: place.painted == ["later"])
    for name in ("unwanted", "sea-wave"):
        assert sorted(path.name for path in (folder / name).iterdir()) == [
            "content.jpg", "job.yaml", "reason.txt", "style.jpg"
        ]  # fmt: skip
    until(lambda: place.published["counts"]["cancelled"] == len(("unwanted", "sea-wave")))
    assert call(["status", "--json"]) == 0
    assert json.loads(lines(capfd)[-1])["counts"]["cancelled"] == 2
    assert call(["cancel", "sea-wave"]) == 65
    assert "sea-wave has ended (cancelled, " in capfd.readouterr().err


def test_what_is_asked_of_a_job_while_no_daemon_runs_is_done_at_the_next_start(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place.start(*SLOW)
    assert call([*PAIR, "--steps", "10000"]) == 0
    until(lambda: place.step > 2)
    assert call([*PAIR, "--steps", "10000", "--name", "later"]) == 0
    until(lambda: place.published["waiting"] == ["later"])
    place.end(signal.SIGKILL)
    lines(capfd)
    for verb, job in (("finish", "sea-wave"), ("cancel", "later")):
        assert call([verb, job]) == 0
        assert lines(capfd)[0].startswith("noted for the next start: no daemon is at work")
    assert call(["run", "--once", *FAST]) == 0
    assert place.painted == ["sea-wave"]
    assert (place.root / "outbox/_refused/later/reason.txt").read_text() == "cancelled\n"


def test_a_pause_does_not_keep_a_job_from_being_cancelled(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place.start()
    assert call(["pause"]) == 0
    assert call([*PAIR, "--steps", "3"]) == 0
    until(lambda: place.published["waiting"] == ["sea-wave"])
    until(lambda: not place.is_held("sea-wave"))
    lines(capfd)
    assert call(["cancel", "sea-wave"]) == 0
    assert lines(capfd)[0].startswith("cancelled: what was dropped lies in ")
    until(lambda: place.published["waiting"] == [])
