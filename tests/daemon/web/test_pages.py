"""The records behind the pages, and the pages: without scripts, below any path, in parts."""

import json
import os
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tests.daemon.web.world import (
    BROWSER,
    STEPS,
    Clock,
    client,
    enter,
    entry,
    finished_job,
    picture,
    publish,
    publish_status,
    settings,
    sha256,
    write,
)

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.files import lock
from stylewatch_daemon.model import Incomplete
from stylewatch_daemon.outbox import status_json
from stylewatch_daemon.outbox.status_txt import Running, Status
from stylewatch_daemon.store.requests import PAUSED
from stylewatch_daemon.web import page_data, pages
from stylewatch_daemon.web.context import Context
from stylewatch_daemon.web.page_data import (
    POLL_EVERY_S,
    RECENT,
    ImageLinks,
    PageData,
    Reader,
    Trails,
)
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


# Records


def data(root: Path) -> PageData:
    return PageData(settings(root), Reader(root / "state"))


def test_a_running_job_has_its_newest_stage_and_its_time_left(tmp_path: Path) -> None:
    enter(tmp_path / "state", replace(finished_job(tmp_path), state="running", finished=None))
    status = Running("sea", 7, 60, 0.5, (8, 6), 75.0, "cpu", id="id-sea")
    publish(tmp_path / "state", Status(running=[status]), running=1)
    (job,) = data(tmp_path).overview().running
    assert (job.progress, job.left, job.percent) == ("step 7 of 60", "1 min 15 s left", 11)
    assert job.is_stage and job.image is not None and "stage-15" in job.image.src
    assert job.curve is not None and job.curve.last == (7, 0.5)
    page = data(tmp_path).job("id-sea")
    assert page is not None and page.running is not None and not page.is_over
    for stage in (tmp_path / "out/sea/stages").iterdir():
        stage.unlink()
    status = Running("sea", 0, 0, None, None, None, "cpu", id="id-sea")
    publish(tmp_path / "state", Status(running=[status]), running=1)
    (job,) = data(tmp_path).overview().running
    assert not job.is_stage and job.image is not None and "input-0" in job.image.src
    assert (job.progress, job.left) == ("preparing", "")


def test_the_first_page_has_the_queue_and_the_latest_jobs(tmp_path: Path) -> None:
    bad = entry("bad", "refused", finished="2026-01-02T14:00:00+00:00", reason="no picture")
    old = [entry(f"{n:02}", finished=f"2026-01-01T12:00:{n:02}+00:00") for n in range(20)]
    enter(tmp_path / "state", finished_job(tmp_path), bad, *old)
    incomplete = [Incomplete("dusk", "a style picture")]
    publish(tmp_path / "state", Status(waiting=["a", "b"], incomplete=incomplete), waiting=9)
    overview = data(tmp_path).overview()
    assert (overview.queue, overview.more) == (("a", "b"), 7)
    assert overview.incomplete[0]["waits_for"] == "a style picture"
    good, *others = overview.recent
    assert (good.name, good.made_from) == ("sea", "harbour.jpg in the style of wave.jpg")
    assert good.image is not None and good.image.alt == "sea, output"
    assert [card.name for card in others] == [f"{n:02}" for n in range(19, 20 - RECENT, -1)]
    (card,) = overview.failed
    assert (card.reason, card.image) == ("no picture", None)


def test_the_state_of_the_daemon_is_said_in_a_word(tmp_path: Path) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    enter(tmp_path / "state", entry("a", finished=now), entry("b", finished="2026-01-02"))
    publish(tmp_path / "state", Status(trouble=["the disk is full"]))
    health = data(tmp_path).health()
    assert (health.word, health.done_last_hour) == ("not running", 1)
    at_work = replace(health, at_work=True)
    assert at_work.word == "blocked"
    assert replace(at_work, paused=True).word == "paused"
    assert replace(at_work, trouble=()).word == "idle"


