"""Files of finished jobs are found where they are, and receipts lead out of no folder."""

import hashlib
import json
import os
import shutil
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


def noted(role: str, name: str, **more: Any) -> Mapping[str, Any]:
    """An input as the ledger has it; files that `fill` makes hold their own names."""
    return {"role": role, "name": name, "size": len(name), **more}


def entry(root: Path, *inputs: Mapping[str, Any], **more: Any) -> Entry:
    """A job that is done."""
    return Entry(
        "1", "a", str(root / "in"), str(root / "out"), "done", "", inputs, 0,
        **{"place": "a", **more},
    )  # fmt: skip


def content(root: Path, **more: Any) -> job_files.Input:
    """The content picture `c.jpg` of a job."""
    told = {key: more.pop(key) for key in ("sha256", "source") if key in more}
    one, _ = job_files.inputs(
        entry(root, noted("content", "c.jpg", **told), noted("style", "s"), **more)
    )
    return one


def test_an_input_is_looked_for_in_archive_refused_and_inbox(
    tmp_path: Path,
) -> None:
    places = ["out/a/inputs/c.jpg", "out/_refused/a/c.jpg", "in/album/c.jpg"]
    one = content(tmp_path, refused_as="_refused/a", source=str(tmp_path / "in/album/c.jpg"))
    for place in reversed(places):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text("c.jpg")
        assert one.find().path == tmp_path / place


def test_with_a_checksum_only_these_bytes_count(tmp_path: Path) -> None:
    fill(tmp_path, "out/a/inputs/c.jpg")
    with pytest.raises(InputError, match=r"c\.jpg \(content\) is no longer as it was"):
        content(tmp_path, sha256=digest("other")).find()
    (tmp_path / "out/a/inputs/c.jpg").write_text("other")
    assert content(tmp_path, sha256=digest("other")).find().path.exists()


@pytest.mark.parametrize("link", ["out/a/inputs/c.jpg", "out/a/inputs", "out/a", "in/album"])
def test_no_link_is_followed(tmp_path: Path, link: str) -> None:
    inside = {"out/a/inputs/c.jpg": "", "out/a/inputs": "c.jpg", "out/a": "inputs/c.jpg",
              "in/album": "c.jpg"}[link]  # fmt: skip
    target = tmp_path / "away" / inside if inside else tmp_path / "away"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("c.jpg")
    (tmp_path / link).parent.mkdir(parents=True)
    (tmp_path / link).symlink_to(tmp_path / "away")
    (tmp_path / "out").mkdir(exist_ok=True)
    assert (tmp_path / link / inside).read_text() == "c.jpg"
    with pytest.raises(InputError):
        content(tmp_path, source=str(tmp_path / "in/album/c.jpg")).find()


def test_roles_that_the_ledger_does_not_have_come_from_the_receipt(
    tmp_path: Path,
) -> None:
    fill(tmp_path, "out/a/inputs/c.jpg", "out/a/inputs/s", "out/a/inputs/t")
    told = [("content", "c.jpg"), ("style-1", "s"), ("style-2", "t"), ("init", "../../c.jpg")]
    records = [{"role": role, "name": name, "sha256": digest(f"out/a/inputs/{name}")}
               for role, name in told]  # fmt: skip
    (tmp_path / "out/a/receipt.json").write_text(json.dumps({"inputs": records}))
    old = entry(tmp_path, {"name": "c.jpg", "size": 5}, {"name": "s", "size": 1})
    assert [(one.role, one.find().path.name) for one in job_files.inputs(old)] == [
        ("content", "c.jpg"), ("style", "s"), ("style", "t")
    ]  # fmt: skip


@pytest.mark.parametrize("receipt", [None, "{}", "[", '{"inputs": [{"role": "content"}]}'])
def test_unknown_roles_are_an_error(tmp_path: Path, receipt: str | None) -> None:
    fill(tmp_path, "out/a/inputs/c.jpg")
    if receipt is not None:
        (tmp_path / "out/a/receipt.json").write_text(receipt)
    with pytest.raises(InputError, match="drop the pair again"):
        job_files.inputs(entry(tmp_path, {"name": "c.jpg", "size": 5}))


