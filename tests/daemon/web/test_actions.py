"""Actions of the page become requests to the daemon; forms, and answers to people and programs."""

import asyncio
import shutil
import threading
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message
from tests.daemon.web.world import (
    BROWSER,
    HERE,
    a_job,
    client,
    enter,
    finished_job,
    picture,
    requested,
    write,
)

from stylewatch_daemon.base.model import Attempt
from stylewatch_daemon.ledger import requests
from stylewatch_daemon.ledger.ledger import FILE_NAME
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.web import actions, http

ATTEMPT = Attempt(started="2026-01-02T12:00:00+00:00", backend="sketch")
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "WAIT_S", 0.0)


def test_the_answer_waits_until_the_daemon_has_acted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[dict[str, Any]] = []

    really_leave = requests.leave

    def act() -> None:
        with closing(LedgerWriter.open(tmp_path / "state" / FILE_NAME)) as ledger:
            for request in ledger.requests():
                ledger.remove_request(request.id)

    def leave(state: Path, verb: str, **arguments: Any) -> int:
        """Leave a request that the daemon acts on a moment later."""
        left.append({"verb": verb, **arguments})
        threading.Timer(0.1, act).start()
        return really_leave(state, verb, **arguments)

    monkeypatch.setattr(requests, "leave", leave)
    monkeypatch.setattr(actions, "WAIT_S", 60.0)
    page = client(tmp_path, finished_job(tmp_path))
    assert page.post("/pause").json() == {"acted": True}
    answer = page.post("/jobs/id-sea/retry", headers=BROWSER)
    assert left[0] == {"verb": "pause"} and left[1]["job"] == "id-sea"
    assert answer.headers["Location"] == f"/jobs/{left[1]['new']}"


def test_only_open_jobs_are_canceled_or_finished(tmp_path: Path, no_wait: None) -> None:
    old = a_job("old", finished="2026-01-02T13:00:00+00:00")
    page = client(tmp_path, old, a_job("new", "waiting"))
    enter(tmp_path / "state", a_job("sea", "running"), attempts=(ATTEMPT,))
    for verb in ("cancel", "finish"):
        assert page.post(f"/jobs/id-sea/{verb}").status_code == 200
        ended = page.post(f"/jobs/id-old/{verb}")
        reason = f"old has ended (done, 2026-01-02 13:00 UTC): there is nothing to {verb}"
        assert (ended.status_code, ended.json()) == (409, {"error": reason})
    unbegun = page.post("/jobs/id-new/finish")
    assert unbegun.status_code == 400 and "has not begun" in unbegun.json()["error"]
    assert page.post("/resume").json() == {"acted": False}
    assert requested(tmp_path) == [
        {"verb": "cancel", "job": "id-sea"}, {"verb": "finish", "job": "id-sea"},
        {"verb": "resume"},
    ]  # fmt: skip


