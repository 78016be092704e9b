"""What a job leaves when it ends is published whole and once, whatever is killed."""

import json
import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pydantic import ByteSize
from tests.daemon.faults import fill, killed_at, mounts, tree
from tests.daemon.outbox.endings import (
    JOB_FILE,
    PAINTED,
    PHOTO,
    STYLE,
    digest,
    everything,
    make_ending,
    output,
    receipt,
)

from stylewatch_daemon.base.errors import FullError, OutputError
from stylewatch_daemon.base.model import End
from stylewatch_daemon.files.permissions import Sharing
from stylewatch_daemon.outbox import ending as endings
from stylewatch_daemon.outbox.ending import Ending, Published, publish_output, publish_refusal
from stylewatch_daemon.outbox.publish import RECEIPT, STAGING, Outbox
from stylewatch_daemon.settings.sections import LARGEST_PICTURE, Limits

LATER = "later.jpg"
"""What a program writes into PHOTO while the job runs: as many bytes."""


def published_receipt(ending: Ending) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads((ending.claim.outbox / "album/a" / RECEIPT).read_text())
    return plain


# -- jobs with a picture


def test_a_painted_job_is_published_with_its_inputs_and_its_receipt_last(tmp_path: Path) -> None:
    ending = make_ending(tmp_path)
    published = publish_output(ending)
    folder = ending.claim.outbox / "album/a"
    text = (folder / RECEIPT).read_text()
    assert json.loads(text) == receipt(), "without news it is as the worker wrote it"
    assert everything(ending.claim.outbox) == {
        **{f"album/a/{name}": name for name in PAINTED},
        f"album/a/inputs/{PHOTO}": PHOTO,
        f"album/a/inputs/{JOB_FILE}": JOB_FILE,
        f"album/a/{RECEIPT}": text,
    }
    assert published == Published(
        (
            output("album/a/final.png", "final"),
            output("album/a/losses.csv"),
            output(f"album/a/inputs/{PHOTO}", "inputs"),
            output(f"album/a/inputs/{JOB_FILE}", "inputs"),
            output(f"album/a/{RECEIPT}", "receipt", text),
        ),
        folder,
    )


@pytest.mark.parametrize("after", ["keep", "delete"])
def test_inputs_are_archived_only_if_that_is_wanted_or_they_were_changed(
    after: str, tmp_path: Path
) -> None:
    ending = make_ending(tmp_path / "1", after)
    publish_output(ending)
    assert not (ending.claim.outbox / "album/a/inputs").exists()
    ending = make_ending(tmp_path / "2", after)
    (ending.inputs / JOB_FILE).write_text("seed: 7")  # without a digest it goes by its look
    changed = {JOB_FILE: digest("seed: 7")} if after == "delete" else {}
    assert publish_output(ending).changed == changed


@pytest.mark.parametrize(
    ("after", "apart", "finals"),
    [("archive", False, True), ("archive", True, True), ("delete", True, False)],
    ids=["one mount", "several mounts", "without archive"],
)
def test_killed_at_any_change_a_painted_job_is_published_once(
    after: str, apart: bool, finals: bool, tmp_path: Path
) -> None:
    """One input changes meanwhile, a stage is of an attempt that started over."""

    def prepare(root: Path) -> Ending:
        ending = make_ending(root, after, finals=root / "finals" if finals else None)
        then = (ending.inputs / PHOTO).stat()
        (ending.inputs / PHOTO).write_text(LATER)
        os.utime(ending.inputs / PHOTO, ns=(then.st_atime_ns, then.st_mtime_ns))
        fill(ending.claim.outbox, "album/a/stages/0009.png", "album/a/stages/notes.txt")
        return replace(ending, warnings=("the originals stay",))

    check_kills(tmp_path, prepare, publish_output, apart=apart)
    ending = prepare(tmp_path / "last")
    published = publish_output(ending)
    record = published_receipt(ending)
    assert published.changed == {PHOTO: digest(LATER)}
    assert record["inputs"][0]["changed"] == {"sha256": digest(LATER)}
    assert "changed" not in record["inputs"][1]
    assert record["warnings"] == [
        "as ever", "the originals stay", endings.changed_while_running(PHOTO)
    ]  # fmt: skip
    stages = sorted(path.name for path in (published.folder / "stages").iterdir())
    assert stages == ["0001.png", "notes.txt"]
    assert (published.folder / "inputs" / PHOTO).read_text() == LATER


