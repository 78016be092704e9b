"""The operating system as the daemon's process sees it: real files on disks with faults.

While the seam is `active`, calls on paths of the world pass through it: whoever owns the world may
let something happen at a call (`at_call`), a hung disk holds the call up (`wait_for`), a fault
makes it fail, and the disk may refuse it. All else goes to the real operating system.
"""

import errno
import gc
import os
import stat
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BufferedReader, BufferedWriter, FileIO
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from tests.simulate.disks import Disk, Disks

from stylewatch_daemon.files.system import System

REAL = System()
"""The real calls."""

_scandir = os.scandir  # `REAL.scandir` looks it up anew

TICK = 5e-5
"""Seconds that a call takes."""

NAMES = [name for name in vars(System) if not name.startswith("_")]
"""The calls that are simulated."""

READS = ("open", "stat", "scandir", "read", "fstat", "access", "readlink", "statvfs")
CHANGES = (
    "create",
    "write",
    "fsync",
    "rename",
    "link",
    "unlink",
    "mkdir",
    "rmdir",
    "utime",
    "chmod",
)

_OLDEST_REAL, _FIRST_SIMULATED = 1_700_000_000 * 10**9, 1_900_000_000 * 10**9
"""Times of files between these were set by the real kernel."""


class KilledError(BaseException):
    """The process was killed; raised by every call from then on."""


def _is_there(path: str) -> bool:
    try:
        REAL.stat(path, follow_symlinks=False)
    except OSError:
        return False
    return True


@dataclass
class CallFault:
    """Calls that fail: those in `calls` below the folder `under`, so many `times`."""

    calls: tuple[str, ...]
    number: int
    under: str
    times: int
    who: str = "daemon"
    after: int = 0
    """Number of matching calls that succeed first."""
    happened: int = 0


@dataclass
class _Handle:
    """An opened file or folder."""

    path: str
    disk: Disk
    generation: int
    file: FileIO | None = None


@dataclass
class _Undo:
    """A change of names that is not durable yet, and how to undo it."""

    what: str
    path: str
    source: str = ""
    saved: str = ""


@dataclass
class Times:
    """The clocks of the world: `now` is monotonic, in seconds."""

    now: float = 1000.0
    shift: float = 0.0
    """Seconds by which the wall clock is wrong."""

    def wall(self) -> float:
        """Return the time of the wall clock, in seconds since 1970."""
        return 1_935_000_000.0 + self.now + self.shift

    def wall_ns(self) -> int:
        """Return the time of the wall clock in nanoseconds."""
        return round(self.wall() * 1e6) * 1000


