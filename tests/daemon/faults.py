"""The one generator of faults: kills, power cuts, full disks and clocks at the n-th change.

A change is a change of the disk or a commit of the ledger; in a process that inspects pictures, the
opening of a file of the daemon. The kind of a change is its operation and the functions that asked
for it, which are found by running. Functions of the operating system are wrapped: the program knows
nothing of its faults. The children of a daemon inherit its fault by the variable VARIABLE.
"""

import errno
import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any, Self

from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.system import System, system

VARIABLE = "STYLEWATCH_TEST_FAULT"
CHANGES = ("rename", "replace", "link", "unlink", "mkdir", "rmdir", "fsync")
DAEMON, WORKER, INSPECTION = "run", "worker", "inspection"
"""The names of processes in their command lines."""

KILL, CUT_POWER = f"kill {DAEMON}", "cut power"
REPOSITORY = Path(__file__).parents[2]
START = f"import sys; sys.path.append({str(REPOSITORY)!r})\nfrom tests.daemon import faults\n"
"""The start of a module `sitecustomize`, which each process of Python imports first."""


@dataclass(frozen=True)
class Fault:
    """An action in a process at the n-th change of a kind (empty: of any kind).

    `root` has the daemon's folders, and gets two files: the kinds of all changes with the process
    and its id (`changes`), and an empty one once the fault has happened (`happened`).
    """

    root: Path
    action: str = ""
    """`kill PROCESS` or `kill both` (daemon and worker), `stop worker`, `fill DISK`, `lock DISK`,
    `unmount DISK`, `clock SECONDS` (by which it is set), `cut power`; empty: nothing."""
    process: str = DAEMON
    kind: str = ""
    nth: int = 1

    @property
    def happened(self) -> bool:
        """True once it has happened."""
        return (self.root / "happened").exists()

    @property
    def changes(self) -> list[tuple[str, str, str]]:
        """The changes so far: the name and the id of the process, and the kind."""
        file = self.root / "changes"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return [(name, pid, kind) for name, pid, kind in (line.split("\t") for line in lines)]

    def environment(self) -> dict[str, str]:
        """Return the variables of a daemon with this fault."""
        site = self.root / "site"
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(f"{START}faults.plant_inherited()\n")
        path = os.pathsep.join(filter(None, [str(site), *sys.path]))
        plain = json.dumps(asdict(self), default=str)
        return {**os.environ, VARIABLE: plain, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}

    def happen(self, process: str) -> None:
        """Do it, once, in a process of this name."""
        if self.happened or not self.action:
            return
        from tests.daemon.disks import fill_up, remount

        (self.root / "happened").touch()
        action, target = (KILL if self.action == CUT_POWER else self.action).split()
        if action == "fill":
            fill_up(self.root / target)
        elif action == "lock":
            remount(self.root / target, "ro")
        elif action == "unmount":
            subprocess.run(["umount", "--lazy", str(self.root / target)], check=True)
        elif action == "clock":
            set_clock(timedelta(seconds=int(target)))
        else:
            number = signal.SIGSTOP if action == "stop" else signal.SIGKILL
            for pid in _processes(target, process):
                os.kill(pid, number)


def _processes(target: str, process: str) -> Iterator[int]:
    """Yield the processes to signal, this one last."""
    doomed = (DAEMON, WORKER) if target == "both" else (target,)
    daemon = os.getpid() if process == DAEMON else os.getppid()
    if DAEMON in doomed and process != DAEMON:
        yield daemon
    for child in Path(f"/proc/{daemon}/task").glob("*/children"):
        for pid in map(int, child.read_text().split()):
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            if pid != os.getpid() and any(name in arguments for name in doomed):
                yield pid
    if process in doomed:
        yield os.getpid()


def in_fork(act: Callable[[], object], fault: Fault) -> int:
    """Act in a fork of this process with a fault, without syncs; return its exit code."""
    (fault.root / "happened").unlink(missing_ok=True)
    if (pid := os.fork()) == 0:
        logging.disable()
        try:
            plant(fault, syncs=False)
            act()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def plant_inherited() -> None:
    """Plant the fault that this process has inherited, if any."""
    if VARIABLE in os.environ:
        values = json.loads(os.environ[VARIABLE])
        words = sys.orig_argv
        name = words[words.index("-c") + 2] if "-c" in words[:-2] else ""
        plant(Fault(**{**values, "root": Path(values["root"])}), name)


