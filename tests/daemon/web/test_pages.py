"""The pages as people get them, without scripts: what they show of jobs, and their live parts."""

import asyncio
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import aclosing, closing
from dataclasses import replace
from functools import partial
from html import unescape
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tests.daemon.states import incomplete, publish
from tests.daemon.states import running as worker
from tests.daemon.web.world import (
    BROWSER,
    CHECK,
    STEPS,
    TOKEN,
    a_job,
    client,
    enter,
    finished_job,
    input_of,
    picture,
    sha256,
    write,
)

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.files import lock
from stylewatch_daemon.ledger.ledger import FILE_NAME
from stylewatch_daemon.ledger.requests import PAUSED
from stylewatch_daemon.ledger.state_dir import LOCK
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.web import doctor_runner, gallery, job_page, live_updates, pictures
from stylewatch_daemon.web import overview as first_page
from stylewatch_daemon.web.http import API, Context
from stylewatch_painter.sample import shipped_styles

CARD = r'<article class="card" data-key="id-([^"]+)"'
OUTPUT = sha256(picture(STEPS[-1]))[:32]


@pytest.fixture
def at_work(tmp_path: Path) -> Iterator[None]:
    """Hold the state folder, as a daemon does."""
    (tmp_path / "state").mkdir()
    with lock.held(tmp_path / "state" / LOCK):
        yield


def context(page: TestClient) -> Context:
    assert isinstance(page.app, Starlette)
    here: Context = page.app.state.context
    return here


def html(page: TestClient, path: str) -> str:
    answer = page.get(path, headers=BROWSER)
    assert answer.status_code == 200
    return answer.text


def image(text: str, kind: str) -> str:
    """The address of the picture in the figure or frame of this class."""
    found = re.search(rf'class="{kind}[^>]*>\s*(?:<a [^>]*>)?<img src="([^"]*)"', text)
    return "" if found is None else found[1]


def test_a_page_keeps_to_its_policy_and_below_its_path(tmp_path: Path) -> None:
    page = client(tmp_path, finished_job(tmp_path), path="/base", token=TOKEN)
    page.headers["Authorization"] = f"Bearer {TOKEN}"
    for path in ("/", "/gallery", "/jobs/id-sea", "/jobs/id-sea/again", "/delete?job=id-sea"):
        text = html(page, f"/base{path}")
        assert "Log out" in text
        assert not re.search(r"\sstyle=|\son[a-z]+=|<style|javascript:", text)
        script = '<script type="module" src="/base/static/page.js">'
        assert re.findall(r"<script[^>]*>", text) == [script]
        addresses = re.findall(r'(?:src|href|action|data-events)="(/[^"]*)"', text)
        assert addresses and all(address.startswith("/base/") for address in addresses)
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', text)
    assert "Log out" not in html(page, "/base/login")


def test_pages_have_what_is_known_of_a_job_and_what_can_be_done(tmp_path: Path) -> None:
    bad = finished_job(tmp_path, "bad", seen="refused", reason="it is no picture")
    lake = a_job("lake/again", id="id-lake")
    fog = a_job("fog", "failed")
    page = client(tmp_path, finished_job(tmp_path, retry_of="lake/again"), bad, lake, fog)
    for path, contents in (
        ("/", ('action="/jobs"', 'action="/pause"', 'enctype="multipart/form-data"',
               'action="/jobs/id-fog/retry"')),
        ("/jobs/id-sea", ("1 min 1 s", "loss at 8x6: 100 at step 1, 1 at step 5",
                          "the filters are not normalized", 'href="/jobs/id-lake">lake/again',
                          "all as by default", "receipt.json", '<option value="10"')),
    ):  # fmt: skip
        text = html(page, path)
        assert not [content for content in contents if content not in text]
        assert not re.search(r"jobs/id-(bad|sea)/retry..?>\s*<button", text), "it would end alike"


# The gallery


