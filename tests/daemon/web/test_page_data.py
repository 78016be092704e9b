"""The records behind the pages: what was published, the outbox, and the ledger."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.web.world import (
    STEPS,
    enter,
    entry,
    finished_job,
    picture,
    publish,
    settings,
    sha256,
    write,
)

from stylewatch_daemon.model import Incomplete
from stylewatch_daemon.outbox.status_txt import Running, Status
from stylewatch_daemon.web import page_data
from stylewatch_daemon.web.page_data import RECENT, ImageLinks, JobPage, PageData, Trails
from stylewatch_daemon.web.queries import Reader


def data(root: Path) -> PageData:
    return PageData(settings(root), Reader(root / "state"))


def running(**more: Any) -> Status:
    job = Running("sea", 7, 60, 0.5, (8, 6), 75.0, "cpu", id="id-sea")
    return Status(running=[replace(job, **more)])


def job_page(root: Path, *jobs: Any) -> JobPage:
    enter(root / "state", *jobs)
    page = data(root).job(jobs[0].id)
    assert page is not None
    return page


def test_a_running_job_has_its_newest_stage_and_its_time_left(tmp_path: Path) -> None:
    enter(tmp_path / "state", replace(finished_job(tmp_path), state="running", finished=None))
    publish(tmp_path / "state", running(), running=1)
    (job,) = data(tmp_path).overview().running
    assert (job.progress, job.left, job.percent) == ("step 7 of 60", "1 min 15 s left", 11)
    assert job.is_stage and job.image is not None and "stage-15" in job.image.src
    assert job.curve is not None and job.curve.last == (7, 0.5)
    page = data(tmp_path).job("id-sea")
    assert page is not None and page.running is not None and not page.is_over


def test_a_job_without_a_stage_shows_its_content_image(tmp_path: Path) -> None:
    job = replace(finished_job(tmp_path), state="running", finished=None)
    for stage in (tmp_path / "out/sea/stages").iterdir():
        stage.unlink()
    enter(tmp_path / "state", job)
    status = running(step=0, steps=0, loss=None, size=None, seconds_left=None)
    publish(tmp_path / "state", status, running=1)
    (shown,) = data(tmp_path).overview().running
    assert not shown.is_stage and shown.image is not None and "input-0" in shown.image.src
    assert (shown.progress, shown.left) == ("preparing", "")


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
    enter(tmp_path / "state", replace(bad, dismissed=True))
    assert data(tmp_path).overview().failed == ()


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


def test_an_empty_state_folder_has_an_empty_page(tmp_path: Path) -> None:
    write(tmp_path / "state/x", b"")
    overview = data(tmp_path).overview()
    assert (overview.running, overview.queue, overview.recent, overview.failed) == ((),) * 4
    assert data(tmp_path).job("id-sea") is None


def test_the_page_of_a_done_job_has_all_its_pictures(tmp_path: Path) -> None:
    write(tmp_path / "out/sea/progress.webp", picture(1, "WEBP"))
    page = job_page(tmp_path, finished_job(tmp_path))
    assert page.before is not None and "input-0" in page.before.src
    assert page.after is not None and "final" in page.after.src
    assert page.animation is not None and "/pictures/animation" in page.animation.src
    assert [stage.step for stage in page.stages] == list(STEPS)
    assert [image.name for image in page.inputs] == ["harbour.jpg", "wave.jpg"]
    assert page.is_over and '"seed": 0' in page.receipt


def test_long_receipts_and_many_stages_are_shortened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_data, "MAX_RECEIPT", 10)
    monkeypatch.setattr(page_data, "MAX_STAGES", 1)
    page = job_page(tmp_path, finished_job(tmp_path))
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


def test_inputs_have_their_names_and_sizes(tmp_path: Path) -> None:
    job = finished_job(tmp_path)
    (image,) = ImageLinks(tmp_path).inputs(job, "content", 256)
    assert (image.alt, image.width, image.height) == ("content image harbour.jpg", 8, 6)
    unnamed = replace(job, inputs=tuple({**plain, "source": ""} for plain in job.inputs))
    assert data(tmp_path).card(unnamed).made_from == ""


def test_published_losses_are_kept_until_a_job_goes_back() -> None:
    trails = Trails()
    for step, loss in ((0, None), (1, 9.0), (2, 8.0), (3, 7.0), (2, 6.0)):
        trails.add("a", step, loss)
    assert trails.of("a") == ((1, 9.0), (2, 6.0))
    assert trails.of("b") == ()
