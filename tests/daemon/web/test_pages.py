"""The pages can be read without scripts, and lead to one another below whatever path."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.daemon.web.jobs import painted
from tests.daemon.web.visitors import PEOPLE, enter, entry, publish, visitor

from stylewatch_daemon.outbox.status_txt import Status
from stylewatch_daemon.web.pages import PAGE


@pytest.mark.parametrize("path", ["/", "/gallery", "/jobs/id-sea"])
def test_a_page_holds_nothing_that_its_policy_forbids(path: str, tmp_path: Path) -> None:
    enter(tmp_path / "state", painted(tmp_path))
    text = visitor(tmp_path).get(path, headers=PEOPLE).text
    assert not re.search(r"\sstyle=|\son[a-z]+=|<style|javascript:", text)
    assert re.findall(r"<script[^>]*>", text) == ['<script type="module" src="/static/page.js">']
    assert not re.search(r'(?:src|href|action)="(?:https?:)?//', text)


@pytest.mark.parametrize("path", ["/", "/gallery", "/jobs/id-sea"])
def test_below_a_path_all_addresses_begin_with_it(path: str, tmp_path: Path) -> None:
    enter(tmp_path / "state", painted(tmp_path))
    page = visitor(tmp_path, path="/paint")
    answer = page.get(f"/paint{path}", headers=PEOPLE)
    found = re.findall(r'(?:src|href|action|data-events)="(/[^"]*)"', answer.text)
    assert found and all(one.startswith("/paint/") for one in found)


def test_the_first_page_can_be_read_without_scripts(tmp_path: Path) -> None:
    bad = replace(painted(tmp_path, "bad"), state="refused", reason="it is no picture")
    enter(tmp_path / "state", painted(tmp_path), bad)
    publish(tmp_path / "state", Status(waiting=["dusk"]), waiting=1)
    text = visitor(tmp_path).get("/", headers=PEOPLE).text
    for said in ("dusk", "it is no picture", 'action="/jobs/id-bad/retry"', 'action="/upload"',
                 'action="/pause"', "sea, the finished painting"):  # fmt: skip
        assert said in text


def test_the_gallery_goes_on_where_a_page_ends(tmp_path: Path) -> None:
    ended = [
        entry(f"{n:03}", finished=f"2026-01-02T12:{n // 30:02}:00+00:00") for n in range(2 * PAGE)
    ]
    enter(tmp_path / "state", *ended)
    page, address, seen = visitor(tmp_path), "/gallery?state=done", []
    while address:
        text = page.get(address, headers=PEOPLE).text
        seen += re.findall(r'<article class="card" data-key="id-(\d+)"', text)
        older = re.search(r'rel="next" href="([^"]+)"', text)
        address = older[1].replace("&amp;", "&") if older else ""
    assert seen == [f"{n:03}" for n in range(2 * PAGE - 1, -1, -1)]


def test_jobs_with_a_bad_end_hang_elsewhere(tmp_path: Path) -> None:
    enter(tmp_path / "state", painted(tmp_path), entry("gone", "cancelled", finished="2026"))
    page = visitor(tmp_path)
    assert "id-gone" not in page.get("/gallery").text
    assert "id-gone" in page.get("/gallery?state=cancelled").text
    assert page.get("/gallery?state=running").status_code == 404


def test_a_job_is_found_by_its_name_as_well(tmp_path: Path) -> None:
    enter(tmp_path / "state", painted(tmp_path))
    answer = visitor(tmp_path).get("/jobs/sea")
    assert (answer.status_code, answer.headers["location"]) == (302, "/jobs/id-sea")
    assert visitor(tmp_path).get("/jobs/nothing").status_code == 404


def test_a_receipt_is_handed_over(tmp_path: Path) -> None:
    enter(tmp_path / "state", painted(tmp_path), entry("bare", place=None))
    page = visitor(tmp_path)
    assert page.get("/jobs/id-sea/receipt.json").json()["seconds"] == 61.0
    assert page.get("/jobs/id-bare/receipt.json").status_code == 404


def test_small_pictures_come_in_a_few_sizes_alone(tmp_path: Path) -> None:
    enter(tmp_path / "state", painted(tmp_path))
    page = visitor(tmp_path)
    assert page.get("/jobs/id-sea/small/4096/final").status_code == 404


def test_in_place_of_a_picture_that_is_not_there_is_a_blank(tmp_path: Path) -> None:
    enter(tmp_path / "state", entry("bare"))
    page = visitor(tmp_path)
    answer = page.get("/jobs/id-bare/small/512/final")
    assert (answer.status_code, answer.headers["cache-control"]) == (302, "no-store")
    assert page.get(answer.headers["location"]).headers["content-type"] == "image/svg+xml"


def test_there_are_no_news_of_what_is_not_there(tmp_path: Path) -> None:
    assert visitor(tmp_path).get("/events?page=nothing").status_code == 404


def test_what_came_to_a_bad_end_is_dismissed_by_a_form_and_hangs_in_the_gallery_on(
    tmp_path: Path,
) -> None:
    bad = [entry(name, "refused", finished="2026-01-02T14:00:00+00:00") for name in ("bad", "fog")]
    enter(tmp_path / "state", *bad)
    page = visitor(tmp_path)
    said = '<form method="post" action="/jobs/id-bad/dismiss">'
    assert said in page.get("/").text and said in page.get("/jobs/id-bad").text
    assert 'action="/dismiss"' in page.get("/").text
    enter(tmp_path / "state", replace(bad[0], dismissed=True))
    for address in ("/", "/jobs/id-bad"):
        assert said not in page.get(address).text
    assert 'action="/dismiss"' not in page.get("/").text, "there is one button for one job"
    assert 'action="/jobs/id-bad/retry"' in page.get("/jobs/id-bad").text
    assert "/jobs/id-bad" in page.get("/gallery?state=refused").text
