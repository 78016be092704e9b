"""Disks of folders: file system, mount state and free space.

The argument `mounts` is the kernel's table of mounts, which `table` returns.
"""

import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from stylewatch_daemon.base.errors import FullError, InputError, OutputError, ShortageError
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
    """A mount: its file system, its device such as `8:1`, its mount point, and its kernel id."""

    kind: str = ""
    device: str = ""
    point: str = ""
    number: str = ""


@lru_cache(maxsize=1)
def _by_point(mounts: str) -> Mapping[str, _Mount]:
    """Return the mounts by their mount points; the last mount at a point hides earlier mounts."""
    by_point = {}
    for line in mounts.splitlines():
        mount_fields, _, disk_fields = line.partition(" - ")
        number, _, device, _, point, *_ = mount_fields.split(" ")
        # a space in a path is written as \040
        point = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), point)
        by_point[point] = _Mount(disk_fields.split(" ")[0], device, point, number)
    return by_point


def _mount_of(folder: Path, mounts: str) -> _Mount:
    """Return the mount of `folder`; its fields are empty if it is unknown."""
    place = os.path.realpath(folder)
    by_point = _by_point(mounts)
    while place and place not in by_point:
        place = place.rpartition("/")[0]
    return by_point.get(place or "/", _Mount())


def kind_of(folder: Path, mounts: str) -> str:
    """Return the file system of `folder`, such as `ext4`; empty if unknown."""
    return _mount_of(folder, mounts).kind


def is_remote(folder: Path, mounts: str) -> bool:
    """Return whether the file system of `folder` is of a kind to which other machines may write."""
    return _REMOTE.fullmatch(kind_of(folder, mounts)) is not None


def tells_events(folder: Path, mounts: str) -> bool:
    """Return whether the kernel reports all changes in `folder` as events.

    The result is False for remote file systems and for file systems of FUSE.
    """
    kind = kind_of(folder, mounts)
    return _REMOTE.fullmatch(kind) is None and _FUSE.fullmatch(kind) is None


MARK = (".stylewatch", "disk")
"""Names of a folder in an inbox or outbox, and of the file in this folder that identifies the disk
wherever it is mounted."""

_MARK_SIZE, _MARKS_SIZE = 16, 4096
"""Number of digits of a mark, and maximum number of bytes that are read of the file with it."""

_MARK = re.compile(f"[0-9a-f]{{{_MARK_SIZE}}}")


def disk_of(folder: Path) -> str:
    """Return the identity of the disk of `folder`: its mark, and the ctime of the mark's file.

    A mark that was restored from a backup has another ctime, and so identifies another disk. The
    ctime counts modulo one hour, because on FAT times shift by whole hours in the summer. Without a
    mark, file system, device and mount point are the identity. Raises OSError if the mark cannot be
    read now.
    """
    disk_mark = _mark(folder)
    if disk_mark:
        return f"{disk_mark.text} {disk_mark.ctime_ns % identity.HOUR_NS}"
    mount = " ".join(_mount_of(folder, table())[:3])
    return mount.encode(errors="backslashreplace").decode()  # in the form that the ledger keeps


def mark_of(folder: Path) -> str:
    """Return the mark of the disk of `folder`; empty if it has none."""
    disk_mark = _mark(folder)
    return disk_mark.text if disk_mark else ""


def has_another_mark(folder: Path, disk: str) -> bool:
    """Return whether the disk of a folder has a mark, but not the mark `disk`.

    The result is False if `disk` is empty.
    """
    disk_mark = _mark(folder)
    return disk_mark is not None and bool(disk) and disk not in disk_mark.all


def check_mark(folder: int, disk: str) -> None:
    """Raise OutputError if an opened folder is not on the disk with this mark."""
    disk_mark = _mark_in(folder)
    if disk_mark is None or disk not in disk_mark.all:
        raise OutputError("its disk has gone at this moment")


class _Mark(NamedTuple):
    """Mark of a disk: its text, and the ctime of its file, which no backup restores."""

    text: str
    ctime_ns: int
    all: Sequence[str]
    """All marks in the file. People add the mark of a former disk, because copies of files may lack
    it."""


def _mark(folder: Path) -> _Mark | None:
    absent = FileNotFoundError, NotADirectoryError
    try:
        with entries.opened(folder, follow=True) as handle:
            return _mark_in(handle)
    except absent:
        return None


