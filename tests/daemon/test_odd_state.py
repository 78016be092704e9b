"""Nothing in the state folder keeps the daemon from running a good pair."""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill
from tests.daemon.world import FakeExecutor, make_inbox, make_settings

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files import atomic
from stylewatch_daemon.outbox import status_json
from stylewatch_daemon.service.daemon import Summary, once
from stylewatch_daemon.store.state import State

pytestmark = pytest.mark.usefixtures("any_file_is_a_picture")

GOOD = ("good/content.jpg", "good/style.jpg")


class Recorder(Reporter):
    """Records which jobs failed for good, and the trace of each."""

    def __init__(self) -> None:
        self.lost: dict[str, str] = {}

    def failed(self, job: str, reason: str, trace: str, *, for_good: bool) -> None:
        assert for_good
        self.lost[job] = f"{reason}\n{trace}"


class Place:
    """A state folder with queued jobs called `names`."""

    def __init__(self, root: Path, *names: str) -> None:
        self.root, self.recorder = root, Recorder()
        self.state = root / "state"
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
        records = {folder: json.loads((folder / "job.json").read_bytes()) for folder in folders}
        self.jobs = {record["name"]: folder for folder, record in records.items()}

    def run(self) -> Summary:
        return once(self.settings, self.recorder, FakeExecutor())

    def run_with_good_pair(self) -> Summary:
        """Start anew, with a good pair in the inbox, which must be done."""
        fill(self.root / "in", *GOOD)
        summary = self.run()
        assert (self.root / "out/good/receipt.json").is_file()
        assert "good" in [outcome.job for outcome in summary.done]
        return summary

    def claim(self) -> None:
        """Undo the last step of claiming the jobs."""
        for name, job in self.jobs.items():
            self.jobs[name] = job.rename(self.state / "claims" / job.name)

    @property
    def pictures(self) -> list[str]:
        """The inputs, wherever they are; pictures contain their names."""
        found = [path for path in self.root.rglob("*.jpg") if path.is_file()]
        return sorted({path.read_text() for path in found} & {*self.dropped})


