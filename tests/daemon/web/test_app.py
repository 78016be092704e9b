"""The whole application: errors of ours are sentences, and nothing of a path reaches the disk."""

from pathlib import Path

import pytest
from tests.daemon.web.visitors import PEOPLE, enter, entry, visitor

from stylewatch_daemon.web.upload import FOLDER

TRICKS = ["../../etc/passwd", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%00", "a%00b", "%2Fetc",
          "id-sea%2f..", "'; DROP TABLE jobs; --", "%ff", "x" * 5000]  # fmt: skip


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("what", ["cancel", "finish", "retry"])
def test_jobs_are_found_by_their_ids_in_the_ledger_and_by_nothing_else(
    trick: str, what: str, tmp_path: Path
) -> None:
    enter(tmp_path / "state", entry("sea"))
    page = visitor(tmp_path)
    for path in (f"/jobs/{trick}/{what}", f"/jobs/id-sea/{what}/{trick}", f"/{trick}"):
        assert page.post(path).status_code in (400, 404, 405)
        assert page.get(path).status_code in (400, 404, 405)


def test_a_name_is_no_id(tmp_path: Path) -> None:
    enter(tmp_path / "state", entry("sea"))
    assert visitor(tmp_path).post("/jobs/sea/retry").status_code == 404


def test_a_page_that_is_not_there_says_so_to_people_and_programs(tmp_path: Path) -> None:
    page = visitor(tmp_path)
    assert page.get("/nothing").json() == {"error": "there is no such page"}
    assert "there is no such page" in page.get("/nothing", headers=PEOPLE).text
    assert page.get("/pause").status_code == 405


def test_a_damaged_ledger_is_a_sentence(tmp_path: Path) -> None:
    page = visitor(tmp_path)
    (tmp_path / "state/ledger.sqlite3").write_bytes(b"no ledger" * 999)
    answer = page.post("/jobs/x/cancel")
    assert answer.status_code == 503 and "is damaged" in answer.json()["error"]


def test_what_a_killed_page_had_received_goes_when_the_next_one_begins(tmp_path: Path) -> None:
    left = tmp_path / "state" / FOLDER / "0123"
    left.mkdir(parents=True)
    (left / "0.jpg").write_bytes(b"half")
    visitor(tmp_path)
    assert not left.exists()


def test_what_browsers_ask_for_by_themselves_is_there(tmp_path: Path) -> None:
    answer = visitor(tmp_path).get("/favicon.ico")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
