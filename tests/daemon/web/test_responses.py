"""People are led back to where they were, and nowhere else; programs get JSON."""

from pathlib import Path

import pytest
from tests.daemon.web.visitors import HERE, PEOPLE, visitor

from stylewatch_daemon.web import actions


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "ANSWERS_WITHIN", 0.0)


@pytest.mark.parametrize(
    ("referer", "to"),
    [
        (f"{HERE}/jobs/x?page=2", "/jobs/x?page=2"),
        (f"{HERE}/", "/"),
        ("http://evil.example/jobs/x", "/"),
        (f"{HERE}//evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("//127.0.0.1:8787//evil.example", "/"),
        ("", "/"),
    ],
)
def test_people_go_back_to_a_page_of_ours(referer: str, to: str, tmp_path: Path) -> None:
    answer = visitor(tmp_path).post("/pause", headers={**PEOPLE, "Referer": referer})
    assert (answer.status_code, answer.headers["Location"]) == (303, to)


def test_below_a_path_nobody_is_led_out_of_it(tmp_path: Path) -> None:
    page = visitor(tmp_path, path="/studio")
    answer = page.post("/studio/pause", headers={**PEOPLE, "Referer": f"{HERE}/other/"})
    assert answer.headers["Location"] == "/studio/"


def test_programs_hear_what_was_done_and_what_was_not(tmp_path: Path) -> None:
    page = visitor(tmp_path)
    assert page.post("/pause").json() == {"acted": False}
    assert page.post("/jobs/x/cancel").json() == {"error": "there is no such job"}
    told = page.post("/jobs/<script>/cancel", headers=PEOPLE)
    assert told.status_code == 404 and "there is no such job" in told.text