def instead(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Replace the record of a job."""

    def damage(job: Path) -> None:
        (job / "job.json").unlink()
        make(job / "job.json")

    return damage


def text(content: bytes) -> Callable[[Path], None]:
    return instead(lambda path: path.write_bytes(content))


def with_(**values: Any) -> Callable[[Path], None]:
    """Change values in the record of a job, with the prefix `file_` those of its first file."""

    def damage(job: Path) -> None:
        record = json.loads((job / "job.json").read_text())
        for key, value in values.items():
            where = record["files"][0] if key.startswith("file_") else record
            where[key.removeprefix("file_")] = value
        (job / "job.json").write_text(json.dumps(record))

    return damage


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


def a_link_for_the_files(job: Path) -> None:
    shutil.move(job / "files", job / "elsewhere")
    (job / "files").symlink_to(job / "elsewhere")


def odd_picture(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Replace the content of a job."""

    def damage(job: Path) -> None:
        shutil.move(job / "files/content.jpg", job / "content.jpg")
        make(job / "files/content.jpg")

    return damage


def a_pipe_for_the_checkpoint(job: Path) -> None:
    os.mkfifo(job / "checkpoint.npz")


def renamed(job: Path) -> None:
    """Give the folder of a job another name than its record has."""
    job.rename(job.with_name("another"))


RECORDS: dict[str, Callable[[Path], None]] = {
    "is missing": instead(lambda path: None),
    "is binary": text(bytes(range(256))),
    "is deep": text(b"[" * 100_000 + b"]" * 100_000),
    "is a folder": instead(Path.mkdir),
    "is a pipe": instead(os.mkfifo),
    "is sparse": instead(sparse),
    "has no files": with_(files=[]),
    "has another id": with_(id="another"),
    "has a null byte in its name": with_(name="a\0b"),
    "has an odd end for inputs": with_(after="burn"),
    "has a file that leads out": with_(file_name="../../../outside.jpg"),
    "has two files of a name": with_(file_name="style.jpg"),
    "has an odd role": with_(file_role="sound"),
    "has a source elsewhere": with_(file_source="/etc/passwd"),
    "has a folder elsewhere": with_(folder="/usr/lib"),
    "has files that are a link": a_link_for_the_files,
    "has a picture that is a pipe": odd_picture(os.mkfifo),
    "is called otherwise": renamed,
}  # fmt: skip

CLAIMED = {name: damage for name, damage in RECORDS.items() if name != "is missing"}
WAITING = {**RECORDS, "has a pipe for a checkpoint": a_pipe_for_the_checkpoint}


@pytest.mark.parametrize("damages", [WAITING, CLAIMED], ids=["waiting", "claimed"])
def test_jobs_with_odd_records_are_quarantined_and_no_picture_is_lost(
    damages: Mapping[str, Callable[[Path], None]], tmp_path: Path
) -> None:
    place = Place(tmp_path, *damages)
    if damages is CLAIMED:
        place.claim()
    for name, damage in damages.items():
        damage(place.jobs[name])
    assert place.run_with_good_pair().exit_code == 70
    aside = {job.job: job for job in State(place.state).set_aside()}
    place.jobs["is called otherwise"] = Path("another")
    assert {name for name, job in place.jobs.items() if job.name not in aside} == set()
    for job in aside.values():
        assert job.folder.parent == place.state / "damaged"
        assert any(job.reason in text for text in place.recorder.lost.values())
        assert "drop the pictures into the inbox again" in (job.folder / "reason.txt").read_text()
    assert place.pictures == place.dropped
    assert place.run() == Summary()


def is_now(make: Callable[[Path], object], *names: str) -> Callable[[Path], None]:
    """Replace files or folders in the state folder."""

    def damage(state: Path) -> None:
        for name in names:
            path = state / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            make(path)

    return damage


def into(folder: str, make: Callable[[Path], object], name: str | bytes) -> Callable[[Path], None]:
    """Add something odd to a folder in the state folder."""

    def damage(state: Path) -> None:
        (state / folder).mkdir(exist_ok=True)
        make(state / folder / os.fsdecode(name))

    return damage


def write(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def deep(path: Path) -> None:
    """1,100 folders in one another: more than Python follows by calls."""
    path.mkdir()
    here = os.open(path, os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)


def with_record(path: Path) -> None:
    path.mkdir()
    (path / "job.json").write_bytes(b"{}")


FOLDERS = ("trash", "thumbs", "previews", "uploads", "requests", "damaged", "claims")
FILES = ("kept.json", "lock.json", "status.json", ".status.json.tmp", "alive", "lock")
PLACES: dict[str, Callable[[Path], None]] = {
    "folders are files": is_now(write(b"x"), *FOLDERS),
    "folders are pipes": is_now(os.mkfifo, *FOLDERS),
    "files are folders": is_now(Path.mkdir, *FILES, "worker.lock"),
    "files are pipes": is_now(os.mkfifo, *FILES, "worker.lock"),
    "files are deep": is_now(write(b"[" * 100_000), *FILES),
    "files are links": is_now(lambda path: path.symlink_to(path.parent / "x"), *FILES[:-1]),
}  # fmt: skip
THINGS: dict[str, Callable[[Path], None]] = {
    "a job is a file": into("jobs", write(b"x"), "1"),
    "a job has no text for a name": into("jobs", with_record, b"\xff\xfe"),
    "a job is deep": into("jobs", deep, "6"),
    "a claim is a file": into("claims", write(b"x"), "7"),
    "trash is deep": into("trash", deep, "11"),
    "a request is a pipe": into("requests", os.mkfifo, "15.json"),
    "a request is a link": into("requests", lambda path: path.symlink_to("/dev/zero"), "16.json"),
    "a request asks for odd things": into(
        "requests", write(b'{"verb": "cancel", "arguments": {"job": {"a": [1]}}}'), "19.json"),
    "a request leads out": into(
        "requests", write(b'{"verb": "cancel", "arguments": {"job": "../../.."}}'), "20.json"),
    "damaged holds an empty folder": into("damaged", Path.mkdir, "1-2"),
}  # fmt: skip


@pytest.mark.parametrize(
    "damages",
    [*([damage] for damage in PLACES.values()), [*THINGS.values()]],
    ids=[*PLACES, "things"],
)
def test_odd_things_in_the_state_folder_stop_no_job(
    damages: Sequence[Callable[[Path], None]], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place = Place(tmp_path, "waiting")
    request.addfinalizer(partial(atomic.remove, place.state))  # pytest fails at deep folders
    for damage in damages:
        damage(place.state)
    summary = place.run_with_good_pair()
    assert not summary.paused
    assert status_json.read(place.state) is not None
    assert place.run() == Summary()  # a new start works, and all is done