def plant(fault: Fault, process: str = DAEMON, *, syncs: bool = True) -> None:
    """Plant a fault into this process of the name `process`; without `syncs` nothing is synced."""
    planted = Planted(fault, process)
    if process == INSPECTION:
        sys.addaudithook(planted.opened)
        return
    real_sync, connect = os.fsync, sqlite3.connect

    def sync(handle: int) -> None:
        if syncs:
            real_sync(handle)
        planted.synced.add(os.fstat(handle).st_ino)

    def connected(*args: Any, **more: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **more)
        connection.set_trace_callback(planted.executed)
        return connection

    for operation in CHANGES:
        real = getattr(os, operation)
        wrapped = planted.changing(operation, sync if operation == "fsync" else real)
        setattr(os, operation, wrapped)
        if hasattr(system, operation):
            setattr(system, operation, wrapped)
        if real in os.supports_dir_fd:  # which shutil asks
            os.supports_dir_fd.add(wrapped)
    vars(sqlite3)["connect"] = connected


class Planted:
    """A fault in this process, which counts its changes."""

    def __init__(self, fault: Fault, process: str) -> None:
        self.synced = {path.stat().st_ino for path in fault.root.rglob("*")}
        """The inodes of files that would outlive a power cut."""
        self._fault, self._process = fault, process
        self._counts = Counter[str]()
        self._log = os.open(fault.root / "changes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def change(self, operation: str) -> None:
        """Count a change that is about to be made, and let the fault happen if it is time."""
        kind, fault = kind_of(operation), self._fault
        self._counts.update(["", kind])
        is_meant = self._process == fault.process and fault.kind in ("", kind)
        if is_meant and self._counts[fault.kind] == fault.nth:
            if fault.action == CUT_POWER:
                self._halve_unsynced()
            fault.happen(self._process)
        os.write(self._log, f"{self._process}\t{os.getpid()}\t{kind}\n".encode())

    def changing(self, operation: str, real: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function `real`, which makes a change."""

        def changed(*args: Any, **more: Any) -> Any:
            self.change(operation)
            return real(*args, **more)

        return changed

    def executed(self, statement: str) -> None:
        """Count a statement of SQLite that is a commit."""
        if statement == "COMMIT":
            self.change("commit")

    def opened(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Count the opening of a file of the daemon."""
        if event == "open" and str(arguments[0]).startswith(str(self._fault.root)):
            self.change("open")

    def _halve_unsynced(self) -> None:
        """Cut new files in half that were not synced; SQLite syncs its own."""
        for path in self._fault.root.rglob("*"):
            status = path.lstat()
            is_ours = path.is_file() and ".sqlite3" not in path.name
            if is_ours and status.st_ino not in self.synced:
                os.truncate(path, status.st_size // 2)


def kind_of(operation: str) -> str:
    """Return the name of a change with the two functions that asked for it.

    Functions of `files` and of the ledger's writer make the changes of all others.
    """
    callers = [operation]
    frame: FrameType | None = sys._getframe(3)
    while frame is not None and len(callers) < 3:
        file = frame.f_code.co_filename
        is_ours = "/stylewatch_daemon/" in file and "/files/" not in file
        if is_ours and not file.endswith("/writer.py"):
            callers.append(frame.f_code.co_qualname)
        frame = frame.f_back
    return " of ".join(callers)


def set_clock(shift: timedelta) -> None:
    """Shift the wall clock of this process; the monotonic one stays."""
    real = time.time

    class Shifted(datetime):
        """A datetime whose `now` is shifted."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromisoformat((datetime.now(tz) + shift).isoformat())

    for name, module in list(sys.modules.items()):
        if name.startswith("stylewatch_daemon") and getattr(module, "datetime", None) is datetime:
            vars(module)["datetime"] = Shifted
    time.time = lambda: real() + shift.total_seconds()


# -- faults without a process of their own


@contextmanager
def replaced(owner: Any, **values: Any) -> Iterator[None]:
    """Replace attributes for a while."""
    before = {name: getattr(owner, name) for name in values}
    for name, value in values.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


def failing(error: BaseException, times: int = 1 << 30, real: Any = None) -> Callable[..., Any]:
    """Return a function that fails so often, and is `real` from then on."""
    left = iter(range(times))

    def fails(*args: Any, **more: Any) -> Any:
        if next(left, None) is not None:
            raise error
        return real(*args, **more)

    return fails


SYSTEM_CALLS = [name for name in vars(System) if not name.startswith("_") and name != "close"]
"""The calls of the operating system that can fail."""


@contextmanager
def failing_call(nth: int, number: int = 0) -> Iterator[list[str]]:
    """Let the n-th call of the system fail with an errno; yield the names of the calls so far."""
    called: list[str] = []

    def wrapped(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            called.append(name)
            if len(called) == nth:
                raise OSError(number, os.strerror(number))
            return real(*args, **more)

        return call

    with replaced(system, **{name: wrapped(name, getattr(system, name)) for name in SYSTEM_CALLS}):
        yield called


class Killed(BaseException):
    """Raised instead of a kill."""


@contextmanager
def killed_at(change: int) -> Iterator[Callable[[], bool]]:
    """Let all changes of files raise Killed from number `change` on; yield whether that occurred.

    Clean-up code fails too. For what cannot run in a fork; nothing is really synced.
    """
    numbers = count(1)
    happened = list[int]()

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*args: Any, **more: Any) -> Any:
            if (number := next(numbers)) >= change:
                happened.append(number)
                raise Killed
            return real(*args, **more)

        return changed

    real = {name: getattr(os, name) for name in CHANGES} | {"fsync": lambda handle: None}
    wrapped = {name: dying(function) for name, function in real.items()}
    # other faults, such as `mounts`, may have replaced those of the system
    ours = {name: dying(getattr(system, name)) for name in real if hasattr(system, name)}
    ours["fsync"] = wrapped["fsync"]
    in_turn = replaced(atomic, SYNCS_AT_ONCE=1)
    with in_turn, replaced(os, **wrapped), replaced(system, **ours), suppress(Killed):
        yield lambda: bool(happened)


@contextmanager
def mounts(*roots: Path) -> Iterator[None]:
    """Make each of `roots` a separate mount: renames and links between them fail."""
    from stylewatch_daemon.files.system import system  # not before a fault is planted

    def mount(path: Any, folder: int | None) -> Path | None:
        path = path if folder is None else place_of(folder) / path
        return next((root for root in roots if Path(path).is_relative_to(root)), None)

    def apart(real: Callable[..., None]) -> Callable[..., None]:
        def renamed(source: Any, target: Any, **more: Any) -> None:
            if mount(source, more.get("src_dir_fd")) != mount(target, more.get("dst_dir_fd")):
                raise OSError(errno.EXDEV, "Invalid cross-device link", source, None, target)
            real(source, target, **more)

        return renamed

    names = ("rename", "link")
    with replaced(system, **{name: apart(getattr(system, name)) for name in names}):
        yield


class Disk:
    """A disk at a folder; while it is unplugged, an empty folder is in its place."""

    def __init__(self, folder: Path, monkeypatch: Any) -> None:
        from stylewatch_daemon.files import disks  # not before a fault is planted

        def mount_root(path: Path) -> Path:
            is_on = self.is_there and path.is_relative_to(folder)
            return folder if is_on else real(path)

        self.folder, self.is_there, real = folder, True, disks.mount_root
        monkeypatch.setattr(disks, "mount_root", mount_root)

    @contextmanager
    def unplugged(self) -> Iterator[None]:
        aside, self.is_there = self.folder.rename(self.folder.with_name("unplugged")), False
        self.folder.mkdir()
        yield
        self.folder.rmdir()  # nothing was written there
        self.is_there = aside.rename(self.folder).exists()


@contextmanager
def recorded_syncs() -> Iterator[list[tuple[str, str]]]:
    """Record renames (`rename`, target) and syncs (`sync`, path) in their order."""
    from stylewatch_daemon.files.system import system  # not before a fault is planted

    events: list[tuple[str, str]] = []
    rename, fsync = os.rename, os.fsync

    def renamed(source: Any, target: Any, **more: Any) -> None:
        folder = more.get("dst_dir_fd")
        events.append(("rename", str(target if folder is None else place_of(folder) / target)))
        rename(source, target, **more)

    def synced(handle: int) -> None:
        events.append(("sync", str(place_of(handle))))
        fsync(handle)

    with replaced(system, rename=renamed, fsync=synced):
        yield events


def unsynced(events: Sequence[tuple[str, str]], milestones: Collection[str]) -> list[str]:
    """Return renamed files whose folder is not synced before the next of the `milestones`.

    These are recorded as syncs; what is renamed after the last one does not count.
    """
    late = []
    for path in {path for what, path in events if what == "rename"}:
        at = max(at for at, event in enumerate(events) if event == ("rename", path))
        until = next((i for i, (_, what) in enumerate(events) if i > at and what in milestones), at)
        if until > at and ("sync", str(Path(path).parent)) not in events[at:until]:
            late.append(path)
    return sorted(late)


# -- files


def place_of(handle: int) -> Path:
    """Return the path of an opened file."""
    return Path(f"/proc/self/fd/{handle}").readlink()


def make_sparse(path: Path) -> None:
    """Make a file of a terabyte, which takes no space and hours to read."""
    with path.open("wb") as file:
        file.truncate(1 << 40)


def fill(root: Path, *names: str) -> None:
    """Make files under `root` that contain their names."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(name))


def tree(root: Path) -> dict[str, str]:
    """Return the files under `root` that are not hidden, with their text."""
    return {
        path.relative_to(root).as_posix(): path.read_text(errors="replace")
        for path in sorted(root.rglob("*"))
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(root).parts)
    }
