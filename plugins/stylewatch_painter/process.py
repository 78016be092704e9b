"""What this process holds of the machine's memory, and what is left there."""

import re
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
    found = float("inf")
    try:
        said = Path("/proc/meminfo").read_text(encoding="ascii")
        if told := re.search(r"MemAvailable: +(\d+) kB", said):
            found = int(told[1]) * 1024.0
        group = Path("/sys/fs/cgroup")
        most = (group / "memory.max").read_text(encoding="ascii").strip()
        if most != "max":
            taken = int((group / "memory.current").read_text(encoding="ascii"))
            found = min(found, int(most) - taken)
    except OSError:
        pass
    return found