def test_the_gallery_goes_on_where_a_page_ends(tmp_path: Path) -> None:
    count = 2 * gallery.PAGE
    times = [f"2026-01-02T12:{n // 30:02}:00+00:00" for n in range(count)]
    ended = [a_job(f"{n:03}", finished=time) for n, time in enumerate(times)]
    bad = a_job("bad", "refused", finished="2026", dismissed=True)
    page = client(tmp_path, *ended, a_job("early", "stopped early", finished="2026"), bad)
    address, seen = "/gallery?state=done", []
    while address:
        text = html(page, address)
        seen += re.findall(CARD, text)
        older = re.search(r'rel="next" href="([^"]+)"', text)
        address = older[1].replace("&amp;", "&") if older else ""
    assert seen == [*(f"{n:03}" for n in range(count - 1, -1, -1)), "early"]
    tabs = re.findall(r'(\w+) <span class="count">(\d+)</span></a>', html(page, "/gallery"))
    assert re.findall('page">(.*?) <', html(page, "/gallery?state=failed")) == ["failed"]
    none = dict.fromkeys(("favorites", "failed", "canceled", "trash"), "0")
    assert dict(tabs) == {**none, "done": str(count + 1), "refused": "1"}
    text = html(page, "/jobs/id-001")
    links = re.findall(r'<a href="/jobs/id-(\w+)" rel="\w+">(\w+: \w+)</a>', text)
    assert links == [("002", "Newer: 002"), ("000", "Older: 000")]


def test_the_gallery_is_searched_by_a_form_whose_fields_its_links_keep(tmp_path: Path) -> None:
    settings = {"recipe": "best"}
    sea, lake = (finished_job(tmp_path, name, settings=settings) for name in ("sea", "lake"))
    late = replace(sea, id="id-late", place="late", finished="2026-01-02T23:30:00+00:00")
    other = replace(sea, id="id-other", place="other", inputs=(), settings={"recipe": "gatys"})
    page, style = client(tmp_path, sea, lake, late, other), sha256(picture(90, "JPEG"))
    photograph = sea.inputs[0].sha256
    every = ["late", "sea", "other", "lake"]
    for query, names in {
        "": every, "name=SE": ["sea"], "sort=name": sorted(every),
        "sort=oldest": every[::-1], "recipe=gatys": ["other"],
        f"style={style}": ["late", "sea", "lake"], "state=": every, f"content={style}": [],
        f"content={photograph}&sort=oldest": ["lake", "sea", "late"],
        "from=2026-01-03": [], "to=2026-01-01": [],
        "from=2026-01-03&zone=Asia/Tokyo": ["late"],
    }.items():  # fmt: skip
        assert re.findall(CARD, html(page, f"/gallery?{query}")) == names, query
    for query in ("zone=../etc", "to=9999-12-31"):
        assert page.get(f"/gallery?{query}").status_code == 400
    text = html(page, f"/gallery?style={style}&name=se&recipe=best&sort=oldest")
    for content in (
        f'<option value="{style}" selected>wave.jpg', 'value="se"',
        "recipe=best&amp;sort=oldest&amp;state=failed",
    ):  # fmt: skip
        assert content in text
    assert "No job matches this search" in html(page, "/gallery?style=beef")


def test_all_variants_of_a_photograph_can_be_reached(tmp_path: Path) -> None:
    count = job_page.MAX_VARIANTS + 2
    first, *others = [finished_job(tmp_path, f"sea-{number:02}") for number in range(count)]
    text = html(client(tmp_path, first, *others), f"/jobs/{first.id}")
    assert re.findall(CARD, text)[-1] == "sea-00", "the job itself is among the latest"
    (address,) = re.findall(r'href="([^"]*)">All in the gallery', text)
    seen = []
    while address:
        text = html(client(tmp_path), address)
        seen += re.findall(CARD, text)
        older = re.search(r'rel="next" href="([^"]+)"', text)
        address = unescape(older[1]) if older else ""
    assert len({*seen}) == len(seen) == count


def test_a_waiting_job_has_its_place_in_the_queue_if_that_is_known(tmp_path: Path) -> None:
    names = ["one", "two", "three"]
    done, state = a_job("done", inbox="other"), tmp_path / "state"
    page = client(tmp_path, done, *(a_job(name, "waiting") for name in names))

    def places() -> list[str]:
        texts = [html(page, f"/jobs/id-{name}") for name in (*names, "done")]
        return re.findall(r"number (\d) in the queue", " ".join(texts))

    assert places() == [], "interrupted jobs may come first"
    with lock.held(state / LOCK):
        publish(state)
        assert places() == ["1", "3", "2"], "as their ids are sorted"
        publish(state, health={"trouble": ["one: the disk is full"]})
        assert places() == [], "others come first"
        publish(state)
        enter(state, a_job("four", "waiting", inbox="other", outbox="elsewhere"))
        assert places() == [], "inboxes take turns"


