"""Which files an inbox certainly lacked in which scan, whatever clocks and times of files say."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from stylewatch_daemon.intake.scan import Listing
from stylewatch_daemon.ledger.memory import Seen

DiskOf = Callable[[Path], str]
"""Function that returns what identifies the disk of a file in the inbox."""


class Order:
    """Order of the scans of all inboxes, of which the next one has the number `first`."""

    def __init__(self, first: int) -> None:
        self.numbers = count(first)
        """Numbers of scans, so that it is known which of two was the later one."""
        self.vanished: dict[int, int] = {}
        """Sizes of files that went before their content was known, which may be anywhere since:
        for each the number of the last scan that lacked such a file."""


@dataclass(frozen=True)
class _Scanned:
    """A scan that is over."""

    number: int
    listing: Listing
    disk_of: DiskOf
    mounts: frozenset[str]


class Absences:
    """Record of what scans of an inbox did not find; `clock` is monotonic, in seconds.

    A file is gone once two scans, at least `rescan_s` apart, certainly lacked it.
    """

    def __init__(self, clock: Callable[[], float], rescan_s: float, order: Order) -> None:
        self._clock, self._rescan_s, self._order = clock, rescan_s, order
        self._unknown: dict[Path, int] = {}
        """Sizes of the files of the last scan whose content was not known."""
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
        records: Collection[Seen],
    ) -> tuple[Mapping[Path, int], tuple[Seen, ...]]:
        """Compare with a new scan, which found a listing, and the `records` of this inbox.

        `mounts` are the numbers of the mounts that it looked at. Returns for each file the number
        of the last scan that certainly lacked it (0 if none is known to have), and the new records
        of files that are gone.
        """
        number = next(self._order.numbers)
        if self._before is not None and self._before.mounts != mounts:
            self._before, self._missed, self._exchanged = None, {}, number
        # another disk may be in the place of that of a record
        here = [record for record in records if record.disk in (disk_of(Path(record.path)), "")]
        absent = {path: self._lacked(path, disk_of) for path in listing.files}
        for path, record in ((Path(record.path), record) for record in here):
            if path in absent and (record.gone or 0) >= self._exchanged:
                absent[path] = max(absent[path], record.gone or 0)
        self._note_unknown(listing, records)
        vanished = self._order.vanished
        for path, look in listing.files.items():
            absent[path] = min(absent[path], vanished.get(look.size, number))
        self._absent, self._before = absent, _Scanned(number, listing, disk_of, mounts)
        return absent, tuple(self._gone(listing, here, number))

    def _gone(self, listing: Listing, records: Iterable[Seen], number: int) -> Iterator[Seen]:
        """Yield the records of files that are gone; note which are missing."""
        missed, self._missed = self._missed, {}
        for record in records:
            if record.gone is None and listing.lacks(Path(record.path)):
                key = record.disk, record.path
                since = missed.get(key)
                if since is not None and self._clock() - since >= self._rescan_s:
                    yield record._replace(gone=number)
                else:
                    self._missed[key] = self._clock() if since is None else since

    def _note_unknown(self, listing: Listing, records: Iterable[Seen]) -> None:
        """Note which files went before their content was known, and of which it is not known."""
        sizes = {path: look.size for path, look in listing.files.items()}
        known = {Path(record.path): record.size for record in records}
        vanished = self._order.vanished
        for path, size in self._unknown.items():
            if size not in (sizes.get(path), known.get(path)):
                absent = self._absent.get(path, 0)
                vanished[size] = min(vanished.get(size, absent), absent)
        self._unknown = {path: size for path, size in sizes.items() if known.get(path) != size}

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
