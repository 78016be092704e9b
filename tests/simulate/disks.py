"""Simulated disks: what is mounted where, and what each disk can and cannot do.

Their files are real, at their real paths. A disk that is away has its files elsewhere (`away`), and
its mount point is an empty folder of the disk above; what is written there meanwhile is kept
(`below`), and is hidden again once the disk is back.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Kind:
    """A kind of file system."""

    name: str
    """As in the table of mounts."""
    major: int = 8
    """Major number of its device; 0 for those without a device."""
    has_links: bool = True
    has_modes: bool = True
    sees_writers: bool = True
    """True if a lease is refused while a program has the file open."""
    syncs_folders: bool = True
    keeps_inodes: bool = True
    time_ns: int = 1
    """Unit of its times."""
    has_local_time: bool = False
    """True if its times shift by an hour in summer."""
    has_ctime: bool = True
    """True if a file has a time of its own at which it came where it is."""
    is_remote: bool = False
    is_union: bool = False
    """True if a rename between two folders may cross a disk."""
    sets_times: bool = True


KINDS = {
    kind.name: kind
    for kind in (
        Kind("ext4"),
        Kind("btrfs", 0),
        Kind("vfat", 8, has_links=False, has_modes=False, keeps_inodes=False,
             time_ns=2 * 10**9, has_local_time=True, has_ctime=False),
        Kind("exfat", 8, has_links=False, has_modes=False, keeps_inodes=False,
             time_ns=10**7, has_local_time=True, has_ctime=False),
        Kind("fuseblk", 8, has_links=False, has_modes=False, keeps_inodes=False,
             sees_writers=False, time_ns=100, has_local_time=True),
        Kind("nfs4", 0, sees_writers=False, is_remote=True),
        Kind("cifs", 0, has_links=False, sees_writers=False, syncs_folders=False,
             keeps_inodes=False, is_remote=True, sets_times=False),
        Kind("fuse.sshfs", 0, has_links=False, sees_writers=False, keeps_inodes=False,
             is_remote=True),
        Kind("fuse.mergerfs", 0, is_union=True, keeps_inodes=False),
    )
}  # fmt: skip
SYSTEM = "system"
"""Name of the disk that has everything without a disk of its own."""


@dataclass(eq=False)
class Disk:
    """A disk at the mount point `root`."""

    name: str
    kind: Kind
    root: str
    number: int
    is_there: bool = True
    generation: int = 0
    """Number of times that it was taken away: handles of an earlier one are dead."""
    is_hung: bool = False
    is_read_only: bool = False
    full: int = 0
    """The errno of writes to a full disk; 0 if there is room."""
    room: int = 0
    """Bytes that can still be written to a full disk."""
    shift_s: int = 0
    """Seconds by which its times are shifted."""

    @property
    def device(self) -> int:
        """Number of its device, as in `st_dev`."""
        return os.makedev(self.kind.major, 16 + self.number)

    def check_writable(self, path: str, *, grows: bool = False) -> None:
        """Raise OSError if nothing can be changed, or, if the change `grows`, for lack of room."""
        if self.is_read_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        if grows and self.full and self.room <= 0:
            raise OSError(self.full, os.strerror(self.full), path)

    def writable(self, size: int, path: str) -> int:
        """Return how many of `size` bytes can be written now; raises OSError if none can."""
        self.check_writable(path, grows=True)
        if not self.full:
            return size
        taken = min(self.room, size)
        self.room -= taken
        return taken


class Disks:
    """The disks of a world whose folders are below `base`."""

    def __init__(self, base: Path, kinds: dict[str, str], roots: dict[str, str]) -> None:
        self.base, self.root = base, f"{base}/w"
        self.by_name = {SYSTEM: Disk(SYSTEM, KINDS["ext4"], self.root, 1)}
        for name, kind in kinds.items():
            number = len(self.by_name) + 1
            self.by_name[name] = Disk(name, KINDS[kind], roots[name], number)
        self._longest_first = sorted(self.by_name.values(), key=lambda disk: -len(disk.root))
        self._numbers = len(self.by_name) + 1
        for disk in reversed(self._longest_first):
            Path(disk.root).mkdir(parents=True)
        for name in ("away", "below", "saved", "spare"):
            (base / name).mkdir()

    def __iter__(self) -> Iterator[Disk]:
        return iter(self.by_name.values())

    def of(self, path: str) -> Disk:
        """Return the disk on which `path` is now."""
        for disk in self._longest_first:
            if disk.is_there and (path == disk.root or path.startswith(f"{disk.root}/")):
                return disk
        raise AssertionError(path)

    def home_of(self, path: str) -> Disk:
        """Return the disk on which `path` is when all disks are there."""
        for disk in self._longest_first:
            if path == disk.root or path.startswith(f"{disk.root}/"):
                return disk
        raise AssertionError(path)

    def spot(self, path: str) -> str:
        """Return where the file at `path` is in reality, also while its disk is away."""
        disk = self.home_of(path)
        return path if disk.is_there else f"{self._away(disk)}{path.removeprefix(disk.root)}"

    def _away(self, disk: Disk) -> str:
        return f"{self.base}/away/{disk.name}"

    def below(self, disk: Disk) -> str:
        """Return where the files below the mount point of a disk are while it is there."""
        return f"{self.base}/below/{disk.name}"

    def unplug(self, disk: Disk) -> None:
        """Take a disk away."""
        Path(disk.root).rename(self._away(disk))
        hidden = Path(self.below(disk))
        if hidden.exists():
            hidden.rename(disk.root)
        else:
            Path(disk.root).mkdir()
        disk.is_there = False
        disk.generation += 1

    def plug(self, disk: Disk, *, other_device: bool = False) -> None:
        """Bring a disk back, perhaps as another device."""
        Path(disk.root).rename(self.below(disk))
        Path(self._away(disk)).rename(disk.root)
        disk.is_there = True
        if other_device:
            self._numbers += 1
            disk.number = self._numbers

    def spare(self, disk: Disk) -> str:
        """Return where the files of the card are that takes turns with a disk, if there is one."""
        return f"{self.base}/spare/{disk.name}"

    def add_spare(self, disk: Disk, *, is_copy: bool) -> None:
        """Prepare another card for a disk that is away: an empty one, or a copy."""
        if is_copy:
            shutil.copytree(self.spot(disk.root), self.spare(disk))
        else:
            Path(self.spare(disk)).mkdir()

    def exchange(self, disk: Disk) -> None:
        """Let the other card come back in the place of a disk that is away."""
        away, spare, between = self._away(disk), Path(self.spare(disk)), Path(f"{self.base}/card")
        Path(away).rename(between)
        spare.rename(away)
        between.rename(spare)

    def table(self) -> str:
        """Return the kernel's table of mounts."""
        lines = ["1 0 8:1 / / rw - ext4 /dev/sda1 rw"]
        for disk in self.by_name.values():
            if disk.is_there:
                device = f"{os.major(disk.device)}:{os.minor(disk.device)}"
                how = "ro" if disk.is_read_only else "rw"
                root = disk.root.replace(" ", r"\040")
                number = disk.number + 100 * disk.generation
                lines.append(f"{number} 1 {device} / {root} {how} - {disk.kind.name} x {how}")
        return "\n".join(lines) + "\n"