# The state of the daemon


def test_programs_get_the_numbers_of_a_daemon_that_is_at_work(tmp_path: Path) -> None:
    page, state = client(tmp_path), tmp_path / "state"
    publish(state, {"running": 1}, {"trouble": ["/secret: full"]}, running=[worker("sea", step=3)])

    def numbers() -> set[str]:
        return {*page.get("/metrics").text.replace("stylewatch_", "").splitlines()}

    assert numbers() >= {"up 0.0", "trouble 0.0", "paused 0.0", 'jobs{state="running"} 0.0'}
    (state / PAUSED).touch()
    with lock.held(state / LOCK):
        at_work = numbers()
    assert at_work >= {"up 1.0", "trouble 1.0", "paused 1.0", "incomplete 0.0"}
    assert at_work >= {'jobs{state="running"} 1.0', 'step{job="sea"} 3.0', 'steps{job="sea"} 50.0'}
    assert f'folder="{state}"' in " ".join(at_work)


@pytest.mark.usefixtures("at_work")
def test_a_probe_learns_only_whether_new_jobs_start(tmp_path: Path) -> None:
    page, state = client(tmp_path), tmp_path / "state"
    publish(state, health={"trouble": ["/secret: full"]})
    blocked = page.get("/readyz")
    assert (blocked.status_code, blocked.text[:20]) == (503, "Some jobs cannot run")
    assert "secret" not in blocked.text
    publish(state)
    ready = page.get("/readyz")
    assert (ready.status_code, ready.text) == (200, "ok\n")


@pytest.mark.usefixtures("at_work")
def test_health_has_the_checks_and_the_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_runner, "CHECK", CHECK)
    monkeypatch.setattr(doctor_runner, "VISITOR_TIMEOUT_S", 60.0)
    publish(tmp_path / "state", health={"trouble": ["the disk is full"]})
    with client(tmp_path) as page:
        page.post("/doctor")
        text, _, folded = html(page, "/health").partition("<summary>Technical")
    assert "the disk is full" in text and "Everything that was checked works." in text
    assert "has room" in folded


@pytest.mark.usefixtures("at_work")
def test_of_two_pictures_in_a_folder_a_person_says_which_is_the_style(tmp_path: Path) -> None:
    sea, kelp, other = (tmp_path / f"in/dusk/{name}" for name in ("a.jpg", "b.png", "c.jpg"))
    for path in (sea, kelp, other):
        write(path, b"picture")
    waiting = incomplete("dusk", "a style picture", sea, kelp)
    page = client(tmp_path)

    def choose(path: Path) -> tuple[int, str]:
        answer = page.post("/incomplete/style", data={"file": str(path)})
        return answer.status_code, answer.json().get("error", "")

    publish(tmp_path / "state", incomplete=[{**waiting, "may_be_style": [str(sea), str(kelp)]}])
    text = html(page, "/")
    assert "Which one is the style image?" in text
    assert re.findall(r'name="file" value="([^"]+)"', text) == [str(sea), str(kelp)]
    gone = (422, "this picture no longer waits for a style image")
    assert choose(other) == gone and other.exists(), "it was not offered"
    write(tmp_path / "in/dusk/style.png", b"another")
    assert choose(kelp) == (422, "there is a style.png in its folder already") and kelp.exists()
    (tmp_path / "in/dusk/style.png").unlink()
    write(tmp_path / "in/dusk/style.txt", b"no picture")
    assert choose(kelp) == (200, "")
    assert (tmp_path / "in/dusk/style.png").exists() and not kelp.exists()
    assert choose(kelp) == gone
    only_one = (422, "there is a style.png in its folder already")
    assert choose(sea) == only_one and sea.exists(), "the other one is the style now"


