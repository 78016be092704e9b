"""Attempts on other machines have folders of their own; what a dead one writes is not published."""

import errno
from contextlib import nullcontext
from pathlib import Path

import pytest
from tests.daemon.faults import failing, fill, mounts, replaced, tree
from tests.daemon.outbox.endings import digest

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.base.model import Attempt
from stylewatch_daemon.files.system import system
from stylewatch_daemon.outbox import publish, staging
from stylewatch_daemon.outbox.publish import CLIP_FOLDER, RECEIPT, STAGED_CHECKPOINT, Outbox
from stylewatch_daemon.outbox.staging import AttemptFiles

ATTEMPTS = [
    Attempt("2026-01-02T12:00:00+00:00", pid=7),
    Attempt("2026-01-02T13:00:00+00:00", pid=8),
]
FIRST, SECOND = "stages/0001.png", "stages/0002.png"


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "out")


def begin(outbox: Outbox, number: int) -> tuple[AttemptFiles, Path]:
    """Begin that attempt on another machine; return its files and its folder."""
    files = AttemptFiles(outbox, "1")
    checkpoint = files.begin(staging.name(ATTEMPTS[:number]))
    files.take_over()
    assert checkpoint.name == STAGED_CHECKPOINT
    return files, checkpoint.parent


@pytest.mark.parametrize("is_apart", [False, True])
def test_each_attempt_takes_over_what_the_last_one_left(is_apart: bool, outbox: Outbox) -> None:
    fill(outbox.staging("1"), FIRST, ".half.tmp")
    _, first = begin(outbox, 1)
    frame = f"{CLIP_FOLDER}/00000001.png"
    fill(first, STAGED_CHECKPOINT, SECOND, frame)
    with mounts(first) if is_apart else nullcontext():  # as a union of disks may do
        files, second = begin(outbox, 2)
    assert not first.exists() and not (outbox.root / ".staging/1" / FIRST).exists()
    assert outbox.staged(files.place) == [FIRST, SECOND]
    assert (second / STAGED_CHECKPOINT).exists() and (second / frame).exists()


@pytest.mark.parametrize("is_elsewhere", [False, True])
def test_a_receipt_of_an_earlier_attempt_does_not_say_that_this_one_is_done(
    is_elsewhere: bool, outbox: Outbox
) -> None:
    fill(begin(outbox, 1)[1] if is_elsewhere else outbox.staging("1"), RECEIPT, FIRST)
    files = begin(outbox, 2)[0] if is_elsewhere else AttemptFiles(outbox, "1")
    files.take_over()
    assert not outbox.has_receipt(f".staging/{files.place}")
    assert outbox.staged(files.place) == [FIRST]


def test_of_several_checkpoints_that_of_the_latest_attempt_is_taken_over(outbox: Outbox) -> None:
    for name in (".2-1-1", ".10-1-1", ".1-1-1"):
        fill(outbox.root / ".staging/1" / name, STAGED_CHECKPOINT, FIRST)
        for file in (STAGED_CHECKPOINT, FIRST):
            (outbox.root / ".staging/1" / name / file).write_text(name)
    files = AttemptFiles(outbox, "1")
    checkpoint = files.begin(".11-1-1")
    files.take_over()
    assert checkpoint.read_text() == ".10-1-1"
    assert (checkpoint.parent / FIRST).read_text() == ".10-1-1"
    assert staging.attempt_folders(outbox.root, "1") == [".11-1-1"]


def test_without_its_checkpoint_an_attempt_begins_at_the_beginning(outbox: Outbox) -> None:
    _, first = begin(outbox, 1)
    fill(first, STAGED_CHECKPOINT, f"{CLIP_FOLDER}/00000001.png", FIRST)
    AttemptFiles(outbox, "1").forget_checkpoints()
    AttemptFiles(outbox, "2").forget_checkpoints()
    _, second = begin(outbox, 2)
    assert [path.name for path in second.iterdir()] == ["stages"]


def test_what_a_machine_writes_that_was_thought_dead_is_not_published(outbox: Outbox) -> None:
    _, first = begin(outbox, 1)
    files, second = begin(outbox, 2)
    with pytest.raises(OutputError, match="is gone"):
        publish.stage(first, SECOND, b"late")
    fill(first, RECEIPT, SECOND, STAGED_CHECKPOINT)  # it sees no change yet
    assert tree(second) == {} and files.look(SECOND, digest(SECOND)) is None
    assert not outbox.has_receipt(f".staging/{files.place}")


def test_a_file_of_another_machine_counts_only_with_the_bytes_that_were_announced(
    outbox: Outbox,
) -> None:
    files, folder = begin(outbox, 1)
    fill(folder, FIRST, SECOND)
    (folder / "stages/link.png").symlink_to(folder / FIRST)
    assert files.look(FIRST, digest(FIRST)) == (len(FIRST), True)
    assert files.look("stages/nothing.png", "12ab") is None
    for path in (SECOND, "stages/link.png"):
        look = files.look(path, digest(FIRST))
        assert look is not None and not look.is_announced
    assert files.look(SECOND, digest(SECOND)) == (len(SECOND), True)
    (folder / "stages").rename(folder / "moved")
    (folder / "stages").symlink_to(folder / "moved")
    with pytest.raises(OutputError, match="leads elsewhere"):
        files.look(FIRST, digest(FIRST))


def test_a_file_of_this_machine_is_not_read_again(outbox: Outbox) -> None:
    files = AttemptFiles(outbox, "1")
    fill(outbox.staging("1"), FIRST)
    assert (files.look(FIRST, "12ab"), files.look(SECOND, "12ab")) == ((len(FIRST), True), None)
    broken = failing(OSError(errno.EIO, "Input/output error"))
    with replaced(system, stat=broken), pytest.raises(OSError, match="Input/output error"):
        files.look(FIRST, "12ab")
