"""Short forms of `make faults` and `make soak`, and of the kills and swaps at every change."""

from pathlib import Path

from tests.e2e import changes, soak, swaps


def test_killed_at_a_change_of_the_disk_nothing_is_lost_or_done_twice(tmp_path: Path) -> None:
    assert changes.wrong(tmp_path, short=True) == []


def test_after_kills_jobs_have_the_same_bytes(tmp_path: Path) -> None:
    assert soak.killed(tmp_path, jobs=6, kills=3) == []


def test_good_and_bad_jobs_end_as_they_should_and_leave_no_file_open(tmp_path: Path) -> None:
    wrong, samples = soak.grown(tmp_path, jobs=30)
    assert wrong == []
    files = [sample["daemon, open files"] for sample in samples][15:]  # all lanes have begun
    assert max(files) < 1.5 * min(files)


def test_nothing_outside_is_read_or_written_whatever_is_swapped_meanwhile(tmp_path: Path) -> None:
    assert swaps.wrong(tmp_path, claims=10) == []
