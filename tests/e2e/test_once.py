"""A run with real processes: pairs of every form in, jobs out, whatever happens on the way."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
from PIL import Image
from tests.daemon.world import make_inbox, make_settings
from tests.plugins.strangers import install

from stylewatch_daemon.app.daemon import Summary, once
from stylewatch_daemon.base.events import Reporter
from stylewatch_daemon.base.model import Progress, Started
from stylewatch_daemon.ledger.ledger import FILE_NAME, reading
from stylewatch_daemon.settings.job import JobSettings


class Workspace:
    """An inbox, an outbox and a state folder, and pictures to drop."""

    def __init__(self, root: Path, pictures: Path) -> None:
        self.root, self.pictures = root, pictures
        self.inbox, self.outbox, self.state = root / "in", root / "out", root / "state"

    def drop(self, *names: str) -> None:
        """Put pictures there: the style picture where the name has `style`, else the content."""
        for name in names:
            path = self.inbox / name
            path.parent.mkdir(parents=True, exist_ok=True)
            copy(self.pictures / ("style.jpg" if "style" in path.stem else "content.jpg"), path)

    def run(
        self, reporter: Reporter | None = None, *, pause: float = 0.0, steps: int = 6, **more: Any
    ) -> Summary:
        job = JobSettings(
            backend="sketch", recipe="gatys", size="24", steps=steps, save_every=steps // 3
        )
        values = {"job": job, "backends": {"sketch": {"seconds_per_step": pause}}, **more}
        inboxes = (make_inbox(self.inbox, self.outbox),)
        return once(make_settings(inboxes, self.state, quiet_s=0.0, **values), reporter)

    def receipt(self, job: str) -> dict[str, Any]:
        read: dict[str, Any] = json.loads((self.outbox / job / "receipt.json").read_text())
        return read

    def done(self) -> list[str]:
        paths = self.outbox.rglob("receipt.json")
        return sorted(path.parent.relative_to(self.outbox).as_posix() for path in paths)

    def reasons(self) -> dict[str, str]:
        return {path.parent.name: path.read_text() for path in self.outbox.rglob("reason.txt")}

    def left(self) -> list[str]:
        """The files in the inbox and of jobs that are not finished."""
        held = [*self.inbox.rglob("*"), *(self.state / "jobs").rglob("*")]
        return sorted(path.name for path in held if path.is_file())


@pytest.fixture
def space(tmp_path: Path, pictures: Path) -> Workspace:
    return Workspace(tmp_path / "space", pictures)


class Act(Reporter):
    """Does something at a step of a job, once; records at which step attempts start."""

    def __init__(self, step: int, act: Callable[[], object]) -> None:
        self.started_at: list[int] = []
        self._step, self._act, self._acted = step, act, False

    def job_started(self, job: str, started: Started) -> None:
        self.started_at.append(started.step)

    def progress(self, job: str, progress: Progress) -> None:
        if progress.step == self._step and not self._acted:
            self._acted = True
            self._act()


def test_pairs_of_every_form_are_done_or_refused(space: Workspace) -> None:
    styles = space.root / "styles"
    styles.mkdir(parents=True)
    copy(space.pictures / "style.jpg", styles / "wave.jpg")
    space.drop("trip/content.jpg", "trip/style-1.jpg", "trip/style-2.jpg", "trip/init.png")
    space.drop("album/style.jpg", "album/sub/\u00e9t\u00e9 1.jpg", "x.content.jpg", "x.style.jpg")
    space.drop("lone.jpg", "half/content.jpg", "masks/style.jpg", "masks/sea.jpg")
    (space.inbox / "trip/job.yaml").write_text("seed: 3\nsteps: 4\n")
    white = Image.new("L", (48, 36), 255)
    white.paste(0, (24, 0, 48, 36))
    white.save(space.inbox / "masks/sea.mask.png")
    Image.new("L", (40, 32), 255).save(space.inbox / "masks/style.mask.png")
    torch = "{backend: torch, steps: 2, mask: {outside: keep}}"
    (space.inbox / "masks/job.yaml").write_text(torch)
    space.drop("text/style.jpg", "mask/content.jpg", "mask/style.jpg", "mask/content.mask.png")
    space.drop("typo/content.jpg", "typo/style.jpg")
    (space.inbox / "text/content.jpg").write_text("this is no picture")
    (space.inbox / "mask/job.yaml").write_text("backend: torch\n")
    (space.inbox / "typo/job.yaml").write_text("seed: 1\nstepps: 100\n")

    summary = space.run(default_style="wave", styles=styles)
    assert summary.exit_code == 65
    assert space.done() == ["album/sub/\u00e9t\u00e9 1", "lone", "masks/sea", "trip", "x"]
    assert [pair.name for pair in summary.incomplete] == ["half"]
    kept = ["content.jpg", "job.yaml", "style.jpg", "style.jpg", "style.mask.png"]
    assert space.left() == kept, "the half and what holds for albums"
    receipt = space.receipt("trip")
    assert (receipt["seed"], receipt["recipe"]["schedule"]["steps"]) == (3, 4)
    assert [entry["name"] for entry in receipt["inputs"]] == [
        "content.jpg", "style-1.jpg", "style-2.jpg", "init.png",
    ]  # fmt: skip
    assert sorted(path.name for path in (space.outbox / "trip").rglob("*") if path.is_file()) == [
        "0002.png", "0004.png", "content.jpg", "final.png", "init.png", "job.yaml", "losses.csv",
        "receipt.json", "style-1.jpg", "style-2.jpg",
    ]  # fmt: skip
    masks = {entry["role"]: entry["name"] for entry in space.receipt("masks/sea")["inputs"][2:]}
    assert masks == {"content-mask": "sea.mask.png", "style-1-mask": "style.mask.png"}
    assert space.receipt("masks/sea")["settings"]["mask"]["outside"] == "keep"
    reasons = space.reasons()
    assert "content.jpg" in reasons["text"] and "line 2" in reasons["typo"]
    assert "content.mask.png has more than 16 colors" in reasons["mask"]
    assert (space.outbox / "_refused/text/content.jpg").read_text() == "this is no picture"


def test_broken_backends_of_others_hurt_only_the_jobs_that_ask_for_them(
    space: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = {
        "exits": "the worker process died (exit code 3)",
        "hangs-in-the-middle": "the worker hung",
        "raises-in-the-middle": "RuntimeError: the brush broke",
    }
    waiting = {"of-the-future": "does not fit: it keeps version 2 of the contract"}
    done = ["prints", "leaves-a-thread"]
    install(tmp_path / "site", monkeypatch, *failed, *waiting, *done)
    for number, backend in enumerate([*failed, "sketch", *waiting, *done, "sketch"]):
        space.drop(f"{number:02}-{backend}/content.jpg", f"{number:02}-{backend}/style.jpg")
        job_yaml = space.inbox / f"{number:02}-{backend}/job.yaml"
        job_yaml.write_text(f"{{backend: {backend}, steps: 2}}\n")
    assert space.run(attempts=1, step_timeout_s=4.0, backends={}).exit_code != 0
    assert sorted(job[3:] for job in space.done()) == sorted([*done, "sketch", "sketch"])
    reasons = {job[3:]: text for job, text in space.reasons().items()}
    assert reasons.keys() == failed.keys()
    assert not {job: reasons[job] for job, text in failed.items() if text not in reasons[job]}
    with reading(space.state / FILE_NAME) as ledger:
        jobs = [ledger.get(job_id) for job_id in ledger.open_jobs()]
    blocked = {job.name[3:]: job.reason for job in jobs if job is not None}
    assert blocked.keys() == waiting.keys()
    assert all(text in blocked[job] for job, text in waiting.items())


def test_a_run_that_is_stopped_goes_on_from_its_checkpoint(space: Workspace) -> None:
    undisturbed = Workspace(space.root / "undisturbed", space.pictures)
    for each in (space, undisturbed):
        each.drop("trip/content.jpg", "trip/style.jpg")
    stop = Act(3, lambda: os.kill(os.getpid(), signal.SIGTERM))
    summary = space.run(stop, pause=0.05, steps=200)  # time enough to be stopped
    assert (summary.exit_code, summary.waiting) == (75, ("trip",))
    assert space.done() == []
    assert [each.run(stop, steps=200).exit_code for each in (space, undisturbed)] == [0, 0]
    assert stop.started_at[1] >= 3
    finals = [(each.outbox / "trip/final.png").read_bytes() for each in (space, undisturbed)]
    assert finals[0] == finals[1]