def check_kills(
    root: Path, prepare: Callable[[Path], Ending], publish: Callable[[Ending], Published], *,
    apart: bool,
) -> None:  # fmt: skip
    """Kill `publish` at every change, repeat it, and compare all files and the result."""

    def files(ending: Ending, published: Published) -> Any:
        outbox, home = Outbox(ending.claim.outbox), ending.claim.outbox.parent
        outbox.clear("1")
        outbox.empty_trash()
        paths = [file._replace(path=file.path.replace(str(home), "")) for file in published.files]
        finals = home / "finals"
        return everything(outbox.root), everything(finals) if finals.exists() else {}, paths

    ending = prepare(root / "0")
    with mounts(root / "0/state", root / "0/finals") if apart else nullcontext():
        wanted = files(ending, publish(ending))
    for change in count(1):
        home = root / str(change)
        ending = prepare(home)
        with mounts(home / "state", home / "finals") if apart else nullcontext():
            with killed_at(change) as died:
                publish(ending)
            assert files(ending, publish(ending)) == wanted, f"killed at change {change}"
        if not died():
            break
    assert change > 5


def test_a_copy_whose_original_changed_is_named_in_the_receipt_once(tmp_path: Path) -> None:
    ending = make_ending(tmp_path, warnings=("as ever",))
    inputs = [replace(file, changed=file.role == "content") for file in ending.job.inputs]
    publish_output(replace(ending, job=replace(ending.job, inputs=tuple(inputs))))
    warnings = published_receipt(ending)["warnings"]
    assert warnings == ["as ever", endings.changed_after_copy(PHOTO)]
    assert warnings[1].startswith("photo.jpg changed after it was copied")


def test_without_a_receipt_anywhere_the_job_waits_for_its_disk(tmp_path: Path) -> None:
    ending = make_ending(tmp_path)
    (ending.claim.outbox / STAGING / "1" / RECEIPT).unlink()
    with pytest.raises(OutputError, match="has nothing of it: mount the disk"):
        publish_output(ending)


LEADING_OUT = ("../b/final.png", "/etc/hostname", "..", "", "deep/er.png")


@pytest.mark.parametrize(
    "content",
    [
        '{"inputs": 3}', "\0", "[" * 100_000,
        json.dumps({"files": [{"file": name, "sha256": digest("x")} for name in LEADING_OUT]}),
    ],
    ids=range(4),
)  # fmt: skip
def test_what_is_no_receipt_is_published_as_it_is_and_leads_to_no_file(
    content: str, tmp_path: Path
) -> None:
    ending = make_ending(tmp_path)
    (ending.claim.outbox / STAGING / "1" / RECEIPT).write_text(content)
    (*inputs, last) = publish_output(ending).files
    assert (ending.claim.outbox / last.path).read_text() == content
    assert {file.part for file in inputs} == {"inputs"}


@pytest.mark.parametrize("publish", [publish_output, publish_refusal])
def test_long_work_ends_when_the_daemon_stops(publish: Any, tmp_path: Path) -> None:
    def leave() -> None:
        raise OutputError("the daemon stops")

    ending = make_ending(tmp_path)
    with pytest.raises(OutputError, match="the daemon stops"):
        publish(ending, leave)
    seen = {path.split("/")[0] for path in tree(ending.claim.outbox)}
    assert seen == {"album"} and not (ending.claim.outbox / "album/a" / RECEIPT).exists()


# -- jobs without one


def refused(root: Path, **changes: Any) -> Ending:
    """The ending of a job that failed after a stage."""
    ending = make_ending(root, **changes)
    return replace(ending, job=replace(ending.job, end=End.FAILED))


def test_the_own_inputs_of_a_job_come_back_with_the_reason(tmp_path: Path) -> None:
    ending = refused(tmp_path)
    published = publish_refusal(ending)
    folder = "_refused/album/a"
    assert tree(ending.claim.outbox) == {
        **{f"album/a/{name}": name for name in PAINTED},
        f"{folder}/{PHOTO}": PHOTO,
        f"{folder}/{JOB_FILE}": JOB_FILE,
        f"{folder}/reason.txt": "Bad.\n",
    }
    assert published == Published(
        (
            output(f"{folder}/{PHOTO}", "refused"),
            output(f"{folder}/{JOB_FILE}", "refused"),
            output(f"{folder}/reason.txt", "reason", "Bad.\n"),
        ),
        ending.claim.outbox / folder,
        folder,
    )


def test_an_empty_folder_of_a_refused_job_is_removed_and_missing_inputs_keep_no_reason_back(
    tmp_path: Path,
) -> None:
    ending = refused(tmp_path)
    for path in (*ending.inputs.iterdir(), *(ending.claim.outbox / "album").rglob("*.*")):
        path.unlink()
    (ending.claim.outbox / "album/a/stages").rmdir()
    assert [file.part for file in publish_refusal(ending).files] == ["reason"]
    assert sorted(path.name for path in ending.claim.outbox.iterdir()) == [".staging", "_refused"]


