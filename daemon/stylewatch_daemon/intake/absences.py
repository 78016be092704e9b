"""Which files an inbox certainly lacked in which scan, whatever clocks and times of files say."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stylewatch_daemon.intake.scan import Listing
from stylewatch_daemon.ledger.memory import Seen

DiskOf = Callable[[Path], str]
"""Function that returns what identifies the disk of a file in the inbox."""


@dataclass(frozen=True)
class _Scanned:
    """A scan that is over."""

    number: int
    listing: Listing
    disk_of: DiskOf
    mounts: frozenset[str]


class Absences:
    """Record of what scans of an inbox did not find; `clock` is monotonic, in seconds.

    A file is gone once two scans, at least `rescan_s` apart, certainly lacked it. `numbers` are
    those of the scans of all inboxes, so that it is known which of two was the later one.
    """

    def __init__(self, clock: Callable[[], float], rescan_s: float, numbers: Iterator[int]) -> None:
        self._clock, self._rescan_s, self._numbers = clock, rescan_s, numbers
        self._before: _Scanned | None = None
        self._exchanged = 0
        """Number of the first scan after a disk was exchanged: those before say nothing now."""
        self._absent: dict[Path, int] = {}
        self._missed: dict[tuple[str, str], float] = {}
        """Files with a record that are missing, by disk and path, and since when."""

    def update(
        self,
        listing: Listing,
        disk_of: DiskOf,
        mounts: frozenset[str],
        records: Iterable[Seen],
    ) -> tuple[Mapping[Path, int], tuple[Seen, ...]]:
        """Compare with a new scan, which found a listing, and the `records` of this inbox.

        `mounts` are the numbers of the mounts that it looked at. Returns for each file the number
        of the last scan that certainly lacked it (0 if none is known to have), and the new records
        of files that are gone.
        """
        number = next(self._numbers)
        if self._before is not None and self._before.mounts != mounts:
            self._before, self._missed, self._exchanged = None, {}, number
        self._absent = {path: self._lacked(path, disk_of) for path in listing.files}
        self._before = _Scanned(number, listing, disk_of, mounts)
        gone, missed = list[Seen](), dict[tuple[str, str], float]()
        for record in records:
            path, key = Path(record.path), (record.disk, record.path)
            if record.disk not in (disk_of(path), ""):
                continue  # another disk is in its place
            if path in listing.files:
                if record.gone is not None and record.gone >= self._exchanged:
                    self._absent[path] = max(self._absent[path], record.gone)
            elif record.gone is None and listing.lacks(path):
                since = self._missed.get(key)
                if since is not None and self._clock() - since >= self._rescan_s:
                    gone.append(record._replace(gone=number))
                else:
                    missed[key] = self._clock() if since is None else since
        self._missed = missed
        return self._absent, tuple(gone)

    @property
    def any_doubt(self) -> bool:
        """True if a file is missing, and a second scan has to confirm that it is gone."""
        return bool(self._missed)

    def _lacked(self, path: Path, disk_of: DiskOf) -> int:
        """Return the number of the last scan before this one that certainly lacked a file."""
        before = self._before
        if before is None:
            return 0
        if path in before.listing.files:
            return self._absent.get(path, 0)
        is_same_disk = before.disk_of(path) == disk_of(path)
        return before.number if is_same_disk and before.listing.lacks(path) else 0