@pytest.mark.usefixtures("at_work")
def test_the_first_page_has_the_queue_and_the_latest_jobs(tmp_path: Path) -> None:
    old = [a_job(f"{n:02}", finished=f"2026-01-01T12:00:{n:02}+00:00") for n in range(20)]
    queue = [f"waits-{n}" for n in range(14)]
    counts = {"waiting": 19, "refused": first_page.FAILED + 1, "failed": 2}
    bad = [a_job(f"bad-{n}", "refused") for n in range(first_page.FAILED + 1)]
    publish(tmp_path / "state", counts, waiting=queue, incomplete=[incomplete("dusk")])
    text = html(client(tmp_path, finished_job(tmp_path), *old, *bad), "/")
    assert "and 3 more: <a" in text and "Dismiss all 11 refused and failed jobs?" in text
    assert re.findall(r"<li>(waits-\d+)</li>", text) == queue[:12] and "and 7 more" in text
    assert "waits for a style" in text
    last = 20 - first_page.RECENT
    assert re.findall(CARD, text) == ["sea", *(f"{n:02}" for n in range(19, last, -1))]
    assert "harbour in the style of wave" in text and 'alt="sea, output"' in text
    assert 'alt="style image wave.jpg"' in text, "a card shows its style"


# Live parts


def test_each_page_has_its_parts_without_markup_of_others(tmp_path: Path) -> None:
    bad = finished_job(tmp_path, seen="refused", reason="<script>alert(1)</script>")
    page = client(tmp_path, bad)
    here = context(page)
    for path, name, escaped in (
        ("/", first_page.TOPIC, "failed"), ("/health", first_page.HEALTH_TOPIC, ""),
        ("/jobs/id-sea", "id-sea", "job_head"),
    ):  # fmt: skip
        text, parts = html(page, path), live_updates.parts(here, name)
        assert f'data-events="/events?page={name}"' in text
        for part, content in parts.items():
            assert f'data-part="{part}"' in text and content in text
        assert not escaped or "&lt;script&gt;" in parts[escaped]
        assert "<script>" not in text
    assert page.get("/events?page=nothing").status_code == 404


@pytest.mark.usefixtures("at_work")
def test_live_pages_look_at_the_ledger_and_at_the_stages_of_running_jobs(tmp_path: Path) -> None:
    here = context(client(tmp_path, finished_job(tmp_path, seen="running")))
    publish(tmp_path / "state", running=[worker("sea")])
    before = live_updates.look(here)
    write(tmp_path / "out/sea/stages/0020.png", picture(1))
    staged = live_updates.look(here)
    enter(tmp_path / "state", finished_job(tmp_path, "more"))
    assert len({before, staged, live_updates.look(here)}) == 3


def test_who_comes_later_gets_no_outdated_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_updates, "POLL_EVERY_S", 0.0)
    monkeypatch.setattr(live_updates, "BEAT_EVERY_S", 0.1)
    content = ["old"]

    def render(name: str) -> dict[str, str]:
        if not content[0]:
            content[0] = "readable"
            raise OutputError("the ledger cannot be read")
        return {name: content[0]}

    hub = live_updates.Hub(lambda: 1, render)

    async def first_message() -> bytes:
        async with aclosing(hub.watch("queue")) as messages:
            assert await anext(messages) == live_updates.RETRY
            return await anext(messages)

    async def body() -> None:
        assert b'"html": "old"' in await first_message()
        content[0] = "new"
        await asyncio.sleep(0.1)
        assert b'"html": "new"' in await first_message()
        content[0] = ""
        async with aclosing(hub.watch("other")) as messages:
            assert [await anext(messages) for _ in range(2)][1] == live_updates.BEAT
            assert b"readable" in await anext(messages), "a failed reading is repeated"

    asyncio.run(body())


def test_the_live_updates_of_a_job_end_when_it_is_deleted(tmp_path: Path) -> None:
    here = context(client(tmp_path, finished_job(tmp_path)))
    hub = live_updates.Hub(lambda: live_updates.look(here), partial(live_updates.parts, here))

    async def body() -> None:
        async with aclosing(hub.watch("id-sea")) as messages:
            assert b"job_head" in [await anext(messages) for _ in range(2)][1]
            with closing(LedgerWriter.open(tmp_path / "state" / FILE_NAME)) as ledger:
                ledger.delete("id-sea")
            assert [message async for message in messages] == [live_updates.GONE]

    asyncio.run(body())


