"""Memory of this process and of the machine."""

import re
from contextlib import suppress
from pathlib import Path


def resident() -> int:
    """Resident memory of this process in bytes; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * 4096


def available() -> float:
    """Bytes that can still be allocated, by machine and control group; inf if unknown."""
    group = Path("/sys/fs/cgroup")
    found = _of_machine("MemAvailable")
    with suppress(OSError, ValueError):  # where there is no limit, it says `max`
        most = int((group / "memory.max").read_text(encoding="ascii"))
        found = min(found, most - int((group / "memory.current").read_text(encoding="ascii")))
    return found


def installed() -> float:
    """Bytes of memory of the machine or the control group; inf if unknown."""
    found = _of_machine("MemTotal")
    with suppress(OSError, ValueError):
        found = min(found, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return found


def _of_machine(what: str) -> float:
    with suppress(OSError):
        said = Path("/proc/meminfo").read_text(encoding="ascii")
        if told := re.search(rf"{what}: +(\d+) kB", said):
            return int(told[1]) * 1024.0
    return float("inf")
