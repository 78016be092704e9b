"""A short form of `make soak`."""

from pathlib import Path

from tests.e2e import soak


def test_after_kills_jobs_have_the_same_bytes(tmp_path: Path) -> None:
    assert soak.killed(tmp_path, jobs=6, kills=3) == []


def test_good_and_bad_jobs_end_as_they_should_and_leave_no_file_open(tmp_path: Path) -> None:
    wrong, samples = soak.grown(tmp_path, jobs=30)
    assert wrong == []
    files = [sample["daemon, open files"] for sample in samples]
    assert max(files) < 2 * min(files)
