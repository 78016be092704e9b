"""Free space of disks."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from stylewatch_daemon.base.errors import FullError

_UNITS = ((1, "bytes"), (1000, "kB"), (10**6, "MB"), (10**9, "GB"))
_FEW = 10  # numbers below it get a decimal


def check(needs: Iterable[tuple[Path, int]], reserve: int) -> None:
    """Raise FullError if the disks of folders lack so many bytes beside a `reserve`."""
    first: dict[int, Path] = {}
    totals: dict[Path, int] = {}
    for folder, bytes_ in needs:
        known = first.setdefault(_existing(folder).stat().st_dev, folder)
        totals[known] = totals.get(known, 0) + bytes_
    for folder, bytes_ in totals.items():
        lacking = bytes_ + reserve - free(folder)
        if lacking > 0:
            raise FullError(
                f"the disk of {folder} has {amount(free(folder))} free; a job may take "
                f"{amount(bytes_)}, and limits.free_bytes keeps {amount(reserve)}: "
                f"{amount(lacking)} more must be free",
                folder,
                bytes_ + reserve,
                reserve,
            )


def free(folder: Path) -> int:
    """Return the free bytes on the disk of `folder`, which need not exist yet.

    Some network file systems report no blocks at all, which counts as free.
    """
    seen = os.statvfs(_existing(folder))
    return seen.f_bavail * seen.f_frsize if seen.f_blocks else sys.maxsize


def amount(bytes_: float) -> str:
    """Return a number of bytes as text: `340 bytes`, `1.2 GB`."""
    size, unit = max((unit for unit in _UNITS if unit[0] <= bytes_), default=_UNITS[0])
    number = bytes_ / size
    digits = 1 if size > 1 and number < _FEW else 0
    return f"{number:.{digits}f} {unit}"


def excess(bytes_: int, limit: int) -> str:
    """Say that so many bytes exceed a limit; in bytes where both are the same text otherwise."""
    size, most = amount(bytes_), amount(limit)
    if size == most:
        size, most = f"{bytes_:,} bytes", f"{limit:,} bytes"
    return f"is {size}; the limit is {most}"


def _existing(folder: Path) -> Path:
    while not os.access(folder, os.F_OK):  # a parent that may not be entered is no error here
        folder = folder.parent
    return folder
