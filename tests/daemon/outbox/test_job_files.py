"""Files of finished jobs are read where they are, and receipts lead out of no folder."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill
from tests.daemon.world import make_finished_job, write_receipt

from stylewatch_daemon.errors import InputError
from stylewatch_daemon.files import safe_dirs
from stylewatch_daemon.outbox import job_files
from stylewatch_daemon.store.ledger import Entry


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def record(role: str, name: str, **more: Any) -> Mapping[str, Any]:
    """An input as the ledger has it; files that `fill` makes hold their own names."""
    return {"role": role, "name": name, "size": len(name), **more}


def entry(root: Path, *inputs: Mapping[str, Any], **more: Any) -> Entry:
    """A job that is done."""
    return Entry(
        "1", "a", str(root / "in"), str(root / "out"), "done", "", inputs, 0,
        **{"place": "a", **more},
    )  # fmt: skip


def content(root: Path, sha256: str = "") -> job_files.Input:
    """The content picture `c.jpg` of a job."""
    source = str(root / "in/album/c.jpg")
    inputs = record("content", "c.jpg", source=source, sha256=sha256), record("style", "s")
    return job_files.inputs(entry(root, *inputs, refused_as="_refused/a"))[0]


def test_an_input_is_looked_for_in_archive_refused_and_inbox(tmp_path: Path) -> None:
    for place in ("in/album/c.jpg", "out/_refused/a/c.jpg", "out/a/inputs/c.jpg"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text("c.jpg")
        assert content(tmp_path).find().path == tmp_path / place
    (tmp_path / "in/album/c.jpg").write_text("other")  # with a checksum only these bytes count
    assert content(tmp_path, digest("other")).find().path == tmp_path / "in/album/c.jpg"
    with pytest.raises(InputError, match=r"c\.jpg \(content\) is no longer as it was"):
        content(tmp_path, digest("gone")).find()


@pytest.mark.parametrize(
    ("link", "inside"),
    [("out/a/inputs/c.jpg", ""), ("out/a", "inputs/c.jpg"), ("in/album", "c.jpg")],
)
def test_no_link_is_followed(tmp_path: Path, link: str, inside: str) -> None:
    target = tmp_path / "away" / inside
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("c.jpg")
    (tmp_path / link).parent.mkdir(parents=True)
    (tmp_path / link).symlink_to(tmp_path / "away")
    (tmp_path / "out").mkdir(exist_ok=True)
    assert (tmp_path / link / inside).read_text() == "c.jpg"
    with pytest.raises(InputError):
        content(tmp_path).find()


@pytest.mark.parametrize("link", ["1", "1/.2-20260102120000-7", "1/.2-20260102120000-7/.clip"])
def test_frames_are_not_looked_for_behind_links(tmp_path: Path, link: str) -> None:
    attempt = tmp_path / "out/.staging/1/.2-20260102120000-7"
    fill(attempt, ".clip/00000003.png")
    assert list(job_files.frames(entry(tmp_path))) == [3]
    (tmp_path / "out/.staging" / link).rename(tmp_path / "away")
    (tmp_path / "out/.staging" / link).symlink_to(tmp_path / "away")
    assert (attempt / ".clip/00000003.png").exists()
    assert job_files.frames(entry(tmp_path)) == {}


@pytest.mark.parametrize("role", ["content", "style"])
def test_a_job_needs_both_sides_unless_its_settings_or_job_file_may_say_so(
    tmp_path: Path, role: str
) -> None:
    begun = entry(tmp_path, record(role, "c.jpg"), settings={"only": role})
    assert [file.role for file in job_files.inputs(begun)] == [role]
    masks = record("content-mask", "c.png"), record("style-2-mask", "s.png"), record("x", "y")
    with_file = entry(tmp_path, record(role, "c.jpg"), record("job", "job.yaml"), *masks)
    roles = [role, "job", "content-mask", "style-2-mask"]
    assert [file.role for file in job_files.inputs(with_file)] == roles
    with pytest.raises(InputError, match="drop the pair again"):
        job_files.inputs(entry(tmp_path, record(role, "c.jpg"), settings={"only": None}))


def test_a_stage_is_found_by_its_step_if_it_is_that_of_the_receipt(tmp_path: Path) -> None:
    names = ("stages/0005.png", "stages/0010.jpg", "stages/notes.txt")
    fill(tmp_path / "out/a", *names)
    start = job_files.stage(entry(tmp_path), 10)
    assert (start.role, start.name) == ("init", "stage-0010.jpg")
    assert start.find().path == tmp_path / "out/a/stages/0010.jpg"
    with pytest.raises(InputError, match="a has no stage 7; there are 5, 10"):
        job_files.stage(entry(tmp_path), 7)
    for place in ("b", None):
        with pytest.raises(InputError, match=r"retention\.stages"):
            job_files.stage(entry(tmp_path, place=place), 5)
    receipt = {"stages": [{"file": "stages/0010.jpg", "sha256": digest("painted")}]}
    (tmp_path / "out/a/receipt.json").write_text(json.dumps(receipt))
    with pytest.raises(InputError, match="no longer as it was"):
        job_files.stage(entry(tmp_path), 10).find()


# Receipts and notes


def digests_in(folder: Path, part: job_files.Part, before: float = 1e11) -> dict[str, str]:
    with safe_dirs.opened(folder) as handle:
        return job_files.digests(handle, part, before)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return make_finished_job(tmp_path, "job", 3)


def test_a_receipt_names_stages_and_inputs_with_their_checksums(job: Path, tmp_path: Path) -> None:
    stages = digests_in(job, "stages")
    assert list(stages) == ["0001.png", "0002.png"]
    assert list(digests_in(job, "inputs")) == ["content.jpg", "style.jpg"]
    with safe_dirs.opened(job, "stages") as handle:
        sizes = [job_files.size_if(name, handle, digest) for name, digest in stages.items()]
        assert sizes == [len("job stages/0001.png")] * 2
        (job / "stages/0001.png").write_text("touched up by hand")
        (job / "stages/0002.png").rename(tmp_path / "moved.png")
        (job / "stages/0002.png").symlink_to(tmp_path / "moved.png")
        sizes = [job_files.size_if(name, handle, digest) for name, digest in stages.items()]
        assert sizes == [None, None], "changed or replaced"
    os.utime(job / "receipt.json", (0, 0))
    assert digests_in(job, "stages", 1e9) == {}, "of two times the later one counts"


@pytest.mark.parametrize(("part", "key"), [("stages", "file"), ("inputs", "name")])
def test_a_file_is_in_the_folder_of_its_part_and_nowhere_else(
    part: job_files.Part, key: str, job: Path
) -> None:
    names = ("../final.png", "stages/../final.png", "/etc/passwd", "deeper/content.jpg",
             "stages/deeper/0001.png", "", "..")  # fmt: skip
    receipt = json.loads((job / "receipt.json").read_text())
    write_receipt(job, {**receipt, part: [{key: name, "sha256": "x"} for name in names]})
    assert digests_in(job, part) == {}


@pytest.mark.parametrize(
    "receipt", [[], {"stages": "all"}, {"stages": [1, None]}, {"finished": 7}], ids=str
)
def test_an_invalid_receipt_names_nothing(receipt: Any, job: Path) -> None:
    valid = json.loads((job / "receipt.json").read_text())
    write_receipt(job, {**valid, **receipt} if isinstance(receipt, dict) else receipt)
    assert digests_in(job, "stages") == {}


def test_unchanged_files_are_those_of_the_receipt(job: Path) -> None:
    (job / "inputs/content.jpg").rename(job / "inputs/content-2.jpg")
    for name in ("losses.csv", "stages/0002.png"):
        (job / name).write_text("changed by hand")
    inputs = ["inputs/content-2.jpg", "inputs/style.jpg"]
    assert list(job_files.unchanged(job)) == ["final.png", "stages/0001.png", *inputs]
    (job.parent / "mine.png").write_text("mine")
    names = ("../mine.png", "inputs/job.yaml", "a\0b", "..", "", "\ud800")
    records = [{"file": name, "sha256": digest("mine")} for name in names]
    stages = [{"file": f"stages/{name}", "sha256": digest("mine")} for name in names]
    write_receipt(job, {"files": records, "stages": stages})
    assert list(job_files.unchanged(job)) == []
