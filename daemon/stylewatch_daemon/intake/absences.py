"""Record, for each file of an inbox, of the last scan that certainly lacked it.

Only scans count: the times of files may be wrong.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.intake.scan import InboxListing
from stylewatch_daemon.ledger.memory import Seen

DiskOf = Callable[[Path], str]
"""Function that returns the identity of the disk of a file in the inbox. It is empty if absences
there are uncertain, for example because another disk could take the place of this one unnoticed."""

NEVER = 0
"""Scan number of a file that no scan is known to have lacked; it is below the numbers of all
scans."""


@dataclass(frozen=True)
class _Vanished:
    """Files of one size that vanished before their content was known."""

    absent: int
    """Number of the last scan that certainly lacked all of them."""
    doubtful: int
    """Number of these files that only one scan has missed so far: they may have been moved."""
    gone: int
    """Number of the scan that last confirmed that one of them is gone; NEVER if none has."""


class ScanNumbers:
    """Counter of the scans of all inboxes, and record of vanished files of unknown content.

    The first scan gets the number `first`. A file that vanished before it was hashed may have been
    moved: until it is gone, any new file of its size may have its content. The lanes of all inboxes
    share this object.
    """

    def __init__(self, first: int) -> None:
        self._numbers = count(first)
        self._vanished: dict[int, _Vanished] = {}
        """Records of vanished files of unknown content, by file size in bytes."""
        self._unknown: dict[object, Mapping[int, int]] = {}
        """For each inbox and file size in bytes, the number of the last scan that certainly lacked
        every file of that size whose content is unknown."""
        self._lock = Lock()

    def draw(self) -> int:
        """Take the next number, for the scan that begins now, and return it."""
        return next(self._numbers)

    def note_vanished(self, size: int, absent: int) -> None:
        """Note that a file of `size` bytes and of unknown content vanished.

        `absent` is the number of the last scan that certainly lacked it, or NEVER.
        """
        with self._lock:
            former = self._vanished.get(size)
            if former is None or not former.doubtful:
                self._vanished[size] = _Vanished(absent, 1, NEVER)
            else:
                self._vanished[size] = replace(
                    former, absent=min(former.absent, absent), doubtful=former.doubtful + 1
                )

    def note_gone(self, size: int, number: int) -> None:
        """Note that a vanished file of `size` bytes is gone, as the scan `number` has confirmed."""
        with self._lock:
            former = self._vanished[size]
            self._vanished[size] = replace(former, doubtful=former.doubtful - 1, gone=number)

    def last_without(self, size: int, number: int) -> int:
        """Return the number of the last scan that certainly lacked a file of `size` bytes.

        `number` is that of the last scan that certainly lacked its path. The result is lower if the
        file may have been moved: if a vanished file of the same size was not gone yet at that scan.
        """
        vanished = self._vanished.get(size)
        if vanished is None or not (vanished.doubtful or number < vanished.gone):
            return number
        return min(number, vanished.absent)

    def note_unknown(self, inbox: object, lacking: Iterable[tuple[int, int]]) -> None:
        """Replace the record of those files of `inbox` whose content is unknown now.

        `lacking` has, for each of these files, the size in bytes and the number of the last scan
        that certainly lacked the file.
        """
        earliest = dict[int, int]()
        for size, number in lacking:
            earliest[size] = min(number, earliest.get(size, number))
        with self._lock:
            self._unknown[inbox] = earliest

    def content_lacking(self, size: int, number: int) -> int:
        """Return the number of the last scan that certainly lacked the content of a file.

        The file has `size` bytes, and `number` is the result of `last_without`. The result is lower
        if a file of unknown content and of the same size, in any inbox, was there before that scan.
        """
        with self._lock:
            return min(number, *(each.get(size, number) for each in self._unknown.values()))


class _FileOnDisk(NamedTuple):
    """A path on one disk; the same path on another disk is another file."""

    disk: str
    path: Path


@dataclass(frozen=True)
class _Observation:
    """Result of the scan `number`, which ended at the monotonic time `at`, in seconds.

    `mounts` are the kernel's numbers of the mount of the inbox and of the mounts in it.
    """

    number: int
    at: float
    listing: InboxListing
    disk_of: DiskOf
    mounts: frozenset[str]

    @property
    def files(self) -> Mapping[Path, Look]:
        """The files that the scan found."""
        return self.listing.files

    def has(self, file: _FileOnDisk) -> bool:
        """Return whether the scan found `file`, on the disk that it names."""
        return file.path in self.files and self.disk_of(file.path) == file.disk

    def certainly_lacks(self, file: _FileOnDisk) -> bool:
        """Return whether the disk of `file` was present, and the file certainly was not."""
        return self.disk_of(file.path) == file.disk and self.listing.lacks(file.path)


@dataclass(frozen=True)
class _Known:
    """Knowledge of an inbox after a scan: the last observation, and the absences found so far."""

    last: _Observation | None = None
    """The last scan; None if there was none, or if the next one must not be compared with it."""
    absent: Mapping[Path, int] = field(default_factory=dict)
    """For each file of the inbox the number of the last scan that certainly lacked it."""
    unknown: Mapping[Path, int] = field(default_factory=dict)
    """Sizes, in bytes, of the files of the inbox whose content was not known."""
    missed: Mapping[_FileOnDisk, float | None] = field(default_factory=dict)
    """Files that an earlier scan found and the last one did not. The value is the monotonic time in
    seconds since when scans certainly lacked the file, or None if the last scan was not certain."""

    def interrupted(self) -> "_Known":
        """Return the knowledge that stays valid after a failed scan, or an exchange of a disk.

        `absent` and `unknown` stay, so that files that vanish in the meantime are noticed.
        """
        return replace(self, last=None, missed={})


class Absences:
    """Record of the files that scans of an inbox missed; `clock` is monotonic, in seconds.

    A file is gone once a scan has found it, and then two scans, at least `rescan_s` apart,
    certainly lacked it. All of these scans must come after the start of the daemon, after the last
    failed scan, and after the last exchange of a disk. A file that is missing in any other way may
    come back, with two exceptions: if another file has its content now, the file was moved, and is
    gone at once; a left-out file on the disk of the ledger need not have been found since the
    start, and stays gone.
    """

    def __init__(self, clock: Callable[[], float], rescan_s: float, numbers: ScanNumbers) -> None:
        self._clock = clock
        self._rescan_s = rescan_s
        self._numbers = numbers
        self.number = NEVER
        """Number of the latest scan."""
        self._vanished: list[tuple[int, float]] = []
        """Vanished files of unknown content that are not gone yet: the size in bytes, and the
        monotonic time of the scan that missed the file."""
        self._known = _Known()

    def begin(self) -> None:
        """Draw the number of the next scan; to be called before that scan looks at the disk."""
        self.number = self._numbers.draw()

    def interrupt(self) -> None:
        """Forget the last scan, so that the next one is not compared with it."""
        self._known = self._known.interrupted()

    def update(
        self,
        listing: InboxListing,
        disk_of: DiskOf,
        mounts: frozenset[str],
        records: Collection[Seen],
        own_disk: str = "",
    ) -> tuple[Mapping[Path, int], tuple[Seen, ...]]:
        """Compare the `listing` of a new scan with that of the last scan, and remember it.

        `mounts` are the kernel's numbers of the mounts of the inbox, and `records` those records of
        the ledger that belong to the inbox. `own_disk` is the identity of the disk of the ledger,
        which no other disk can replace; it is empty if the inbox is on another disk.

        Returns, for each listed file, the number of the last scan that certainly lacked its
        content, or NEVER; and new records of files that are gone, or that are expected again.
        """
        known = self._known
        now = _Observation(self.number, self._clock(), listing, disk_of, mounts)
        left_out = _left_out(records, own_disk)
        expected_again: list[Seen] = []
        if known.last is None or known.last.mounts != mounts:
            known = known.interrupted()
            self._vanished = [(size, now.at) for size, _ in self._vanished]
            expected_again = _expected_again(records, left_out)
        self._update_vanished(known, now, records)
        unknown = _unknown(now, records)
        absent = self._absent(known, now, unknown)
        self._known = _Known(now, absent, unknown, _missed(known, now, left_out))
        return absent, (*expected_again, *_gone(known, now, records, self._rescan_s))

    def _absent(
        self, known: _Known, now: _Observation, unknown: Mapping[Path, int]
    ) -> Mapping[Path, int]:
        """Return for each file the number of the last scan that certainly lacked its content.

        Another file of the same size may have this content: one that vanished before it was hashed,
        or one in `unknown`, which has sizes in bytes by path. Also share `unknown` with other
        inboxes.
        """
        numbers = self._numbers
        lacking = {
            path: numbers.last_without(look.size, _last_lacking(path, known, now))
            for path, look in now.files.items()
        }
        numbers.note_unknown(self, ((size, lacking[path]) for path, size in unknown.items()))
        return {
            path: numbers.content_lacking(now.files[path].size, number)
            for path, number in lacking.items()
        }

    def _update_vanished(self, known: _Known, now: _Observation, records: Collection[Seen]) -> None:
        """Note which files of unknown content are gone, and which vanished just now.

        A file is gone once this scan is at least `rescan_s` later than the one that missed it (law
        3).
        """
        for each in [*self._vanished]:
            size, since = each
            if now.at - since >= self._rescan_s:
                self._vanished.remove(each)
                self._numbers.note_gone(size, now.number)
        for size, number in _vanished(known, now, records):
            self._numbers.note_vanished(size, number)
            self._vanished.append((size, now.at))

    @property
    def any_doubt(self) -> bool:
        """True if a file was first missed at most `rescan_s` ago, and may still come back."""
        now = self._clock()
        since = (start for start in self._known.missed.values() if start is not None)
        return any(now - start <= self._rescan_s for start in since)


def _left_out(records: Collection[Seen], own_disk: str) -> frozenset[Seen]:
    """Return the records of left-out files on `own_disk`, the disk of the ledger; none if empty."""
    on_own_disk = (each for each in records if own_disk and each.disk == own_disk)
    return frozenset(each for each in on_own_disk if each.left_out)


def _expected_again(records: Collection[Seen], left_out: frozenset[Seen]) -> list[Seen]:
    """Return new records that expect the gone files again, except those in `left_out`."""
    return [
        each._replace(gone=None)
        for each in records
        if each.gone is not None and each not in left_out
    ]


# Each of these functions compares a scan `now` with what was `known` before it.


def _last_lacking(path: Path, known: _Known, now: _Observation) -> int:
    """Return the number of the last scan before `now` that certainly lacked a file, or NEVER."""
    last = known.last
    disk = now.disk_of(path)
    if last is None or not disk:
        return NEVER
    if path in last.files:
        return known.absent[path]
    return last.number if last.certainly_lacks(_FileOnDisk(disk, path)) else NEVER


def _missed(
    known: _Known, now: _Observation, left_out: Iterable[Seen]
) -> Mapping[_FileOnDisk, float | None]:
    """Return the missing files, for `_Known.missed`.

    Files of records in `left_out` that are not gone count even if no scan has found them since the
    start.
    """
    expected = [_FileOnDisk(each.disk, Path(each.path)) for each in left_out if each.gone is None]
    missed = dict[_FileOnDisk, float | None]()
    for file in dict.fromkeys((*known.missed, *_newly_missed(known, now), *expected)):
        since = known.missed.get(file)
        if now.certainly_lacks(file):
            missed[file] = now.at if since is None else since
        elif not now.has(file):
            missed[file] = None
    return missed


def _newly_missed(known: _Known, now: _Observation) -> Iterator[_FileOnDisk]:
    """Yield the files of the last scan whose disk is still there, and that `now` does not list."""
    if known.last is not None:
        for path in known.last.files.keys() - now.files.keys():
            disk = now.disk_of(path)
            if disk and known.last.disk_of(path) == disk:
                yield _FileOnDisk(disk, path)


def _gone(
    known: _Known, now: _Observation, records: Collection[Seen], rescan_s: float
) -> Iterator[Seen]:
    """Yield the new records of files that are gone, with the number of the scan `now`.

    These are files that an earlier scan missed already, at least `rescan_s` ago, and missing files
    whose content another file has now.
    """
    # another disk may be mounted in place of the recorded one
    present = [each for each in records if each.disk and each.disk == now.disk_of(Path(each.path))]
    contents = {each.sha256 for each in present if _is_unchanged(each, now)} - {""}
    for record in present:
        path = Path(record.path)
        if record.gone is None and now.listing.lacks(path):
            since = known.missed.get(_FileOnDisk(record.disk, path))
            is_confirmed = since is not None and now.at - since >= rescan_s
            if is_confirmed or record.sha256 in contents:
                yield record._replace(gone=now.number)


def _is_unchanged(record: Seen, now: _Observation) -> bool:
    """Return whether the file of `record` exists, and still has the recorded size and time."""
    look = now.files.get(Path(record.path))
    return look is not None and record.look.resembles(look)


def _vanished(
    known: _Known, now: _Observation, records: Collection[Seen]
) -> Iterator[tuple[int, int]]:
    """Yield (size in bytes, scan number) of each file that vanished before its content was known.

    The number is that of the last scan that certainly lacked the file, or NEVER.
    """
    recorded = _recorded_sizes(records)
    for path, size in known.unknown.items():
        look = now.files.get(path)
        if size not in (look and look.size, recorded.get(path)):
            yield size, known.absent.get(path, NEVER)


def _unknown(now: _Observation, records: Collection[Seen]) -> Mapping[Path, int]:
    """Return the size in bytes of each file for whose path and size there is no record."""
    recorded = _recorded_sizes(records)
    sizes = {path: look.size for path, look in now.files.items()}
    return {path: size for path, size in sizes.items() if recorded.get(path) != size}


def _recorded_sizes(records: Collection[Seen]) -> Mapping[Path, int]:
    return {Path(record.path): record.size for record in records}
