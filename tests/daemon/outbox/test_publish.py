"""Only complete files get into the outbox, in folders that were free."""

import os
import stat
from pathlib import Path

import pytest
from tests.daemon.faults import fill, recorded_syncs

from stylewatch_daemon.outbox.publish import RECEIPT, Outbox, keep_staged, stage


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "out")


def reserve(outbox: Outbox) -> Path:
    return outbox.reserve("album/job", lambda place: None)


def bits(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):04o}"


def test_a_job_gets_a_free_folder_in_the_outbox_that_is_remembered_before_it_is_made(
    tmp_path: Path,
) -> None:
    remembered: list[tuple[str, bool]] = []

    def remember(place: str) -> None:
        remembered.append((place, (tmp_path / "out" / place).exists()))

    outbox = Outbox(tmp_path / "out", is_reserved=lambda place: place == "album/job")
    root = outbox.root
    assert outbox.reserve("album/job", remember) == root / "album/job-2"
    assert outbox.reserve("album/job", remember, "album/job-2").name == "job-3", "somebody's own"
    (root / "album/job-3").rmdir()
    for _ in range(2):
        assert outbox.reopen("album/job-3").is_dir(), "again after a kill"
    assert remembered == [("album/job-2", False), ("album/job-3", False)]
    outbox.drop_empty("album/job-2")
    assert [path.name for path in (root / "album").iterdir()] == ["job-3"]
    outbox.drop_empty("album/job-3")
    assert not (root / "album").exists() and root.exists()


def test_all_files_are_synced_before_the_receipt_gets_its_name(
    outbox: Outbox, tmp_path: Path
) -> None:
    fill(tmp_path, "photo.jpg", "painting.jpg")
    inputs = [tmp_path / "photo.jpg", tmp_path / "painting.jpg"]
    staging, made = outbox.staging("1"), ("stages/1.png", "losses.csv", "final.png", RECEIPT)
    with recorded_syncs() as events:
        folder = reserve(outbox)
        for name in made:
            stage(staging, name, b"x")
        keep_staged(staging, ("stages", "."))
        kept = events[-2:]
        for name in made[:-1]:
            outbox.publish("1", folder, name)
        outbox.archive("1", folder, inputs)
        before = len(events)
        outbox.publish("1", folder, RECEIPT)
    names = [*made[:-1], "inputs/photo.jpg", "inputs/painting.jpg"]
    for path in (folder, *(folder / name for name in names)):
        renamed = ("rename", str(path))
        since = events.index(renamed) if renamed in events else 0
        assert ("sync", str(path.parent)) in events[since:before]
    written = [path for what, path in events if what == "sync"]
    assert sum(path.endswith(".tmp") for path in written) == 6
    assert events[before:] == [("rename", str(folder / RECEIPT)), ("sync", str(folder))]
    assert ("sync", str(folder / "inputs")) in events
    assert sorted(kept) == [("sync", str(staging)), ("sync", str(staging / "stages"))]


def test_what_is_published_has_the_permissions_of_the_umask_and_the_group_of_the_outbox(
    tmp_path: Path,
) -> None:
    fill(tmp_path, "photo.jpg")
    (tmp_path / "photo.jpg").chmod(0o600)
    outbox = Outbox(tmp_path / "out")
    outbox.root.mkdir()
    outbox.root.chmod(0o2775)
    before = os.umask(0o002)
    try:
        folder = reserve(outbox)
        fill(outbox.staging("1"), "stages/1.png")
        outbox.publish("1", folder, "stages/1.png")
        outbox.archive("1", folder, [tmp_path / "photo.jpg"])
    finally:
        os.umask(before)
    shown = {path: bits(path) for path in folder.rglob("*")}
    assert {mode for path, mode in shown.items() if path.is_file()} == {"0664"}
    assert {mode for path, mode in shown.items() if path.is_dir()} == {"2775"}
    assert bits(outbox.root / ".staging") == "2700"
