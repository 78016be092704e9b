"""The pages, without scripts, below any path, in parts; and the records that they show."""

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tests.daemon.cli.states import running as worker
from tests.daemon.web.world import (
    BROWSER,
    CHECK,
    STEPS,
    Clock,
    a_job,
    client,
    enter,
    finished_job,
    incomplete,
    picture,
    publish,
    sha256,
    write,
)

from stylewatch_daemon.app import status_json
from stylewatch_daemon.base.model import Input, Job, State
from stylewatch_daemon.outbox.publish import CLIP_FOLDER
from stylewatch_daemon.web import cards, doctor_runner, gallery, health, job_page, live_updates
from stylewatch_daemon.web import overview as first_page
from stylewatch_daemon.web.http import Context
from stylewatch_daemon.web.job_page import JobPage
from stylewatch_daemon.web.live_updates import look
from stylewatch_daemon.web.overview import Overview
from stylewatch_daemon.web.reader import POLL_EVERY_S, Reader

DISMISS = '<form method="post" action="/jobs/id-bad/dismiss">'


def context(page: TestClient) -> Context:
    assert isinstance(page.app, Starlette)
    here: Context = page.app.state.context
    return here


def parts(page: TestClient, name: str) -> dict[str, str]:
    return dict(live_updates.parts(context(page), name))


def overview(root: Path, *jobs: Job) -> Overview:
    """The record of the first page, after `jobs` are entered."""
    return first_page.view(context(client(root, *jobs)))


def job(root: Path, name: str = "sea") -> JobPage:
    """The record of the page of a job."""
    page = job_page.view(context(client(root)), f"id-{name}")
    assert page is not None
    return page


@pytest.mark.parametrize("root", ["", "/base"])
def test_a_page_keeps_to_its_policy_and_below_its_path(root: str, tmp_path: Path) -> None:
    page = client(tmp_path, finished_job(tmp_path), path=root)
    for path in ("/", "/gallery", "/jobs/id-sea"):
        text = page.get(f"{root}{path}", headers=BROWSER).text
        assert not re.search(r"\sstyle=|\son[a-z]+=|<style|javascript:", text)
        script = f'<script type="module" src="{root}/static/page.js">'
        assert re.findall(r"<script[^>]*>", text) == [script]
        addresses = re.findall(r'(?:src|href|action|data-events)="(/[^"]*)"', text)
        assert addresses and all(address.startswith(f"{root}/") for address in addresses)
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', text)


def test_pages_work_without_scripts(tmp_path: Path) -> None:
    bad = finished_job(tmp_path, "bad", seen="refused", reason="it is no picture")
    page = client(tmp_path, finished_job(tmp_path, retry_of="lake"), bad, a_job("fog", "failed"))
    publish(tmp_path, {"waiting": 1}, waiting=["dusk"])
    for path, contents in (
        ("/", ("dusk", "it is no picture", 'action="/jobs/id-fog/retry"', 'action="/upload"',
               'href="/jobs/id-bad/again"',
               'action="/pause"', "sea, output", "Queue", "13:00 UTC",
               'enctype="multipart/form-data"', DISMISS, 'action="/dismiss"')),
        ("/jobs/id-sea", ("1 min 1 s", "loss at 8x6: 100 at step 1, 1 at step 5",
                          "the filters are not normalized", 'href="/jobs/lake"', "Paint again",
                          "all as by default", 'data-step="10"')),
        ("/jobs/id-bad", (DISMISS,)),
    ):  # fmt: skip
        text = page.get(path, headers=BROWSER).text
        assert not [content for content in contents if content not in text]
    for path in ("/", "/jobs/id-bad", "/jobs/id-sea", "/gallery?state=refused"):
        text = page.get(path).text
        assert not re.search(r"jobs/id-(bad|sea)/retry..?>\s*<button", text), "it would end alike"
    enter(tmp_path / "state", replace(bad, dismissed=True))
    text = page.get("/").text
    assert DISMISS not in text + page.get("/jobs/id-bad").text
    assert 'action="/dismiss"' not in text, "one job needs no button for all"
    assert "/jobs/id-bad" in page.get("/gallery?state=refused").text


