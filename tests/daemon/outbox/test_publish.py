"""Only complete files get into the outbox, in folders that were free."""

import errno
import os
import stat
from hashlib import sha256
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest
from tests.daemon.faults import failing, fill, killed_at, recorded_syncs, replaced

from stylewatch_daemon.base.errors import OutputError, TakenError
from stylewatch_daemon.files.atomic import PROBE, this_process, unused_name
from stylewatch_daemon.files.system import system
from stylewatch_daemon.outbox.publish import RECEIPT, Outbox, keep_staged, stage


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "out")


def make(outbox: Outbox, place: str = "album/job") -> Path:
    assert outbox.make(place)
    return outbox.root / place


def bits(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):04o}"


def test_a_job_gets_a_free_folder_that_nobody_has_and_no_other_job_will_get(
    tmp_path: Path,
) -> None:
    outbox = Outbox(tmp_path / "out", reserved={"album/job"})
    root = outbox.root
    assert outbox.choose("album/job") == "album/job-2"
    assert not root.exists(), "nothing is made before it is recorded"
    make(outbox, "album/job-2")
    assert outbox.choose("album/job") == "album/job-3"
    assert not outbox.make("album/job-2"), "somebody was faster"
    (root / "album/job-3").symlink_to(tmp_path / "nothing")
    assert outbox.choose("album/job") == "album/job-4"
    for place in ("album/job-2", "album/job-4"):
        for _ in range(2):  # again after a kill
            outbox.reopen(place)
            assert (root / place).is_dir()
    outbox.drop_empty("album/job-4")
    (root / "album/job-3").unlink()
    assert [path.name for path in (root / "album").iterdir()] == ["job-2"]
    for _ in range(2):
        outbox.drop_empty("album/job-2")
    assert not (root / "album").exists() and root.exists()


def test_a_folder_with_the_name_of_a_picture_of_another_job_gets_another_name(
    outbox: Outbox,
) -> None:
    fill(make(outbox, "sea"), "final.png")
    assert outbox.choose("sea/final.png/day/a") == "sea/final.png-2/day/a"
    make(outbox, "sea/final.png-2/day/a")


@pytest.mark.parametrize("name", ["Final.png", "stages", "losses.csv", "losses.svg"])
def test_no_job_gets_a_folder_with_the_name_of_a_file_that_a_running_job_may_publish(
    name: str, tmp_path: Path
) -> None:
    outbox = Outbox(tmp_path / "out", reserved={"sea"})
    make(outbox, "sea")
    assert outbox.choose(f"sea/{name}") == f"sea/{name}-2"
    assert outbox.choose(f"sea/{name}/a") == f"sea/{name}-2/a"
    assert outbox.choose("sea/day") == "sea/day"
    assert outbox.choose(f"bay/{name}") == f"bay/{name}"


def test_an_empty_parent_that_is_a_mount_stays(outbox: Outbox) -> None:
    def rmdir(name: Any, **more: Any) -> None:
        if name == "album":
            raise OSError(errno.EBUSY, "Device or resource busy")
        real(name, **more)

    real, folder = system.rmdir, make(outbox)
    with replaced(system, rmdir=rmdir):
        outbox.drop_empty("album/job")
    assert folder.parent.exists() and not folder.exists()


@pytest.mark.parametrize("name", [RECEIPT, "stages/1.png"])
def test_the_first_file_of_a_name_replaces_none_that_comes_at_that_moment(
    outbox: Outbox, name: str
) -> None:
    def link(*args: Any, **more: Any) -> None:
        theirs.write_text("theirs")
        real(*args, **more)

    real, folder = system.link, make(outbox)
    theirs = folder / name
    theirs.parent.mkdir(exist_ok=True)
    fill(outbox.staging("1"), name)
    with replaced(system, link=link), pytest.raises(TakenError, match="of somebody else"):
        outbox.publish("1", "album/job", name, is_first=True)
    assert theirs.read_text() == "theirs"
    assert (outbox.staging("1") / name).exists()
    theirs.unlink()
    outbox.publish("1", "album/job", name, is_first=True)
    assert theirs.exists() and not (outbox.staging("1") / name).exists()


def test_what_kills_have_left_is_swept_and_the_files_of_jobs_stay(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "out")
    outbox.sweep()
    assert not outbox.root.exists(), "an outbox that is away is not made"
    fill(outbox.staging("1"), "stages/1.png")
    with killed_at(3):
        outbox.probe()
    halves = [f".{unused_name()}.tmp", f".1-{unused_name()}.tmp", PROBE]
    fill(outbox.root / ".staging", "trash/1/2.png", *halves)
    fill(outbox.root, *halves, f"_refused/{halves[1]}/a.jpg")
    names = {name: sha256(name.encode()).hexdigest()[:16] for name in "bc"}
    mine, other = (f"_refused/.{this_process()}-{name}.tmp/a.jpg" for name in names.values())
    fill(outbox.root, mine, other)  # another job is being refused in another lane
    outbox.sweep()
    assert [path.name for path in (outbox.root / ".staging").iterdir()] == ["1"]
    assert outbox.staged("1") == ["stages/1.png"]
    outbox.clear("1")
    outbox.clear("1")
    assert [path.name for path in (outbox.root / ".staging").iterdir()] == ["trash"]
    assert outbox.refuse("2", "_refused/b", {}, "damaged")
    assert [path.parent for path in outbox.root.glob("*/.*.tmp/*")] == [
        (outbox.root / other).parent
    ]


