"""Disks: what is known of file systems by the kernel's table of mounts, and what is free."""

import os
from pathlib import Path

import pytest

from stylewatch_daemon.base.errors import FullError, OutputError
from stylewatch_daemon.files import disks

TABLE = r"""
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 27 0:40 / /net/nas rw - nfs4 server:/export rw
41 40 0:41 / /net/nas/local rw - ext4 /dev/vdb rw
42 27 0:42 / /net/with\040space rw - cifs //server/share rw
43 27 0:43 / /net/ssh rw - fuse.sshfs host: rw
45 27 0:45 / /net/layers rw - fuse.fuse-overlayfs fuse-overlayfs rw
""".strip()


@pytest.mark.parametrize(
    ("folder", "device", "kind", "events", "remote", "keeps"),
    [
        ("/net/nas/inbox", (0, 40), "nfs4", False, True, True),
        ("/net/nasty", (254, 0), "ext4", True, False, True),
        ("/net/nas/local/inbox", (0, 41), "ext4", True, False, True),
        ("/net/with space/inbox", (0, 42), "cifs", False, True, False),
        ("/net/ssh", (0, 43), "fuse.sshfs", False, True, False),
        ("/net/layers", (0, 45), "fuse.fuse-overlayfs", False, False, False),
    ],
)
def test_a_file_system_is_known_by_the_deepest_mount(
    folder: str, device: tuple[int, int], kind: str, events: bool, remote: bool, keeps: bool
) -> None:
    path, number = Path(folder), os.makedev(*device)
    assert disks.kind_of(path, TABLE) == kind
    assert disks.tells_events(path, TABLE) == events
    assert disks.is_remote(path, TABLE) == remote
    assert disks.keeps_inodes(number, TABLE) == keeps
    assert disks.keeps_inodes(number, "") and disks.tells_events(path, ""), "without a table"


def test_a_folder_is_not_written_while_its_mount_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers, real = {tmp_path: 1}, Path.stat

    def stat(self: Path, **options: bool) -> os.stat_result:
        seen = list(real(self, **options))
        seen[2] = next((numbers[path] for path in (self, *self.parents) if path in numbers), 0)
        return os.stat_result(seen)

    monkeypatch.setattr(Path, "stat", stat)
    (tmp_path / "nas/out").mkdir(parents=True)
    guard = disks.MountGuard()
    for device, is_gone in ((1, False), (7, False), (1, True), (1, True), (8, False)):
        numbers[tmp_path / "nas"] = device
        if is_gone:
            with pytest.raises(OutputError, match="nas, which is not mounted now: mount it again"):
                guard.check(tmp_path / "nas/out")
        else:
            guard.check(tmp_path / "nas/out")


def test_needs_on_one_disk_are_added_and_the_reserve_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = [(tmp_path / "not" / "there", 600), (tmp_path, 400)]
    sizes = [1, 1, 1 << 40, 0, 1500, *[0] * 5]  # f_frsize is 1, f_bavail 1500
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(sizes))
    disks.check(needs, 500)
    with pytest.raises(FullError):
        disks.check(needs, 501)
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result([4096, 4096, *[0] * 8]))
    disks.check([(tmp_path, 10**9)], 10**9)  # a disk that does not report its size
