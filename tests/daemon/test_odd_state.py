"""Nothing in the state folder keeps the daemon from running a good pair."""

import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.disks import deep_tree
from tests.daemon.faults import fill
from tests.daemon.world import FakeExecutor, make_inbox, make_settings

from stylewatch_daemon.files import atomic
from stylewatch_daemon.outbox import status_json
from stylewatch_daemon.service.daemon import Summary, once
from stylewatch_daemon.store.state_dir import State

pytestmark = pytest.mark.usefixtures("any_file_is_a_picture")


class Place:
    """A state folder with queued jobs called `names`."""

    def __init__(self, root: Path, *names: str) -> None:
        self.root, self.state = root, root / "state"
        inboxes = (make_inbox(root / "in", root / "out"),)
        self.settings = make_settings(inboxes, self.state, quiet_s=0.0)
        self.state.mkdir()
        (self.state / "paused").touch()
        self.dropped = sorted(
            f"{name}/{side}.jpg" for name in names for side in ("content", "style")
        )
        fill(root / "in", *self.dropped)
        self.run()
        (self.state / "paused").unlink()
        folders = (self.state / "jobs").iterdir()
        self.jobs = {json.loads((job / "job.json").read_bytes())["name"]: job for job in folders}

    def run(self) -> Summary:
        return once(self.settings, executor=FakeExecutor())

    def run_with_good_pair(self) -> Summary:
        """Start anew, with a good pair in the inbox, which must be done."""
        fill(self.root / "in", "good/content.jpg", "good/style.jpg")
        summary = self.run()
        assert "good" in [outcome.job for outcome in summary.done]
        return summary

    def pictures(self) -> list[str]:
        """The inputs, wherever they are; pictures contain their names."""
        texts = {path.read_text() for path in self.root.rglob("*.jpg*") if path.is_file()}
        return sorted(texts & {*self.dropped})


def changed(**values: Any) -> Callable[[Path], object]:
    """Change values in the record of a job, with the prefix `file_` those of its first file."""

    def damage(job: Path) -> None:
        record = json.loads((job / "job.json").read_text())
        for key, value in values.items():
            where = record["files"][0] if key.startswith("file_") else record
            where[key.removeprefix("file_")] = value
        (job / "job.json").write_text(json.dumps(record))

    return damage


def replaced(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Move a file or folder aside, if it is there, and make another one in its place."""

    def damage(folder: Path) -> None:
        path = folder / name
        if path.exists():
            path.rename(folder / f"{path.name}-aside")
        make(path)

    return damage


def link(path: Path) -> None:
    path.symlink_to(f"{path.name}-aside")


RECORDS: dict[str, Callable[[Path], object]] = {
    "is binary": replaced("job.json", lambda path: path.write_bytes(bytes(range(256)))),
    "is deep": replaced("job.json", lambda path: path.write_bytes(b"[" * 100_000)),
    "is a pipe": replaced("job.json", os.mkfifo),
    "has no files": changed(files=[]),
    "has another id": changed(id="another"),
    "has an odd end for inputs": changed(after="burn"),
    "has a file that leads out": changed(file_name="../../../outside.jpg"),
    "has two files of a name": changed(file_name="style.jpg"),
    "has a source elsewhere": changed(file_source="/etc/passwd"),
    "has files that are a link": replaced("files", link),
    "has a picture that is a pipe": replaced("files/content.jpg", os.mkfifo),
    "is called otherwise": lambda job: job.rename(job.with_name("another")),
}


@pytest.mark.parametrize("claimed", [False, True])
def test_jobs_with_odd_records_are_quarantined_and_no_picture_is_lost(
    claimed: bool, tmp_path: Path
) -> None:
    place = Place(tmp_path, *RECORDS)
    for name, damage in RECORDS.items():
        folder = place.jobs[name]
        damage(folder.rename(place.state / "claims" / folder.name) if claimed else folder)
    assert place.run_with_good_pair().exit_code == 70
    aside = {job.job: job for job in State(place.state).set_aside()}
    place.jobs["is called otherwise"] = Path("another")
    assert {name for name, folder in place.jobs.items() if folder.name not in aside} == set()
    for job in aside.values():
        assert job.folder.parent == place.state / "damaged"
        assert "drop the pictures into the inbox again" in (job.folder / "reason.txt").read_text()
    assert place.pictures() == place.dropped
    assert place.run() == Summary()


FOLDERS = ("trash", "thumbs", "previews", "uploads", "requests", "damaged", "claims")
FILES = ("lock.json", "status.json", ".status.json.tmp", "alive", "lock")
KINDS: dict[str, tuple[Sequence[str], Callable[[Path], object]]] = {
    "folders are files": (FOLDERS, Path.touch),
    "folders are pipes": (FOLDERS, os.mkfifo),
    "files are folders": (FILES, Path.mkdir),
    "files are pipes": ((*FILES, "worker.lock"), os.mkfifo),
    "files are links": (FILES[:-1], lambda path: path.symlink_to(path.parent / "x")),
}
REQUEST = b'{"verb": "cancel", "arguments": {"job": "../../.."}}'
THINGS: dict[str, Callable[[Path], object]] = {
    "jobs/1": Path.touch,
    os.fsdecode(b"jobs/\xff\xfe"): Path.mkdir,
    "claims/7": Path.touch,
    "requests/15.json": os.mkfifo,
    "requests/16.json": lambda path: path.symlink_to("/dev/zero"),
    "requests/20.json": lambda path: path.write_bytes(REQUEST),
    "damaged/1-2": Path.mkdir,
}


@pytest.mark.parametrize("kind", [*KINDS, "things", "deep"])
def test_odd_things_in_the_state_folder_stop_no_job(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place = Place(tmp_path, "waiting")
    names, make = KINDS.get(kind, ((), Path.touch))
    for name in names:
        replaced(name, make)(place.state)
    if kind == "things":
        for name, make_thing in THINGS.items():
            (place.state / name).parent.mkdir(exist_ok=True)
            make_thing(place.state / name)
    if kind == "deep":
        request.addfinalizer(partial(atomic.remove, place.state))  # pytest fails at deep folders
        with deep_tree(tmp_path / "deep") as deep:
            deep.rename(place.state / "jobs/6")
    summary = place.run_with_good_pair()
    assert not summary.paused
    assert status_json.read(place.state) is not None
    assert place.run() == Summary()  # a new start works, and all is done