@pytest.mark.parametrize("role", ["content", "style"])
def test_one_side_is_enough_where_the_job_was_for_it_alone(tmp_path: Path, role: str) -> None:
    """By the settings that it was begun with, or by its job.yaml."""
    begun = entry(tmp_path, noted(role, "c.jpg"), settings={"only": role})
    assert [file.role for file in job_files.inputs(begun)] == [role]
    with_file = entry(tmp_path, noted(role, "c.jpg"), noted("job", "job.yaml"))
    assert [file.role for file in job_files.inputs(with_file)] == [role, "job"]
    with pytest.raises(InputError, match="drop the pair again"):
        job_files.inputs(entry(tmp_path, noted(role, "c.jpg"), settings={"only": None}))


def test_masks_are_found_by_the_picture_they_belong_to(tmp_path: Path) -> None:
    pair = noted("content", "c.jpg"), noted("style", "s")
    masks = noted("content-mask", "c.png"), noted("style-2-mask", "s.png")
    roles = ["content", "style", "content-mask", "style-2-mask"]
    told = entry(tmp_path, *pair, *masks, noted("style-mask", "x"))
    assert [file.role for file in job_files.inputs(told)] == roles
    fill(tmp_path, "out/a/receipt.json")
    records = [{"role": {"style": "style-1"}.get(role, role), "name": f"{role}.x", "sha256": "0"}
               for role in roles]  # fmt: skip
    (tmp_path / "out/a/receipt.json").write_text(json.dumps({"inputs": records}))
    assert [file.role for file in job_files.inputs(entry(tmp_path))] == roles


def test_a_stage_is_found_by_its_step(tmp_path: Path) -> None:
    fill(tmp_path, "out/a/stages/0005.png", "out/a/stages/0010.jpg", "out/a/stages/notes.txt")
    start = job_files.stage(entry(tmp_path), 10)
    assert (start.role, start.name) == ("init", "stage-0010.jpg")
    assert start.find().path == tmp_path / "out/a/stages/0010.jpg"
    with pytest.raises(InputError, match="a has no stage 7; there are 5, 10"):
        job_files.stage(entry(tmp_path), 7)


@pytest.mark.parametrize("place", ["a", None])
def test_missing_stages_are_an_error(tmp_path: Path, place: str | None) -> None:
    fill(tmp_path, "out/a/receipt.json")
    with pytest.raises(InputError, match=r"retention\.stages"):
        job_files.stage(entry(tmp_path, place=place), 5)


def test_a_stage_that_is_not_the_one_of_the_receipt_does_not_count(tmp_path: Path) -> None:
    fill(tmp_path, "out/a/stages/0005.png")
    record = {"file": "stages/0005.png", "sha256": digest("painted")}
    ended = {"stages": [record], "finished": "2026-01-01T00:00:00+00:00"}
    (tmp_path / "out/a/receipt.json").write_text(json.dumps(ended))
    start = job_files.stage(entry(tmp_path), 5)
    with pytest.raises(InputError, match="no longer as it was"):
        start.find()
    (tmp_path / "out/a/stages/0005.png").write_text("painted")
    start.find()


# -- receipts and notes

LONG_AGO, NOW = 0.0, 1e11


def digests_in(folder: Path, part: job_files.Part, before: float = NOW) -> dict[str, str]:
    with safe_dirs.opened(folder) as handle:
        return job_files.digests(handle, part, before)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return make_finished_job(tmp_path, "job", 3)


def test_a_receipt_names_stages_and_inputs_with_their_checksums(job: Path) -> None:
    assert list(digests_in(job, "stages")) == ["0001.png", "0002.png"]
    assert digests_in(job, "stages", LONG_AGO) == {}, "it ended later"
    assert list(digests_in(job, "inputs")) == ["content.jpg", "style.jpg"]
    with safe_dirs.opened(job, "stages") as handle:
        (size,) = {
            job_files.size_if(handle, name, digest)
            for name, digest in digests_in(job, "stages").items()
        }
    assert size == len("job stages/0001.png")


@pytest.mark.parametrize(
    "file",
    ["final.png", "../final.png", "stages/../final.png", "/etc/passwd", "inputs/content.jpg",
     "stages/deeper/0001.png", "stages", "", ".", 7, None],
)  # fmt: skip
def test_a_stage_lies_in_stages_and_nowhere_else(file: Any, job: Path) -> None:
    receipt = json.loads((job / "receipt.json").read_text())
    receipt["stages"] = [{"file": file, "sha256": "x"}]
    write_receipt(job, receipt)
    assert digests_in(job, "stages") == {}