# A job


def test_a_name_that_fits_no_job_or_several_is_refused(tmp_path: Path) -> None:
    jobs = (a_job("bare", place=None), a_job("Wave"), a_job("wave"))
    page = client(tmp_path, finished_job(tmp_path), *jobs)
    for path in ("nothing", "album/nothing", "id-bare/receipt.json", "nobody/again"):
        assert page.get(f"/jobs/{path}").status_code == 404
    for path in ("/jobs/WAVE", f"{API}/jobs/WAVE"):
        answer = page.get(path)
        assert answer.status_code == 400 and "WAVE fits several jobs: Wave and wave" in answer.text
    assert page.get("/jobs/id-sea/receipt.json").json()["seconds"] == 61.0


@pytest.mark.usefixtures("at_work")
def test_a_job_is_not_about_to_start_while_previews_are_painted(tmp_path: Path) -> None:
    page = client(tmp_path, a_job("sea", "waiting"))
    for health, sentence in (({}, "The next job is about"), ({"trying": True}, "Previews are")):
        publish(tmp_path / "state", {"waiting": 1}, health)
        assert f'<p class="large">{sentence}' in html(page, "/")


@pytest.mark.usefixtures("at_work")
def test_the_first_stages_of_a_job_that_starts_from_a_picture_are_calm(tmp_path: Path) -> None:
    job = finished_job(tmp_path, seen="running", finished=None)
    start = input_of("init", "init.png", b"", "stage.png")
    page = client(tmp_path, replace(job, inputs=(*job.inputs, start)))
    publish(tmp_path / "state", {"running": 1}, running=[worker("sea", step=0, steps=60)])
    text = html(page, "/")
    assert "pictures/stage-15?" in image(text, "frame") and "calm down" not in text


@pytest.mark.usefixtures("at_work")
def test_a_running_job_has_its_newest_stage(tmp_path: Path) -> None:
    page = client(tmp_path, finished_job(tmp_path, seen="running", finished=None))
    status = worker("sea", step=7, steps=60, size=(8, 6), seconds_left=75.0)
    publish(tmp_path / "state", {"running": 1}, running=[status])
    overview, text = html(page, "/"), html(page, "/jobs/id-sea")
    assert '<progress max="60" value="7"' in overview and '<progress max="60" value="7"' in text
    assert "pictures/stage-15?" in image(overview, "frame")
    assert image(text, "after").endswith(f"?d={OUTPUT}")
    for step, blend in ((0, "blend-1"), (7, "blend-2"), (14, "blend-4"), (15, "")):
        publish(tmp_path / "state", {"running": 1}, running=[{**status, "step": step}])
        for path, under in (("/", "small/512"), ("/jobs/id-sea", "pictures")):
            text = html(page, path)
            below = f'<img [^>]*><img src="/jobs/id-sea/{under}/input-0'
            blended = re.findall(rf'(blend-\d)"[^>]*>\s*{below}', text)
            assert "".join(blended) == blend and ("they calm down" in text) == bool(blend)
    shutil.rmtree(tmp_path / "out/sea/stages")
    (tmp_path / "out/sea/final.png").unlink()
    status = worker("sea", step=0, steps=0, loss=None, size=None, seconds_left=None, device="")
    publish(tmp_path / "state", {"running": 1}, running=[status])
    overview = html(page, "/")
    assert "small/512/input-0?" in image(overview, "frame faded")
    assert "the first stage replaces it" in html(page, "/jobs/id-sea")


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_painted_clip_plays_or_shows_its_last_painted_frame(suffix: str, tmp_path: Path) -> None:
    """Not a preview of a film that browsers do not play: that is its first frame."""
    job = finished_job(tmp_path, final=f"final.{suffix}")
    clip = replace(job, inputs=(replace(job.inputs[0], frames=40), job.inputs[1]))
    text = html(client(tmp_path, clip), "/jobs/id-sea")
    players = re.findall(r"<video[^>]*>", text)
    assert len(players) == (suffix == "mp4")
    assert all("/jobs/id-sea/pictures/final?d=" in p and " controls " in p for p in players)
    assert image(text, "after").startswith(f"/jobs/id-sea/pictures/stage-{STEPS[-1]}?d=")
    assert "Run on from this stage" not in text and "again?print" not in text
    assert "data-large" not in text, "the viewer has no clips"
    assert re.findall(r'data-label="([^"]*)"', text) == ["frame 5", "frame 10", "frame 15"]