def _mark_in(folder: int) -> _Mark | None:
    """Return the mark of the disk of an opened folder; None if it has none.

    A mark that this user may not read, or that is behind a link, does not count.
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
    """Return the mounts below `folder`, by their mount points as paths that begin with `folder`."""
    real = Path(os.path.realpath(folder))  # raises nothing for links that lead in circles
    mounts = ((Path(mount.point), mount) for mount in _by_point(table()).values())
    return {
        folder / point.relative_to(real): mount for point, mount in mounts if real in point.parents
    }


def disks_in(folder: Path) -> dict[Path, str]:
    """Return the identities of the disks that are mounted below `folder`, by mount point.

    The identity is empty if the mark of a disk cannot be read.
    """
    disks = {}
    for mount in _mounts_below(folder):
        try:
            disks[mount] = disk_of(mount)
        except OSError:
            disks[mount] = ""
    return disks


def mounts_of(folder: Path) -> frozenset[str]:
    """Return the kernel's ids of the mount of `folder` and of the mounts below it.

    If another disk is mounted in place of the former one, the id differs, even for a clone with the
    same mark.
    """
    inner = (mount.number for mount in _mounts_below(folder).values())
    return frozenset({_mount_of(folder, table()).number, *inner})


def marked(folder: Path, guard: "MountGuard") -> str:
    """Mark the disk of `folder` as `mark` does; return its mark, empty if it has no durable one.

    Raises as `mark` does.
    """
    return mark_of(folder) if mark(folder, guard) else ""


def mark(folder: Path, guard: "MountGuard") -> bool:
    """Mark the disk of `folder`, unless it has a mark; return whether it has a durable mark now.

    The folder is opened first, and its disk checked then, so that nothing is written below a
    missing mount. If several programs append marks at once, the first mark counts. Raises OSError
    if the folder cannot be opened, OutputError if its disk is missing.
    """
    with entries.opened(folder, follow=True) as handle:
        guard.check(folder)
        if not entries.leads_to(folder, handle):
            return False
        try:
            if _mark_in(handle) is None:
                entries.make_folder(MARK[0], handle)
                with entries.opened(MARK[0], handle) as inner:
                    _append_mark(inner)
            return _has_durable_mark(handle)
        except OSError:
            return False


def _append_mark(folder: int) -> None:
    """Append a new mark to the file MARK[1] in an opened folder, unless that file has content."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    with system.writer(system.open(MARK[1], flags, 0o666, dir_fd=folder)) as file:
        if not system.fstat(file.fileno()).st_size:
            file.write(secrets.token_hex(_MARK_SIZE // 2).encode() + b"\n")


def _has_durable_mark(folder: int) -> bool:
    """Sync the mark of the disk of an opened folder; return False if the disk has none.

    A killed program may have left a mark without a sync. If a power cut removed it, the files of
    all jobs that remember the mark would be on an unknown disk.
    """
    if _mark_in(folder) is None:
        return False
    with entries.opened(MARK[0], folder) as inner:
        with atomic.open_regular(MARK[1], inner) as file:
            entries.done_unless({errno.EINVAL}, system.fsync, file.fileno())
        atomic.sync_folder(inner)
    atomic.sync_folder(folder)
    return True


def attempt_mark(folder: Path, guard: "MountGuard") -> bool:
    """Mark the disk of a folder as `mark` does; return False also if that raises OSError."""
    try:
        return mark(folder, guard)
    except OSError:
        return False


def tells_exchanges(identity: str) -> bool:
    """Return whether an identity contains a mark, which tells its disk from all other disks."""
    return _MARK.match(identity) is not None and identity[_MARK_SIZE] == " "


def are_different(one: str, other: str) -> bool:
    """Return whether both identities have marks that differ: then the disks are different."""
    is_told = tells_exchanges(one) and tells_exchanges(other)
    return is_told and one[:_MARK_SIZE] != other[:_MARK_SIZE]


def shows_all(folder: Path, mounts: str) -> bool:
    """Return whether a file is certainly absent if `folder` does not list it.

    A union of disks may go on without one of its disks, and then hides the files of that disk.
    """
    return kind_of(folder, mounts).removeprefix("fuse.") not in ("mergerfs", "unionfs", "mhddfs")


def stores_local_time(folder: Path, mounts: str) -> bool:
    """Return whether times of files may shift by whole hours, as on FAT in the summer."""
    return kind_of(folder, mounts) in ("vfat", "msdos", "exfat", "fuseblk")


def lies_in(path: Path, folder: Path) -> bool:
    """Return whether `path` is in `folder`, including through links and bind mounts of `folder`.

    Returns False if a disk cannot be read: a setting is refused only if it is certainly wrong.
    """
    try:
        if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
            return True
        status = entries.target_status(folder)
        for above in (path, *path.absolute().parents):
            above_status = entries.target_status(above)
            if above_status is None or status is None:
                continue
            if os.path.samestat(above_status, status):
                return True
    except OSError:
        return False
    return False


def has_moved(former: Path, path: Path) -> bool | None:
    """Return whether a file that was at `former` is at `path` now, or has both names.

    Returns False if another file is at `former`, so that `path` is a copy. Returns None if the
    answer is unknown: after an error (law 2), if the mounts change meanwhile, or if the two paths
    are on different mounts, because the other mount may hang (law 9).
    """
    mounts = table()
    try:
        if _mount_of(former.parent, mounts) != _mount_of(path.parent, mounts):
            return None
        former_status = entries.target_status(former)
        status = entries.status(path)
    except OSError:
        return None
    if former_status is None:
        return True if table() == mounts else None
    return status is not None and identity.identity(former_status) == identity.identity(status)


class MountGuard:
    """Record of the disks of folders, so that nothing is written below a missing mount."""

    def __init__(self) -> None:
        self.roots = frozenset[Path]()
        """Mounts on which this daemon has used folders."""
        self.former = frozenset[Path]()
        """Mounts on which an earlier daemon used folders. While such a mount is missing, a folder
        below it is used only if a person has put a file there."""
        self.identities: dict[Path, identity.Identity] = {}
        """Identities of the folders that were checked and exist."""
        self._held: dict[Path, tuple[Path, identity.Identity]] = {}
        """By folders, the file in each that this process holds open, and its identity."""

    def hold(self, folder: Path, file: Path) -> None:
        """Take `folder` for itself only while it has `file`, which this process holds open.

        Nothing else can have the identity of an open file, so that a folder that is moved away or
        replaced is told on the same mount, too. Raises OSError if the file cannot be asked.
        """
        status = entries.target_status(file)
        if status is not None:
            self._held[folder] = (file, identity.identity(status))

    def check(self, folder: Path, inner: str = "") -> Path:
        """Record and return the highest folder on the mount of `folder / inner`.

        `inner` is a path in `folder`, and may be on another mount. Raises OutputError if the disk
        is just being mounted or unmounted, or if a mount in `roots` is missing; also if a mount in
        `former` is missing, unless a person has put a file into `folder`. Raises ShortageError if a
        folder of `hold` was moved or replaced.
        """
        place = folder / inner
        root = mount_root(place)
        if root not in self.roots and mount_root(place) != root:
            raise OutputError(f"the disk of {place} is just being mounted or unmounted")
        missing = _missing_mounts(place, root, self.roots | self.former)
        self._refuse(place, folder, missing)
        self.former -= missing  # a person has put files in their place
        self.roots |= {root}  # as a whole, because lanes check at the same time
        status = entries.target_status(folder)
        if status is not None:
            self.identities[folder] = identity.identity(status)
        self.check_held(folder)
        return root

    def check_held(self, folder: Path) -> None:
        """Raise ShortageError if a folder lacks the file that this process holds open there.

        Raises OSError if that is unknown.
        """
        if folder not in self._held:
            return
        file, known = self._held[folder]
        status = entries.target_status(file)
        if status is None or identity.identity(status) != known:
            raise ShortageError(
                f"{folder} was moved away or replaced while stylewatch runs: move it back or, to "
                "go on with what is there now, restart stylewatch"
            )

    def _refuse(self, place: Path, folder: Path, missing: Collection[Path]) -> None:
        """Raise OutputError if `place` in `folder` may not be used without the `missing` mounts."""
        is_of_this_daemon = not self.roots.isdisjoint(missing)
        if is_of_this_daemon or (missing and not _has_files(folder)):
            deepest = max(missing, key=lambda mount: len(mount.parts))
            raise OutputError(
                f"{place} is on the disk of {deepest}, which is not mounted now: mount it again "
                f"or, if no job has files there, restart stylewatch with a file in {folder} to use "
                "it without that disk"
            )

    @contextmanager
    def checked(self, *folders: Path) -> Iterator[None]:
        """Check the mounts of `folders` before and after the block.

        Only if both checks succeed does a file that is missing there count as absent (law 2).
        Raises OutputError if a check fails.
        """
        with ExitStack() as stack:
            for folder in folders:
                stack.enter_context(self.checked_inside(folder))
            yield

    @contextmanager
    def checked_inside(self, root: Path, *inner: str | None, disk: str = "") -> Iterator[None]:
        """Check the mounts of the folders `inner` of a folder `root`, as `checked` does.

        None, or no `inner` at all, stands for `root` itself. Unless the mark `disk` is empty,
        `root` must be on the disk with this mark, or OutputError is raised: another disk may be
        mounted there.
        """

        def check() -> None:
            for name in inner or ("",):
                self.check(root, name or "")
            if disk:
                _check_mark(root, disk)

        check()
        try:
            yield
        finally:
            check()


def _missing_mounts(place: Path, root: Path, mounts: Iterable[Path]) -> frozenset[Path]:
    """Return the `mounts` between `place` and `root`, the mount on which `place` is now.

    An example, after a share was unmounted; a file that is written to the place now would be lost
    below the share once that is mounted again:

      /             root: the mount on which the place is now
      /nas          missing: a mount on which the place was
      /nas/out/job  place
    """
    return frozenset(
        mount
        for mount in mounts
        if place.is_relative_to(mount) and mount.is_relative_to(root) and mount != root
    )


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
    """Return whether a folder has files of people: those of stylewatch begin with `.` or `_`."""
    names = [name for name in entries.names(folder) if not name.startswith((".", "_"))]
    return any(entries.is_file(folder / name) for name in names)


def mount_root(folder: Path) -> Path:
    """Return the highest folder on the mount of `folder`, or of its nearest existing parent.

    A bind mount has the same device as its source; only the table of mounts reveals it.
    """
    point = _mount_of(folder, table()).point
    point_status = entries.target_status(Path(point)) if point else None
    existing = [
        (path, status)
        for path in (folder, *folder.absolute().parents)
        if (status := _target_status(path)) is not None
    ]
    root, nearest_status = existing[0]
    for path, status in existing:
        if status.st_dev != nearest_status.st_dev:
            break
        root = path
        if point_status is not None and os.path.samestat(status, point_status):
            break
    return root


def _target_status(path: Path) -> os.stat_result | None:
    """Return the status of the target of an entry; None if there is none.

    A link that leads in circles has no target.
    """
    try:
        return entries.target_status(path)
    except OSError as error:
        status = entries.status(path) if error.errno == errno.ELOOP else None
        if status is None or not stat.S_ISLNK(status.st_mode):
            raise
        return None


def check(needs: Iterable[tuple[Path, int]], reserve: int) -> None:
    """Raise FullError if a disk lacks space for the bytes that folders need, plus `reserve` bytes.

    Each of `needs` is a folder and the number of bytes that it needs.
    """
    first_on_disk: dict[int, Path] = {}
    totals: dict[Path, int] = {}
    for folder, bytes_ in needs:
        first = first_on_disk.setdefault(system.stat(_existing(folder)).st_dev, folder)
        totals[first] = totals.get(first, 0) + bytes_
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
    disk_status = system.statvfs(_existing(folder))
    if not disk_status.f_blocks:
        return sys.maxsize
    return disk_status.f_bavail * disk_status.f_frsize


def check_access(folder: Path) -> None:
    """Raise PermissionError if this user may not write in `folder`.

    If `folder` does not exist, its nearest existing parent counts.
    """
    if not may_write(folder):
        nearest = _existing(folder)
        raise PermissionError(errno.EACCES, f"this user may not write in {nearest} now")


def may_write(folder: Path) -> bool:
    """Return whether this user may write in `folder`, or in its nearest existing parent."""
    return system.access(_existing(folder), os.W_OK | os.X_OK)


def _existing(folder: Path) -> Path:
    """Return `folder`, or its nearest parent that exists."""
    while not system.access(folder, os.F_OK):  # a parent without permission is not an error here
        folder = folder.parent
    return folder


def amount(bytes_: float) -> str:
    """Return a number of bytes as text, such as `340 bytes` or `1.2 GB`."""
    size, unit = max((unit for unit in _UNITS if unit[0] <= bytes_), default=_UNITS[0])
    digits = 1 if size > 1 and bytes_ < 10 * size else 0
    return f"{bytes_ / size:.{digits}f} {unit}"


def excess(bytes_: int, limit: int) -> str:
    """Return a text that a size exceeds a limit, such as "is 2 MB; the limit is 1 MB".

    Both are given exactly, in bytes, if their rounded amounts are the same.
    """
    size = amount(bytes_)
    most = amount(limit)
    if size == most:
        size = f"{bytes_:,} bytes"
        most = f"{limit:,} bytes"
    return f"is {size}; the limit is {most}"
