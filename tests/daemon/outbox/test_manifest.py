"""A receipt is believed only in what it says of its own folder."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.finished import finish, rewrite

from stylewatch_daemon.files import safe_dirs
from stylewatch_daemon.outbox import job_files

LONG_AGO, NOW = 0.0, 1e11


def digests(folder: Path, part: job_files.Part, before: float = NOW) -> dict[str, str]:
    with safe_dirs.opened(folder) as handle:
        return job_files.digests(handle, part, before)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return finish(tmp_path, "job", 3)


def test_it_names_stages_and_inputs_with_their_digests(job: Path) -> None:
    assert list(digests(job, "stages")) == ["0001.png", "0002.png"]
    assert list(digests(job, "inputs")) == ["content.jpg", "style.jpg"]
    with safe_dirs.opened(job, "stages") as handle:
        (size,) = {
            job_files.size_if(handle, name, digest)
            for name, digest in digests(job, "stages").items()
        }
    assert size == len("job stages/0001.png")


def test_a_job_that_ended_later_has_nothing_to_name(job: Path) -> None:
    assert digests(job, "stages", LONG_AGO) == {}
    receipt = job / "receipt.json"
    os.utime(receipt, (0, 0))
    assert digests(job, "stages", 1000) == {}, "the time that the receipt says counts too"


def test_a_receipt_that_was_written_later_than_it_says_holds_its_files_longer(job: Path) -> None:
    receipt = json.loads((job / "receipt.json").read_text())
    receipt["finished"] = "2001-01-01T00:00:00+00:00"
    rewrite(job, receipt)
    assert digests(job, "stages", 1e9) == {}


@pytest.mark.parametrize(
    "file",
    ["final.png", "../final.png", "stages/../final.png", "/etc/passwd", "inputs/content.jpg",
     "stages/deeper/0001.png", "stages", "", ".", 7, None],
)  # fmt: skip
def test_a_stage_lies_in_stages_and_nowhere_else(file: Any, job: Path) -> None:
    receipt = json.loads((job / "receipt.json").read_text())
    receipt["stages"] = [{"file": file, "sha256": "x"}]
    rewrite(job, receipt)
    assert digests(job, "stages") == {}


@pytest.mark.parametrize("name", ["../final.png", "deeper/content.jpg", "/etc/passwd", "", ".."])
def test_an_input_lies_in_inputs_and_nowhere_else(name: str, job: Path) -> None:
    receipt = json.loads((job / "receipt.json").read_text())
    receipt["inputs"] = [{"name": name, "sha256": "x"}]
    rewrite(job, receipt)
    assert digests(job, "inputs") == {}


@pytest.mark.parametrize(
    "receipt",
    [[], "text", {}, {"stages": "all"}, {"stages": [1, None]},
     {"stages": [{"file": "stages/0001.png", "sha256": "x"}], "finished": "long ago"}],
    ids=str,
)  # fmt: skip
def test_a_receipt_that_is_none_names_nothing(receipt: object, job: Path) -> None:
    rewrite(job, receipt)
    assert digests(job, "stages") == {}
    (job / "receipt.json").write_text("{" * 100_000)
    assert digests(job, "stages") == {}


def test_a_link_or_a_pipe_is_no_receipt(job: Path, tmp_path: Path) -> None:
    (job / "receipt.json").rename(tmp_path / "receipt.json")
    (job / "receipt.json").symlink_to(tmp_path / "receipt.json")
    with pytest.raises(OSError, match="symbolic links"):
        digests(job, "stages")
    (job / "receipt.json").unlink()
    os.mkfifo(job / "receipt.json")
    with pytest.raises(OSError, match="not a regular file"):
        digests(job, "stages")


def test_a_file_that_was_changed_or_replaced_is_no_longer_ours(job: Path, tmp_path: Path) -> None:
    named = digests(job, "stages")
    (job / "stages/0001.png").write_text("touched up by hand")
    (job / "stages/0002.png").rename(tmp_path / "moved.png")
    (job / "stages/0002.png").symlink_to(tmp_path / "moved.png")
    with safe_dirs.opened(job, "stages") as handle:
        assert [job_files.size_if(handle, name, one) for name, one in named.items()] == [None, None]
        assert job_files.size_if(handle, "never-there.png", "x") is None


def test_it_tells_what_a_job_left_in_its_folder(job: Path) -> None:
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
def test_a_job_left_nothing_but_what_lies_in_its_folder(file: str, job: Path) -> None:
    (job.parent / "mine.png").write_text("mine")
    digest = hashlib.sha256(b"mine").hexdigest()
    rewrite(job, {"files": [{"file": file, "sha256": digest}]})
    assert list(job_files.unchanged(job)) == []


def test_a_note_names_the_stages_of_a_job_without_a_receipt(tmp_path: Path) -> None:
    job = finish(tmp_path, "job", 3)
    with_receipt = digests(job, "stages")
    (job / "receipt.json").unlink()
    (job / "stages/mine.png").write_text("not a stage")
    job_files.write_note(tmp_path, "job")
    assert digests(job, "stages") == with_receipt
    assert digests(job, "inputs") == {}
    assert digests(job, "stages", LONG_AGO) == {}


def test_without_stages_there_is_nothing_to_note(tmp_path: Path) -> None:
    (tmp_path / "job/stages").mkdir(parents=True)
    for place in ("job", "gone"):
        job_files.write_note(tmp_path, place)
    assert [path.name for path in tmp_path.rglob("*")] == ["job", "stages"]
