"""Disks: what is known of file systems by the kernel's table of mounts, and what is free."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.daemon.disks import same_folder
from tests.daemon.faults import failing, fill, replaced, tree

from stylewatch_daemon.base.errors import FullError, OutputError
from stylewatch_daemon.files import disks, entries
from stylewatch_daemon.files.identity import identity
from stylewatch_daemon.files.system import system

TABLE = r"""
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 27 0:40 / /net/nas rw - nfs4 server:/export rw
41 40 0:41 / /net/nas/local rw - ext4 /dev/vdb rw
42 27 0:42 / /net/with\040space rw - cifs //server/share rw
43 27 0:43 / /net/ssh rw - fuse.sshfs host: rw
45 27 0:45 / /net/layers rw - fuse.fuse-overlayfs fuse-overlayfs rw
46 27 8:17 / /media/stick rw - vfat /dev/sdb1 rw
""".strip()


@pytest.mark.parametrize(
    ("folder", "kind", "events", "remote", "local_time"),
    [
        ("/net/nas/inbox", "nfs4", False, True, False),
        ("/net/nasty", "ext4", True, False, False),
        ("/net/nas/local/inbox", "ext4", True, False, False),
        ("/net/with space/inbox", "cifs", False, True, False),
        ("/net/ssh", "fuse.sshfs", False, True, False),
        ("/net/layers", "fuse.fuse-overlayfs", False, False, False),
        ("/media/stick/DCIM", "vfat", True, False, True),
    ],
)
def test_a_file_system_is_known_by_the_deepest_mount(
    folder: str, kind: str, events: bool, remote: bool, local_time: bool
) -> None:
    path = Path(folder)
    assert disks.kind_of(path, TABLE) == kind
    assert disks.tells_events(path, TABLE) == events
    assert disks.is_remote(path, TABLE) == remote
    assert disks.stores_local_time(path, TABLE) == local_time
    assert disks.tells_events(path, ""), "without a table"


Devices = dict[Path, int]


@pytest.fixture
def devices() -> Iterator[Devices]:
    """The devices of folders, which those below them have, too."""
    numbers, real = Devices(), system.stat

    def stat(path: Any, **more: Any) -> os.stat_result:
        seen = list(real(path, **more))
        seen[2] = next((numbers[each] for each in (path, *path.parents) if each in numbers), 0)
        return os.stat_result(seen)

    with replaced(system, stat=stat):
        yield numbers


GONE = "nas, which is not mounted now: mount it again"


def test_a_folder_is_not_written_while_its_mount_is_gone(tmp_path: Path, devices: Devices) -> None:
    devices[tmp_path] = 1
    (tmp_path / "nas/out").mkdir(parents=True)
    guard = disks.MountGuard()
    for device, is_gone in ((1, False), (7, False), (1, True), (1, True), (8, False)):
        devices[tmp_path / "nas"] = device
        with pytest.raises(OutputError, match=GONE) if is_gone else nullcontext():
            guard.check(tmp_path / "nas/out")


OURS = (".staging/job/final.png", ".stylewatch/disk", "_status.txt", "job/final.png")
"""Files that a daemon may leave below the mount point if the disk goes while it writes."""


def test_a_folder_without_files_is_not_used_while_the_mount_of_an_earlier_daemon_is_gone(
    tmp_path: Path, devices: Devices
) -> None:
    devices[tmp_path], devices[tmp_path / "nas"] = 1, 7
    (tmp_path / "nas/out").mkdir(parents=True)
    earlier = disks.MountGuard()
    earlier.check(tmp_path / "nas/out")
    for device, names, is_gone in (
        (1, (), True),
        (8, (), False),
        (1, OURS, True),
        (1, ("a",), False),
    ):
        devices[tmp_path / "nas"], guard = device, disks.MountGuard()
        guard.former = earlier.roots
        fill(tmp_path / "nas/out", *names)
        with pytest.raises(OutputError, match=GONE) if is_gone else nullcontext():
            guard.check(tmp_path / "nas/out")


def test_a_mount_in_a_folder_is_missed(tmp_path: Path, devices: Devices) -> None:
    out, waves = tmp_path / "out", tmp_path / "out/waves"
    waves.mkdir(parents=True)
    devices[tmp_path], devices[waves] = 1, 7
    guard = disks.MountGuard()
    assert (guard.check(out), guard.check(out, "waves/p0")) == (tmp_path, waves)
    devices[waves] = 1
    fill(out, "a")
    assert guard.check(out, "job") == tmp_path, "only what is in the mount waits for it"
    with pytest.raises(OutputError, match="waves, which is not mounted now"):
        guard.check(out, "waves/p0")


def test_a_bind_mount_is_missed_though_it_has_the_device_of_what_it_hides(tmp_path: Path) -> None:
    out, link, guard = tmp_path / "nas/out", tmp_path / "link", disks.MountGuard()
    out.mkdir(parents=True)
    link.symlink_to(tmp_path / "nas")
    first = "27 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
    bound = f"{first}28 27 8:1 /shown {tmp_path}/nas rw - ext4 /dev/sda1 rw\n"
    for folder, root in ((out, out.parent), (link / "out", link)):
        with replaced(system, mounts=lambda: bound):
            assert guard.check(folder) == root
        with (
            replaced(system, mounts=lambda: first),
            pytest.raises(OutputError, match=f"of {root}, which is not mounted"),
        ):
            guard.check(folder)


def test_what_is_missing_counts_only_if_the_mount_was_there_before_and_after(
    tmp_path: Path, devices: Devices
) -> None:
    devices[tmp_path], devices[tmp_path / "nas"] = 1, 7
    (tmp_path / "nas/in").mkdir(parents=True)
    guard, absent = disks.MountGuard(), []

    def ask(unmounts: bool) -> None:
        with guard.checked(tmp_path / "nas/in"):
            is_there = entries.exists(tmp_path / "nas/in/a")
            devices[tmp_path / "nas"] = 1 if unmounts else 7
        absent.append(not is_there)

    ask(unmounts=False)
    for unmounts in (True, False):  # during the question, and before it
        with pytest.raises(OutputError, match=GONE):
            ask(unmounts)
    assert absent == [True]


def test_a_mount_that_goes_while_it_is_looked_at_is_not_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard, nas = disks.MountGuard(), tmp_path / "nas"
    roots = iter([nas, tmp_path, tmp_path, tmp_path, nas, tmp_path, tmp_path])
    monkeypatch.setattr(disks, "mount_root", lambda folder: next(roots))
    for _ in range(2):
        with pytest.raises(OutputError, match="just being mounted or unmounted"):
            guard.check(nas)
        guard.check(nas)  # the mount that went was never recorded


def test_a_guard_knows_folders_by_what_they_are(tmp_path: Path) -> None:
    guard, folder = disks.MountGuard(), tmp_path / "out"
    guard.check(folder)
    assert guard.identities == {}, "it does not exist yet"
    folder.mkdir()
    guard.check(folder)
    assert guard.identities == {folder: identity(folder.stat())}


def test_a_disk_is_known_by_its_mark_wherever_it_is_mounted(tmp_path: Path) -> None:
    one, two, guard = tmp_path / "one", tmp_path / "two", disks.MountGuard()
    one.mkdir()
    mark, by_mount = one.joinpath(*disks.MARK), disks.disk_of(one)
    assert by_mount == disks.disk_of(one) and not tree(one), "nothing is written unasked"
    for _ in range(2):
        disks.mark(one, guard)
        own = disks.disk_of(one)
        time_of_mark = mark.stat().st_ctime_ns % (3600 * 10**9)
        assert own.split() == [mark.read_text().strip(), str(time_of_mark)]
    one.rename(two)
    disks.mark(two, guard)
    assert disks.disk_of(two) == own
    shutil.copytree(two, one)
    assert disks.disk_of(one) != own, "it was restored from a backup"
    mark.unlink()
    disks.mark(one, guard)
    assert disks.disk_of(one) != own


def test_a_card_is_known_also_in_summer(tmp_path: Path) -> None:
    """FAT stores local times, which shift by an hour."""
    disks.mark(tmp_path, disks.MountGuard())
    own, real = disks.disk_of(tmp_path), system.fstat

    def shifted(handle: int, by_s: int) -> SimpleNamespace:
        status = real(handle)
        fields = {name: getattr(status, name) for name in dir(status) if name.startswith("st_")}
        return SimpleNamespace(**{**fields, "st_ctime_ns": status.st_ctime_ns + by_s * 10**9})

    for by_s, is_same in ((3600, True), (-3600, True), (7, False)):
        with replaced(system, fstat=partial(shifted, by_s=by_s)):
            assert (disks.disk_of(tmp_path) == own) is is_same


def test_a_disk_has_its_own_mark_and_those_that_people_add(tmp_path: Path) -> None:
    guard, lost = disks.MountGuard(), "0123456789abcdef"
    disks.mark(tmp_path, guard)
    own = disks.mark_of(tmp_path)
    words = f"add the line {lost} to .*disk"
    with pytest.raises(OutputError, match=words), guard.checked_inside(tmp_path, disk=lost):
        pass
    with tmp_path.joinpath(*disks.MARK).open("a") as file:
        file.write(f"{lost}\n")
    disks.mark(tmp_path, guard)
    assert disks.mark_of(tmp_path) == own
    for each in (own, lost):
        with guard.checked_inside(tmp_path, disk=each), entries.opened(tmp_path) as handle:
            disks.check_mark(handle, each)
        assert not disks.has_another_mark(tmp_path, each)
    assert disks.has_another_mark(tmp_path, "f" * 16)
    assert not disks.has_another_mark(tmp_path, "")


def test_a_mark_counts_once_it_is_durable(tmp_path: Path) -> None:
    guard, synced = disks.MountGuard(), list[Path]()

    def sync(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").readlink())

    with replaced(system, fsync=failing(OSError(errno.EIO, "Input/output error"))):
        assert disks.marked(tmp_path, guard) == "", "as after a kill before it was synced"
    own = disks.mark_of(tmp_path)
    with replaced(system, fsync=sync):
        assert disks.marked(tmp_path, guard) == own != ""
    mark = tmp_path.joinpath(*disks.MARK)
    assert synced == [mark, mark.parent, tmp_path]


def test_a_mark_that_another_user_keeps_to_himself_stops_no_inbox(tmp_path: Path) -> None:
    by_mount = disks.disk_of(tmp_path)
    disks.mark(tmp_path, disks.MountGuard())
    real = system.open

    def opened(path: Any, *args: Any, **more: Any) -> int:
        if Path(path).name == disks.MARK[1]:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, *args, **more)

    with replaced(system, open=opened):
        assert disks.disk_of(tmp_path) == by_mount


@pytest.mark.parametrize(
    "make", [lambda path: path.write_bytes(bytes(1000)), os.mkfifo, Path.mkdir]
)
def test_what_others_put_in_the_place_of_a_mark_is_none(
    make: Callable[[Path], object], tmp_path: Path
) -> None:
    by_mount, guard = disks.disk_of(tmp_path), disks.MountGuard()
    (tmp_path / disks.MARK[0]).mkdir()
    make(tmp_path.joinpath(*disks.MARK))
    before = tree(tmp_path / disks.MARK[0])
    disks.mark(tmp_path, guard)
    assert disks.disk_of(tmp_path) == by_mount and tree(tmp_path / disks.MARK[0]) == before


def test_no_mark_is_made_on_a_disk_that_cannot_be_written_or_is_away(
    tmp_path: Path, devices: Devices
) -> None:
    devices[tmp_path], devices[tmp_path / "nas"] = 1, 7
    folder, guard = tmp_path / "nas/in", disks.MountGuard()
    folder.mkdir(parents=True)
    guard.check(folder)
    with replaced(system, mkdir=failing(OSError(errno.EROFS, "Read-only file system"))):
        disks.mark(folder, guard)
    devices[tmp_path / "nas"] = 1
    with pytest.raises(OutputError, match=GONE):
        disks.mark(folder, guard)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("how", ["below", "link", "bind"])
def test_a_folder_lies_in_another_by_any_path(how: str, tmp_path: Path) -> None:
    (tmp_path / "in/deep").mkdir(parents=True)
    (tmp_path / "beside").mkdir()
    if how == "link":
        (tmp_path / "other").symlink_to(tmp_path / "in")
    with same_folder(tmp_path / "in", tmp_path / "other") if how == "bind" else nullcontext():
        folder = tmp_path / ("in" if how == "below" else "other") / "deep"
        assert disks.lies_in(folder, tmp_path / "in")
        assert disks.lies_in(folder / "not made yet", tmp_path / "in")
        assert not disks.lies_in(tmp_path / "beside", tmp_path / "in")
        assert not disks.lies_in(folder, tmp_path / "nothing")


def test_needs_on_one_disk_are_added_and_the_reserve_is_kept(
    tmp_path: Path,
) -> None:
    needs = [(tmp_path / "not" / "there", 600), (tmp_path, 400)]
    sizes = [1, 1, 1 << 40, 0, 1500, *[0] * 5]  # f_frsize is 1, f_bavail 1500
    with replaced(system, statvfs=lambda path: os.statvfs_result(sizes)):
        disks.check(needs, 500)
        with pytest.raises(FullError):
            disks.check(needs, 501)
    silent = os.statvfs_result([4096, 4096, *[0] * 8])  # a disk that does not report its size
    with replaced(system, statvfs=lambda path: silent):
        disks.check([(tmp_path, 10**9)], 10**9)


def test_a_link_that_leads_in_circles_is_on_the_disk_of_its_folder(tmp_path: Path) -> None:
    """Somebody may leave one in an outbox, under the name of a job (law 11)."""
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    assert disks.mount_root(loop) == disks.mount_root(tmp_path)
    assert disks.MountGuard().check(tmp_path, "loop") == disks.mount_root(tmp_path)


def test_a_file_has_moved_if_it_is_gone_from_its_former_place_or_has_both_paths(
    tmp_path: Path,
) -> None:
    fill(tmp_path, "in/sea/1.jpg", "copy/sea/1.jpg")
    former, copy = tmp_path / "in/sea/1.jpg", tmp_path / "copy/sea/1.jpg"
    (tmp_path / "link").symlink_to("in")
    (tmp_path / "circle").symlink_to("circle")
    assert disks.has_moved(former, tmp_path / "link/sea/1.jpg") is True
    assert disks.has_moved(tmp_path / "link/sea/1.jpg", former) is True
    assert disks.has_moved(former, copy) is False
    assert disks.has_moved(tmp_path / "link/sea/1.jpg", copy) is False
    assert disks.has_moved(tmp_path / "away/sea/1.jpg", copy) is True
    assert disks.has_moved(tmp_path / "circle/sea/1.jpg", copy) is None


@pytest.mark.parametrize("former", ["nas/in/1.jpg", "link/1.jpg"])
def test_no_other_disk_is_asked_whether_a_file_has_moved(former: str, tmp_path: Path) -> None:
    fill(tmp_path, "in/1.jpg", "nas/in/1.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "nas/in")
    asked, stat = list[Any](), system.stat

    def status(path: Any, **more: Any) -> os.stat_result:
        asked.append(path)
        return stat(path, **more)

    table = f"{system.mounts().rstrip()}\n99 1 0:99 / {tmp_path / 'nas'} rw - nfs4 nas:/ rw"
    with replaced(system, stat=status, mounts=lambda: table):
        assert disks.has_moved(tmp_path / former, tmp_path / "in/1.jpg") is None
    assert not [path for path in asked if Path(path).is_relative_to(tmp_path / "nas")]


def test_a_file_has_not_moved_for_certain_while_a_disk_cannot_tell_or_is_exchanged(
    tmp_path: Path,
) -> None:
    fill(tmp_path, "in/1.jpg")
    tables = iter([system.mounts(), ""])
    with replaced(system, mounts=lambda: next(tables)):
        assert disks.has_moved(tmp_path / "old/1.jpg", tmp_path / "in/1.jpg") is None
    with replaced(system, stat=failing(OSError(errno.EIO, "Input/output error"))):
        assert disks.has_moved(tmp_path / "old/1.jpg", tmp_path / "in/1.jpg") is None