def test_the_gallery_goes_on_where_a_page_ends(tmp_path: Path) -> None:
    count = 2 * gallery.PAGE
    times = [f"2026-01-02T12:{n // 30:02}:00+00:00" for n in range(count)]
    ended = [a_job(f"{n:03}", finished=time) for n, time in enumerate(times)]
    bad = a_job("bad", "refused", finished="2026", dismissed=True)
    gone = a_job("gone", "canceled", finished="2026")
    early = a_job("early", "stopped early", finished="2026")
    page = client(tmp_path, *ended, gone, early, bad)
    address, seen = "/gallery?state=done", []
    while address:
        text = page.get(address, headers=BROWSER).text
        seen += re.findall(r'<article class="card" data-key="id-(\w+)"', text)
        older = re.search(r'rel="next" href="([^"]+)"', text)
        address = older[1].replace("&amp;", "&") if older else ""
    assert seen == [*(f"{n:03}" for n in range(count - 1, -1, -1)), "early"]
    assert "id-gone" in page.get("/gallery?state=canceled").text
    text = page.get("/gallery").text
    tabs = re.findall(r'(\w+) <span class="count">(\d+)</span></a>', text)
    assert tabs == [("done", str(count + 1)), ("failed", "0"), ("refused", "1"), ("canceled", "1")]
    assert page.get("/gallery?state=running").status_code == 404


def test_the_gallery_is_searched_by_a_form_whose_fields_its_links_keep(tmp_path: Path) -> None:
    sea, lake = (
        finished_job(tmp_path, name, settings={"recipe": "best"}) for name in ("sea", "lake")
    )
    late = replace(sea, id="id-late", place="late", finished="2026-01-02T23:30:00+00:00")
    other = replace(sea, id="id-other", place="other", inputs=(), settings={"recipe": "gatys"})
    page, style = client(tmp_path, sea, lake, late, other), sha256(picture(90, "JPEG"))
    every = ["late", "sea", "other", "lake"]
    for query, names in {
        "": every, "name=SE": ["sea"], "sort=name": sorted(every), "sort=color&from=x": every,
        "sort=oldest": ["lake", "other", "sea", "late"], "recipe=gatys": ["other"],
        f"style={style}": ["late", "sea", "lake"], "to=9999-12-31": every, "zone=../etc": every,
        "from=2026-01-03": [], "from=2026-01-03&zone=Asia/Tokyo": ["late"], "to=2026-01-01": [],
        "to=2026-01-02&zone=Asia/Tokyo": every[1:],
    }.items():  # fmt: skip
        text = page.get(f"/gallery?{query}", headers=BROWSER).text
        cards = re.findall(r'<article class="card" data-key="id-(\w+)"', text)
        assert cards == names, query
    query = f"style={style}&name=se&recipe=best&sort=oldest"
    text = page.get(f"/gallery?{query}", headers=BROWSER).text
    for content in (
        f'<option value="{style}" selected>wave.jpg', '<option value="best" selected>',
        'value="se"', '<option value="oldest" selected>',
        "recipe=best&amp;sort=oldest&amp;state=failed",
    ):  # fmt: skip
        assert content in text
    text = page.get("/gallery?style=beef", headers=BROWSER).text
    assert "No job matches this search" in text and "the selected style" in text
    assert f'href="/gallery?style={style}"' in page.get("/jobs/id-sea").text


def test_health_is_said_in_a_sentence_and_details_are_folded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_runner, "CHECK", CHECK)
    monkeypatch.setattr(doctor_runner, "VISITOR_TIMEOUT_S", 60.0)
    publish(tmp_path, health={"trouble": ["the disk is full"], "events": False})
    with client(tmp_path) as page:
        assert page.post("/health/look", headers=BROWSER).headers["Location"] == "/health"
        text, _, folded = page.get("/health", headers=BROWSER).text.partition("<summary>Technical")
    for content in ("stylewatch is not running: new jobs wait", "the disk is full",
                    "Everything that was checked works."):  # fmt: skip
        assert content in text
    for content in ("has room", "every 0.5 seconds or less often"):
        assert content in folded and content not in text