@pytest.mark.parametrize("name", ["../final.png", "deeper/content.jpg", "/etc/passwd", "", ".."])
def test_an_input_lies_in_inputs_and_nowhere_else(name: str, job: Path) -> None:
    receipt = json.loads((job / "receipt.json").read_text())
    receipt["inputs"] = [{"name": name, "sha256": "x"}]
    write_receipt(job, receipt)
    assert digests_in(job, "inputs") == {}


@pytest.mark.parametrize(
    "receipt",
    [[], "text", {}, {"stages": "all"}, {"stages": [1, None]},
     {"stages": [{"file": "stages/0001.png", "sha256": "x"}], "finished": "long ago"}],
    ids=str,
)  # fmt: skip
def test_what_is_no_receipt_names_nothing(receipt: object, job: Path) -> None:
    write_receipt(job, receipt)
    assert digests_in(job, "stages") == {}
    (job / "receipt.json").write_text("{" * 100_000)
    assert digests_in(job, "stages") == {}


def test_a_link_or_a_pipe_is_no_receipt(job: Path, tmp_path: Path) -> None:
    (job / "receipt.json").rename(tmp_path / "receipt.json")
    (job / "receipt.json").symlink_to(tmp_path / "receipt.json")
    with pytest.raises(OSError, match="symbolic links"):
        digests_in(job, "stages")
    (job / "receipt.json").unlink()
    os.mkfifo(job / "receipt.json")
    with pytest.raises(OSError, match="not a regular file"):
        digests_in(job, "stages")


def test_a_file_that_was_changed_or_replaced_is_no_longer_ours(job: Path, tmp_path: Path) -> None:
    named = digests_in(job, "stages")
    (job / "stages/0001.png").write_text("touched up by hand")
    (job / "stages/0002.png").rename(tmp_path / "moved.png")
    (job / "stages/0002.png").symlink_to(tmp_path / "moved.png")
    with safe_dirs.opened(job, "stages") as handle:
        assert [job_files.size_if(handle, name, one) for name, one in named.items()] == [None, None]
        assert job_files.size_if(handle, "never-there.png", "x") is None


def test_unchanged_files_are_those_of_the_receipt(job: Path) -> None:
    (job / "inputs/content.jpg").rename(job / "inputs/content-2.jpg")
    (job / "losses.csv").write_text("changed by hand")
    assert list(job_files.unchanged(job)) == [
        "final.png",
        "inputs/content-2.jpg",
        "inputs/style.jpg",
    ]
    shutil.rmtree(job / "inputs")
    assert list(job_files.unchanged(job)) == ["final.png"]


@pytest.mark.parametrize("file", ["../mine.png", "inputs/job.yaml", "a\0b", "..", ""])
def test_unchanged_files_are_in_the_folder_of_the_job(file: str, job: Path) -> None:
    (job.parent / "mine.png").write_text("mine")
    digest = hashlib.sha256(b"mine").hexdigest()
    write_receipt(job, {"files": [{"file": file, "sha256": digest}]})
    assert list(job_files.unchanged(job)) == []


@pytest.mark.parametrize(("written", "finished"), [(0, None), (NOW, "2001-01-01T00:00:00+00:00")])
def test_of_two_times_the_later_one_counts(written: float, finished: str | None, job: Path) -> None:
    receipt = json.loads((job / "receipt.json").read_text())
    write_receipt(job, {**receipt, **({"finished": finished} if finished else {})})
    os.utime(job / "receipt.json", (written, written))
    assert digests_in(job, "stages", 1e9) == {}


def test_a_note_names_the_stages_of_a_job_without_a_receipt(tmp_path: Path) -> None:
    job = make_finished_job(tmp_path, "job", 3)
    with_receipt = digests_in(job, "stages")
    (job / "receipt.json").unlink()
    (job / "stages/mine.png").write_text("not a stage")
    (tmp_path / "empty/stages").mkdir(parents=True)
    for place in ("job", "empty", "gone"):
        job_files.write_note(tmp_path, place)
    assert list((tmp_path / "empty").iterdir()) == [tmp_path / "empty/stages"]
    assert digests_in(job, "stages") == with_receipt
    assert digests_in(job, "inputs") == {}
    assert digests_in(job, "stages", LONG_AGO) == {}
