"""Which files an inbox certainly lacked in which scan, whatever clocks and times of files say."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from stylewatch_daemon.intake.scan import InboxListing
from stylewatch_daemon.ledger.memory import Seen

DiskOf = Callable[[Path], str]
"""Function that returns what identifies the disk of a file in the inbox; empty if that may change
without a sign, so that what is missing may be elsewhere."""


class ScanNumbers:
    """Numbers of the scans of all inboxes, of which the next one has the number `first`."""

    def __init__(self, first: int) -> None:
        self.numbers = count(first)
        """Numbers of scans, so that it is known which of two began later."""
        self.vanished: dict[int, int] = {}
        """Sizes of files that went before their content was known, which may be anywhere since:
        for each the number of the last scan that lacked such a file."""


@dataclass(frozen=True)
class _Scanned:
    """A scan that is over."""

    number: int
    listing: InboxListing
    disk_of: DiskOf
    mounts: frozenset[str]


class Absences:
    """Record of what scans of an inbox did not find; `clock` is monotonic, in seconds.

    A file is gone once it was there, and then two scans, at least `rescan_s` apart, certainly
    lacked it: all of these after the start, after the last scan that failed, and after the last
    exchange of a disk. What is missing in any other way may come back. Only if another file has its
    content now was it moved, and is gone at once.
    """

    def __init__(self, clock: Callable[[], float], rescan_s: float, numbers: ScanNumbers) -> None:
        self._clock = clock
        self._rescan_s = rescan_s
        self._numbers = numbers
        self._number = 0
        """Number of the scan that is going on."""
        self._unknown: dict[Path, int] = {}
        """Sizes of the files of the last scan whose content was not known."""
        self._before: _Scanned | None = None
        self._absent: dict[Path, int] = {}
        self._missed: dict[tuple[str, str], float | None] = {}
        """Files that were there and are missing, by disk and path, and since when; None if the last
        scan was not certain of it."""

    def begin(self) -> None:
        """Give the next scan its number, before it looks at anything."""
        self._number = next(self._numbers.numbers)

    def interrupt(self) -> None:
        """Note that scans before, or what they found, say nothing about what comes now."""
        self._before = None
        self._missed = {}

    def update(
        self,
        listing: InboxListing,
        disk_of: DiskOf,
        mounts: frozenset[str],
        records: Collection[Seen],
    ) -> tuple[Mapping[Path, int], tuple[Seen, ...]]:
        """Compare with a new scan, which found a listing, and the `records` of this inbox.

        `mounts` are the numbers of the mounts that it looked at. Returns for each file the number
        of the last scan that certainly lacked it (0 if none is known to have), and the new records
        of files that are gone, or that are expected again.
        """
        news = list[Seen]()
        if self._before is None or self._before.mounts != mounts:
            self.interrupt()
            news += (record._replace(gone=None) for record in records if record.gone is not None)
        # another disk may be in the place of that of a record
        present = [
            record
            for record in records
            if record.disk and record.disk == disk_of(Path(record.path))
        ]
        absent = {path: self._lacked(path, disk_of) for path in listing.files}
        self._note_unknown(listing, records)
        missed = self._missed
        self._note_missing(listing, disk_of)
        vanished = self._numbers.vanished
        for path, look in listing.files.items():
            absent[path] = min(absent[path], vanished.get(look.size, self._number))
        self._absent = absent
        self._before = _Scanned(self._number, listing, disk_of, mounts)
        return absent, (*news, *self._gone(listing, present, missed))

    def _note_missing(self, listing: InboxListing, disk_of: DiskOf) -> None:
        """Note which files are missing that were there."""
        missed = {**self._missed}
        now = self._clock()
        last_scan = self._before
        if last_scan is not None:
            for path in last_scan.listing.files.keys() - listing.files.keys():
                disk = disk_of(path)
                if disk and last_scan.disk_of(path) == disk:
                    missed.setdefault((disk, str(path)), None)
        self._missed = {}
        for (disk, name), since in missed.items():
            path = Path(name)
            if path not in listing.files or disk_of(path) != disk:
                is_certain = disk_of(path) == disk and listing.lacks(path)
                began = now if since is None else since
                self._missed[disk, name] = began if is_certain else None

    def _gone(
        self,
        listing: InboxListing,
        records: Collection[Seen],
        missed: Mapping[tuple[str, str], float | None],
    ) -> Iterator[Seen]:
        """Yield the records of files that are gone: the scan before `missed` them already."""
        present = [record for record in records if Path(record.path) in listing.files]
        contents = {record.sha256 for record in present if _is_same(record, listing)} - {""}
        for record in records:
            if record.gone is None and listing.lacks(Path(record.path)):
                since = missed.get((record.disk, record.path))
                is_missed = since is not None and self._clock() - since >= self._rescan_s
                if is_missed or record.sha256 in contents:
                    yield record._replace(gone=self._number)

    def _note_unknown(self, listing: InboxListing, records: Iterable[Seen]) -> None:
        """Note which files went before their content was known, and of which it is not known."""
        sizes = {path: look.size for path, look in listing.files.items()}
        recorded = {Path(record.path): record.size for record in records}
        vanished = self._numbers.vanished
        for path, size in self._unknown.items():
            if size not in (sizes.get(path), recorded.get(path)):
                absent = self._absent.get(path, 0)
                vanished[size] = min(vanished.get(size, absent), absent)
        self._unknown = {path: size for path, size in sizes.items() if recorded.get(path) != size}

    @property
    def any_doubt(self) -> bool:
        """True if a file is missing, and a second scan has to confirm that it is gone."""
        now = self._clock()
        since = (start for start in self._missed.values() if start is not None)
        return any(now - start <= self._rescan_s for start in since)

    def _lacked(self, path: Path, disk_of: DiskOf) -> int:
        """Return the number of the last scan before this one that certainly lacked a file."""
        last_scan = self._before
        if last_scan is None or not disk_of(path):
            return 0
        if path in last_scan.listing.files:
            return self._absent.get(path, 0)
        is_same_disk = last_scan.disk_of(path) == disk_of(path)
        return last_scan.number if is_same_disk and last_scan.listing.lacks(path) else 0


def _is_same(record: Seen, listing: InboxListing) -> bool:
    return record.look.resembles(listing.files[Path(record.path)])
