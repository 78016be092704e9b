"""Actions of the page become requests to the daemon, where they make sense."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.web import doctors
from tests.daemon.web.world import BROWSER, client, enter, entry, requested

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.store.journal import Attempt
from stylewatch_daemon.store.requests import FOLDER, Control
from stylewatch_daemon.web import actions, doctor_runner

ATTEMPT = Attempt(started="2026-01-02T12:00:00+00:00", backend="sketch")


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "WAIT_S", 0.0)


@contextmanager
def acting(root: Path, **acts: Callable[..., object]) -> Iterator[None]:
    """Run a daemon that only acts on requests."""
    end = threading.Event()

    def run() -> None:
        control = Control(root / "state", Reporter(), acts)
        while not end.wait(0.01):
            control.act()

    daemon = threading.Thread(target=run)
    daemon.start()
    try:
        yield
    finally:
        end.set()
        daemon.join()


def done_job(root: Path, **more: Any) -> None:
    """A done job with its inputs and a stage in the outbox."""
    inputs = []
    for role, name in (("content", "content.jpg"), ("style", "style.jpg")):
        path = root / "out/sea/inputs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"picture")
        inputs.append({"role": role, "name": name, "size": 7, "source": str(root / "in" / name)})
    values = {"inbox": str(root / "in"), "outbox": str(root / "out"), "inputs": tuple(inputs)}
    enter(root / "state", entry("sea", **values, **more), entry("now", "running"))


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_pause_and_resume_are_requested(verb: str, tmp_path: Path, no_wait: None) -> None:
    assert client(tmp_path).post(f"/{verb}").json() == {"acted": False}
    assert requested(tmp_path) == [{"verb": verb}]


def test_the_answer_waits_until_the_daemon_has_acted(tmp_path: Path) -> None:
    cancelled: list[str] = []
    enter(tmp_path / "state", entry("sea", "queued"))
    page = client(tmp_path)

    def cancel(job: str) -> None:
        cancelled.append(job)

    with acting(tmp_path, cancel=cancel):
        assert page.post("/jobs/id-sea/cancel").json() == {"acted": True}
    assert cancelled == ["id-sea"]


def test_only_open_jobs_are_cancelled_or_finished(tmp_path: Path, no_wait: None) -> None:
    old = entry("old", finished="2026-01-02T13:00:00+00:00")
    enter(tmp_path / "state", entry("sea", "running"), old, entry("new", "queued"),
          attempts=(ATTEMPT,))  # fmt: skip
    page = client(tmp_path)
    for verb in ("cancel", "finish"):
        assert page.post(f"/jobs/id-sea/{verb}").status_code == 200
        ended = page.post(f"/jobs/id-old/{verb}")
        reason = f"old has ended (done, 2026-01-02 13:00 UTC): there is nothing to {verb}"
        assert (ended.status_code, ended.json()) == (409, {"error": reason})
        assert page.post(f"/jobs/id-none/{verb}").status_code == 404
    unbegun = page.post("/jobs/id-new/finish")
    assert unbegun.status_code == 400 and "has not begun" in unbegun.json()["error"]
    assert requested(tmp_path) == [
        {"verb": "cancel", "job": "id-sea"}, {"verb": "finish", "job": "id-sea"},
    ]  # fmt: skip


def test_only_refused_and_failed_jobs_are_dismissed(tmp_path: Path, no_wait: None) -> None:
    enter(tmp_path / "state", entry("sea", "refused"), entry("fog", "failed"), entry("old"))
    page = client(tmp_path)
    for name in ("sea", "fog"):
        assert page.post(f"/jobs/id-{name}/dismiss", headers=BROWSER).headers["Location"] == "/"
    ended = page.post("/jobs/id-old/dismiss")
    assert ended.status_code == 409 and "only refused and failed jobs" in ended.json()["error"]
    assert page.post("/dismiss").json() == {"acted": False}
    *two, every = requested(tmp_path)
    assert two == [{"verb": "dismiss", "jobs": [f"id-{name}"]} for name in ("sea", "fog")]
    assert every == {"verb": "dismiss", "until": every["until"]}


def test_a_job_runs_again_with_its_settings(tmp_path: Path, no_wait: None) -> None:
    done_job(tmp_path, settings={"backend": "sketch", "seed": 7})
    assert client(tmp_path).post("/jobs/id-sea/retry", headers=BROWSER).status_code == 303
    (request,) = requested(tmp_path)
    assert (request["verb"], request["job"], request["from_stage"]) == ("retry", "id-sea", None)
    assert request["settings"]["seed"] == 7


def test_people_get_to_the_page_of_the_new_job(tmp_path: Path) -> None:
    done_job(tmp_path)
    page, made = client(tmp_path), list[str]()

    def retry(job: str, new: str, **more: Any) -> None:
        made.append(new)

    with acting(tmp_path, retry=retry):
        answer = page.post("/jobs/id-sea/retry", headers=BROWSER)
    assert answer.headers["Location"] == f"/jobs/{made[0]}"


@pytest.mark.parametrize("stage", ["x", "-1", "0", "1.5", "../1", "9" * 20, "\u0661"])
def test_a_stage_goes_by_its_number(stage: str, tmp_path: Path, no_wait: None) -> None:
    done_job(tmp_path)
    answer = client(tmp_path).post("/jobs/id-sea/retry", data={"from_stage": stage})
    assert answer.status_code == 400 and "number of a stage" in answer.json()["error"]
    assert requested(tmp_path) == []


def test_a_job_that_cannot_run_again_is_refused(tmp_path: Path, no_wait: None) -> None:
    done_job(tmp_path)
    page = client(tmp_path)
    assert page.post("/jobs/id-now/retry").status_code == 400
    assert page.post("/jobs/id-sea/retry", data={"from_stage": "999"}).status_code in (400, 422)
    (tmp_path / "out/sea/inputs/style.jpg").unlink()
    answer = page.post("/jobs/id-sea/retry")
    assert answer.status_code == 422 and "style.jpg" in answer.json()["error"]
    assert requested(tmp_path) == []


def test_the_number_of_waiting_requests_is_limited(tmp_path: Path, no_wait: None) -> None:
    folder = tmp_path / "state" / FOLDER
    folder.mkdir(parents=True)
    for number in range(actions.MAX_REQUESTS):
        (folder / f"{number}.json").write_text(json.dumps({"verb": "pause"}))
    assert client(tmp_path).post("/pause").status_code == 503
    assert len(list(folder.iterdir())) == actions.MAX_REQUESTS


def test_the_checks_of_the_doctor_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_runner, "CHECK", doctors.CHECK)
    monkeypatch.setattr(doctor_runner, "PATIENCE_S", 60.0)
    with client(tmp_path) as page:
        (finding,) = page.post("/health/look").json()["findings"]
        assert finding["words"] == "has room"
        assert page.post("/health/look", headers=BROWSER).headers["Location"] == "/health"
