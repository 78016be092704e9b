"""Forms, answers to people and programs, and errors as sentences."""

import asyncio
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message
from tests.daemon.web.world import BROWSER, HERE, client

from stylewatch_daemon.web import actions, http
from stylewatch_daemon.web.upload import FOLDER

PLAIN = "application/x-www-form-urlencoded"


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "WAIT_S", 0.0)


def form_of(body: bytes, kind: str = PLAIN, delay: float = 0.0) -> object:
    """The fields of a form that arrives in two pieces."""
    chunks = [body[5:], body[:5]]

    async def receive() -> Message:
        await asyncio.sleep(delay)
        chunk = chunks.pop()
        return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

    headers = [(b"content-type", kind.encode())]
    return asyncio.run(http.form(Request({"type": "http", "headers": headers}, receive)))


def test_a_form_has_its_fields_by_name_without_empty_ones() -> None:
    assert form_of(b"stage=3&note=%C3%A4+b&empty=&spaces=+") == {"stage": "3", "note": "ä b"}
    assert form_of(b"") == {}


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"a=" + b"x" * http.MAX_FORM_BYTES, PLAIN, 413),
        (b"{}", "application/json", 415),
        (b"a=1", "multipart/form-data; boundary=x", 415),
        (b"a=\xff", PLAIN, 400),
        (b"no form at all", PLAIN, 400),
        (b"&".join([b"a=1"] * 99), PLAIN, 400),
        (b"slow", PLAIN, 408),
    ],
)
def test_an_invalid_long_or_slow_form_is_refused(
    body: bytes, kind: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    delay = 60.0 if status == 408 else 0.0
    if delay:
        monkeypatch.setattr(http, "FORM_TIMEOUT_S", 0.01)
    with pytest.raises(HTTPException) as caught:
        form_of(body, kind, delay)
    assert caught.value.status_code == status


@pytest.mark.parametrize(
    ("referer", "root", "to"),
    [
        (f"{HERE}/jobs/x?page=2", "", "/jobs/x?page=2"),
        (f"{HERE}/", "", "/"),
        ("http://evil.example/jobs/x", "", "/"),
        (f"{HERE}//evil.example/", "", "/"),
        ("javascript:alert(1)", "", "/"),
        ("//127.0.0.1:8787//evil.example", "", "/"),
        ("", "", "/"),
        (f"{HERE}/other/", "/base", "/base/"),
    ],
)
def test_people_go_back_to_a_page_of_ours(referer: str, root: str, to: str, tmp_path: Path) -> None:
    page = client(tmp_path, path=root)
    answer = page.post(f"{root}/pause", headers={**BROWSER, "Referer": referer})
    assert (answer.status_code, answer.headers["Location"]) == (303, to)


def test_errors_are_sentences_for_people_and_programs(tmp_path: Path) -> None:
    page = client(tmp_path)
    assert page.post("/jobs/x/cancel").json() == {"error": "there is no such job"}
    answer = page.post("/jobs/<script>/cancel", headers=BROWSER)
    assert answer.status_code == 404 and "there is no such job" in answer.text
    assert page.get("/nothing").json() == {"error": "there is no such page"}
    assert "there is no such page" in page.get("/nothing", headers=BROWSER).text
    assert page.get("/pause").status_code == 405
    (tmp_path / "state/ledger.sqlite3").write_bytes(b"no ledger" * 999)
    damaged = page.post("/jobs/x/cancel")
    assert damaged.status_code == 503 and "is damaged" in damaged.json()["error"]


def test_uploads_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    left = tmp_path / "state" / FOLDER / "0123"
    left.mkdir(parents=True)
    (left / "0.jpg").write_bytes(b"half")
    page = client(tmp_path)
    assert not left.exists()
    assert page.get("/favicon.ico").headers["content-type"] == "image/svg+xml"
