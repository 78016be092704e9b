"""File systems and their properties, by the kernel's table of mounts."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.daemon.disks import CAN_MOUNT, same_folder, small_disk

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.files import disks
from stylewatch_daemon.files.disks import (
    MountGuard,
    is_remote,
    keeps_inodes,
    kind_of,
    lies_in,
    tells_events,
)

TABLE = r"""
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 27 0:40 / /net/nas rw - nfs4 server:/export rw
41 40 0:41 / /net/nas/local rw - ext4 /dev/vdb rw
42 27 0:42 / /net/with\040space rw - cifs //server/share rw
43 27 0:43 / /net/ssh rw - fuse.sshfs host: rw
45 27 0:45 / /net/layers rw - fuse.fuse-overlayfs fuse-overlayfs rw
46 27 0:46 / /net/smb rw - fuse.smbnetfs smbnetfs rw
""".strip()


@pytest.mark.parametrize(
    ("folder", "kind", "events", "remote"),
    [
        ("/net/nas/inbox", "nfs4", False, True),
        ("/net/nasty", "ext4", True, False),
        ("/net/nas/local/inbox", "ext4", True, False),
        ("/net/with space/inbox", "cifs", False, True),
        ("/net/layers", "fuse.fuse-overlayfs", False, False),
        ("/net/smb/server/share", "fuse.smbnetfs", False, True),
    ],
)
def test_a_file_system_is_known_by_the_deepest_mount(
    folder: str, kind: str, events: bool, remote: bool
) -> None:
    path = Path(folder)
    assert kind_of(path, TABLE) == kind
    assert (tells_events(path, TABLE), is_remote(path, TABLE)) == (events, remote)
    assert (tells_events(path, ""), kind_of(path, "")) == (True, ""), "without a table"


@pytest.mark.parametrize(
    ("device", "keeps"),
    [((0, 40), True), ((0, 42), False), ((0, 43), False), ((0, 99), True)],
    ids=["nfs4", "cifs", "sshfs", "unknown"],
)
def test_some_file_systems_renumber_files(device: tuple[int, int], keeps: bool) -> None:
    assert keeps_inodes(os.makedev(*device), TABLE) is keeps


Put = Callable[[str, int], None]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Put a folder on a disk with this number."""
    disks = {tmp_path: 1}

    def stat(self: Path, **options: bool) -> os.stat_result:
        seen = list(real(self, **options))
        seen[2] = next((disks[path] for path in (self, *self.parents) if path in disks), 0)
        return os.stat_result(seen)

    real = Path.stat
    monkeypatch.setattr(Path, "stat", stat)
    return lambda name, device: disks.update({tmp_path / name: device})


def test_a_folder_is_not_written_while_its_mount_is_gone(tmp_path: Path, put: Put) -> None:
    (tmp_path / "nas/out").mkdir(parents=True)
    mount_guard = MountGuard()
    mount_guard.check(tmp_path / "nas/out")
    put("nas", 7)
    mount_guard.check(tmp_path / "nas/out")  # mounted later
    put("nas", 1)
    for _ in range(2):
        with pytest.raises(OutputError, match="nas, which is not mounted now: mount it again"):
            mount_guard.check(tmp_path / "nas/out")
    put("nas", 8)
    mount_guard.check(tmp_path / "nas/out")


BOUND = r"""
27 1 254:0 / / rw - ext4 /dev/vda rw
50 27 254:0 /srv/in /shown rw - ext4 /dev/vda rw
51 27 254:0 /srv/in/some\040job /job rw - ext4 /dev/vda rw
52 27 254:0 /srv /around rw - ext4 /dev/vda rw
53 27 0:40 /srv/in /net rw - nfs4 server:/ rw
""".strip()


@pytest.mark.parametrize(
    ("path", "lies"),
    [
        ("/srv/in/a", True), ("/srv", False), ("/srv/inner", False), ("/shown/a", True),
        ("/job/out", True), ("/around/in/out", True), ("/around/out", False), ("/net/a", False),
    ],
)  # fmt: skip
def test_a_path_in_a_folder_is_detected_through_bind_mounts(path: str, lies: bool) -> None:
    assert lies_in(Path(path), Path("/srv/in"), BOUND) is lies


def test_without_a_table_paths_devices_and_inodes_are_compared(tmp_path: Path) -> None:
    assert lies_in(Path("/srv/in/a"), Path("/srv/in"), "")
    (tmp_path / "in").mkdir()
    with same_folder(tmp_path / "in", tmp_path / "shown"):
        assert lies_in(tmp_path / "shown/a/b", tmp_path / "in", "")
        assert not lies_in(tmp_path / "a", tmp_path / "in", "")


def test_needs_on_one_disk_are_added_and_the_reserve_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = [(tmp_path / "not" / "there", 600), (tmp_path, 400)]
    sizes = [1, 1, 1 << 40, 0, 1500, *[0] * 5]  # f_frsize is 1, f_bavail 1500
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(sizes))
    disks.check(needs, 500)
    with pytest.raises(OutputError, match=r"1.5 kB free; .* 1.0 kB, .* 501 bytes: 1 bytes more"):
        disks.check(needs, 501)
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result([4096, 4096, *[0] * 8]))
    disks.check([(tmp_path, 10**9)], 10**9)  # a disk that does not report its size


@pytest.mark.skipif(not CAN_MOUNT, reason="this user cannot mount a disk")
def test_each_disk_is_checked_by_itself(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 256) as small:
        assert disks.free(small / "not" / "there") == 256 << 10
        disks.check([(small, 200 << 10), (tmp_path, 200 << 10)], 0)
        with pytest.raises(OutputError, match="small has 262 kB free"):
            disks.check([(small, 200 << 10), (tmp_path, 1)], 100 << 10)


def test_a_size_beyond_a_limit_is_given_in_bytes_where_it_looks_like_the_limit() -> None:
    assert disks.excess(120_000, 100_000) == "is 120 kB; the limit is 100 kB"
    assert disks.excess(100_001, 100_000) == "is 100,001 bytes; the limit is 100,000 bytes"