def test_a_job_leads_to_those_beside_it_in_the_gallery(tmp_path: Path) -> None:
    times = {"a": 1, "b": 2, "c": 3, "d": 4}
    jobs = {
        name: a_job(name, finished=f"2026-01-02T00:0{at}:00+00:00") for name, at in times.items()
    }
    page = client(tmp_path, *jobs.values(), a_job("lone", "refused"), a_job("busy", "running"))
    for name, words in {
        "a": ("Newer: b",),
        "b": ("Newer: c", "Older: a"),
        "d": ("Older: c",),
    }.items():
        links = re.findall(
            r'<a href="/jobs/id-(.)" rel="\w+">(\w+: .)</a>', page.get(f"/jobs/id-{name}").text
        )
        assert tuple(text for _, text in links) == words
        assert all(text.endswith(to) for to, text in links)
    for name in ("lone", "busy"):
        assert 'rel="next"' not in page.get(f"/jobs/id-{name}").text


def test_a_job_is_found_by_its_name_too_as_the_link_to_the_job_before_a_retry(
    tmp_path: Path,
) -> None:
    retry = finished_job(tmp_path, retry_of="album/sea")
    page = client(tmp_path, retry, a_job("album/sea"), a_job("bare", place=None))
    link = re.search(r'<a href="([^"]*)">album/sea</a>', page.get("/jobs/id-sea").text)
    assert link is not None
    for path, job_id in (("/jobs/sea", "id-sea"), (link[1], "id-album/sea")):
        answer = page.get(path)
        assert (answer.status_code, answer.headers["location"]) == (302, f"/jobs/{job_id}")
    for path in ("nothing", "album/nothing", "id-bare/receipt.json", "nobody/again"):
        assert page.get(f"/jobs/{path}").status_code == 404
    assert page.get("/events?page=nothing").status_code == 404
    assert page.post("/jobs/sea/retry").status_code == 404, "actions go by the id only"
    assert page.get("/jobs/id-sea/receipt.json").json()["seconds"] == 61.0


def test_each_page_has_its_parts_without_markup_of_others(tmp_path: Path) -> None:
    bad = finished_job(tmp_path, seen="refused", reason="<script>alert(1)</script>")
    page = client(tmp_path, bad)
    assert parts(page, health.TOPIC)["health"] in page.get("/health").text
    assert 'data-events="/events?page=health"' in page.get("/health").text
    assert parts(page, "sea") == {}
    for part in (parts(page, first_page.TOPIC)["failed"], parts(page, "id-sea")["job_head"]):
        assert "&lt;script&gt;" in part and "<script" not in part


def test_a_status_is_read_when_it_is_new_and_pages_depend_on_it_the_ledger_and_the_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, clock = tmp_path / "state", Clock()
    reader = Reader(state, clock)
    here = replace(context(client(tmp_path, finished_job(tmp_path, seen="running"))), reader=reader)
    assert reader.published() == status_json.nothing()
    publish(tmp_path, running=[worker("sea")])
    assert reader.published() == status_json.nothing()
    clock.now += POLL_EVERY_S
    seen = [look(here)]
    write(tmp_path / "out/sea/stages/0020.png", picture(1))
    seen.append(look(here))
    enter(state, finished_job(tmp_path, "more"))
    seen.append(look(here))
    assert len(set(seen)) == 3
    # A status.json that is not read yet is no news; else viewers would miss it.
    publish(tmp_path, waiting=["sea"])
    assert look(here) == seen[-1]
    clock.now += POLL_EVERY_S
    assert look(here) != seen[-1]
    with monkeypatch.context() as patch:
        patch.setattr(status_json, "read", lambda state: pytest.fail("read again"))
        clock.now += POLL_EVERY_S
        assert reader.published()["waiting"] == ["sea"]
    (state / "status.json").write_text("[1, 2")
    clock.now += POLL_EVERY_S
    assert reader.published() == status_json.nothing()


@pytest.mark.parametrize("attempt", ["", ".10-20260102120000-7"])
def test_a_running_clip_shows_its_newest_frame(attempt: str, tmp_path: Path) -> None:
    """It is that of the latest attempt, which has a folder of its own on another machine."""
    running = finished_job(tmp_path, seen="running", finished=None)
    staging = tmp_path / "out" / ".staging" / "id-sea"
    if attempt:  # an earlier one, which may still go on where it was cut off
        write(staging / ".9-20260102110000-7" / CLIP_FOLDER / "00000009.png", b"cut off")
    folder = staging / attempt / CLIP_FOLDER
    folder.mkdir(parents=True)
    for name in ("00000016.png", "00000017.png", "part.nut", "segment-00000000.nut"):
        (folder / name).write_bytes(b"painted")
    status = worker("sea", step=18, steps=40, loss=0.5, size=(8, 6), unit="frame", device="")
    publish(tmp_path, {"running": 1}, running=[status])
    clip = replace(running, inputs=(replace(running.inputs[0], frames=40), running.inputs[1]))
    (painted,) = overview(tmp_path, clip).running
    assert painted.progress == "frame 18 of 40"
    assert painted.image is not None and "pictures/frame-17?d=" in painted.image.src
    assert client(tmp_path).get(painted.image.src).content == b"painted"
    (tmp_path / "out/sea/receipt.json").unlink()
    page = job(tmp_path)
    assert page.after == painted.image
    assert [stage.step for stage in page.stages] == [*STEPS, 18]


