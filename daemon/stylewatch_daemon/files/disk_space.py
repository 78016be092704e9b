"""Free space of disks: the check that so much may be written, and amounts in words."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from stylewatch_daemon.errors import FullError

_UNITS = ((1, "bytes"), (1000, "kB"), (10**6, "MB"), (10**9, "GB"))
_FEW = 10  # below it a digit after the point tells something


def check(needs: Iterable[tuple[Path, int]], reserve: int) -> None:
    """Raise FullError where folders have no room for so many bytes, beside a `reserve`."""
    for folder, bytes_ in _by_disk(needs).items():
        lacking = bytes_ + reserve - free(folder)
        if lacking > 0:
            raise FullError(
                f"the disk of {folder} has {amount(free(folder))} free; a job may take "
                f"{amount(bytes_)}, and limits.free_bytes keeps {amount(reserve)}: "
                f"it goes on once {amount(lacking)} more are free",
                folder,
                bytes_ + reserve,
            )


def free(folder: Path) -> int:
    """The bytes that may still be written on the disk of `folder`, which need not be there yet.

    Some network file systems do not tell, and say that they have no blocks at all: that is taken
    for room enough, as writing will show.
    """
    seen = os.statvfs(_there(folder))
    return seen.f_bavail * seen.f_frsize if seen.f_blocks else sys.maxsize


def amount(bytes_: float) -> str:
    """`340 bytes`, `1.2 GB`."""
    size, unit = max((one for one in _UNITS if one[0] <= bytes_), default=(1, "bytes"))
    number = bytes_ / size
    digits = 1 if size > 1 and number < _FEW else 0
    return f"{number:.{digits}f} {unit}"


def _by_disk(needs: Iterable[tuple[Path, int]]) -> dict[Path, int]:
    """Sum the needs of each disk, under the first folder on it."""
    first: dict[int, Path] = {}
    total: dict[Path, int] = {}
    for folder, bytes_ in needs:
        one = first.setdefault(_there(folder).stat().st_dev, folder)
        total[one] = total.get(one, 0) + bytes_
    return total


def _there(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder
