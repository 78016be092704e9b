"""Disks of folders: file system, mount state and free space.

`mounts` is the kernel's table of mounts, as returned by `table`.
"""

import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from stylewatch_daemon.base.errors import FullError, InputError, OutputError
from stylewatch_daemon.files import atomic, entries, identity
from stylewatch_daemon.files.system import system

_REMOTE = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|9p|virtiofs|vboxsf|ceph|afs|fuse\.("
    r"sshfs|rclone|s3fs|davfs2?|cifs|smbnetfs|glusterfs|gvfsd-fuse|curlftpfs|ceph-fuse)"
)
_FUSE = re.compile(r"fuse|fuse\..+")
_UNITS = ((1, "bytes"), (1000, "kB"), (10**6, "MB"), (10**9, "GB"))


def table() -> str:
    """Return the kernel's table of mounts; empty if there is none."""
    try:
        return system.mounts()
    except FileNotFoundError:
        return ""


class _Mount(NamedTuple):
    """A mount: its file system, device (such as `8:1`) and mount point, and the kernel's number."""

    kind: str = ""
    device: str = ""
    point: str = ""
    number: str = ""


@lru_cache(maxsize=1)
def _by_point(mounts: str) -> Mapping[str, _Mount]:
    """Return the mounts by their points; the last one at a point hides the others."""
    found = {}
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        number, _, device, _, point, *_ = before.split(" ")
        # a space in a path is written as \040
        point = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), point)
        found[point] = _Mount(after.split(" ")[0], device, point, number)
    return found


def _mount_of(folder: Path, mounts: str) -> _Mount:
    """Return the mount of `folder`; one without a name if it is unknown."""
    place = os.path.realpath(folder)
    known = _by_point(mounts)
    while place and place not in known:
        place = place.rpartition("/")[0]
    return known.get(place or "/", _Mount())


def kind_of(folder: Path, mounts: str) -> str:
    """Return the file system of `folder`, such as `ext4`; empty if unknown."""
    return _mount_of(folder, mounts).kind


def is_remote(folder: Path, mounts: str) -> bool:
    """Return whether other machines may write to `folder`."""
    return _REMOTE.fullmatch(kind_of(folder, mounts)) is not None


def tells_events(folder: Path, mounts: str) -> bool:
    """Return whether the file system of `folder` reports all events."""
    kind = kind_of(folder, mounts)
    return _REMOTE.fullmatch(kind) is None and _FUSE.fullmatch(kind) is None


MARK = (".stylewatch", "disk")
"""Folder in an inbox or outbox, and file in it, that identifies its disk wherever it is mounted."""

_MARK_SIZE, _MARKS_SIZE = 16, 4096
"""Number of digits of a mark, and of bytes of the file that are read."""

_MARK = re.compile(f"[0-9a-f]{{{_MARK_SIZE}}}")


def disk_of(folder: Path) -> str:
    """Return what identifies the disk of `folder`: its mark, else where and what is mounted.

    A mark that was restored from a backup has another time: it is on another disk.
    """
    disk_mark = _mark(folder)
    if disk_mark:
        return f"{disk_mark.text} {disk_mark.ctime_ns}"
    mount = " ".join(_mount_of(folder, table())[:3])
    return mount.encode(errors="backslashreplace").decode()  # in the form that the ledger keeps


def mark_of(folder: Path) -> str:
    """Return the mark of the disk of `folder`; empty if it has none."""
    disk_mark = _mark(folder)
    return disk_mark.text if disk_mark else ""


def has_another_mark(folder: Path, disk: str) -> bool:
    """Return whether a folder is certainly on another disk than that with the mark `disk`."""
    disk_mark = _mark(folder)
    return disk_mark is not None and bool(disk) and disk not in disk_mark.all


def check_mark(folder: int, disk: str) -> None:
    """Raise OutputError if an opened folder is not on the disk with this mark."""
    disk_mark = _mark_in(folder)
    if disk_mark is None or disk not in disk_mark.all:
        raise OutputError("its disk has gone at this moment")


class _Mark(NamedTuple):
    """A mark, when it was written, which backups do not restore, and all marks of the disk.

    People may add that which a disk had before: copies of its files may lack it.
    """

    text: str
    ctime_ns: int
    all: Sequence[str]


def _mark(folder: Path) -> _Mark | None:
    absent = FileNotFoundError, NotADirectoryError
    try:
        with entries.opened(folder, follow=True) as handle:
            return _mark_in(handle)
    except absent:
        return None


def _mark_in(folder: int) -> _Mark | None:
    """Return the mark of the disk of an opened folder; None if it has none.

    Another user's is none, and neither is something else of that name.
    """
    try:
        if not entries.is_own_folder(MARK[0], folder):
            return None
        with (
            entries.opened(MARK[0], folder) as inner,
            atomic.open_regular(MARK[1], inner) as file,
        ):
            text = file.read(_MARKS_SIZE).decode(errors="replace")
            ctime_ns = system.fstat(file.fileno()).st_ctime_ns
    except (FileNotFoundError, NotADirectoryError, PermissionError, InputError):
        return None
    if _MARK.match(text) is None:
        return None
    return _Mark(text[:_MARK_SIZE], ctime_ns, _MARK.findall(text))


def _mounts_below(folder: Path) -> dict[Path, _Mount]:
    """Return the mounts below `folder`, by their paths there."""
    real = Path(os.path.realpath(folder))  # which bears links that lead in circles
    mounts = ((Path(mount.point), mount) for mount in _by_point(table()).values())
    return {
        folder / point.relative_to(real): mount for point, mount in mounts if real in point.parents
    }


def disks_in(folder: Path) -> dict[Path, str]:
    """Return the identities of the disks that are mounted below `folder`, by mount point.

    That of a disk that cannot be asked is unknown, and empty.
    """
    disks = {}
    for mount in _mounts_below(folder):
        try:
            disks[mount] = disk_of(mount)
        except OSError:
            disks[mount] = ""
    return disks


def mounts_of(folder: Path) -> frozenset[str]:
    """Return the kernel's numbers of the mount of `folder`, and of those below it.

    A disk that was exchanged meanwhile, be it for a clone with the same mark, has another one.
    """
    inner = (mount.number for mount in _mounts_below(folder).values())
    return frozenset({_mount_of(folder, table()).number, *inner})


def marked(folder: Path, guard: "MountGuard") -> str:
    """Return the mark of the disk of `folder`, made if necessary; empty if that is impossible."""
    mark(folder, guard)
    return mark_of(folder)


def mark(folder: Path, guard: "MountGuard") -> bool:
    """Mark the disk of `folder`, unless it has a mark; return False if that is impossible now.

    The folder is opened first, and its disk checked then, so that nothing is written below a
    missing mount. Of several programs that append a mark at once, the first one's counts.
    """
    with entries.opened(folder, follow=True) as handle:
        guard.check(folder)
        found = entries.target_status(folder)
        if found is None or not os.path.samestat(found, system.fstat(handle)):
            return False
        try:
            if _mark_in(handle) is None:
                entries.make_folder(MARK[0], handle)
                with entries.opened(MARK[0], handle) as inner:
                    _append_mark(inner)
                atomic.sync_folder(handle)
            return _mark_in(handle) is not None
        except OSError:
            return False


def _append_mark(folder: int) -> None:
    """Write a mark into an opened folder, unless somebody has written something there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    with system.writer(system.open(MARK[1], flags, 0o666, dir_fd=folder)) as file:
        if not system.fstat(file.fileno()).st_size:
            file.write(secrets.token_hex(_MARK_SIZE // 2).encode() + b"\n")
            file.flush()
            system.fsync(file.fileno())
    atomic.sync_folder(folder)


def attempt_mark(folder: Path, guard: "MountGuard") -> bool:
    """Mark the disk of a folder as `mark` does; return False also if it cannot be looked at."""
    try:
        return mark(folder, guard)
    except OSError:
        return False


def tells_exchanges(identity: str) -> bool:
    """Return whether another disk in the place of one has another identity: this one has a mark."""
    return _MARK.match(identity) is not None and identity[_MARK_SIZE] == " "


def shows_all(folder: Path, mounts: str) -> bool:
    """Return whether a file that `folder` does not list is certainly not there.

    A union of disks may go on without one of them.
    """
    return kind_of(folder, mounts).removeprefix("fuse.") not in ("mergerfs", "unionfs", "mhddfs")


def stores_local_time(folder: Path, mounts: str) -> bool:
    """Return whether times of files may shift by whole hours, as on FAT in the summer."""
    return kind_of(folder, mounts) in ("vfat", "msdos", "exfat", "fuseblk")


def lies_in(path: Path, folder: Path) -> bool:
    """Return whether `path` is in `folder`, including through links and bind mounts of `folder`.

    Returns False if a disk cannot be asked: a setting is wrong only if that is certain.
    """
    try:
        if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
            return True
        status = entries.target_status(folder)
        for above in (path, *path.absolute().parents):
            other = entries.target_status(above)
            if other is not None and status is not None and os.path.samestat(other, status):
                return True
    except OSError:
        return False
    return False


class MountGuard:
    """Record of the disks of folders, so that nothing is written below a missing mount."""

    def __init__(self) -> None:
        self.roots = frozenset[Path]()
        self.former = frozenset[Path]()
        """Mounts that an earlier daemon knew: a folder without files is that below a missing one.
        """
        self.identities: dict[Path, identity.Identity] = {}
        """Identities of the folders that were checked and exist."""

    def check(self, folder: Path, inner: str = "") -> Path:
        """Record and return the mount of `folder`, or of `inner` in it, which may be another.

        Raises OutputError if a mount is missing that was there before.
        """
        place = folder / inner
        root = mount_root(place)
        known = self.roots
        if root not in known and mount_root(place) != root:
            raise OutputError(f"the disk of {place} is just being mounted or unmounted")
        around = [each for each in known | self.former if place.is_relative_to(each)]
        missing = [each for each in around if each != root and each.is_relative_to(root)]
        if not known.isdisjoint(missing) or (missing and not _has_files(folder)):
            raise OutputError(
                f"{place} is on the disk of {missing[0]}, which is not mounted now: mount it again "
                f"or, if no job has files there, restart stylewatch with a file in {folder} to use "
                "it without that disk"
            )
        self.former -= {*missing}
        self.roots |= {root}  # as a whole, because lanes check at the same time
        found = entries.target_status(folder)
        if found is not None:
            self.identities[folder] = identity.identity(found)
        return root

    @contextmanager
    def checked(
        self, *folders: Path, inner: Collection[str | None] = ("",), disk: str = ""
    ) -> Iterator[None]:
        """Check the mounts of `folders` before and after the block, those of `inner` in the first.

        Only then does what is missing there count as absent (law 2). The first is on the `disk`
        with this mark, if one is given: another one may have taken its place.
        """

        def check() -> None:
            for number, folder in enumerate(folders):
                for each in ("",) if number else inner:
                    self.check(folder, each or "")
            if disk:
                _check_mark(folders[0], disk)

        check()
        try:
            yield
        finally:
            check()


def _check_mark(folder: Path, disk: str) -> None:
    """Raise OutputError if a folder is not on the disk with this mark."""
    if not entries.is_folder(folder):
        raise OutputError(
            f"the folder {folder} is not there: mount its disk or, if it has another name now, put "
            "a link to it there"
        )
    disk_mark = _mark(folder)
    if disk_mark is None or disk not in disk_mark.all:
        raise OutputError(
            f"{folder} is on another disk than the files of this job: mount that disk or, if this "
            f"is the one, add the line {disk} to {folder.joinpath(*MARK)}"
        )


def _has_files(folder: Path) -> bool:
    """Return whether a folder has files of people, which stylewatch does not make there itself."""
    names = [name for name in entries.names(folder) if not name.startswith((".", "_"))]
    return any(entries.is_file(folder / name) for name in names)


def mount_root(folder: Path) -> Path:
    """Return the highest folder on the mount of `folder`, or of the nearest folder that exists.

    A bind mount has the device of what it shows, so that only the table of mounts tells of it.
    """
    point = _mount_of(folder, table()).point
    mounted = entries.target_status(Path(point)) if point else None
    above = [
        (path, status)
        for path in (folder, *folder.absolute().parents)
        if (status := _target_status(path)) is not None
    ]
    device = above[0][1].st_dev
    root = folder
    for path, status in above:
        if status.st_dev != device:
            break
        root = path
        if mounted is not None and os.path.samestat(status, mounted):
            break
    return root


def _target_status(path: Path) -> os.stat_result | None:
    """Return the status of what an entry leads to; a link that leads in circles leads nowhere."""
    try:
        return entries.target_status(path)
    except OSError as error:
        status = entries.status(path) if error.errno == errno.ELOOP else None
        if status is None or not stat.S_ISLNK(status.st_mode):
            raise
        return None


def check(needs: Iterable[tuple[Path, int]], reserve: int) -> None:
    """Raise FullError if the disks of folders lack space for `needs` plus `reserve` bytes."""
    first: dict[int, Path] = {}
    totals: dict[Path, int] = {}
    for folder, bytes_ in needs:
        known = first.setdefault(system.stat(_existing(folder)).st_dev, folder)
        totals[known] = totals.get(known, 0) + bytes_
    for folder, bytes_ in totals.items():
        lacking = bytes_ + reserve - free(folder)
        if lacking > 0:
            raise FullError(
                f"the disk of {folder} has {amount(free(folder))} free and needs "
                f"{f'{amount(bytes_)} beside ' if bytes_ else ''}the {amount(reserve)} that "
                f"limits.free_bytes keeps: {amount(lacking)} more must be free",
                folder,
                reserve,
            )


def free(folder: Path) -> int:
    """Return the free bytes on the disk of `folder`, which need not exist yet.

    Some network file systems report no blocks at all, which counts as unlimited.
    """
    seen = system.statvfs(_existing(folder))
    return seen.f_bavail * seen.f_frsize if seen.f_blocks else sys.maxsize


def check_access(folder: Path) -> None:
    """Raise PermissionError if nothing can be made in `folder`, or it where that is missing."""
    nearest = _existing(folder)
    if not system.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, f"this user may not write in {nearest} now")


def _existing(folder: Path) -> Path:
    while not system.access(folder, os.F_OK):  # a parent without permission is not an error here
        folder = folder.parent
    return folder


def amount(bytes_: float) -> str:
    """Return a number of bytes as text, such as `340 bytes` or `1.2 GB`."""
    size, unit = max((unit for unit in _UNITS if unit[0] <= bytes_), default=_UNITS[0])
    digits = 1 if size > 1 and bytes_ < 10 * size else 0
    return f"{bytes_ / size:.{digits}f} {unit}"


def excess(bytes_: int, limit: int) -> str:
    """Say that a size exceeds a limit, in bytes if both would otherwise read the same."""
    size = amount(bytes_)
    most = amount(limit)
    if size == most:
        size = f"{bytes_:,} bytes"
        most = f"{limit:,} bytes"
    return f"is {size}; the limit is {most}"
