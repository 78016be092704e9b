"""The child processes of a process, as the operating system lists them."""

from contextlib import suppress
from pathlib import Path

from stylewatch_daemon.processes.child import BOOTSTRAP


def children(*names: str, of: str = "self") -> list[int]:
    """PIDs of the live children that were started as a Child, of those `names` if any are given."""
    pids = []
    for path in Path(f"/proc/{of}/task").glob("*/children"):
        for pid in path.read_text().split():
            name = name_of(pid)
            if name is not None and (not names or name in names):
                pids.append(int(pid))
    return pids


def name_of(pid: str | int) -> str | None:
    """Name of the process as a Child; None if it is none, or has ended."""
    with suppress(OSError, ValueError):
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")  # empty for a zombie
        return arguments[arguments.index(BOOTSTRAP.encode()) + 1].decode()
    return None
