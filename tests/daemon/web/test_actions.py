"""Actions of the page become requests to the daemon; forms, and answers to people and programs."""

import asyncio
import threading
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.testclient import TestClient
from starlette.types import Message
from tests.daemon.web.world import (
    BROWSER,
    HERE,
    a_job,
    client,
    finished_job,
    picture,
    requested,
    write,
)

from stylewatch_daemon.ledger import requests
from stylewatch_daemon.ledger.ledger import FILE_NAME
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.web import actions, http

FORM = "application/x-www-form-urlencoded"
JOBS = (
    a_job("new", "waiting"), a_job("now", "running", settings={}), a_job("bad", "refused"),
    a_job("old", finished="2026-01-02T13:00:00+00:00"),
)  # fmt: skip
SEA: dict[str, Any] = {
    "settings": {"backend": "sketch", "seed": 7, "file_names": {"style.jpg": "../Wave.JPG"}}
}


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """A page with the job `sea`, which has files, and JOBS; no daemon runs."""
    monkeypatch.setattr(actions, "WAIT_S", 0.0)
    return client(tmp_path, finished_job(tmp_path, **SEA), *JOBS)


@pytest.mark.parametrize(
    ("path", "data", "request_"),
    [
        ("/pause", {}, {"verb": "pause"}),
        ("/resume", {}, {"verb": "resume"}),
        ("/jobs/id-new/cancel", {}, {"verb": "cancel", "job": "id-new"}),
        ("/jobs/id-now/finish", {}, {"verb": "finish", "job": "id-now"}),
        ("/jobs/id-bad/dismiss", {}, {"verb": "dismiss", "jobs": ["id-bad"]}),
        ("/dismiss", {}, {"verb": "dismiss"}),
        ("/delete", {"job": "id-old"}, {"verb": "delete", "job": "id-old"}),
        ("/jobs/id-sea/retry", {}, {"verb": "retry", "job": "id-sea", "from_stage": None}),
        ("/jobs/id-sea/retry", {"from_stage": "5"}, {"verb": "retry", "from_stage": 5}),
    ],
)
def test_an_action_leaves_a_request(
    path: str, data: dict[str, str], request_: dict[str, Any], page: TestClient, tmp_path: Path
) -> None:
    assert page.post(path, data=data).json()["acted"] is False
    assert page.post(path, data=data, headers=BROWSER).status_code == 303
    left, _ = requested(tmp_path)
    assert left.items() >= request_.items()
    assert left.get("settings", {"seed": 7})["seed"] == 7


NOT_ENDED = "now has not ended, so it cannot be {}: cancel or finish it"
NO_STAGE = "from_stage should be a number"


@pytest.mark.parametrize(
    ("path", "data", "status", "reason"),
    [
        ("/jobs/id-old/cancel", {}, 409, "old has ended (done, 2026-01-02 13:00 UTC): there is"
         " nothing to cancel"),
        ("/jobs/id-new/finish", {}, 409, "new was not started"),
        ("/jobs/id-old/dismiss", {}, 409, "old is done: only refused and failed jobs"),
        ("/jobs/id-now/retry", {}, 409, NOT_ENDED.format("run again")),
        ("/delete", {"job": ["id-old", "id-now"]}, 409, NOT_ENDED.format("deleted")),
        ("/delete", {"job": "id-none"}, 404, "no such job"),
        ("/jobs/id-sea/retry", {"from_stage": "0"}, 422, "sea has no stage 0"),
        *(("/jobs/id-sea/retry", {"from_stage": text}, 400, NO_STAGE)
          for text in ("x", "-1", "../1", "0" * 900, "\u0661")),
        ("/jobs/x/cancel", {}, 404, "there is no such job"),
    ],
)  # fmt: skip
def test_an_action_that_is_not_possible_says_why_and_leaves_nothing(
    path: str, data: dict[str, str], status: int, reason: str, page: TestClient, tmp_path: Path
) -> None:
    answer = page.post(path, data=data)
    assert answer.status_code == status and reason in answer.json()["error"]
    assert requested(tmp_path) == []


