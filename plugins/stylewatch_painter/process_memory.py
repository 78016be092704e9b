"""What this process holds of the machine's memory, and what is left there."""

import re
from contextlib import suppress
from pathlib import Path


def resident() -> int:
    """Bytes of this process that lie in memory; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * 4096


def available() -> float:
    """Bytes that programs may still take, of the machine or of our part of it; else endless."""
    group = Path("/sys/fs/cgroup")
    found = _of_machine("MemAvailable")
    with suppress(OSError, ValueError):  # where there is no limit, it says `max`
        most = int((group / "memory.max").read_text(encoding="ascii"))
        found = min(found, most - int((group / "memory.current").read_text(encoding="ascii")))
    return found


def installed() -> float:
    """Bytes of memory of the machine, or of our part of it; endless where nobody says."""
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
