"""Probes and numbers for programs that watch the daemon."""

from pathlib import Path

from tests.daemon.web.world import client, publish

from stylewatch_daemon.app import status_json
from stylewatch_daemon.files import lock
from stylewatch_daemon.ledger.requests import PAUSED


def test_the_page_is_ready_once_a_daemon_runs_and_has_nothing_that_stops_it(tmp_path: Path) -> None:
    page, state = client(tmp_path), tmp_path / "state"
    assert page.get("/healthz").text == "ok\n"
    answer = page.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "no daemon is running\n")
    with lock.held(state / status_json.LOCK_NAME):
        assert "not published" in client(tmp_path).get("/readyz").text
        publish(tmp_path)
        answer = client(tmp_path).get("/readyz")
        assert (answer.status_code, answer.text) == (200, "ok\n")
        publish(tmp_path, health={"trouble": ["/secret/folder: full"]})
        text = client(tmp_path).get("/readyz").text
        assert text == "problems that stop jobs or inboxes: 1\n"
        (state / PAUSED).touch()
        assert client(tmp_path).get("/readyz").text == "the daemon is paused\n"


def test_numbers_are_exposed_and_unknown_ones_are_left_out(tmp_path: Path) -> None:
    running = [{"job": "sea", "step": 3, "steps": 50}]
    publish(tmp_path, {"waiting": 7}, {"trouble": ["a disk"]}, running=running, incomplete=[1, 2])
    page = client(tmp_path)
    (tmp_path / "out").rmdir()
    answer = page.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert f'disk_free_bytes{{folder="{tmp_path / "state"}"}}' in answer.text
    assert f'folder="{tmp_path / "out"}"' not in answer.text
    assert {f"stylewatch_{line}" for line in (
        "up 0.0", "paused 0.0", 'jobs{state="waiting"} 7.0', "incomplete 2.0", "trouble 1.0",
        'step{job="sea"} 3.0', 'steps{job="sea"} 50.0',
    )} <= set(answer.text.splitlines())  # fmt: skip
