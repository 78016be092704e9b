"""Free space of disks, and what is missing of it."""

import os
from pathlib import Path

import pytest
from tests.daemon.disks import CAN_MOUNT, small_disk

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.files import disk_space


def test_needs_on_one_disk_are_added_and_the_reserve_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = [(tmp_path / "not" / "there", 600), (tmp_path, 400)]
    sizes = [1, 1, 1 << 40, 0, 1500, *[0] * 5]  # f_frsize is 1, f_bavail 1500
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(sizes))
    disk_space.check(needs, 500)
    with pytest.raises(OutputError, match=r"1.5 kB free; .* 1.0 kB, .* 501 bytes: 1 bytes more"):
        disk_space.check(needs, 501)
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result([4096, 4096, *[0] * 8]))
    disk_space.check([(tmp_path, 10**9)], 10**9)  # a disk that does not report its size


@pytest.mark.skipif(not CAN_MOUNT, reason="this user cannot mount a disk")
def test_each_disk_is_checked_by_itself(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 256) as small:
        assert disk_space.free(small / "not" / "there") == 256 << 10
        disk_space.check([(small, 200 << 10), (tmp_path, 200 << 10)], 0)
        with pytest.raises(OutputError, match="small has 262 kB free"):
            disk_space.check([(small, 200 << 10), (tmp_path, 1)], 100 << 10)


def test_a_size_beyond_a_limit_is_given_in_bytes_where_it_looks_like_the_limit() -> None:
    assert disk_space.excess(120_000, 100_000) == "is 120 kB; the limit is 100 kB"
    assert disk_space.excess(100_001, 100_000) == "is 100,001 bytes; the limit is 100,000 bytes"