def test_what_cannot_be_removed_of_an_earlier_job_blocks_no_other(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "out")
    left = f"trash/{unused_name()}"
    fill(outbox.staging("1"), "stages/1.png")
    fill(outbox.root / ".staging", f"{left}/2.png")
    real = system.rmdir

    def refuse(path: str, **more: Any) -> None:
        if path in left.split("/"):
            raise PermissionError(13, "Permission denied")
        real(path, **more)

    with replaced(system, rmdir=refuse):
        outbox.clear("1")
        assert outbox.sweep() == []
    assert (outbox.root / ".staging" / left).exists()
    outbox.clear("1")
    assert not (outbox.root / ".staging" / left).exists()


@pytest.mark.parametrize("what", ["1", "1/.clip"])
def test_a_removal_that_failed_is_repeated_for_its_job(what: str, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "out")
    fill(outbox.staging("1"), ".clip/1.png", "stages/1.png")
    with (
        replaced(system, rmdir=failing(PermissionError(13, "Permission denied"))),
        pytest.raises(OutputError),
    ):
        outbox.clear(what)
    assert list((outbox.root / ".staging/trash").iterdir())
    outbox.clear(what)
    assert not list((outbox.root / ".staging/trash").iterdir())


def test_a_file_in_the_place_of_an_album_is_named(outbox: Outbox) -> None:
    fill(outbox.root, "album")
    with pytest.raises(OutputError, match=r"cannot be written \('album' is no folder: move it"):
        outbox.make("album/job")


def test_what_an_error_left_is_removed_before_a_text_counts_as_written(outbox: Outbox) -> None:
    full = OSError(28, "No space left on device")
    outbox.probe()
    broken = replaced(system, rename=failing(full), unlink=failing(full))
    with broken, pytest.raises(OutputError, match="No space left"):
        outbox.put("_status.txt", b"a")
    with replaced(system, unlink=failing(full)), pytest.raises(OutputError, match="No space left"):
        outbox.put("_status.txt", b"b")
    outbox.put("_status.txt", b"c")
    names = sorted(path.name for path in outbox.root.rglob("*") if path.is_file())
    assert (names, outbox.root.joinpath("_status.txt").read_text()) == (["_status.txt"], "c")


def test_only_what_is_in_the_folder_of_a_job_is_made_when_its_disk_may_just_have_gone(
    outbox: Outbox, tmp_path: Path
) -> None:
    fill(tmp_path, "photo.jpg")
    fill(outbox.staging("1"), "stages/1.png")
    for publish in (
        lambda: outbox.publish("1", "album/job", "stages/1.png"),
        lambda: outbox.archive("1", "album/job", {tmp_path / "photo.jpg": 9}),
    ):
        with pytest.raises(OutputError, match="No such file"):
            publish()
        assert not (outbox.root / "album").exists()
        make(outbox)
        publish()
        rmtree(outbox.root / "album")


def test_all_files_are_synced_before_the_receipt_gets_its_name(
    outbox: Outbox, tmp_path: Path
) -> None:
    fill(tmp_path, "photo.jpg", "painting.jpg")
    inputs = {tmp_path / "photo.jpg": 9, tmp_path / "painting.jpg": 12}
    staging, made = outbox.staging("1"), ("stages/1.png", "losses.csv", "final.png", RECEIPT)
    with recorded_syncs() as events:
        folder = make(outbox)
        for name in made:
            stage(staging, name, b"x")
        keep_staged(staging, ("stages", "."))
        kept = events[-2:]
        for name in made[:-1]:
            outbox.publish("1", "album/job", name)
        outbox.archive("1", "album/job", inputs)
        before = len(events)
        outbox.publish("1", "album/job", RECEIPT)
    with recorded_syncs() as again:  # a kill may have come before the folder was synced
        outbox.archive("1", "album/job", inputs)
    assert ("sync", str(folder / "inputs")) in again
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
        folder = make(outbox)
        fill(outbox.staging("1"), "stages/1.png")
        outbox.publish("1", "album/job", "stages/1.png")
        outbox.archive("1", "album/job", {tmp_path / "photo.jpg": 9})
    finally:
        os.umask(before)
    shown = {path: bits(path) for path in folder.rglob("*")}
    assert {mode for path, mode in shown.items() if path.is_file()} == {"0664"}
    assert {mode for path, mode in shown.items() if path.is_dir()} == {"2775"}
    assert bits(outbox.root / ".staging") == "2700"
