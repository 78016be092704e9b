"""The pages can be read without scripts, below any path, and are updated in parts."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tests.daemon.web.world import (
    BROWSER,
    client,
    enter,
    entry,
    finished_job,
    picture,
    publish,
    write,
)

from stylewatch_daemon.outbox.status_txt import Running, Status
from stylewatch_daemon.web import pages
from stylewatch_daemon.web.http import Context
from stylewatch_daemon.web.pages import FIRST_PAGE, GALLERY_PAGE


def context_of(page: TestClient) -> Context:
    assert isinstance(page.app, Starlette)
    context: Context = page.app.state.context
    return context


def parts(page: TestClient, name: str) -> dict[str, str]:
    here = context_of(page)
    return dict(pages.parts(here.templates, here.data, name))


@pytest.mark.parametrize("root", ["", "/base"])
def test_a_page_keeps_to_its_policy_and_below_its_path(root: str, tmp_path: Path) -> None:
    enter(tmp_path / "state", finished_job(tmp_path))
    page = client(tmp_path, path=root)
    for path in ("/", "/gallery", "/jobs/id-sea"):
        text = page.get(f"{root}{path}", headers=BROWSER).text
        assert not re.search(r"\sstyle=|\son[a-z]+=|<style|javascript:", text)
        script = f'<script type="module" src="{root}/static/page.js">'
        assert re.findall(r"<script[^>]*>", text) == [script]
        addresses = re.findall(r'(?:src|href|action|data-events)="(/[^"]*)"', text)
        assert addresses and all(address.startswith(f"{root}/") for address in addresses)
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', text)


def test_pages_work_without_scripts(tmp_path: Path) -> None:
    bad = replace(finished_job(tmp_path, "bad"), state="refused", reason="it is no picture")
    enter(tmp_path / "state", finished_job(tmp_path, retry_of="lake"), bad)
    publish(tmp_path / "state", Status(waiting=["dusk"]), waiting=1)
    page = client(tmp_path)
    for path, contents in (
        ("/", ("dusk", "it is no picture", 'action="/jobs/id-bad/retry"', 'action="/upload"',
               'action="/pause"', "sea, output", "Queue", "New job", "Start", "13:00 UTC")),
        ("/jobs/id-sea", ("1 min 1 s", "objective.start", "loss 100 at step 1", "content conv4_2",
                          "the filters are not normalized", 'href="/jobs/lake"', "Run again",
                          'data-step="10"', "sketch (cpu)")),
    ):  # fmt: skip
        text = page.get(path, headers=BROWSER).text
        assert not [content for content in contents if content not in text]


def test_the_gallery_goes_on_where_a_page_ends(tmp_path: Path) -> None:
    ended = [
        entry(f"{n:03}", finished=f"2026-01-02T12:{n // 30:02}:00+00:00")
        for n in range(2 * GALLERY_PAGE)
    ]
    enter(tmp_path / "state", *ended, entry("gone", "cancelled", finished="2026"))
    page, address, seen = client(tmp_path), "/gallery?state=done", []
    while address:
        text = page.get(address, headers=BROWSER).text
        seen += re.findall(r'<article class="card" data-key="id-(\w+)"', text)
        older = re.search(r'rel="next" href="([^"]+)"', text)
        address = older[1].replace("&amp;", "&") if older else ""
    assert seen == [f"{n:03}" for n in range(2 * GALLERY_PAGE - 1, -1, -1)]
    assert "id-gone" in page.get("/gallery?state=cancelled").text
    assert page.get("/gallery?state=running").status_code == 404


def test_a_job_is_found_by_its_name_too(tmp_path: Path) -> None:
    enter(tmp_path / "state", finished_job(tmp_path), entry("bare", place=None))
    page = client(tmp_path)
    answer = page.get("/jobs/sea")
    assert (answer.status_code, answer.headers["location"]) == (302, "/jobs/id-sea")
    assert page.get("/jobs/nothing").status_code == 404
    assert page.post("/jobs/sea/retry").status_code == 404, "actions go by the id only"
    assert page.get("/events?page=nothing").status_code == 404
    assert page.get("/jobs/id-sea/receipt.json").json()["seconds"] == 61.0
    assert page.get("/jobs/id-bare/receipt.json").status_code == 404


def test_a_refused_job_is_dismissed_by_a_form(tmp_path: Path) -> None:
    bad = [entry(name, "refused", finished="2026-01-02T14:00:00+00:00") for name in ("bad", "fog")]
    enter(tmp_path / "state", *bad)
    page = client(tmp_path)
    form = '<form method="post" action="/jobs/id-bad/dismiss">'
    assert form in page.get("/").text and form in page.get("/jobs/id-bad").text
    assert 'action="/dismiss"' in page.get("/").text
    enter(tmp_path / "state", replace(bad[0], dismissed=True))
    assert form not in page.get("/").text + page.get("/jobs/id-bad").text
    assert 'action="/dismiss"' not in page.get("/").text, "one job needs no button for all"
    assert 'action="/jobs/id-bad/retry"' in page.get("/jobs/id-bad").text
    assert "/jobs/id-bad" in page.get("/gallery?state=refused").text


def test_each_page_has_its_parts_without_markup_of_others(tmp_path: Path) -> None:
    bad = replace(finished_job(tmp_path), state="refused", reason="<script>alert(1)</script>")
    enter(tmp_path / "state", bad)
    page = client(tmp_path)
    assert set(parts(page, FIRST_PAGE)) == set(pages.FIRST_PAGE_PARTS)
    assert set(parts(page, "id-sea")) == set(pages.JOB_PARTS)
    assert parts(page, "sea") == {}
    for part in (parts(page, FIRST_PAGE)["failed"], parts(page, "id-sea")["job_head"]):
        assert "&lt;script&gt;" in part and "<script" not in part


def test_pages_depend_on_the_ledger_the_stages_and_the_status_that_was_read(
    tmp_path: Path,
) -> None:
    enter(tmp_path / "state", replace(finished_job(tmp_path), state="running"))
    publish(tmp_path / "state", Status(running=[Running("sea", 1, 9, 0.5, id="id-sea")]))
    here = context_of(client(tmp_path))
    reader = here.reader
    seen = [pages.look(here.settings, reader)]
    write(tmp_path / "out/sea/stages/0020.png", picture(1))
    seen.append(pages.look(here.settings, reader))
    enter(tmp_path / "state", finished_job(tmp_path, "more"))
    seen.append(pages.look(here.settings, reader))
    assert len(set(seen)) == 3
    # A status.json that is not read yet is no news; else viewers would miss it.
    reader._clock = lambda: reader._read_at
    publish(tmp_path / "state", Status(waiting=["sea"]))
    assert pages.look(here.settings, reader) == seen[-1]
    reader._clock = lambda: reader._read_at + 1
    assert pages.look(here.settings, reader) != seen[-1]
    assert reader.published()["waiting"] == ["sea"]