def test_a_running_job_has_its_newest_stage_and_its_time_left(tmp_path: Path) -> None:
    running = finished_job(tmp_path, seen="running", finished=None)
    status = worker("sea", step=7, steps=60, loss=0.5, size=(8, 6), seconds_left=75.0)
    publish(tmp_path, {"running": 1}, running=[status])
    (now,) = overview(tmp_path, running).running
    assert (now.progress, now.left, now.percent) == ("step 7 of 60", "1 min 15 s left", 11)
    assert now.is_stage and now.image is not None and "stage-15" in now.image.src
    assert now.view.curve is not None and now.where == "8x6 on cpu"
    assert job(tmp_path).running == now
    shutil.rmtree(tmp_path / "out/sea/stages")
    status = worker("sea", step=0, steps=0, loss=None, size=None, seconds_left=None, device="")
    publish(tmp_path, {"running": 1}, running=[status])
    (now,) = overview(tmp_path).running
    assert not now.is_stage and now.image is not None and "input-0" in now.image.src
    assert (now.progress, now.left, now.where) == ("preparing", "", "")


def test_the_first_page_has_the_queue_the_latest_jobs_and_the_state_of_the_daemon(
    tmp_path: Path,
) -> None:
    bad = a_job("bad", "refused", finished="2026-01-02T14:00:00+00:00", reason="no picture")
    old = [a_job(f"{n:02}", finished=f"2026-01-01T12:00:{n:02}+00:00") for n in range(20)]
    publish(
        tmp_path,
        {"waiting": 9},
        {"trouble": ["the disk is full"]},
        waiting=["a", "b"],
        incomplete=[incomplete("dusk")],
    )
    page = overview(tmp_path, finished_job(tmp_path), bad, *old)
    assert page.queue == ("a", "b") and "and 7 more" in client(tmp_path).get("/").text
    assert page.incomplete[0]["waits_for"] == "a style picture"
    good, *others = page.recent
    assert (good.name, good.made_from) == ("sea", "harbour.jpg in the style of wave.jpg")
    assert good.image is not None and good.image.alt == "sea, output"
    assert [card.name for card in others] == [
        f"{n:02}" for n in range(19, 20 - first_page.RECENT, -1)
    ]
    (card,) = page.failed
    assert (card.reason, card.image) == ("no picture", None)
    at_work = replace(page.health, at_work=True)
    assert (page.health.word, at_work.word) == ("not running", "blocked")
    assert replace(at_work, paused=True).word == "paused"
    assert replace(at_work, trouble=()).word == "idle"


def test_the_page_of_a_done_job_has_all_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "out/sea/progress.webp", picture(1, "WEBP"))
    jobs = finished_job(tmp_path), finished_job(tmp_path, "b", "final.tiff")
    client(tmp_path, *jobs)
    page = job(tmp_path)
    assert page.before is not None and "input-0" in page.before.src
    digest = sha256(picture(15))[:32]
    assert page.after is not None
    assert page.after.src == f"/jobs/id-sea/pictures/final?d={digest}"
    assert page.stages[-1].large == page.after, "the output is the last stage"
    assert page.animation is not None and "/pictures/animation" in page.animation.src
    assert [stage.step for stage in page.stages] == list(STEPS)
    assert [(image.alt, image.width, image.height) for image in page.inputs] == [
        ("content image harbour.jpg", 8, 6), ("style image wave.jpg", 8, 6),
    ]  # fmt: skip
    monkeypatch.setattr(job_page, "MAX_STAGES", 1)
    for name, most in (("b", 10**6), ("sea", 10)):  # a format unknown to browsers; too large
        monkeypatch.setattr(cards, "MAX_DIRECT_BYTES", most)
        page = job(tmp_path, name)
        assert page.after is not None
        assert page.after.src.startswith(f"/jobs/id-{name}/small/1600/final?d=")
    assert [stage.step for stage in page.stages] == [5, 15]