@dataclass
class Seam:
    """The calls on a world of `disks`; their owner gives `at_call` and `wait_for`."""

    disks: Disks
    times: Times
    seed: int
    at_call: Callable[[str, str], None]
    wait_for: Callable[[Disk], None]
    at_rename: Callable[[str], None] = lambda path: None
    active: bool = False
    who: str = "daemon"
    """The process that is running: `daemon`, `worker`, or a user's `client` or `follower`."""
    is_dead: bool = False
    calls: int = 0
    changes: int = 0
    """Number of calls that may have changed a file."""
    faults: list[CallFault] = field(default_factory=list)
    injected: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Calls and the names of the errors that they got."""
    writers: Counter[int] = field(default_factory=Counter)
    """Numbers of users' programs that have a file open for writing, by its real inode."""
    foreign: set[int] = field(default_factory=set)
    """Real inodes of files of another account, whose writers are not seen."""
    keeps_journal: bool = False
    _handles: dict[int, _Handle] = field(default_factory=dict)
    _inodes: dict[int, int] = field(default_factory=dict)
    _ctimes: dict[int, int] = field(default_factory=dict)
    _unsynced: dict[int, str] = field(default_factory=dict)
    """Files with bytes that are not synced: real inode and path."""
    _links: Counter[int] = field(default_factory=Counter)
    """Numbers of links that only `_save` has made, by the real inode."""
    _journal: dict[str, list[_Undo]] = field(default_factory=dict)
    """Changes of names that are not durable, by the name of the disk."""
    _numbers: Iterator[int] = field(default_factory=lambda: count(1000))
    """New numbers of inodes and of saved files."""

    # -- who calls

    @contextmanager
    def acting(self, who: str = "daemon") -> Iterator[None]:
        """Let the code of a process run."""
        before = self.active, self.who
        self.active, self.who = True, who
        try:
            yield
        finally:
            self.active, self.who = before

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Let the world itself act: its calls are real."""
        before = self.active, self.who
        self.active = False
        try:
            yield
        finally:
            self.active, self.who = before

    # -- before each call

    def _full(self, path: Any, folder: int | None) -> str:
        """Return the whole path of a name in an opened folder; empty if it is not of the world."""
        if isinstance(path, int):
            handle = self._handles.get(path)
            return handle.path if handle else ""
        text = os.fsdecode(path)
        if folder is not None:
            above = self._handles.get(folder)
            if above is None:
                return ""
            text = above.path if text == "." else f"{above.path}/{text}"
        return text if text.startswith(self.disks.root) else ""

    def enter(self, call: str, path: Any, folder: int | None = None) -> Disk | None:
        """Begin a call; return the disk that it reaches, or None if the world does not care."""
        if not self.active:
            return None
        full = self._full(path, folder)
        if not full:
            return None
        if self.is_dead:
            raise KilledError
        self.calls += 1
        self.times.now += TICK
        if self.who == "daemon":
            self.at_call(call, full)
        handle = self._handles.get(path if isinstance(path, int) else folder or -1)
        disk = self._answering(full, handle)
        if handle is not None and handle.generation != handle.disk.generation:
            raise self._error(call, errno.EIO, full)
        self._fail(call, full)
        return disk

    def _answering(self, full: str, handle: _Handle | None) -> Disk:
        """Return the disk of a path, once it answers."""
        while True:
            disk = self.disks.of(full) if handle is None else handle.disk
            if handle is not None and disk.is_there:
                disk = self.disks.of(full)  # another one may be mounted in the opened folder
            if not disk.is_hung:
                return disk
            if self.who != "daemon":
                raise self._error("any", errno.ETIMEDOUT, full)
            self.wait_for(disk)

    def _fail(self, call: str, full: str) -> None:
        for fault in self.faults:
            if (
                call in fault.calls
                and fault.times > 0
                and self.who == fault.who
                and (full == fault.under or full.startswith(f"{fault.under}/"))
            ):
                if fault.after > 0:
                    fault.after -= 1
                    continue
                fault.times -= 1
                fault.happened += 1
                raise self._error(call, fault.number, full)

    def _error(self, call: str, number: int, path: str) -> OSError:
        self.injected[call, errno.errorcode[number]] += 1
        return OSError(number, os.strerror(number), path)

    def _refuse(self, call: str, number: int, path: str) -> None:
        raise self._error(call, number, path)

    def _writable(self, call: str, disk: Disk, path: Any, *, grows: bool = False) -> None:
        try:
            disk.check_writable(os.fsdecode(path) if not isinstance(path, int) else "", grows=grows)
        except OSError as error:
            self.injected[call, errno.errorcode[error.errno or 0]] += 1
            raise
        self.changes += 1

    # -- by name

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        creates = bool(flags & os.O_CREAT)
        disk = self.enter("create" if creates else "open", path, dir_fd)
        if disk is None:
            return REAL.open(path, flags, mode, dir_fd=dir_fd)
        full = self._full(path, dir_fd)
        is_new = creates and not _is_there(full)
        if is_new or flags & (os.O_WRONLY | os.O_RDWR):
            self._writable("create", disk, path, grows=is_new)
        handle = REAL.open(path, flags, mode, dir_fd=dir_fd)
        self._handles[handle] = _Handle(full, disk, disk.generation)
        if is_new:
            self._note(disk, _Undo("create", full))
            self._written(handle)
        return handle

    def stat(
        self, path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> os.stat_result:
        disk = self.enter("stat", path, dir_fd)
        found = REAL.stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
        return found if disk is None else self._shown(found, disk, self._full(path, dir_fd))

    def access(self, path: Any, mode: int, **more: Any) -> bool:
        disk = self.enter("access", path, more.get("dir_fd"))
        allowed = REAL.access(path, mode, **more)
        return allowed and not (disk is not None and disk.is_read_only and mode & os.W_OK)

    def readlink(self, path: Any, *, dir_fd: int | None = None) -> Any:
        self.enter("readlink", path, dir_fd)
        return REAL.readlink(path, dir_fd=dir_fd)

    def statvfs(self, path: Any) -> os.statvfs_result:
        disk = self.enter("statvfs", path)
        found = REAL.statvfs(path)
        if disk is None:
            return found
        values = list(found)
        blocks = 10**9
        free = disk.room // 4096 if disk.full == errno.ENOSPC else blocks // 2
        values[:5] = [4096, 4096, blocks, free, free]
        return os.statvfs_result(values)

    def mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        disk = self.enter("mkdir", path, dir_fd)
        full = self._full(path, dir_fd)
        if disk is not None and not _is_there(full):
            self._writable("mkdir", disk, path, grows=True)
        REAL.mkdir(path, mode, dir_fd=dir_fd)
        if disk is not None:
            self._note(disk, _Undo("mkdir", full))

    def mkfifo(self, path: Any, mode: int = 0o666, *, dir_fd: int | None = None) -> None:
        disk = self.enter("create", path, dir_fd)
        if disk is not None and not _is_there(self._full(path, dir_fd)):
            self._writable("create", disk, path, grows=True)
        REAL.mkfifo(path, mode, dir_fd=dir_fd)

    def rename(
        self, source: Any, to: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
    ) -> None:
        disk = self.enter("rename", source, src_dir_fd)
        paths = self._full(source, src_dir_fd), self._full(to, dst_dir_fd)
        if disk is not None:
            self._check_crossing("rename", disk, *paths, dst_dir_fd)
            self._writable("rename", disk, source)
            if _is_there(paths[0]):
                saved = self._save(paths[1]) if _is_there(paths[1]) else ""
                self._note(disk, _Undo("rename", paths[1], paths[0], saved))
        REAL.rename(source, to, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        if disk is not None:
            self._renamed(*paths)
            self.at_rename(paths[1])

    def _check_crossing(
        self, call: str, disk: Disk, source: str, to: str, folder: int | None
    ) -> None:
        """Raise OSError if a rename or a link crosses disks; without a source it only fails."""
        if not _is_there(source):
            return
        target = self._answering(to, self._handles.get(-1 if folder is None else folder))
        is_apart = source.rpartition("/")[0] != to.rpartition("/")[0]
        if target is not disk or (disk.kind.is_union and is_apart):
            self._refuse(call, errno.EXDEV, source)

    def _renamed(self, source: str, to: str) -> None:
        """Let handles and files that are not synced have the new path."""
        with suppress(OSError):
            self._changed(REAL.stat(to, follow_symlinks=False).st_ino)
        unsynced = self._unsynced if self.keeps_journal else {}
        for inode, path in unsynced.items():
            if path == source or path.startswith(f"{source}/"):
                self._unsynced[inode] = to + path.removeprefix(source)
        for handle in self._handles.values():
            if handle.path == source or handle.path.startswith(f"{source}/"):
                handle.path = to + handle.path.removeprefix(source)

    def link(
        self,
        source: Any,
        to: Any,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        disk = self.enter("link", source, src_dir_fd)
        paths = self._full(source, src_dir_fd), self._full(to, dst_dir_fd)
        if disk is not None:
            self._check_crossing("link", disk, *paths, dst_dir_fd)
            if not disk.kind.has_links:
                self._refuse("link", errno.EPERM, paths[0])
            self._writable("link", disk, source, grows=True)
        REAL.link(
            source,
            to,
            src_dir_fd=src_dir_fd,
            dst_dir_fd=dst_dir_fd,
            follow_symlinks=follow_symlinks,
        )
        if disk is not None:
            self._note(disk, _Undo("create", paths[1]))
            self._changed(REAL.stat(paths[1]).st_ino)

    def unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        disk = self.enter("unlink", path, dir_fd)
        full = self._full(path, dir_fd)
        if disk is not None and _is_there(full):
            self._writable("unlink", disk, path)
            self._note(disk, _Undo("unlink", full, saved=self._save(full)))
        REAL.unlink(path, dir_fd=dir_fd)

    def rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        disk = self.enter("rmdir", path, dir_fd)
        full = self._full(path, dir_fd)
        if disk is not None:
            if any(full == each.root for each in self.disks if each.is_there):
                self._refuse("rmdir", errno.EBUSY, full)
            if _is_there(full):
                self._writable("rmdir", disk, path)
        REAL.rmdir(path, dir_fd=dir_fd)
        if disk is not None:
            self._note(disk, _Undo("rmdir", full))

    def chmod(self, path: Any, mode: int, **more: Any) -> None:
        disk = self.enter("chmod", path, more.get("dir_fd"))
        if disk is not None:
            self._writable("chmod", disk, path)
            if not disk.kind.has_modes:
                self._refuse("chmod", errno.EPERM, str(path))
        REAL.chmod(path, mode, **more)

    def utime(self, path: Any, times: Any = None, **more: Any) -> None:
        disk = self.enter("utime", path, more.get("dir_fd"))
        if disk is not None:
            self._writable("utime", disk, path)
            if not disk.kind.sets_times:
                self._refuse("utime", errno.EPERM, self._full(path, more.get("dir_fd")))
        if times is None and "ns" not in more:
            REAL.utime(path, ns=(self.times.wall_ns(),) * 2)
        elif times is None:
            REAL.utime(path, **more)
        else:
            REAL.utime(path, times, **more)
        if disk is not None:
            self._changed(REAL.stat(path).st_ino)

    # -- by handle

    def close(self, handle: int) -> None:
        self._handles.pop(handle, None)
        REAL.close(handle)

    def fstat(self, handle: int) -> os.stat_result:
        disk = self.enter("fstat", handle)
        found = REAL.fstat(handle)
        return found if disk is None else self._shown(found, disk, handle)

    def fchmod(self, handle: int, mode: int) -> None:
        disk = self.enter("chmod", handle)
        if disk is not None:
            self._writable("chmod", disk, handle)
            if not disk.kind.has_modes:
                self._refuse("chmod", errno.EPERM, self._handles[handle].path)
        REAL.fchmod(handle, mode)

    def fsync(self, handle: int) -> None:
        disk = self.enter("fsync", handle)
        if disk is None:
            return
        found = REAL.fstat(handle)
        if stat.S_ISDIR(found.st_mode) and not disk.kind.syncs_folders:
            self._refuse("fsync", errno.EINVAL, self._handles[handle].path)
        self._unsynced.pop(found.st_ino, None)
        for undo in self._journal.pop(disk.name, ()):
            if undo.saved:
                self._links[REAL.stat(undo.saved, follow_symlinks=False).st_ino] -= 1
                REAL.unlink(undo.saved)

    def write(self, handle: int, data: bytes) -> int:
        disk = self.enter("write", handle)
        if disk is not None:
            data = data[: self._room(disk, handle, len(data))]
        written = REAL.write(handle, data)
        if disk is not None:
            self._written(handle)
        return written

    def reader(self, handle: int) -> BufferedReader:
        """Return a file object that reads from an opened handle."""
        return BufferedReader(_File(self, handle, "rb"))

    def writer(self, handle: int) -> BufferedWriter:
        """Return a file object that writes to an opened handle."""
        return BufferedWriter(_File(self, handle, "wb"))

    def scandir(self, folder: Any = ".") -> Any:
        if not self.active:
            return _scandir(folder)
        disk = self.enter("scandir", folder)
        above = "" if isinstance(folder, int) else f"{os.fsdecode(folder)}/"
        with _scandir(folder) as entries:
            found = list(entries)
        if disk is not None:  # in an order that is odd, but always the same
            found.sort(key=lambda entry: zlib.crc32(f"{self.seed}{entry.name}".encode(
                errors="surrogateescape")))  # fmt: skip
        full = "" if disk is None else self._full(folder, None)
        return _Listing([_Entry(self, entry, above, full) for entry in found])

    def lease(self, handle: int) -> None:
        """Take a lease, unless a user's program has the file open for writing."""
        disk = self.enter("lease", handle)
        if disk is None:
            REAL.lease(handle)
            return
        if not disk.kind.sees_writers or REAL.fstat(handle).st_ino in self.foreign:
            self._refuse("lease", errno.EINVAL, self._handles[handle].path)
        if self.writers[REAL.fstat(handle).st_ino]:
            self._refuse("lease", errno.EAGAIN, self._handles[handle].path)

    def release(self, handle: int) -> None:
        """Give a lease back."""
        if self.enter("lease", handle) is None:
            REAL.release(handle)

    def flock(self, handle: int, operation: int) -> None:
        self.enter("flock", handle)
        REAL.flock(handle, operation)

    def mounts(self) -> str:
        return self.disks.table() if self.active else REAL.mounts()

    # -- what files look like

    def _shown(self, found: os.stat_result, disk: Disk, path: str | int) -> os.stat_result:
        """Return a status as it looks on a disk: with its device, its inodes, its times."""
        mtime = found.st_mtime_ns
        if stat.S_ISDIR(found.st_mode):
            mtime = 0
        elif _OLDEST_REAL < mtime < _FIRST_SIMULATED:
            mtime = self.times.wall_ns()
            REAL.utime(path, ns=(mtime, mtime))
        mtime = mtime // disk.kind.time_ns * disk.kind.time_ns + disk.shift_s * 10**9
        changed = self._ctimes.setdefault(found.st_ino, self.times.wall_ns())
        ctime = changed if disk.kind.has_ctime else mtime
        if (inode := self._inodes.get(found.st_ino)) is None:
            inode = self._inodes[found.st_ino] = next(self._numbers)
        links = found.st_nlink - self._links[found.st_ino]
        values = [found.st_mode, inode, disk.device, links, found.st_uid, found.st_gid,
                  found.st_size, mtime // 10**9, mtime // 10**9, ctime // 10**9]  # fmt: skip
        exact = {
            "st_atime_ns": mtime,
            "st_mtime_ns": mtime,
            "st_ctime_ns": ctime,
            "st_atime": mtime / 1e9,
            "st_mtime": mtime / 1e9,
            "st_ctime": ctime / 1e9,
        }
        return os.stat_result(values, exact)

    def renumber(self, disk: Disk) -> None:
        """Give the files of a disk other inode numbers, except those that are open."""
        opened = set()
        for handle in self._handles:
            with suppress(OSError):
                opened.add(REAL.fstat(handle).st_ino)
        for folder, _, names in os.walk(self.disks.spot(disk.root)):
            for path in (folder, *(f"{folder}/{name}" for name in names)):
                inode = REAL.stat(path, follow_symlinks=False).st_ino
                if inode not in opened and ".sqlite3" not in path:  # the ledger is open, too
                    self._inodes.pop(inode, None)

    def chown(self, disk: Disk) -> None:
        """Let the files of a disk be changed now, though not their bytes, nor when these were."""
        for folder, names, files in os.walk(self.disks.spot(disk.root)):
            for name in (*names, *files):
                self._changed(REAL.stat(f"{folder}/{name}", follow_symlinks=False).st_ino)

    def _changed(self, inode: int) -> None:
        former, now = self._ctimes.get(inode, 0), self.times.wall_ns()
        was_set_back = now < former - 10**9
        self._ctimes[inode] = now if was_set_back else max(now, former + 1)

    def user_wrote(self, path: str, time_ns: int | None = None) -> None:
        """Note that a user has written a file, which gets this time."""
        time_ns = self.times.wall_ns() if time_ns is None else time_ns
        REAL.utime(path, ns=(time_ns, time_ns))
        self._changed(REAL.stat(path).st_ino)

    # -- bytes

    def _room(self, disk: Disk, handle: int, size: int) -> int:
        try:
            room = disk.writable(size, self._handles[handle].path)
        except OSError as error:
            self.injected["write", errno.errorcode[error.errno or 0]] += 1
            raise
        self.changes += 1
        return room

    def _written(self, handle: int) -> None:
        inode = REAL.fstat(handle).st_ino
        self._unsynced[inode] = self._handles[handle].path
        self._changed(inode)

    # -- kills and power cuts

    def bury(self) -> None:
        """Release what a killed process had open; call it once nothing of it runs any more."""
        gc.collect()
        for number, handle in list(self._handles.items()):
            if handle.file is not None:
                FileIO.close(handle.file)
            else:
                with suppress(OSError):
                    REAL.close(number)
        self._handles.clear()
        self.is_dead = False

    def _note(self, disk: Disk, undo: _Undo) -> None:
        if self.keeps_journal and not disk.kind.is_remote:  # a server knows names at once
            self._journal.setdefault(disk.name, []).append(undo)

    def _save(self, path: str) -> str:
        """Keep a file that is about to lose its name, so that a power cut can bring it back."""
        if not self.keeps_journal or stat.S_ISDIR(REAL.stat(path, follow_symlinks=False).st_mode):
            return ""
        saved = f"{self.disks.base}/saved/{next(self._numbers)}"
        REAL.link(path, saved, follow_symlinks=False)
        self._links[REAL.stat(saved, follow_symlinks=False).st_ino] += 1
        return saved

    def cut_power(self, random: Random) -> list[str]:
        """Undo changes of names that are not durable, and damage files that are not synced.

        On each disk the changes up to one of them have happened. Returns what was done.
        """
        lines = []
        for name, undos in sorted(self._journal.items()):
            durable = random.choice([0, len(undos), random.randint(0, len(undos))])
            for undo in reversed(undos[durable:]):
                lines.append(f"{name}: {undo.what} of {undo.path} was not durable")
                with suppress(OSError):
                    self._undo(undo)
        for inode, path in sorted(self._unsynced.items(), key=lambda item: item[1]):
            spot = Path(self.disks.spot(path))
            if spot.is_file() and REAL.stat(spot).st_ino == inode:
                size = spot.stat().st_size
                os.truncate(spot, random.choice([0, size // 2]))
                lines.append(f"{path} was not synced")
        self._journal.clear()
        self._unsynced.clear()
        self._links.clear()
        for saved in Path(f"{self.disks.base}/saved").iterdir():
            saved.unlink()
        return lines

    def _undo(self, undo: _Undo) -> None:
        path = self.disks.spot(undo.path)
        match undo.what:
            case "create":
                REAL.unlink(path)
            case "mkdir":
                REAL.rmdir(path)
            case "rmdir":
                REAL.mkdir(path)
            case "unlink":
                REAL.rename(undo.saved, path)
            case "rename":
                REAL.rename(path, self.disks.spot(undo.source))
                if undo.saved:
                    REAL.rename(undo.saved, path)


class _File(FileIO):
    """An opened file whose reads and writes pass through a seam."""

    def __init__(self, seam: Seam, handle: int, mode: str) -> None:
        super().__init__(handle, mode)
        self._seam, self._number = seam, handle
        if (known := seam._handles.get(handle)) is not None:
            known.file = self

    def readinto(self, buffer: Any) -> int | None:
        self._seam.enter("read", self._number)
        return super().readinto(buffer)

    def readall(self) -> bytes:
        self._seam.enter("read", self._number)
        return super().readall()

    def write(self, data: Any) -> int:
        seam, number = self._seam, self._number
        if seam.is_dead and number in seam._handles:
            return len(data)  # what its buffer still has is lost
        disk = seam.enter("write", number)
        if disk is None:
            return super().write(data)
        size = seam._room(disk, number, len(data))
        written = super().write(data[:size])
        seam._written(number)
        return written

    def close(self) -> None:
        if not self.closed:
            self._seam._handles.pop(self._number, None)
        super().close()


class _Listing:
    """The entries of a folder."""

    def __init__(self, entries: list["_Entry"]) -> None:
        self._entries = iter(entries)

    def __enter__(self) -> "_Listing":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> "_Listing":
        return self

    def __next__(self) -> "_Entry":
        return next(self._entries)

    def close(self) -> None:
        """End the listing."""
        self._entries = iter(())


class _Entry:
    """An entry of a folder, like `os.DirEntry`."""

    def __init__(self, seam: Seam, entry: os.DirEntry[str], above: str, full: str) -> None:
        self.name, self.path = entry.name, f"{above}{entry.name}"
        self._seam, self._entry, self._full = seam, entry, f"{full}/{entry.name}" if full else ""

    def __fspath__(self) -> str:
        return self.path

    def inode(self) -> int:
        return self.stat(follow_symlinks=False).st_ino

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self._entry.is_dir(follow_symlinks=follow_symlinks)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return self._entry.is_file(follow_symlinks=follow_symlinks)

    def is_symlink(self) -> bool:
        return self._entry.is_symlink()

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        seam = self._seam
        disk = seam.enter("stat", self._full) if self._full else None
        if disk is None:
            return self._entry.stat(follow_symlinks=follow_symlinks)
        spot = seam.disks.spot(self._full)
        found = REAL.stat(spot, follow_symlinks=follow_symlinks)
        return seam._shown(found, disk, spot)


@contextmanager
def installed(seam: Seam, owner: object) -> Iterator[None]:
    """Let `owner`, which has the calls of the system, call this seam."""
    before = {name: vars(owner).get(name) for name in NAMES}
    for name in NAMES:
        setattr(owner, name, getattr(seam, name))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                delattr(owner, name)
            else:
                setattr(owner, name, value)