def test_the_page_of_a_done_job_has_all_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = client(tmp_path, finished_job(tmp_path), finished_job(tmp_path, "b", "final.tiff"))
    text, final = html(page, "/jobs/id-sea"), f"/jobs/id-sea/pictures/final?d={OUTPUT}"
    assert image(text, "before").startswith("/jobs/id-sea/pictures/input-0?d=")
    assert image(text, "after") == final
    stages = re.findall(r'<a href="([^"]*)" data-step="(\d+)"', text)
    assert [int(step) for _, step in stages] == list(STEPS)
    digest = sha256(picture(200, "JPEG"))[:32]
    photograph = f"/jobs/id-sea/small/1600/input-0?d={digest}"
    for path, count in (("/", 1), ("/jobs/id-sea", 2), ("/jobs/id-b", 2)):  # as a variant, too
        viewed = f'data-large="{final}" data-page="/jobs/id-sea" data-title="sea" data-photo'
        assert html(page, path).count(viewed) == count
        assert f'data-photograph="{photograph}"' in html(page, path)
    assert stages[-1][0] == final, "the output is the last stage"
    for alt in ("photograph harbour.jpg", "style image wave.jpg"):
        assert re.search(rf'alt="{alt}"[^>]* width="8" height="6"', text)
    for name, most in (("b", 10**6), ("sea", 10)):  # a format unknown to browsers; too large
        monkeypatch.setattr(pictures, "MAX_DIRECT_BYTES", most)
        text = html(page, f"/jobs/id-{name}")
        assert image(text, "after").startswith(f"/jobs/id-{name}/small/1600/final?d=")


def test_the_form_to_paint_again_has_the_settings_that_the_job_had(tmp_path: Path) -> None:
    settings = {"backend": "sketch", "recipe": "gatys", "strength": 0.25, "style_weights": [2.0],
                "file_names": {"style.jpg": "wave.jpg"}}  # fmt: skip
    bad = finished_job(tmp_path, "bad", seen="refused", settings={"recipe": "best", "steps": "x"})
    one = finished_job(tmp_path, settings=settings)
    lost = replace(one.inputs[1], name="style-1.jpg", sha256="")
    two = finished_job(tmp_path, "two", inputs=(one.inputs[0], lost, one.inputs[1]))
    page = client(tmp_path, one, two, bad)
    text = html(page, "/jobs/id-sea/again")
    assert re.findall('name="library" value="(.*?)"', text) == sorted(shipped_styles())
    assert "Edvard Munch (1863-1944), 1893" in text
    write(tmp_path / "styles/great wave.png", picture(3))
    write(tmp_path / "styles/great wave.txt", b"Hokusai <1831>\n")
    (tmp_path / os.fsdecode(b"styles/\xff.png")).write_bytes(picture(3))  # no address can name it
    text = html(page, "/jobs/id-sea/again")
    for part in (
        'value="0.25"', 'value="gatys" selected>', 'value="2"', "wave.jpg",
        'name="library" value="great wave"', "Hokusai &lt;1831&gt;",
        'name="keep" value="1" checked', 'action="/jobs/id-sea/again"',
    ):  # fmt: skip
        assert part in text
    assert text.count('name="library"') == 1
    assert 'name="keep" value="2" checked' in html(page, "/jobs/id-two/again")
    text = html(page, "/jobs/id-sea/again?print")
    for part in (
        'name="preview" aria-describedby="preview-mistake" value="8"',
        'value="16"',
        '<option value="yes" selected>',
    ):
        assert part in text
    assert "so the form has the defaults: its settings" in html(page, "/jobs/id-bad/again")
    (tmp_path / "out/sea/inputs/style.jpg").unlink()
    text = html(page, "/jobs/id-sea/again")
    assert "style.jpg (style) is no longer" in text and " disabled" in text
