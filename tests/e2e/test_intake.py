"""Pictures that are cut off, and such that mean harm, dropped before a real daemon."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
from tests.daemon.children import children
from tests.daemon.disks import CAN_MOUNT, small_disk
from tests.daemon.ingest.inspection.files import endless_gif, made, photograph, png
from tests.daemon.settings_made import make_inbox, make_settings
from tests.e2e.daemon import SLOW, Place, until

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.ingest.inspection.process import NAME
from stylewatch_daemon.service.service import ServiceSettings, once
from stylewatch_daemon.settings.job import JobSettings

NO_MATTER = ("--set", "limits.free_bytes=0", "--set", "job.recipe=gatys", "--set", "job.size=24")


def waits(place: Place) -> list[str]:
    """What the daemon says that it waits for."""
    return [one["waits_for"] for one in place.published.get("incomplete", [])]


@pytest.fixture(params=["one mount", "two mounts"])
def layout(request: pytest.FixtureRequest, place: Place) -> Iterator[None]:
    """The state folder beside the inbox, or on a disk of its own, where one may be had."""
    with ExitStack() as stack:
        if request.param == "two mounts" and CAN_MOUNT:
            stack.enter_context(small_disk(place.root / "state", 8192))
        yield
        place.end()
        place.process = None


@pytest.mark.usefixtures("layout")
def test_half_a_photograph_waits_for_its_rest_and_is_painted_whole(place: Place) -> None:
    whole = (place.root / "sea.jpg").read_bytes()
    place.start("--set", "watch.rescan_s=0.2", *NO_MATTER)
    folder = place.root / "inbox/sea"
    folder.mkdir()
    copy(place.root / "wave.jpg", folder / "style.jpg")
    (folder / "content.jpg").write_bytes(whole[: len(whole) // 2])
    until(lambda: any("the rest of content.jpg" in one for one in waits(place)))
    assert place.published["counts"]["waiting"] == 0
    with (folder / "content.jpg").open("ab") as writer:
        writer.write(whole[len(whole) // 2 :])
    until(lambda: place.painted == ["sea"])
    assert (place.root / "outbox/sea/inputs/content.jpg").read_bytes() == whole
    assert not folder.exists()


@pytest.mark.parametrize("kind", ["jpeg", "bmp", "tiff", "lossless"])
@pytest.mark.usefixtures("layout")
def test_a_photograph_whose_tail_is_still_zeros_is_painted_whole(kind: str, place: Place) -> None:
    """A copier makes the file in its full length, writes half, and goes on a while later."""
    whole, folder = photograph(kind), place.root / "inbox/sea"
    half = len(whole) // 2
    folder.mkdir()
    copy(place.root / "wave.jpg", folder / "style.jpg")
    (folder / "content.jpg").write_bytes(whole[:half].ljust(len(whole), b"\0"))
    place.start("--set", "watch.rescan_s=0.2", *NO_MATTER)
    until(lambda: any("the rest of content.jpg" in one for one in waits(place)))
    with (folder / "content.jpg").open("r+b") as writer:
        writer.seek(half)
        writer.write(whole[half:])
    until(lambda: place.painted == ["sea"])
    assert (place.root / "outbox/sea/inputs/content.jpg").read_bytes() == whole


def test_a_whole_photograph_that_ends_in_zeros_is_painted_after_a_time(place: Place) -> None:
    folder = place.root / "inbox/night"
    folder.mkdir()
    copy(place.root / "wave.jpg", folder / "style.jpg")
    (folder / "content.bmp").write_bytes(photograph("bmp", border=20))
    place.start("--set", "watch.truncated_s=0.5", *NO_MATTER)
    until(lambda: place.painted == ["night"])


@pytest.mark.usefixtures("layout")
def test_what_stays_cut_off_is_refused_after_a_time(place: Place) -> None:
    half = (place.root / "sea.jpg").read_bytes()[:-100]
    folder = place.root / "inbox/sea"
    folder.mkdir()
    (folder / "content.jpg").write_bytes(half)
    copy(place.root / "wave.jpg", folder / "style.jpg")
    place.start("--set", "watch.truncated_s=1", *NO_MATTER)
    until((place.root / "outbox/_refused/sea/reason.txt").exists)
    assert "cut off" in (place.root / "outbox/_refused/sea/reason.txt").read_text()
    assert (place.root / "outbox/_refused/sea/content.jpg").read_bytes() == half
    assert not folder.exists()


def test_pictures_are_looked_at_while_another_is_painted_and_during_a_pause(place: Place) -> None:
    place.start(*SLOW, "--set", "job.steps=400", "--set", "job.save_every=400", *NO_MATTER)
    for name in ("first", "second"):
        folder = place.root / "inbox" / name
        folder.mkdir()
        copy(place.root / "wave.jpg", folder / "style.jpg")
        (folder / "content.jpg").write_bytes(
            b"no picture" if name == "second" else (place.root / "sea.jpg").read_bytes()
        )
        if name == "first":
            until(lambda: place.step > 0)
    until(lambda: len(list(place.root.glob("state/jobs/*/job.json"))) == 2)
    until(lambda: any((place.root / "state/thumbs").glob("*.jpg")))
    assert place.painted == []


class Line:
    """An inbox, an outbox and a state folder for runs that do not watch."""

    def __init__(self, root: Path, pictures: Path) -> None:
        self.root, self.pictures = root, pictures

    def drop(self, job: str, content: bytes) -> None:
        folder = self.root / "in" / job
        folder.mkdir(parents=True)
        copy(self.pictures / "style.jpg", folder / "style.jpg")
        (folder / "content.jpg").write_bytes(content)

    def settings(self, **more: Any) -> ServiceSettings:
        inbox = make_inbox(self.root / "in", self.root / "out")
        job = JobSettings(backend="sketch", recipe="gatys", size="24", steps=2, save_every=2)
        return make_settings((inbox,), self.root / "state", quiet_s=0.0, job=job, **more)

    @property
    def reasons(self) -> dict[str, str]:
        said = self.root.glob("out/_refused/*/reason.txt")
        return {path.parent.name: path.read_text() for path in said}


@pytest.fixture
def line(tmp_path: Path, pictures: Path) -> Line:
    return Line(tmp_path / "line", pictures)


def test_a_run_that_does_not_watch_refuses_what_stays_cut_off(line: Line) -> None:
    for kind in ("jpeg", "png"):
        line.drop(kind, made(kind)[:-50])
    line.drop("empty", b"")
    line.drop("good", made("webp"))
    summary = once(line.settings())
    assert [one.job for one in summary.done] == ["good"]
    assert line.reasons.keys() == {"jpeg", "png", "empty"}
    assert "cut off" in line.reasons["jpeg"]
    assert "is empty" in line.reasons["empty"]


def test_what_means_harm_is_refused_and_the_rest_is_painted(line: Line) -> None:
    harm = {
        "bomb": png(100_000, 100_000),
        "large": png(7000, 7000),
        "text": b"this is no picture",
        "broken": made("png").replace(b"IDAT", b"ID\0T"),
    }
    good = {"gif": endless_gif(500), "good": made("jpeg")}
    for job, content in {**harm, **good}.items():
        line.drop(job, content)
    summary = once(line.settings())
    assert {one.job for one in summary.done} == good.keys()
    assert line.reasons.keys() == harm.keys()
    assert "pixels" in line.reasons["bomb"]


def test_an_intake_that_is_killed_between_two_pictures_is_replaced(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stylewatch_daemon.ingest.inspection_queue import InspectionQueue

    hear: Callable[[InspectionQueue], list[str]] = InspectionQueue.apply
    killed: list[int] = []

    def hear_and_kill(self: InspectionQueue) -> list[str]:
        heard = hear(self)
        if heard and not killed:
            killed.append(1)
            for pid in children(NAME):
                os.kill(pid, signal.SIGKILL)
        return heard

    monkeypatch.setattr(InspectionQueue, "apply", hear_and_kill)
    for number in range(4):
        line.drop(f"job{number}", made("png"))
    assert len(once(line.settings()).done) == 4
    assert killed


def test_a_ledger_that_cannot_be_told_ends_the_run_and_the_next_one_goes_on(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stylewatch_daemon.ingest.inspection_queue import InspectionQueue

    def full(self: InspectionQueue) -> bool:
        self._asked.clear()
        raise OutputError("the disk is full")

    line.drop("job", made("png"))
    with monkeypatch.context() as faulty:
        faulty.setattr(InspectionQueue, "apply", full)
        summary = once(line.settings())
    assert (summary.exit_code, summary.waiting) == (75, ("job",))
    assert [one.job for one in once(line.settings()).done] == ["job"]
