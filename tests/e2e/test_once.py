"""The whole line with real processes: pairs in, paintings out, whoever is killed on the way."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
from PIL import Image
from tests.daemon.children import children
from tests.daemon.faults import mounts
from tests.daemon.settings_made import changed_settings, make_inbox, make_settings

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.service.service import ServiceSettings, Summary, once
from stylewatch_daemon.settings.job import JobSettings, MaskSettings

PROGRAM = """
import pickle, sys
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.service.service import once

class Told(Reporter):
    def progress(self, job, progress):
        print(job, progress.step, flush=True)

if __name__ == "__main__":
    settings = pickle.load(sys.stdin.buffer)
    sys.exit(once(settings, Told()).exit_code)
"""


class Place:
    """An inbox, an outbox and a state folder, and pictures to drop."""

    def __init__(self, root: Path, pictures: Path) -> None:
        self.root, self.pictures = root, pictures
        self.inbox, self.outbox, self.state = root / "in", root / "out", root / "state"

    def drop(self, *names: str) -> None:
        """Put pictures there; what is called style is the style."""
        for name in names:
            path = self.inbox / name
            path.parent.mkdir(parents=True, exist_ok=True)
            copy(self.pictures / ("style.jpg" if "style" in path.stem else "content.jpg"), path)

    def settings(self, after: Any = "archive", pause: float = 0.0, **more: Any) -> ServiceSettings:
        inbox = make_inbox(self.inbox, self.outbox, after)
        job = JobSettings(backend="sketch", recipe="gatys", size="24", steps=6, save_every=2)
        backends = {"sketch": {"seconds_per_step": pause}}
        return make_settings(
            (inbox,), self.state, quiet_s=0.0, job=job, **{"backends": backends, **more}
        )

    def run(self, reporter: Reporter | None = None, **more: Any) -> Summary:
        return once(self.settings(**more), reporter)

    def receipt(self, job: str) -> dict[str, Any]:
        read: dict[str, Any] = json.loads((self.outbox / job / "receipt.json").read_text())
        return read

    def painted(self) -> list[str]:
        """The folders in the outbox that are done."""
        found = self.outbox.rglob("receipt.json")
        return sorted(path.parent.relative_to(self.outbox).as_posix() for path in found)

    def left(self) -> list[str]:
        """What lies in the inbox or is still ours."""
        held = [*self.inbox.rglob("*"), *(self.state / "jobs").rglob("*")]
        return sorted(path.name for path in held if path.is_file())


@pytest.fixture
def place(tmp_path: Path, pictures: Path) -> Place:
    return Place(tmp_path / "line", pictures)


def test_a_pair_of_every_form_becomes_a_painting(place: Place) -> None:
    styles = place.root / "styles"
    styles.mkdir(parents=True)
    copy(place.pictures / "style.jpg", styles / "wave.jpg")
    place.drop("trip/content.jpg", "trip/style-1.jpg", "trip/style-2.jpg", "trip/init.png")
    place.drop("album/style.jpg", "album/sub/\u00e9t\u00e9 1.jpg", "x.content.jpg", "x.style.jpg")
    place.drop("lone.jpg", "half/content.jpg")
    (place.inbox / "trip/job.yaml").write_text("seed: 3\nsteps: 4\n")
    summary = place.run(default_style="wave", styles=styles)
    assert summary.exit_code == 0
    assert place.painted() == ["album/sub/\u00e9t\u00e9 1", "lone", "trip", "x"]
    assert [one.name for one in summary.incomplete] == ["half"]
    assert place.left() == ["content.jpg", "style.jpg"]
    receipt = place.receipt("trip")
    assert (receipt["seed"], receipt["recipe"]["schedule"]["steps"]) == (3, 4)
    assert [one["name"] for one in receipt["inputs"]] == [
        "content.jpg", "style-1.jpg", "style-2.jpg", "init.png",
    ]  # fmt: skip
    assert sorted(path.name for path in (place.outbox / "trip").rglob("*") if path.is_file()) == [
        "0002.png", "0004.png", "content.jpg", "final.png", "init.png", "job.yaml", "losses.csv",
        "receipt.json", "style-1.jpg", "style-2.jpg",
    ]  # fmt: skip


def test_masks_go_all_the_way_and_those_of_an_albums_style_stay(place: Place) -> None:
    place.drop("trip/content.jpg", "trip/style.jpg", "album/style.jpg", "album/sea.jpg")
    white = Image.new("L", (48, 36), 255)
    white.paste(0, (24, 0, 48, 36))
    for name in ("trip/content.mask.png", "album/sea.mask.png"):
        white.save(place.inbox / name)
    Image.new("L", (40, 32), 255).save(place.inbox / "album/style.mask.png")
    job = JobSettings(backend="torch", recipe="gatys", size="24", steps=2, save_every=2)
    keep = job.model_copy(update={"mask": MaskSettings(outside="keep")})
    assert once(changed_settings(place.settings(backends={}), job=keep)).exit_code == 0
    assert place.left() == ["style.jpg", "style.mask.png"]
    roles = {"content-mask": "sea.mask.png", "style-1-mask": "style.mask.png"}
    masks = {one["role"]: one["name"] for one in place.receipt("album/sea")["inputs"][2:]}
    assert masks == roles
    assert place.receipt("trip")["mask"]["outside"] == "keep"
    archived = {path.name for path in (place.outbox / "trip/inputs").iterdir()}
    assert archived == {"content.jpg", "style.jpg", "content.mask.png"}


def test_what_cannot_be_painted_is_refused_and_the_rest_is_painted(place: Place) -> None:
    place.drop("good/content.jpg", "good/style.jpg", "text/style.jpg", "mask/content.jpg")
    place.drop("mask/style.jpg", "mask/content.mask.png", "typo/content.jpg", "typo/style.jpg")
    (place.inbox / "text/content.jpg").write_text("this is no picture")
    (place.inbox / "typo/job.yaml").write_text("seed: 1\nstepps: 100\n")
    summary = place.run()
    assert summary.exit_code == 65
    assert place.painted() == ["good"]
    reasons = {path.parent.name: path.read_text() for path in place.outbox.rglob("reason.txt")}
    assert "content.jpg" in reasons["text"]
    assert "content.mask.png has more than 16 colors" in reasons["mask"]
    assert "line 2" in reasons["typo"]
    assert (place.outbox / "_refused/text/content.jpg").read_text() == "this is no picture"
    assert place.left() == []


def test_a_source_on_another_mount_is_taken_all_the_same(place: Place) -> None:
    place.drop("trip/content.jpg", "trip/style.jpg")
    dropped = (place.inbox / "trip/content.jpg").read_bytes()
    place.state.mkdir()
    place.outbox.mkdir()
    with mounts(place.inbox, place.state, place.outbox):
        assert place.run().exit_code == 0
    assert place.painted() == ["trip"]
    assert (place.outbox / "trip/inputs/content.jpg").read_bytes() == dropped
    assert place.left() == []


def test_what_is_kept_stays_and_is_painted_once(place: Place) -> None:
    place.drop("trip/content.jpg", "trip/style.jpg")
    assert len(place.run(after="keep").done) == 1
    assert len(place.run(after="keep").done) == 0
    assert place.left() == ["content.jpg", "style.jpg"]


def test_an_unwritable_outbox_is_found_before_anything_is_taken(place: Place) -> None:
    place.drop("trip/content.jpg", "trip/style.jpg")
    place.outbox.write_text("a file lies in its place")
    summary = place.run()
    assert summary.exit_code == 75
    assert "cannot be written" in summary.paused[0].reason
    assert place.left() == ["content.jpg", "style.jpg"]
    place.outbox.unlink()
    assert place.run().exit_code == 0


def test_a_missing_backend_pauses_the_job_and_loses_nothing(place: Place) -> None:
    place.drop("trip/content.jpg", "trip/style.jpg", "trip/content.jpg")
    (place.inbox / "trip/job.yaml").write_text("backend: nosuch\n")
    summary = place.run()
    assert (summary.exit_code, summary.paused[0].exit_code) == (75, 69)
    assert "nosuch" in summary.paused[0].reason
    assert {"content.jpg", "style.jpg", "job.yaml", "job.json"} == set(place.left())


def test_a_job_that_kills_its_worker_every_time_is_set_aside(place: Place) -> None:
    place.drop("trip/content.jpg", "trip/style.jpg")
    summary = place.run(backends={"sketch": {"exit_at_step": 3}})
    assert summary.exit_code == 70
    reason = (place.outbox / "_refused/trip/reason.txt").read_text()
    assert "the worker process died" in reason
    assert (place.outbox / "_refused/trip/content.jpg").exists()
    assert place.left() == []


def cut_off(place: Place, name: str) -> bytes:
    """Cut a picture off in the middle; its rest."""
    whole = (place.inbox / name).read_bytes()
    (place.inbox / name).write_bytes(whole[: len(whole) // 2])
    return whole[len(whole) // 2 :]


def test_a_picture_that_is_cut_off_is_refused_though_another_paints_for_longer(
    place: Place,
) -> None:
    place.drop("half/content.jpg", "half/style.jpg", "trip/content.jpg", "trip/style.jpg")
    cut_off(place, "half/content.jpg")
    summary = place.run(pause=0.4)
    assert summary.exit_code == 65
    assert [(one.job, one.reason) for one in summary.refused] == [
        (
            "half",
            "content.jpg is cut off or damaged (Truncated File Read); copy or export it again",
        )
    ]
    assert place.painted() == ["trip"]
    assert place.left() == []


def test_what_comes_while_another_is_painted_is_taken_too(place: Place) -> None:
    place.drop("half/content.jpg", "half/style.jpg", "trip/content.jpg", "trip/style.jpg")
    rest = cut_off(place, "half/content.jpg")

    def come() -> None:
        with (place.inbox / "half/content.jpg").open("ab") as file:
            file.write(rest)
        place.drop("late/content.jpg", "late/style.jpg")

    assert place.run(Killer(3, come), pause=0.05).exit_code == 0
    assert place.painted() == ["half", "late", "trip"]


@pytest.mark.parametrize(
    ("name", "code", "names"), [("half/content.jpg", 75, ["half"]), ("notes.txt", 0, [])]
)
def test_what_never_stands_still_is_named_and_a_file_of_no_pair_is_not(
    name: str, code: int, names: list[str], place: Place
) -> None:
    class Writes(Reporter):
        def looked(self, seconds: float) -> None:
            with (place.inbox / name).open("ab") as file:
                file.write(b"more")

    place.drop("half/style.jpg", "trip/content.jpg", "trip/style.jpg")
    if code == 0:
        (place.inbox / "half/style.jpg").unlink()
    summary = place.run(Writes())
    assert summary.exit_code == code
    assert [one.name for one in summary.incomplete] == names
    assert place.painted() == ["trip"]


class Killer(Reporter):
    """Does something at a step of a job, once."""

    def __init__(self, step: int, act: Callable[[], None]) -> None:
        self.resumed_at: list[int] = []
        self._step, self._act, self._acted = step, act, False

    def job_started(self, job: str, started: Started) -> None:
        self.resumed_at.append(started.step)

    def progress(self, job: str, progress: Progress) -> None:
        if progress.step == self._step and not self._acted:
            self._acted = True
            self._act()


def kill_the_worker() -> None:
    """End the one process that paints for this one."""
    for pid in children():
        os.kill(pid, signal.SIGKILL)


def finals(place: Place) -> bytes:
    return (place.outbox / "trip/final.png").read_bytes()


def undisturbed(place: Place) -> bytes:
    """The painting as it becomes when nothing happens."""
    other = Place(place.root / "undisturbed", place.pictures)
    other.drop("trip/content.jpg", "trip/style.jpg")
    assert other.run().exit_code == 0
    return finals(other)


def test_a_worker_that_is_killed_is_replaced_and_the_job_is_done_once(place: Place) -> None:
    place.drop("trip/content.jpg", "trip/style.jpg")
    killer = Killer(3, kill_the_worker)
    assert place.run(killer, pause=0.05).exit_code == 0
    assert len(killer.resumed_at) == 2
    assert place.painted() == ["trip"]
    assert place.left() == []
    ended = [attempt["ended"] for attempt in place.receipt("trip")["attempts"]]
    assert len(ended) == 2
    assert "signal 9" in ended[0]
    assert finals(place) == undisturbed(place)


def test_a_run_that_is_told_to_stop_goes_on_from_its_checkpoint(place: Place) -> None:
    place.drop("trip/content.jpg", "trip/style.jpg")
    killer = Killer(3, lambda: os.kill(os.getpid(), signal.SIGTERM))
    summary = place.run(killer, pause=0.05)
    assert (summary.exit_code, [one.job for one in summary.stopped]) == (75, ["trip"])
    assert place.painted() == []
    assert place.run(killer).exit_code == 0
    assert killer.resumed_at[1] >= 3
    assert place.painted() == ["trip"]
    assert finals(place) == undisturbed(place)


@pytest.mark.parametrize("step", [1, 4])
def test_a_supervisor_that_is_killed_loses_and_doubles_nothing(step: int, place: Place) -> None:
    import pickle

    place.drop("trip/content.jpg", "trip/style.jpg", "b/content.jpg", "b/style.jpg")
    before = set(threading.enumerate())
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process, process.stdin as stdin:
        stdin.write(pickle.dumps(place.settings(pause=0.1)))
        stdin.close()
        for line in process.stdout:
            if line.split() == [b"trip", str(step).encode()]:
                process.kill()
                break
    assert process.returncode == -signal.SIGKILL
    assert place.run().exit_code == 0
    assert place.painted() == ["b", "trip"]
    assert place.left() == []
    assert finals(place) == undisturbed(place)
    assert set(threading.enumerate()) <= before
