"""What people ask by the page becomes a request to the daemon, and only where it makes sense."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.web import doctors
from tests.daemon.web.visitors import PEOPLE, asked, enter, entry, visitor

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.store.journal import Attempt
from stylewatch_daemon.store.requests import FOLDER, Requests
from stylewatch_daemon.web import actions, doctor_runner

TRIED = Attempt(started="2026-01-02T12:00:00+00:00", boot="", pid=1, backend="sketch")


OLD = entry("old", finished="2026-01-02T13:00:00+00:00")


@pytest.fixture
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "ANSWERS_WITHIN", 0.0)


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_a_pause_is_asked_for(verb: str, tmp_path: Path, in_haste: None) -> None:
    assert visitor(tmp_path).post(f"/{verb}").json() == {"acted": False}
    assert asked(tmp_path) == [{"verb": verb}]


def acting(root: Path, done: threading.Event, **acts: Callable[..., object]) -> threading.Thread:
    """A daemon that does nothing but act on requests."""

    def go() -> None:
        requests = Requests(root / "state", Reporter())
        while not done.wait(0.01):
            requests.act(acts)

    return threading.Thread(target=go)


def test_people_see_the_page_again_once_the_daemon_has_acted(tmp_path: Path) -> None:
    heard: list[str] = []

    def cancel(job: str) -> None:
        heard.append(job)

    enter(tmp_path / "state", entry("sea", "queued"))
    page, left = visitor(tmp_path), threading.Event()
    daemon = acting(tmp_path, left, cancel=cancel)
    daemon.start()
    answer = page.post("/jobs/id-sea/cancel")
    left.set()
    daemon.join()
    assert (answer.json(), heard) == ({"acted": True}, ["id-sea"])


def test_only_jobs_that_are_not_at_their_end_are_ended(tmp_path: Path, in_haste: None) -> None:
    enter(tmp_path / "state", entry("sea", "running"), OLD, attempts=(TRIED,))
    page = visitor(tmp_path)
    for verb in ("cancel", "finish"):
        assert page.post(f"/jobs/id-sea/{verb}").status_code == 200
        over = page.post(f"/jobs/id-old/{verb}")
        said = f"old has ended (done, 2026-01-02 13:00 UTC): there is nothing to {verb}"
        assert (over.status_code, over.json()) == (409, {"error": said})
        assert page.post(f"/jobs/id-none/{verb}").status_code == 404
    assert asked(tmp_path) == [
        {"verb": "cancel", "job": "id-sea"},
        {"verb": "finish", "job": "id-sea"},
    ]


def test_only_refused_and_failed_jobs_are_dismissed(tmp_path: Path, in_haste: None) -> None:
    enter(tmp_path / "state", entry("sea", "refused"), entry("fog", "failed"), entry("old"))
    page = visitor(tmp_path)
    for name in ("sea", "fog"):
        assert page.post(f"/jobs/id-{name}/dismiss", headers=PEOPLE).headers["Location"] == "/"
    over = page.post("/jobs/id-old/dismiss")
    assert over.status_code == 409 and "only refused and failed jobs" in over.json()["error"]
    assert page.post("/jobs/id-none/dismiss").status_code == 404
    assert page.post("/dismiss").json() == {"acted": False}
    *both, every = asked(tmp_path)
    assert both == [{"verb": "dismiss", "jobs": [f"id-{name}"]} for name in ("sea", "fog")]
    assert every == {"verb": "dismiss", "until": every["until"]}


def test_what_was_not_begun_has_no_picture_to_finish_with(tmp_path: Path, in_haste: None) -> None:
    enter(tmp_path / "state", entry("sea", "queued"))
    answer = visitor(tmp_path).post("/jobs/id-sea/finish")
    assert answer.status_code == 400 and "not begun" in answer.json()["error"]


def at_its_end(root: Path, **more: Any) -> None:
    """A job that is done, its inputs in the outbox."""
    folder = root / "out/sea/inputs"
    folder.mkdir(parents=True)
    inputs = []
    for role, name in (("content", "content.jpg"), ("style", "style.jpg")):
        (folder / name).write_bytes(b"picture")
        inputs.append({"role": role, "name": name, "size": 7, "source": str(root / "in" / name)})
    stages = root / "out/sea/stages"
    stages.mkdir()
    (stages / "0002.png").write_bytes(b"stage")
    values = {"inbox": str(root / "in"), "outbox": str(root / "out"), "inputs": tuple(inputs)}
    enter(root / "state", entry("sea", **values, **more), entry("now", "running"))


def test_a_job_at_its_end_is_painted_again_by_its_settings(tmp_path: Path, in_haste: None) -> None:
    at_its_end(tmp_path, settings={"backend": "sketch", "seed": 7})
    answer = visitor(tmp_path).post("/jobs/id-sea/retry", headers=PEOPLE)
    assert answer.status_code == 303
    (request,) = asked(tmp_path)
    assert request["verb"] == "retry" and request["job"] == "id-sea"
    assert request["settings"]["seed"] == 7 and request["from_stage"] is None


def test_people_are_led_to_the_new_job(tmp_path: Path) -> None:
    at_its_end(tmp_path)
    page, left, made = visitor(tmp_path), threading.Event(), list[str]()

    def retry(job: str, new: str, **more: Any) -> None:
        made.append(new)

    daemon = acting(tmp_path, left, retry=retry)
    daemon.start()
    answer = page.post("/jobs/id-sea/retry", headers=PEOPLE)
    left.set()
    daemon.join()
    assert answer.headers["Location"] == f"/jobs/{made[0]}"


@pytest.mark.parametrize("stage", ["x", "-1", "0", "1.5", "../1", "9" * 20, "\u0661"])
def test_a_stage_is_a_number(stage: str, tmp_path: Path, in_haste: None) -> None:
    at_its_end(tmp_path)
    answer = visitor(tmp_path).post("/jobs/id-sea/retry", data={"from_stage": stage})
    assert answer.status_code == 400 and "number of a stage" in answer.json()["error"]
    assert asked(tmp_path) == []


def test_what_cannot_be_painted_again_is_told(tmp_path: Path, in_haste: None) -> None:
    at_its_end(tmp_path)
    page = visitor(tmp_path)
    assert page.post("/jobs/id-now/retry").status_code == 400
    assert page.post("/jobs/id-sea/retry", data={"from_stage": "999"}).status_code in (400, 422)
    (tmp_path / "out/sea/inputs/style.jpg").unlink()
    answer = page.post("/jobs/id-sea/retry")
    assert answer.status_code == 422 and "style.jpg" in answer.json()["error"]
    assert asked(tmp_path) == []


def test_the_daemon_is_not_asked_without_end(tmp_path: Path, in_haste: None) -> None:
    folder = tmp_path / "state" / FOLDER
    folder.mkdir(parents=True)
    for number in range(actions.WAITING):
        (folder / f"{number}.json").write_text(json.dumps({"verb": "pause"}))
    assert visitor(tmp_path).post("/pause").status_code == 503
    assert len(list(folder.iterdir())) == actions.WAITING


def test_the_doctor_looks_again_when_somebody_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_runner, "CHECK", doctors.CHECK)
    monkeypatch.setattr(doctor_runner, "PATIENCE_S", 60.0)
    with visitor(tmp_path) as page:
        (found,) = page.post("/health/look").json()["findings"]
        assert found["words"] == "has room"
        assert page.post("/health/look", headers=PEOPLE).headers["Location"] == "/health"
