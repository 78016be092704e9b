"""The disks below the daemon, whose calls are counted, and fail one at a time.

The methods of `files.system.system` are replaced, and `execute` of SQLite's connections. Some
folders are mounts of their own: renames and links between them fail, their devices differ, and each
of them can be away, so that its paths lead to the empty folder below the mount.
"""

import errno
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader, BufferedWriter, FileIO
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, Self

from tests.daemon.faults import replaced
from tests.errors.calls import (
    ALWAYS,
    AWAY,
    STATEMENTS,
    Call,
    Fault,
    error_of,
    fits,
    without_ids,
)

from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.system import system

_OF_MACHINE = ("EMFILE", "ENFILE")
"""Errors that are not those of one disk."""

_TIMES = ("st_atime", "st_mtime", "st_ctime", "st_atime_ns", "st_mtime_ns", "st_ctime_ns",
          "st_blksize", "st_blocks", "st_rdev")  # fmt: skip
"""The fields of a status after the first ten."""


class Place(NamedTuple):
    """A path as the daemon knows it, and the mount that it is on at this moment."""

    path: str
    mount: str | None
    """None if that is away."""


class Disks:
    """The disks of the folder `root`: each of the `mounts` in it is one (`.` is `root` itself).

    `empty` is an empty folder, which is seen in place of a mount that is away.
    """

    def __init__(self, root: Path, mounts: Sequence[str], empty: Path, fault: Fault | None) -> None:
        self._root, self._empty, self._fault = root, empty, fault
        self._mounts = {str(root / name): name for name in mounts}
        self._devices = {name: os.makedev(8, 16 * at) for at, name in enumerate(mounts, start=1)}
        self._outside = root.parent.stat().st_dev
        self._places: dict[int, Place] = {}
        """The places of opened files and folders, by handle."""
        self._away: str | None = None
        self._is_paused = False
        self._real: dict[str, Callable[..., Any]] = {}
        self.is_start = True
        """True while the daemon is starting."""
        self.calls: list[Call] = []
        """All calls so far, if there is no fault."""
        self.count = 0
        """Number of calls so far."""
        self.hit: Call | None = None
        """The call at which the fault happened first."""
        self.healed = False
        """True once a path can be read again."""
        self.bound = ""
        """The path that stays unreadable, with the ids of this run; empty if there was none yet."""
        self.left = 0
        """How often the fault is still to happen, once it has."""

    @property
    def is_over(self) -> bool:
        """True once no fault is to come."""
        if self._fault is not None and self._fault.path:
            return self.healed
        return self._fault is None or (self.hit is not None and not self.left)

    def end_step(self) -> None:
        """End a step of the daemon, with which a mount may return."""
        if self._away is not None:
            self.left -= 1
            if not self.left:
                self._away = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let calls pass that are not the daemon's."""
        before, self._is_paused = self._is_paused, True
        try:
            yield
        finally:
            self._is_paused = before

    @contextmanager
    def planted(self) -> Iterator[Self]:
        """Replace the calls of this process."""
        names = [name for name in dir(system) if not name.startswith("_")]
        self._real = {name: getattr(system, name) for name in names}
        methods = {name: self._of_one(name) for name in names} | {
            "access": self._access,
            "close": self._close,
            "fsync": self._sync,
            "link": self._of_two("link"),
            "mounts": self._table,
            "open": self._open,
            "reader": self._reader,
            "rename": self._of_two("rename"),
            "scandir": self._scandir,
            "writer": self._writer,
        }
        with (
            replaced(sqlite3, connect=self._connect(sqlite3.connect)),
            replaced(atomic, SYNCS_AT_ONCE=1),
        ):
            vars(system).update(methods)
            try:
                yield self
            finally:
                vars(system).clear()

    # -- counting and failing

    def consult(self, name: str, *places: Place | None) -> None:
        """Count a call, and let it fail if it is time; calls outside of the mounts do not count."""
        if self._is_paused or (places and not any(places)):
            return
        self.count += 1
        if self._fault is None:
            self.calls.append(self._described(name, places))
        elif self._fault.path:
            self._fail_on_path(name, places, self._fault)
        elif self.hit is None and self._fault.begins_at(self.count, name):
            self._begin(self._described(name, places), self._fault)
        elif self.left and self.hit is not None and self._fault.error != AWAY:
            self._continue(self._described(name, places), self._fault)

    def _fail_on_path(self, name: str, places: Sequence[Place | None], fault: Fault) -> None:
        """Let a call on the path of the fault fail; of several jobs it is the first one's."""
        wanted = fault.path.split("/")
        for place in filter(None, places):
            parts = place.path.removeprefix(f"{self._root}/").split("/")[: len(wanted)]
            is_it = without_ids("/".join(parts)) == fault.path and not self.healed
            if is_it and fault.is_met_by(name) and self.bound in ("", "/".join(parts)):
                self.bound = "/".join(parts)
                self.hit = self.hit or self._described(name, places)
                raise error_of(fault.error, place.path)

    def _begin(self, call: Call, fault: Fault) -> None:
        self.hit, self.left = call, fault.times
        if fault.error == AWAY:
            self._away = next(each for each in self._mounts if self._mounts[each] in call.mounts)
            return
        self.left -= 1
        raise error_of(fault.error, call.path)

    def _continue(self, call: Call, fault: Fault) -> None:
        """Let a later call fail, too, if it can meet the error and is on the same disk."""
        assert self.hit is not None
        is_there = fault.error in _OF_MACHINE or {*call.mounts} & {*self.hit.mounts}
        is_alike = call.name == self.hit.name or self.hit.name not in STATEMENTS.values()
        is_meant = call.is_between_folders or fault.times != ALWAYS
        if is_there and is_alike and is_meant and fits(call.name, fault.error):
            self.left -= 1
            raise error_of(fault.error, call.path)

    def _described(self, name: str, places: Sequence[Place | None]) -> Call:
        there = [place for place in places if place is not None]
        mounts = tuple(dict.fromkeys(place.mount or "" for place in there))
        paths = (place.path.removeprefix(f"{self._root}/") for place in there)
        return Call(name, mounts, " to ".join(paths), _callers(), self.is_start)

    # -- places

    def place(self, name: Any, folder: int | None = None) -> Place | None:
        """Return where a name or a handle is; None outside of the mounts."""
        if isinstance(name, int):
            return self._places.get(name)
        path = os.fsdecode(name)
        if folder is not None and not path.startswith("/"):
            above = self._places.get(folder)
            return None if above is None else Place(f"{above.path}/{path}", above.mount)
        for mount, known in self._mounts.items():
            if path == mount or path.startswith(f"{mount}/"):
                return Place(path, None if mount == self._away else known)
        return None

    def _found(self, name: Any, folder: int | None = None) -> Any:
        """Return the name under which the operating system finds what the daemon names."""
        if self._away is None or isinstance(name, int) or folder is not None:
            return name
        path = os.fsdecode(name)
        is_there = path == self._away or path.startswith(f"{self._away}/")
        return f"{self._empty}{path.removeprefix(self._away)}" if is_there else name

    def with_device(self, status: os.stat_result, place: Place | None) -> os.stat_result:
        """Return the status of what is at a place, with the device of its mount."""
        if place is None:
            return status
        device = self._outside if place.mount is None else self._devices[place.mount]
        fields = [*status[:2], device, *status[3:10]]
        return os.stat_result(fields, {name: getattr(status, name) for name in _TIMES})

    def forget(self, handle: int) -> None:
        """Forget the place of a handle that is closed."""
        self._places.pop(handle, None)

    # -- the calls

    def _of_one(self, name: str) -> Callable[..., Any]:
        """Return the call `name`, whose first argument is a name or a handle."""
        real = self._real[name]

        def call(of: Any, *args: Any, **more: Any) -> Any:
            if self._is_paused:
                return real(of, *args, **more)
            folder = more.get("dir_fd")
            self.consult(name, self.place(of, folder))
            place = self.place(of, folder)  # its mount may be away from now on
            result = real(self._found(of, folder), *args, **more)
            return self.with_device(result, place) if name in ("stat", "fstat") else result

        return call

    def _of_two(self, name: str) -> Callable[..., Any]:
        """Return the call `name`, whose first two arguments are names."""
        real = self._real[name]

        def call(old: Any, new: Any, **more: Any) -> Any:
            if self._is_paused:
                return real(old, new, **more)
            names = (old, more.get("src_dir_fd")), (new, more.get("dst_dir_fd"))
            self.consult(name, *(self.place(*each) for each in names))
            source, target = (self.place(*each) for each in names)
            if (source and source.mount) != (target and target.mount):
                text = os.strerror(errno.EXDEV)
                raise OSError(errno.EXDEV, text, str(old), None, str(new))
            return real(*(self._found(*each) for each in names), **more)

        return call

    def _open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        place = None
        if not self._is_paused:
            name = "create" if flags & os.O_CREAT else "open"
            self.consult(name, self.place(path, dir_fd))
            place, path = self.place(path, dir_fd), self._found(path, dir_fd)
        handle: int = self._real["open"](path, flags, mode, dir_fd=dir_fd)
        self.forget(handle)
        if place is not None:
            self._places[handle] = place
        return handle

    def _close(self, handle: int) -> None:
        place = self.place(handle)
        self.forget(handle)
        self._real["close"](handle)  # whatever the error, it is closed
        self.consult("close", place)

    def _access(self, path: Any, mode: int, *, dir_fd: int | None = None, **more: Any) -> bool:
        if not self._is_paused:
            try:
                self.consult("access", self.place(path, dir_fd))
            except OSError:  # which the operating system reports by its answer
                return False
            path = self._found(path, dir_fd)
        return bool(self._real["access"](path, mode, dir_fd=dir_fd, **more))

    def _sync(self, handle: int) -> None:
        """Sync nothing: no power is cut here."""
        self.consult("fsync", self.place(handle))

    def _reader(self, handle: int) -> BufferedReader:
        return BufferedReader(_File(self, handle, "rb"))

    def _writer(self, handle: int) -> BufferedWriter:
        return BufferedWriter(_File(self, handle, "wb"))

    def _scandir(self, folder: Any) -> Any:
        if self._is_paused:
            return self._real["scandir"](folder)
        self.consult("scandir", self.place(folder))
        place = self.place(folder)
        found = self._real["scandir"](self._found(folder))
        return found if place is None else _Listing(self, found, place, folder)

    def _table(self) -> str:
        self.consult("mounts")
        lines = [str(self._real["mounts"]()).rstrip("\n")]
        for path, name in self._mounts.items():
            device = self._devices[name]
            if path != self._away:
                number = f"{os.major(device)}:{os.minor(device)}"
                lines.append(f"{device} 1 {number} / {os.path.normpath(path)} rw - ext4 disk rw")
        return "\n".join([*lines, ""])

    def _connect(self, real: Callable[..., sqlite3.Connection]) -> Callable[..., Any]:
        disks, ledger = self, str(self._root / "state/ledger.sqlite3")

        class Connection(sqlite3.Connection):
            """A connection of the daemon, which never syncs."""

            def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
                if name := STATEMENTS.get(statement):
                    disks.consult(name, disks.place(ledger))
                is_sync = statement.startswith("PRAGMA synchronous")
                return super().execute(
                    "PRAGMA synchronous = OFF" if is_sync else statement, *values
                )

        def connect(*args: Any, **more: Any) -> sqlite3.Connection:
            return (
                real(*args, **more) if disks._is_paused else real(*args, **more, factory=Connection)
            )

        return connect


class _File(FileIO):
    """An opened file, whose reads and writes are calls."""

    def __init__(self, disks: Disks, handle: int, mode: str) -> None:
        super().__init__(handle, mode)
        self._disks, self._place = disks, disks.place(handle)

    def readinto(self, buffer: Any) -> int:
        self._disks.consult("read", self._place)
        return super().readinto(buffer) or 0

    def readall(self) -> bytes:
        self._disks.consult("read", self._place)
        return super().readall()

    def write(self, content: Any) -> int:
        self._disks.consult("write", self._place)
        return super().write(content) or 0

    def truncate(self, size: int | None = None) -> int:
        self._disks.consult("truncate", self._place)
        return super().truncate(size)

    def close(self) -> None:
        if not self.closed:
            self._disks.forget(self.fileno())
            super().close()
            self._disks.consult("close", self._place)


class _Listing:
    """The entries of a folder; each of them, and its status, is a call."""

    def __init__(self, disks: Disks, found: Any, place: Place, folder: Any) -> None:
        self._disks, self._found, self._place = disks, found, place
        self._above = "" if isinstance(folder, int) else f"{os.fsdecode(folder)}/"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._found.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> "_Entry":
        self._disks.consult("entry", self._place)
        entry = next(self._found)
        place = Place(f"{self._place.path}/{entry.name}", self._place.mount)
        return _Entry(self._disks, entry, place, f"{self._above}{entry.name}")


class _Entry:
    """An entry of a folder."""

    def __init__(self, disks: Disks, real: Any, place: Place, path: str) -> None:
        self._disks, self._real, self._place = disks, real, place
        self.name, self.path = real.name, path
        self.inode, self.is_symlink = real.inode, real.is_symlink
        self.is_dir, self.is_file = real.is_dir, real.is_file

    def __fspath__(self) -> str:
        return self.path

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        self._disks.consult("stat", self._place)
        status = self._real.stat(follow_symlinks=follow_symlinks)
        return self._disks.with_device(status, self._place)


def _callers() -> str:
    """Return the functions of the daemon that asked for a call, the innermost first."""
    found: list[str] = []
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        _, ours, file = frame.f_code.co_filename.rpartition("/stylewatch_daemon/")
        if ours:
            name = f"{file.removesuffix('.py')}:{frame.f_lineno}"
            found.append(f"{name} {frame.f_code.co_qualname}")
        frame = frame.f_back
    return " < ".join(found)