def test_jobs_of_a_folder_are_described_by_their_pictures_too(tmp_path: Path) -> None:
    inputs = (Input("content", "content.jpg", "/in/sea/content.jpg", 9),
              Input("style", "style.jpg", "/in/sea/style.jpg", 9))  # fmt: skip
    page = client(tmp_path, a_job("sea", finished="2026", inputs=inputs))
    assert "content.jpg in the style of style.jpg" in page.get("/gallery").text


def test_a_file_that_was_refused_unread_is_named_and_not_shown(tmp_path: Path) -> None:
    refused = finished_job(tmp_path, seen="refused")
    unread = Input("content", "content.jpg", "", 9)
    page = client(tmp_path, refused, replace(refused, id="id-note", inputs=(unread,)))
    assert "content image</figcaption>" in page.get("/jobs/id-sea", headers=BROWSER).text
    note = page.get("/jobs/id-note", headers=BROWSER).text
    assert "<li>content.jpg</li>" in note and "content image</figcaption>" not in note


MASK = {"feather": 3, "outside": "free"}


def variant(root: Path, name: str, **more: Any) -> Job:
    """A job with the content image of all others."""
    return finished_job(root, name, settings={"recipe": "best", "name": name, **more})


def test_variants_of_a_photo_stand_side_by_side_with_what_differs(tmp_path: Path) -> None:
    other = replace(variant(tmp_path, "x"), inputs=variant(tmp_path, "x").inputs[1:])
    waiting = replace(
        variant(tmp_path, "d"), state=State.QUEUED, end=None, settings=None, finished=None
    )
    jobs = (variant(tmp_path, "a", strength=0.5), variant(tmp_path, "b", strength=None),
            variant(tmp_path, "c", strength=0.5, mask=MASK), waiting)  # fmt: skip
    visitor = client(tmp_path, *jobs, other)
    assert [(card.name, differs) for card, differs in job(tmp_path, "b").variants] == [
        ("d", {}),
        ("c", {"strength": "0.5", "mask.feather": "3"}),
        ("b", {"strength": "by default", "mask.feather": "by default"}),
        ("a", {"strength": "0.5", "mask.feather": "by default"}),
    ]
    assert job(tmp_path, "x").variants == ()
    for path in ("/jobs/id-b", "/jobs/id-b/again"):
        text = visitor.get(path).text
        assert text.count("mask.feather") >= 3 and text.count("this job") == 1


def test_the_form_to_paint_again_has_the_settings_that_the_job_had(tmp_path: Path) -> None:
    settings = {"backend": "sketch", "recipe": "gatys", "strength": 0.25, "style_weights": [2.0],
                "file_names": {"style.jpg": "wave.jpg"}}  # fmt: skip
    bad = finished_job(tmp_path, "bad", seen="refused", settings={"recipe": "best", "steps": "x"})
    page = client(tmp_path, finished_job(tmp_path, settings=settings), bad)
    write(tmp_path / "styles/great wave.png", picture(3))
    write(tmp_path / "styles/great wave.txt", b"Hokusai <1831>\n")
    (tmp_path / os.fsdecode(b"styles/\xff.png")).write_bytes(picture(3))  # no address can name it
    text = page.get("/jobs/id-sea/again").text
    for part in (
        'value="0.25"', 'value="gatys" selected>', 'value="2"',
        'name="library" value="great wave"', "Hokusai &lt;1831&gt;", "wave.jpg",
        'name="keep" value="1" checked',
        'action="/jobs/id-sea/again"', 'data-size="512"',
    ):  # fmt: skip
        assert part in text
    assert " disabled" not in text
    text = page.get("/jobs/id-sea/again?print").text
    for part in ('name="preview" value="8"', 'value="16"',
                 '<option value="yes" selected>'):  # fmt: skip
        assert part in text
    assert "so the form has the defaults: its settings" in page.get("/jobs/id-bad/again").text
    (tmp_path / "out/sea/inputs/style.jpg").unlink()
    text = page.get("/jobs/id-sea/again").text
    assert "style.jpg (style) is no longer" in text and " disabled" in text
