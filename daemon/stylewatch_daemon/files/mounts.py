"""Mounts of folders, by the kernel's table, and the check that they are still there."""

import os
import re
from itertools import takewhile
from pathlib import Path

from stylewatch_daemon.errors import OutputError

_REMOTE = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|9p|virtiofs|vboxsf|ceph|afs|fuse\.("
    r"sshfs|rclone|s3fs|davfs2?|cifs|smbnetfs|glusterfs|gvfsd-fuse|curlftpfs|ceph-fuse)"
)
_FUSE = re.compile(r"fuse|fuse\..+")
_COUNTED = re.compile(r"cifs|smb\d?|smbfs|vboxsf")
"""File systems that may number their files by themselves, anew for each mount."""


def table() -> str:
    """The kernel's table of mounts; empty where there is none."""
    try:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def kind_of(folder: Path, mounts: str) -> str:
    """The file system of `folder` by the table `mounts`, as `ext4`; empty if it is not there."""
    best, kind = "", ""
    real = folder.resolve()
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        point = _unescaped(before.split(" ")[4])
        if real.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, after.split(" ")[0]
    return kind


def lies_in(path: Path, folder: Path, mounts: str) -> bool:
    """True if `path` is in `folder`, also by links or bind mounts in the table `mounts`."""
    if path.resolve().is_relative_to(folder.resolve()):
        return True
    if any(_is_same(one, folder) for one in (path, *path.absolute().parents)):
        return True
    (disk, place), (its_disk, its_place) = _on_disk(path, mounts), _on_disk(folder, mounts)
    return disk == its_disk != "" and place.is_relative_to(its_place)


def _is_same(path: Path, folder: Path) -> bool:
    try:
        return path.samefile(folder)
    except OSError:
        return False


def _on_disk(folder: Path, mounts: str) -> tuple[str, Path]:
    """The disk of `folder` and its path there, whatever is mounted where; empty if not known."""
    best, disk, place = "", "", folder
    real = folder.resolve()
    for line in mounts.splitlines():
        _, _, number, root, point, *_ = line.split(" ")
        point = _unescaped(point)
        if real.is_relative_to(point) and len(point) >= len(best):
            best, disk, place = point, number, Path(_unescaped(root)) / real.relative_to(point)
    return disk, place


def is_remote(folder: Path, mounts: str) -> bool:
    """Return True if other machines may write to `folder`, by the table `mounts`."""
    return _REMOTE.fullmatch(kind_of(folder, mounts)) is not None


def tells_events(folder: Path, mounts: str) -> bool:
    """Return True if the file system of `folder` reports all events, by the table `mounts`."""
    kind = kind_of(folder, mounts)
    return _REMOTE.fullmatch(kind) is None and _FUSE.fullmatch(kind) is None


def keeps_inodes(device: int, mounts: str) -> bool:
    """Return True if files on `device` keep their inode numbers, by the table `mounts`.

    Where files are numbered as they are met, they get other numbers after some time, or when they
    are mounted again: through FUSE, and over some network protocols.
    """
    number = f"{os.major(device)}:{os.minor(device)}"
    fields = (line.partition(" - ") for line in mounts.splitlines())
    kinds = [after.split(" ")[0] for before, _, after in fields if before.split(" ")[2] == number]
    return not any(_FUSE.fullmatch(kind) or _COUNTED.fullmatch(kind) for kind in kinds)


def root_of(folder: Path) -> Path:
    """The highest folder on the disk of `folder`, which need not be there yet."""
    above = [one for one in (folder, *folder.absolute().parents) if one.exists()]
    device = above[0].stat().st_dev
    return list(takewhile(lambda one: one.stat().st_dev == device, above))[-1]


class MountGuard:
    """On which disks folders lay: below a mount that is gone, nothing is to be written."""

    def __init__(self) -> None:
        self._roots: dict[Path, Path] = {}
        self._devices: dict[Path, int] = {}

    def check(self, folder: Path) -> None:
        """Remember the disk of `folder`; OutputError where it lay on one that is gone since."""
        if self._devices.get(folder) == _device(folder) is not None:
            return
        root = root_of(folder)
        before = self._roots.get(folder, root)
        if before != root and before.is_relative_to(root):
            raise OutputError(
                f"{folder} lies on the disk that was mounted at {before}, and is not now: mount "
                "it again; a new start of stylewatch goes on without it"
            )
        self._roots[folder] = root
        if (device := _device(folder)) is not None:
            self._devices[folder] = device


def _device(folder: Path) -> int | None:
    """The number of the disk that `folder` lies on; None where it is not there."""
    try:
        return folder.stat().st_dev
    except OSError:
        return None


def _unescaped(field: str) -> str:
    r"""A path in mountinfo has its spaces as \040."""
    return re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), field)
