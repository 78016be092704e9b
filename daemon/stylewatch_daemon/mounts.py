"""What kind of file system a folder lies on, by the kernel's table of mounts."""

import re
from pathlib import Path

_REMOTE = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|9p|virtiofs|vboxsf|ceph|afs|fuse\.(sshfs|rclone|s3fs|davfs2?|cifs)"
)
_FUSE = re.compile(r"fuse|fuse\..+")


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


def is_remote(folder: Path, mounts: str) -> bool:
    """Whether `folder` lies, by the table `mounts`, where other machines may write as well."""
    return _REMOTE.fullmatch(kind_of(folder, mounts)) is not None


def tells_events(folder: Path, mounts: str) -> bool:
    """Whether the file system of `folder`, by the table `mounts`, tells all events."""
    kind = kind_of(folder, mounts)
    return _REMOTE.fullmatch(kind) is None and _FUSE.fullmatch(kind) is None


def _unescaped(field: str) -> str:
    r"""A path in mountinfo has its spaces as \040."""
    return re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), field)
