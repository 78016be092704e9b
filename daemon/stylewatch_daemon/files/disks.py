"""Disks of folders: file system, mount state and free space.

`mounts` is the kernel's table of mounts, as returned by `table`.
"""

import os
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from stylewatch_daemon.base.errors import FullError, OutputError

_REMOTE = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|9p|virtiofs|vboxsf|ceph|afs|fuse\.("
    r"sshfs|rclone|s3fs|davfs2?|cifs|smbnetfs|glusterfs|gvfsd-fuse|curlftpfs|ceph-fuse)"
)
_FUSE = re.compile(r"fuse|fuse\..+")
_RENUMBERS = re.compile(rf"cifs|smb\d?|smbfs|vboxsf|{_FUSE.pattern}")
"""File systems whose files may get other inode numbers, after some time or at the next mount."""

_UNITS = ((1, "bytes"), (1000, "kB"), (10**6, "MB"), (10**9, "GB"))


def table() -> str:
    """Return the kernel's table of mounts; empty if there is none."""
    try:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _rows(mounts: str) -> Iterable[tuple[str, str, str]]:
    """Yield the device (such as `8:1`), the mount point and the file system of each mount."""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        _, _, device, _, point, *_ = before.split(" ")
        # a space in a path is written as \040
        point = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), point)
        yield device, point, after.split(" ")[0]


def kind_of(folder: Path, mounts: str) -> str:
    """Return the file system of `folder`, such as `ext4`; empty if unknown."""
    real = folder.resolve()
    around = [(point, kind) for _, point, kind in _rows(mounts) if real.is_relative_to(point)]
    return max(reversed(around), key=lambda mount: len(mount[0]), default=("", ""))[1]


def is_remote(folder: Path, mounts: str) -> bool:
    """Return whether other machines may write to `folder`."""
    return _REMOTE.fullmatch(kind_of(folder, mounts)) is not None


def tells_events(folder: Path, mounts: str) -> bool:
    """Return whether the file system of `folder` reports all events."""
    kind = kind_of(folder, mounts)
    return _REMOTE.fullmatch(kind) is None and _FUSE.fullmatch(kind) is None


def keeps_inodes(device: int, mounts: str) -> bool:
    """Return whether files on `device` keep their inode numbers."""
    number = f"{os.major(device)}:{os.minor(device)}"
    kinds = [kind for device_there, _, kind in _rows(mounts) if device_there == number]
    return not any(map(_RENUMBERS.fullmatch, kinds))


def lies_in(path: Path, folder: Path) -> bool:
    """Return whether `path` is in `folder`, including through links and bind mounts of `folder`."""
    if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        return True
    for above in (path, *path.absolute().parents):
        with suppress(OSError):
            if above.samefile(folder):
                return True
    return False


class MountGuard:
    """Record of the disks of folders, so that nothing is written below a missing mount."""

    def __init__(self) -> None:
        self._roots: dict[Path, Path] = {}

    def check(self, folder: Path) -> None:
        """Record the mount of `folder`; raises OutputError if its earlier mount is missing."""
        above = [path for path in (folder, *folder.absolute().parents) if path.exists()]
        device = above[0].stat().st_dev
        root = list(takewhile(lambda path: path.stat().st_dev == device, above))[-1]
        before = self._roots.get(folder, root)
        if before != root and before.is_relative_to(root):
            raise OutputError(
                f"{folder} is on the disk of {before}, which is not mounted now: mount it again, "
                "or restart stylewatch to use the folder without that disk"
            )
        self._roots[folder] = root


def check(needs: Iterable[tuple[Path, int]], reserve: int) -> None:
    """Raise FullError if the disks of folders lack space for `needs` plus `reserve` bytes."""
    first: dict[int, Path] = {}
    totals: dict[Path, int] = {}
    for folder, bytes_ in needs:
        known = first.setdefault(_existing(folder).stat().st_dev, folder)
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
    seen = os.statvfs(_existing(folder))
    return seen.f_bavail * seen.f_frsize if seen.f_blocks else sys.maxsize


def _existing(folder: Path) -> Path:
    while not os.access(folder, os.F_OK):  # a parent without permission is not an error here
        folder = folder.parent
    return folder


def amount(bytes_: float) -> str:
    """Return a number of bytes as text, such as `340 bytes` or `1.2 GB`."""
    size, unit = max((unit for unit in _UNITS if unit[0] <= bytes_), default=_UNITS[0])
    digits = 1 if size > 1 and bytes_ < 10 * size else 0
    return f"{bytes_ / size:.{digits}f} {unit}"


def excess(bytes_: int, limit: int) -> str:
    """Say that a size exceeds a limit, in bytes if both would otherwise read the same."""
    size, most = amount(bytes_), amount(limit)
    if size == most:
        size, most = f"{bytes_:,} bytes", f"{limit:,} bytes"
    return f"is {size}; the limit is {most}"
