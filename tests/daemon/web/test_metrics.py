"""Probes and numbers for programs that watch the daemon."""

from pathlib import Path

from tests.daemon.web.world import client, publish, settings

from stylewatch_daemon.app import status_json
from stylewatch_daemon.doctor.backends import Device
from stylewatch_daemon.files import lock
from stylewatch_daemon.ledger.requests import PAUSED
from stylewatch_daemon.web.metrics import exposition, not_ready


def test_the_page_is_ready_once_a_daemon_runs_and_has_nothing_that_stops_it(tmp_path: Path) -> None:
    page = client(tmp_path)
    assert page.get("/healthz").text == "ok\n"
    answer = page.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "no daemon is running\n")
    metrics = page.get("/metrics")
    assert metrics.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "\nstylewatch_up 0.0\n" in metrics.text
    publish(tmp_path)
    with lock.held(tmp_path / "state" / status_json.LOCK_NAME):
        answer = client(tmp_path).get("/readyz")
        assert (answer.status_code, answer.text) == (200, "ok\n")
        (tmp_path / "state" / PAUSED).touch()
        assert client(tmp_path).get("/readyz").text == "the daemon is paused\n"
    status = status_json.nothing()
    status["health"] |= {"at_work": True}
    assert "not published" in not_ready(status)
    status["health"] |= {"since": "now", "trouble": ["/secret/folder: full"]}
    assert not_ready(status) == "problems that stop jobs or inboxes: 1"


def test_numbers_are_exposed_and_unknown_ones_are_left_out(tmp_path: Path) -> None:
    devices = (Device("cuda:0", memory=80_000),)
    text = exposition(status_json.nothing(), settings(tmp_path), devices).decode()
    assert 'stylewatch_device_memory_bytes{device="cuda:0"} 80000.0\n' in text
    assert "disk_free_bytes{" not in text, "there are no folders"
    (tmp_path / "out").mkdir()
    running = {"job": "sea", "step": 3, "steps": 50}
    now = {**status_json.nothing(), "running": [running], "incomplete": [1, 2, 3]}
    now["counts"] |= {"waiting": 7}
    now["health"] |= {"at_work": True, "trouble": ["a disk"]}
    text = exposition(now, settings(tmp_path)).decode()
    assert f'stylewatch_disk_free_bytes{{folder="{tmp_path / "out"}"}} ' in text
    assert {f"stylewatch_{line}" for line in (
        "up 1.0", "paused 0.0", 'jobs{state="waiting"} 7.0', "incomplete 3.0", "trouble 1.0",
        'step{job="sea"} 3.0', 'steps{job="sea"} 50.0',
    )} <= set(text.splitlines())  # fmt: skip