def test_the_page_of_a_done_job_has_all_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "out/sea/progress.webp", picture(1, "WEBP"))
    enter(tmp_path / "state", finished_job(tmp_path))
    page = data(tmp_path).job("id-sea")
    assert page is not None and page.before is not None and "input-0" in page.before.src
    assert page.after is not None and "final" in page.after.src
    assert page.animation is not None and "/pictures/animation" in page.animation.src
    assert [stage.step for stage in page.stages] == list(STEPS)
    assert [(image.alt, image.width, image.height) for image in page.inputs] == [
        ("content image harbour.jpg", 8, 6), ("style image wave.jpg", 8, 6),
    ]  # fmt: skip
    assert page.is_over and '"seed": 0' in page.receipt
    monkeypatch.setattr(page_data, "MAX_RECEIPT", 10)
    monkeypatch.setattr(page_data, "MAX_STAGES", 1)
    page = data(tmp_path).job("id-sea")
    assert page is not None
    assert page.receipt == "" and [stage.step for stage in page.stages] == [5, 15]


def test_a_light_picture_is_shown_itself_and_others_as_a_preview(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    links, light = ImageLinks(tmp_path), finished_job(tmp_path)
    tiff = finished_job(tmp_path, "tiff", final="final.tiff")
    image = links.large(light, "final", "")
    digest = sha256(picture(15))[:32]
    assert image is not None and image.src == f"/jobs/id-sea/pictures/final?d={digest}"
    monkeypatch.setattr(page_data, "MAX_DIRECT_BYTES", 10)
    for job in (tiff, light):
        image = links.large(job, "final", "")
        assert image is not None and f"/jobs/{job.id}/small/1600/final?d=" in image.src
    assert links.large(light, "sheet", "") is None and links.small(light, "sheet", "") is None


def test_published_losses_are_kept_until_a_job_goes_back() -> None:
    trails = Trails()
    for step, loss in ((0, None), (1, 9.0), (2, 8.0), (3, 7.0), (2, 6.0)):
        trails.add("a", step, loss)
    assert trails.of("a") == ((1, 9.0), (2, 6.0))
    assert trails.of("b") == ()


# Reading the state folder


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reader(tmp_path: Path, clock: Clock) -> Reader:
    (tmp_path / "state").mkdir()
    return Reader(tmp_path / "state", clock)


def test_a_status_has_every_key_and_is_read_when_it_is_new(
    reader: Reader, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reader.published() == status_json.nothing()
    publish_status(tmp_path, waiting=["sea"])
    assert reader.published()["waiting"] == []
    clock.now += POLL_EVERY_S
    assert reader.published()["waiting"] == ["sea"]
    assert set(reader.published()) == set(status_json.nothing())
    with monkeypatch.context() as patch:
        patch.setattr(status_json, "read", lambda state: pytest.fail("read again"))
        clock.now += POLL_EVERY_S
        assert reader.published()["waiting"] == ["sea"]
    (tmp_path / "state/status.json").write_text("[1, 2")
    clock.now += POLL_EVERY_S
    assert reader.published() == status_json.nothing()


def test_whether_a_daemon_runs_is_checked(reader: Reader, clock: Clock, tmp_path: Path) -> None:
    publish_status(tmp_path)
    assert json.loads((tmp_path / "state/status.json").read_text())["health"]["at_work"]
    assert reader.published()["health"]["at_work"] is False
    with lock.held(tmp_path / "state" / status_json.LOCK_NAME):
        (tmp_path / "state" / PAUSED).touch()
        clock.now += POLL_EVERY_S
        health = reader.published()["health"]
    assert health["at_work"] and health["paused"] and health["pid"] == os.getpid()


def test_jobs_are_found_by_their_ids_alone_and_nothing_is_written(
    reader: Reader, tmp_path: Path
) -> None:
    assert reader.job("id-sea") is None
    assert data(tmp_path).overview().recent == ()
    enter(tmp_path / "state", entry("sea"))
    assert reader.job("id-sea") == entry("sea")
    assert reader.job("sea") is None
    with reader.ledger() as ledger:
        assert ledger is not None
        with pytest.raises(OutputError, match="readonly"):
            list(ledger._rows("DELETE FROM jobs"))