def test_a_job_without_its_pictures_is_not_run_again_nor_anything_with_too_many_requests(
    page: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out/sea/inputs/style.jpg").unlink()
    answer = page.post("/jobs/id-sea/retry")
    assert answer.status_code == 422 and "style.jpg" in answer.json()["error"]
    monkeypatch.setattr(actions, "MAX_REQUESTS", 0)
    assert page.post("/pause").status_code == 503
    (tmp_path / "state/ledger.sqlite3").write_bytes(b"no ledger" * 999)
    answer = page.post("/jobs/x/cancel")
    assert answer.status_code == 503 and "is damaged" in answer.json()["error"]


def test_the_answer_waits_until_the_daemon_has_acted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_leave = requests.leave

    def act() -> None:
        with closing(LedgerWriter.open(tmp_path / "state" / FILE_NAME)) as ledger:
            for request in ledger.requests():
                ledger.remove_request(request.id)

    def leave(state: Path, verb: str, **arguments: Any) -> int:
        """Leave a request that the daemon acts on a moment later."""
        threading.Timer(0.1, act).start()
        return really_leave(state, verb, **arguments)

    monkeypatch.setattr(requests, "leave", leave)
    monkeypatch.setattr(actions, "WAIT_S", 60.0)
    answer = client(tmp_path, finished_job(tmp_path)).post("/jobs/id-sea/retry")
    assert answer.json()["acted"] is True


def test_several_jobs_are_deleted_or_their_pictures_downloaded_together(
    page: TestClient, tmp_path: Path
) -> None:
    client(tmp_path, finished_job(tmp_path, "sky"))
    chosen = {"job": ["id-sea", "id-sky"]}
    archive = ZipFile(BytesIO(page.get("/pictures.zip", params=chosen).content))
    assert archive.namelist() == ["pictures/sea.png", "pictures/sky.png"]
    assert archive.read("pictures/sea.png") == (tmp_path / "out/sea/final.png").read_bytes()
    question = page.get("/delete", params=chosen, headers=BROWSER).text
    assert "Delete 2 jobs?" in question and question.count('name="job"') == 2
    answer = page.post("/delete", data=chosen, headers=BROWSER)
    assert answer.headers["Location"] == "/gallery"
    assert [request["job"] for request in requested(tmp_path)] == ["id-sea", "id-sky"]
    for nothing in ({}, {"job": ["id-sea", "gone"]}, {"job": ["id-sea"] * 101}):
        assert page.get("/pictures.zip", params=nothing).status_code == 404


def test_a_style_is_kept_in_the_library_with_its_source(page: TestClient, tmp_path: Path) -> None:
    def keep(**fields: str) -> tuple[int, str]:
        answer = page.post("/jobs/id-sea/keep", data={"input": "1", **fields})
        return answer.status_code, str(answer.json())

    assert keep() == (200, "{'style': 'Wave'}")
    assert keep(name="../sea", source="Hokusai,\x00 1831") == (200, "{'style': '__sea'}")
    write(tmp_path / "styles/notes.txt", b"mine")
    kept = {path.name: path.read_bytes() for path in (tmp_path / "styles").iterdir()}
    for fields, status, reason in (
        ({"name": "wave"}, 400, "has a file called Wave.jpg"),
        ({"name": "notes"}, 400, "has a file called notes.txt"),
        ({"name": "a.mask"}, 400, "no file called"), ({"input": "0"}, 400, "number of a style"),
        ({"input": "2"}, 400, "number of a style"), ({"input": "-1"}, 400, "a number"),
    ):  # fmt: skip
        answer = keep(**fields)
        assert answer[0] == status and reason in answer[1]
    write(tmp_path / "out/sea/inputs/style.jpg", b"another picture")
    assert keep(name="other")[0] == 422
    assert {path.name: path.read_bytes() for path in (tmp_path / "styles").iterdir()} == kept
    jpeg = picture(90, "JPEG")
    assert kept == {"Wave.jpg": jpeg, "__sea.jpg": jpeg, "__sea.txt": b"Hokusai,? 1831\n",
                    "notes.txt": b"mine"}  # fmt: skip


@pytest.mark.parametrize(
    ("styles", "status", "reason"),
    [("in/styles", 400, "lies in the inbox"), ("out/sea/final.png/s", 503, "cannot be written")],
)
def test_no_style_is_kept_where_it_would_be_input_or_cannot_be_written(
    styles: str, status: int, reason: str, tmp_path: Path
) -> None:
    page = client(tmp_path, finished_job(tmp_path), styles=tmp_path / styles)
    answer = page.post("/jobs/id-sea/keep", data={"input": "1"})
    assert answer.status_code == status and reason in answer.json()["error"]


def test_an_invalid_long_or_slow_form_is_refused(
    page: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
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


@pytest.mark.parametrize(
    ("referer", "root", "to"),
    [
        (f"{HERE}/jobs/x?page=2", "", "/jobs/x?page=2"),
        ("http://evil.example/jobs/x", "", "/"),
        (f"{HERE}//evil.example/", "", "/"),
        (f"{HERE}/other/", "/base", "/base/"),
    ],
)
@pytest.mark.usefixtures("page")
def test_people_go_back_to_a_page_of_ours(referer: str, root: str, to: str, tmp_path: Path) -> None:
    page = client(tmp_path, path=root)
    answer = page.post(f"{root}/pause", headers={**BROWSER, "Referer": referer})
    assert (answer.status_code, answer.headers["Location"]) == (303, to)
    assert page.get(f"{root}/pause").status_code == 405
    assert "there is no such page" in page.get(f"{root}/nothing", headers=BROWSER).text