def test_only_refused_and_failed_jobs_are_dismissed(
    tmp_path: Path, no_wait: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = client(tmp_path, a_job("sea", "refused"), a_job("fog", "failed"), a_job("old"))
    for name in ("sea", "fog"):
        assert page.post(f"/jobs/id-{name}/dismiss", headers=BROWSER).headers["Location"] == "/"
    ended = page.post("/jobs/id-old/dismiss")
    assert ended.status_code == 409 and "only refused and failed jobs" in ended.json()["error"]
    assert page.post("/dismiss").json() == {"acted": False}
    monkeypatch.setattr(actions, "MAX_REQUESTS", 3)
    assert page.post("/pause").status_code == 503, "three requests wait for the daemon"
    *two, every = requested(tmp_path)
    assert two == [{"verb": "dismiss", "jobs": [f"id-{name}"]} for name in ("sea", "fog")]
    assert every == {"verb": "dismiss", "until": every["until"]}


def test_a_job_runs_again_with_its_settings(tmp_path: Path, no_wait: None) -> None:
    done = finished_job(tmp_path, settings={"backend": "sketch", "seed": 7})
    page = client(tmp_path, done, a_job("now", "running"))
    assert page.post("/jobs/id-sea/retry", headers=BROWSER).status_code == 303
    (request,) = requested(tmp_path)
    assert (request["verb"], request["job"], request["from_stage"]) == ("retry", "id-sea", None)
    assert request["settings"]["seed"] == 7
    for stage in ("x", "-1", "../1", "9" * 20, "0" * 900, "\u0661"):
        answer = page.post("/jobs/id-sea/retry", data={"from_stage": stage})
        assert answer.status_code == 400 and "number of a stage" in answer.json()["error"]
    assert page.post("/jobs/id-now/retry").status_code == 400
    assert page.post("/jobs/id-sea/retry", data={"from_stage": "999"}).status_code in (400, 422)
    answer = page.post("/jobs/id-sea/retry", data={"from_stage": "0"})
    assert answer.status_code == 422 and "has no stage 0" in answer.json()["error"]
    (tmp_path / "out/sea/inputs/style.jpg").unlink()
    answer = page.post("/jobs/id-sea/retry")
    assert answer.status_code == 422 and "style.jpg" in answer.json()["error"]
    assert len(requested(tmp_path)) == 1


def test_only_a_job_that_has_ended_is_deleted_after_a_question(
    tmp_path: Path, no_wait: None
) -> None:
    page = client(tmp_path, finished_job(tmp_path), a_job("now", "running"))
    question = page.get("/delete?job=id-sea", headers=BROWSER).text
    assert 'method="post" action="/delete"' in question
    assert "keeps its stages until somebody deletes them" in question
    answer = page.post("/delete", data={"job": "id-sea"}, headers=BROWSER)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/gallery")
    for name, status in (("now", 400), ("nobody", 404)):
        for answer in (
            page.get("/delete", params={"job": f"id-{name}"}),
            page.post("/delete", data={"job": f"id-{name}"}),
        ):
            assert answer.status_code == status
            assert status == 404 or "now has not ended, so it cannot be deleted" in answer.text
    assert requested(tmp_path) == [{"verb": "delete", "job": "id-sea"}]


def test_several_jobs_are_deleted_or_their_pictures_downloaded_together(
    tmp_path: Path, no_wait: None
) -> None:
    page = client(tmp_path, finished_job(tmp_path), finished_job(tmp_path, "sky"))
    chosen = {"job": ["id-sea", "id-sky"]}
    gallery = page.get("/gallery", headers=BROWSER).text
    assert gallery.count('form="selection"') == 2 and 'formaction="/delete"' in gallery
    archive = ZipFile(BytesIO(page.get("/pictures.zip", params=chosen).content))
    assert archive.namelist() == ["pictures/sea.png", "pictures/sky.png"]
    assert archive.read("pictures/sea.png") == (tmp_path / "out/sea/final.png").read_bytes()
    question = page.get("/delete", params=chosen, headers=BROWSER).text
    assert "Delete 2 jobs?" in question and question.count('name="job"') == 2
    assert page.post("/delete", data=chosen).json() == {"acted": False}
    assert [request["job"] for request in requested(tmp_path)] == ["id-sea", "id-sky"]
    for nothing in ({}, {"job": ["id-sea", "gone"]}, {"job": ["id-sea"] * 101}):
        assert page.get("/pictures.zip", params=nothing).status_code == 404


def test_a_style_is_kept_in_the_library_with_its_source(tmp_path: Path) -> None:
    job = finished_job(tmp_path, settings={"file_names": {"style.jpg": "../great/Wave.JPG"}})
    page, library = client(tmp_path, job), tmp_path / "styles"

    def keep(number: str = "1", **fields: str) -> tuple[int, str]:
        answer = page.post("/jobs/id-sea/keep", data={"input": number, **fields})
        return answer.status_code, str(answer.json())

    assert keep() == (200, "{'style': 'Wave'}")
    assert keep(name="../sea", source="Hokusai,\x00 1831") == (200, "{'style': '__sea'}")
    files = {path.name: path.read_bytes() for path in library.iterdir()}
    assert files.pop("__sea.txt") == b"Hokusai,? 1831\n"
    assert files == dict.fromkeys(("Wave.jpg", "__sea.jpg"), picture(90, "JPEG"))
    for number, name, status, reason in (
        ("1", "wave", 400, "has a file called Wave.jpg"), ("1", "a.mask", 400, "no file called"),
        ("0", "x", 422, "no longer"), ("2", "x", 400, "number"), ("-1", "x", 400, "number"),
    ):  # fmt: skip
        answer = keep(number, name=name)
        assert answer[0] == status and reason in answer[1]
    (tmp_path / "out/sea/inputs/style.jpg").write_bytes(b"another picture")
    assert keep(name="other")[0] == 422
    assert {path.name for path in library.iterdir()} == {*files, "__sea.txt"}


def test_no_file_of_the_library_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, library = client(tmp_path, finished_job(tmp_path)), tmp_path / "styles"
    names = ("wave.jpg", "wave.png", "wave.txt", "notes.txt", "new.jpg")
    copy = shutil.copyfileobj
    for name in names[:-1]:
        write(library / name, name.encode())

    def copy_late(*arguments: Any) -> None:
        write(library / "new.jpg", b"new.jpg")
        copy(*arguments)

    monkeypatch.setattr(shutil, "copyfileobj", copy_late)
    for name in ("wave", "Wave.PNG", "notes", "new"):
        fields = {"input": "1", "name": name, "source": "somewhere else"}
        answer = page.post("/jobs/id-sea/keep", data=fields)
        assert answer.status_code == 400 and "has a file called" in answer.json()["error"], name
    assert {path.name: path.read_text() for path in library.iterdir()} == {n: n for n in names}


def test_no_style_is_kept_where_it_would_be_taken_for_input(tmp_path: Path) -> None:
    page = client(tmp_path, finished_job(tmp_path), styles=tmp_path / "in/styles")
    answer = page.post("/jobs/id-sea/keep", data={"input": "1"})
    assert answer.status_code == 400 and "lies in the inbox" in answer.json()["error"]
    write(tmp_path / "file", b"")
    page = client(tmp_path, styles=tmp_path / "file/styles")
    answer = page.post("/jobs/id-sea/keep", data={"input": "1"})
    assert answer.status_code == 503 and "cannot be written" in answer.json()["error"]


# Forms and answers


def test_an_invalid_long_or_slow_form_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = client(tmp_path)
    for body, kind, status in (
        (b"empty=&spaces=+", FORM, 404), (b"", FORM, 404), (b"{}", "application/json", 415),
        (b"a=" + b"x" * http.MAX_FORM_BYTES, FORM, 413), (b"a=\xff", FORM, 400),
        (b"no form at all", FORM, 400), (b"&".join([b"a=1"] * 111), FORM, 400),
    ):  # fmt: skip
        answer = page.post("/jobs/x/retry", content=body, headers={"Content-Type": kind})
        assert answer.status_code == status

    async def receive() -> Message:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    monkeypatch.setattr(http, "FORM_TIMEOUT_S", 0.05)
    with pytest.raises(HTTPException) as caught:
        asyncio.run(http.form(Request({"type": "http", "headers": []}, receive)))
    assert caught.value.status_code == 408


def test_people_go_back_to_a_page_of_ours(tmp_path: Path, no_wait: None) -> None:
    for referer, root, to in (
        (f"{HERE}/jobs/x?page=2", "", "/jobs/x?page=2"), ("http://evil.example/jobs/x", "", "/"),
        (f"{HERE}//evil.example/", "", "/"), (f"{HERE}/other/", "/base", "/base/"),
    ):  # fmt: skip
        headers = {**BROWSER, "Referer": referer}
        answer = client(tmp_path, path=root).post(f"{root}/pause", headers=headers)
        assert (answer.status_code, answer.headers["Location"]) == (303, to)


def test_errors_are_sentences_for_people_and_programs(tmp_path: Path) -> None:
    page = client(tmp_path)
    assert page.post("/jobs/x/cancel").json() == {"error": "there is no such job"}
    assert "there is no such page" in page.get("/nothing", headers=BROWSER).text
    assert page.get("/pause").status_code == 405
    (tmp_path / "state/ledger.sqlite3").write_bytes(b"no ledger" * 999)
    damaged = page.post("/jobs/x/cancel")
    assert damaged.status_code == 503 and "is damaged" in damaged.json()["error"]