@pytest.mark.parametrize("apart", [False, True], ids=["one mount", "several mounts"])
def test_killed_at_any_change_a_refused_job_comes_back_once(apart: bool, tmp_path: Path) -> None:
    def prepare(root: Path) -> Ending:
        fill(root / "out", "_refused/album/a/mine.txt")
        return refused(root)

    check_kills(tmp_path, prepare, publish_refusal, apart=apart)
    assert publish_refusal(prepare(tmp_path / "last")).refused_as == "_refused/album/a-2"


def test_a_place_that_was_noted_and_is_taken_meanwhile_is_not_used(tmp_path: Path) -> None:
    for change in count(1):
        ending = refused(tmp_path / str(change))
        with killed_at(change) as died:
            publish_refusal(ending)
        is_moved = (ending.claim.outbox / "_refused/album/a/reason.txt").exists()
        fill(ending.claim.outbox, "_refused/album/a/mine.txt")
        place = "_refused/album/a" if is_moved else "_refused/album/a-2"
        assert publish_refusal(ending).refused_as == place
        if not died():
            break


def test_a_refused_file_that_must_be_copied_is_small_enough_and_leaves_room(tmp_path: Path) -> None:
    ending = refused(tmp_path)
    os.truncate(ending.inputs / PHOTO, LARGEST_PICTURE + 1)
    small, reserved = Limits(max_bytes=ByteSize(9)), Limits(free_bytes=ByteSize(10**15))
    with mounts(tmp_path / "state"):
        with pytest.raises(OutputError, match="too large to be copied"):
            publish_refusal(replace(ending, limits=small))
        with pytest.raises(FullError):
            publish_refusal(replace(ending, limits=reserved))
    assert "_refused" not in {path.name for path in ending.claim.outbox.iterdir()}
    publish_refusal(replace(ending, limits=reserved))  # what is linked takes no room
    assert (ending.claim.outbox / "_refused/album/a" / PHOTO).stat().st_size == LARGEST_PICTURE + 1


# -- the finals of an inbox


@pytest.mark.parametrize("apart", [False, True])
def test_the_final_picture_is_linked_under_the_name_of_the_job_or_copied(
    apart: bool, tmp_path: Path
) -> None:
    ending = make_ending(tmp_path, finals=tmp_path / "finals", sharing=Sharing(mode=0o640))
    with mounts(tmp_path / "out") if apart else nullcontext():
        files = {file.part: file for file in publish_output(ending).files}
    linked = tmp_path / "finals/album/a.png"
    assert files["finals"] == files["final"]._replace(path=str(linked), part="finals")
    assert linked.samefile(ending.claim.outbox / "album/a/final.png") is not apart
    assert everything(tmp_path / "finals") == {"album/a.png": "final.png"}
    assert linked.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("same", [False, True])
def test_a_file_or_a_link_of_somebody_else_is_not_replaced_and_the_same_bytes_count(
    same: bool, apart: bool, tmp_path: Path
) -> None:
    ending = make_ending(tmp_path, finals=tmp_path / "finals")
    fill(tmp_path, "finals/album/a.png", "mine.png", "finals/album/a-3.png/deep")
    (tmp_path / "finals/album/a-2.png").symlink_to(tmp_path / "mine.png")
    if same:
        (tmp_path / "finals/album/a.png").write_text("final.png")
    before = everything(tmp_path / "finals")
    with mounts(tmp_path / "out") if apart else nullcontext():
        publish_output(ending)
    added = {} if same else {"album/a-4.png": "final.png"}
    assert everything(tmp_path / "finals") == {**before, **added}
    assert (tmp_path / "mine.png").read_text() == "mine.png"


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("became", ["other", "link", "nothing"])
def test_a_picture_that_was_changed_meanwhile_is_not_linked(
    became: str, apart: bool, tmp_path: Path
) -> None:
    ending = make_ending(tmp_path, finals=tmp_path / "finals")
    picture = ending.claim.outbox / "album/a/final.png"
    picture.unlink()
    if became == "other":
        picture.write_text("touched up")
    elif became == "link":
        picture.symlink_to(ending.inputs / STYLE)
    with mounts(tmp_path / "out") if apart else nullcontext():
        assert "finals" not in {file.part for file in publish_output(ending).files}
    assert everything(tmp_path / "finals") == {}


def test_a_link_in_the_finals_is_not_followed(tmp_path: Path) -> None:
    ending = make_ending(tmp_path, finals=tmp_path / "finals")
    (tmp_path / "finals").mkdir()
    (tmp_path / "finals/album").symlink_to(tmp_path / "in")
    with pytest.raises(OutputError, match="remove the link there"):
        publish_output(ending)
    assert not (ending.claim.outbox / "album/a" / RECEIPT).exists()
