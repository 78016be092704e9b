"""Record of the scans in which an inbox certainly lacked a file, whatever times of files say."""

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
"""Function that returns the identity of the disk of a file in the inbox; empty if another disk may
take its place without a sign, so that a missing file may be elsewhere."""

NEVER = 0
"""Number below that of every scan: no scan is known to have lacked a file."""


@dataclass(frozen=True)
class _Vanished:
    """Files of one size that vanished before their content was known."""

    absent: int
    """Number of the last scan that certainly lacked all of them."""
    doubtful: int
    """How many of them no second scan has missed yet: these may just be moved."""
    gone: int
    """Number of the scan that confirmed the latest absence."""


class ScanNumbers:
    """Numbers that order the scans of all inboxes; the next scan has the number `first`.

    They also order the scans in which files vanished before their content was known: until such a
    file is gone, any file of its size may be that one, moved. Lanes of several inboxes share this
    record.
    """

    def __init__(self, first: int) -> None:
        self._numbers = count(first)
        self._vanished: dict[int, _Vanished] = {}
        """These files by their size in bytes."""
        self._unknown: dict[object, Mapping[int, int]] = {}
        """For each inbox, by size, the number of the last scan that certainly lacked all its files
        of unknown content."""
        self._lock = Lock()

    def draw(self) -> int:
        """Return the number of the scan that begins now."""
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
        """Note that a file that vanished is gone: the scan `number` was the second to miss it."""
        with self._lock:
            former = self._vanished[size]
            self._vanished[size] = replace(former, doubtful=former.doubtful - 1, gone=number)

    def last_without(self, size: int, number: int) -> int:
        """Return the number of the last scan that certainly lacked the content of a file.

        That is `number`, the last scan that lacked its path, or an earlier one if it may be a file
        that vanished and was not gone by then.
        """
        vanished = self._vanished.get(size)
        if vanished is None or not (vanished.doubtful or number < vanished.gone):
            return number
        return min(number, vanished.absent)

    def note_unknown(self, inbox: object, lacking: Iterable[tuple[int, int]]) -> None:
        """Note the files of an inbox whose content is not known now, such as one that is not read.

        `lacking` has the size of each in bytes, with the number of the last scan that lacked it.
        """
        earliest = dict[int, int]()
        for size, number in lacking:
            earliest[size] = min(number, earliest.get(size, number))
        with self._lock:
            self._unknown[inbox] = earliest

    def content_lacking(self, size: int, number: int) -> int:
        """Return the number of the last scan that certainly lacked the content of a file.

        That is `number`, or an earlier one if a file of unknown content, in any inbox, may have the
        same content.
        """
        with self._lock:
            return min(number, *(each.get(size, number) for each in self._unknown.values()))


class _FileOnDisk(NamedTuple):
    """A file, told apart from one at the same path of another disk."""

    disk: str
    path: Path


@dataclass(frozen=True)
class _Observation:
    """Result of one scan, which has a `number`, and was over at the time `at` in seconds.

    `mounts` are the kernel's numbers of the mounts that it looked at.
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
        """Return whether the scan found a file, on its disk."""
        return file.path in self.files and self.disk_of(file.path) == file.disk

    def certainly_lacks(self, file: _FileOnDisk) -> bool:
        """Return whether the disk of a file was there, and the file was not."""
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
    """Files that were there and are missing, with the time since when scans certainly lacked them;
    None if the scan was not certain of it."""

    def interrupted(self) -> "_Known":
        """Return what stays known after a failed scan, or an exchange of a disk.

        Files that vanish meanwhile vanish all the same, so `unknown` stays.
        """
        return replace(self, last=None, missed={})


class Absences:
    """Record of the files that scans of an inbox missed; `clock` is monotonic, in seconds.

    A file is gone once it was there, and then two scans, at least `rescan_s` apart, certainly
    lacked it: all of these after the start, after the last scan that failed, and after the last
    exchange of a disk. A file that is missing in any other way may come back. Only if another file
    has its content now was it moved, and is gone at once. What was left out on the disk of the
    ledger need not have been there since the start, and stays gone.
    """

    def __init__(self, clock: Callable[[], float], rescan_s: float, numbers: ScanNumbers) -> None:
        self._clock = clock
        self._rescan_s = rescan_s
        self._numbers = numbers
        self.number = NEVER
        """Number of the latest scan."""
        self._vanished: list[tuple[int, float]] = []
        """Sizes of files of unknown content that vanished and are not gone yet, with the times."""
        self._known = _Known()

    def begin(self) -> None:
        """Give the next scan its number, before it looks at anything."""
        self.number = self._numbers.draw()

    def interrupt(self) -> None:
        """Forget the last scan: it does not tell which files the next one should find."""
        self._known = self._known.interrupted()

    def update(
        self,
        listing: InboxListing,
        disk_of: DiskOf,
        mounts: frozenset[str],
        records: Collection[Seen],
        own_disk: str = "",
    ) -> tuple[Mapping[Path, int], tuple[Seen, ...]]:
        """Compare a new scan, which found a listing, with the last one.

        `mounts` are the kernel's numbers of the mounts that it looked at, and `records` are those
        of this inbox. `own_disk` is the identity of the disk of the ledger, in whose place no other
        one can be, or empty if the inbox is on another. Returns for each file the number of the
        last scan that certainly lacked it, or NEVER, and the new records of files that are gone, or
        that are expected again.
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

        Another file of its size may have that content: one that vanished before its content was
        known, or one of the `unknown` contents, which are given by their sizes.
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

        The former were missed by a second scan (law 3).
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
    """Return the records of what was left out on the disk of the ledger.

    There are none if its identity, `own_disk`, is empty.
    """
    on_own_disk = (each for each in records if own_disk and each.disk == own_disk)
    return frozenset(each for each in on_own_disk if each.left_out)


def _expected_again(records: Collection[Seen], left_out: frozenset[Seen]) -> list[Seen]:
    """Return new records of the files that were gone, except what was `left_out`."""
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
    """Return the files that are missing, as `_Known.missed` holds them.

    Those that were `left_out`, and are not gone, need not have been there since the start.
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
    """Yield the new records of files that are gone.

    These are files that an earlier scan missed already, at least `rescan_s` ago, and missing files
    whose content another file has now.
    """
    # another disk may be in the place of that of a record
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
    """Return whether the file of a record is there, and looks as it did."""
    look = now.files.get(Path(record.path))
    return look is not None and record.look.resembles(look)


def _vanished(
    known: _Known, now: _Observation, records: Collection[Seen]
) -> Iterator[tuple[int, int]]:
    """Yield the size of each file that vanished before its content was known.

    With it comes the number of the last scan that certainly lacked the file, or NEVER.
    """
    recorded = _recorded_sizes(records)
    for path, size in known.unknown.items():
        look = now.files.get(path)
        if size not in (look and look.size, recorded.get(path)):
            yield size, known.absent.get(path, NEVER)


def _unknown(now: _Observation, records: Collection[Seen]) -> Mapping[Path, int]:
    """Return the sizes of the files whose content is not known."""
    recorded = _recorded_sizes(records)
    sizes = {path: look.size for path, look in now.files.items()}
    return {path: size for path, size in sizes.items() if recorded.get(path) != size}


def _recorded_sizes(records: Collection[Seen]) -> Mapping[Path, int]:
    return {Path(record.path): record.size for record in records}
