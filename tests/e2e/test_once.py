"""A run with real processes: pairs of every form in, jobs out, whatever happens on the way."""

from pathlib import Path
from shutil import copy
from typing import Any

import pytest
from PIL import Image
from tests.daemon.world import make_inbox, make_settings
from tests.e2e.invariants import Workspace, files_under
from tests.plugins.strangers import install

from stylewatch_daemon.app.daemon import Summary, once
from stylewatch_daemon.ledger.ledger import FILE_NAME, reading
from stylewatch_daemon.settings.job import JobSettings


class Space(Workspace):
    """Folders of a daemon, and pictures to drop there."""

    def __init__(self, root: Path, samples: Path) -> None:
        super().__init__(root)
        self.samples = samples

    def put(self, *names: str) -> None:
        """Put pictures there: the style picture if the name has `style`, else the content."""
        for name in names:
            path = self.inbox / name
            path.parent.mkdir(parents=True, exist_ok=True)
            copy(self.samples / ("style.jpg" if "style" in path.stem else "content.jpg"), path)

    def run(self, **more: Any) -> Summary:
        job = JobSettings(backend="sketch", recipe="gatys", size="24", steps=6, save_every=2)
        inboxes = (make_inbox(self.inbox, self.outbox),)
        return once(make_settings(inboxes, self.state, quiet_s=0.0, job=job, **more))

    def reasons(self) -> dict[str, str]:
        return {path.parent.name: path.read_text() for path in self.outbox.rglob("reason.txt")}

    def left(self) -> list[str]:
        """The files in the inbox and of jobs that are not finished."""
        held = [*files_under(self.inbox), *files_under(self.state / "jobs")]
        return sorted(path.name for path in held)


@pytest.fixture
def space(tmp_path: Path, pictures: Path) -> Space:
    return Space(tmp_path / "space", pictures)


def test_pairs_of_every_form_are_done_or_refused(space: Space) -> None:
    styles = space.root / "styles"
    styles.mkdir(parents=True)
    copy(space.samples / "style.jpg", styles / "wave.jpg")
    space.put("trip/content.jpg", "trip/style-1.jpg", "trip/style-2.jpg", "trip/init.png")
    space.put("album/style.jpg", "album/sub/\u00e9t\u00e9 1.jpg", "x.content.jpg", "x.style.jpg")
    space.put("lone.jpg", "half/content.jpg", "masks/style.jpg", "masks/sea.jpg")
    (space.inbox / "trip/job.yaml").write_text("seed: 3\nsteps: 4\n")
    white = Image.new("L", (48, 36), 255)
    white.paste(0, (24, 0, 48, 36))
    white.save(space.inbox / "masks/sea.mask.png")
    Image.new("L", (40, 32), 255).save(space.inbox / "masks/style.mask.png")
    torch = "{backend: torch, steps: 2, mask: {outside: keep}}"
    (space.inbox / "masks/job.yaml").write_text(torch)
    space.put("text/style.jpg", "typo/content.jpg", "typo/style.jpg")
    (space.inbox / "text/content.jpg").write_text("this is no picture")
    (space.inbox / "typo/job.yaml").write_text("seed: 1\nstepps: 100\n")

    summary = space.run(default_style="wave", styles=styles)
    assert summary.exit_code == 65
    assert space.done() == ["album/sub/\u00e9t\u00e9 1", "lone", "masks/sea", "trip", "x"]
    assert [pair.name for pair in summary.incomplete] == ["half"]
    kept = ["content.jpg", "job.yaml", "style.jpg", "style.jpg", "style.mask.png"]
    assert space.left() == kept, "the half and what holds for albums"
    receipt = space.receipt("trip")
    assert (receipt["seed"], receipt["recipe"]["schedule"]["steps"]) == (3, 4)
    assert sorted(path.name for path in files_under(space.outbox / "trip")) == [
        "0002.png", "0004.png", "content.jpg", "final.png", "init.png", "job.yaml", "losses.csv",
        "receipt.json", "style-1.jpg", "style-2.jpg",
    ]  # fmt: skip
    masks = {entry["role"]: entry["name"] for entry in space.receipt("masks/sea")["inputs"][2:]}
    assert masks == {"content-mask": "sea.mask.png", "style-1-mask": "style.mask.png"}
    reasons = space.reasons()
    assert "content.jpg" in reasons["text"] and "line 2" in reasons["typo"]
    assert (space.outbox / "_refused/text/content.jpg").read_text() == "this is no picture"


def test_broken_backends_of_others_hurt_only_the_jobs_that_ask_for_them(
    space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = {
        "exits": "the worker process died (exit code 3)",
        "hangs-in-the-middle": "the worker hung",
        "raises-in-the-middle": "RuntimeError: the brush broke",
        "ends-early": "'ends-early' of stranger-ends-early: it ended after step 1 of 2",
        "draws-no-numbers": "the picture of step 2 has values that are not numbers",
    }
    waiting = {"of-the-future": "does not fit: it has version 2 of the contract"}
    done = ["prints", "leaves-a-thread"]
    install(tmp_path / "site", monkeypatch, *failed, *waiting, *done)
    for number, backend in enumerate([*failed, "sketch", *waiting, *done, "sketch"]):
        space.put(f"{number:02}-{backend}/content.jpg", f"{number:02}-{backend}/style.jpg")
        job_yaml = space.inbox / f"{number:02}-{backend}/job.yaml"
        job_yaml.write_text(f"{{backend: {backend}, steps: 2}}\n")
    assert space.run(attempts=1, step_timeout_s=4.0).exit_code != 0
    assert sorted(job[3:] for job in space.done()) == sorted([*done, "sketch", "sketch"])
    reasons = {job[3:]: text for job, text in space.reasons().items()}
    assert reasons.keys() == failed.keys()
    assert not {job: reasons[job] for job, text in failed.items() if text not in reasons[job]}
    with reading(space.state / FILE_NAME) as ledger:
        jobs = [ledger.get(job_id) for job_id in ledger.open_jobs()]
    blocked = {job.name[3:]: job.reason for job in jobs if job is not None}
    assert blocked.keys() == waiting.keys()
    assert all(text in blocked[job] for job, text in waiting.items())
