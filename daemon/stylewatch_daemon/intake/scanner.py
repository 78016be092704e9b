"""Scans of an inbox: the pairs that are complete, stable, and not yet painted.

Only the lane of an inbox calls its scanner, because the disk may not answer (law 9).
"""

import errno
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, groupby
from pathlib import Path

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import InputError, OutputError
from stylewatch_daemon.base.lanes import Effort, Step
from stylewatch_daemon.base.model import Pair
from stylewatch_daemon.files import account, disks, entries
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.identity import Identity, Look, look
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.intake.absences import NEVER, Absences, ScanNumbers
from stylewatch_daemon.intake.claim import folder_of, unfinished
from stylewatch_daemon.intake.library import Library, Styles
from stylewatch_daemon.intake.pairing import Pairing, folders_of, only_ready, pair, still_holds
from stylewatch_daemon.intake.scan import HELD, InboxListing, Stability, Surroundings, scan
from stylewatch_daemon.ledger.claim import Claim
from stylewatch_daemon.ledger.memory import Memory, Seen, Verdict
from stylewatch_daemon.settings.config import Config, ServiceSettings, only_side
from stylewatch_daemon.settings.job import Side
from stylewatch_daemon.settings.sections import InboxSettings

_PAINTED_BEFORE = (
    "it was painted while `after` was `keep`, and stays; `stylewatch retry` paints it again"
)

Group = tuple[Pair, ...]
"""Pairs with the same main file, which are claimed together (law 5)."""


@dataclass(frozen=True)
class InboxDisks:
    """Identities of the disks of an inbox; an identity is empty if its disk is not known."""

    root: str = ""
    """Identity of the disk of the inbox itself."""
    inner: Mapping[Path, str] = field(default_factory=dict)
    """Identities of the disks that are mounted in the inbox, by mount point."""

    def of(self, path: Path) -> str:
        """Return the identity of the disk of a file in the inbox; empty if it is not known."""
        if not self.inner:
            return self.root
        for folder in path.parents:
            if folder in self.inner:
                return self.inner[folder]
        return self.root

    def by_folder(self, inbox: Path) -> tuple[tuple[Path, str], ...]:
        """Return `inbox` and the mount points in it, each with the identity of its disk."""
        return (inbox, self.root), *self.inner.items()


@dataclass(frozen=True)
class Scan:
    """Result of a scan."""

    files: Mapping[Path, Look] = field(default_factory=dict)
    absent: Mapping[Path, int] = field(default_factory=dict)
    """For each of the files the number of the last scan that certainly lacked it, or NEVER."""
    disks: InboxDisks = field(default_factory=InboxDisks)
    pending: tuple[Group, ...] = ()
    incomplete: tuple[Pair, ...] = ()
    skipped: Mapping[Path, str] = field(default_factory=dict)
    unread: Collection[Path] = ()
    """Skipped paths that could not be read; the next scan tries again."""
    equal: Mapping[Path, str] = field(default_factory=dict)
    """Main files of pairs that were painted before under another path, with that path."""
    unknown: tuple[Path, ...] = ()
    """Files to hash, in this order, before it is known whether their pairs were painted."""
    records: tuple[Seen, ...] = ()
    """New records for files that are gone, expected again, renamed, grown, or on another disk than
    recorded."""
    held: Mapping[str, Collection[Path]] = field(default_factory=dict)
    """Files that are held in their own folders under other names, by the id of their job; empty for
    a job whose files are held in the folder HELD."""
    trouble: Mapping[str, str] = field(default_factory=dict)
    is_stable: bool = True
    """True if all files are stable, the scan awaits the rest of no unfinished file, and no missing
    file needs a second scan to confirm that it is gone."""
    seconds: float = 0.0
    """Duration of the scan in seconds, without the time in which the disk was silent; see
    `Effort`."""


@dataclass(frozen=True)
class Checked:
    """Result of a last look at pairs before they are claimed."""

    ready: tuple[Group, ...] = ()
    incomplete: tuple[Pair, ...] = ()
    looks: Mapping[Path, Look] = field(default_factory=dict)
    """Looks of all files of the ready groups."""
    near: Mapping[Path, Sequence[Path]] = field(default_factory=dict)
    """Entries that concern each ready group, by its main file."""
    is_stale: bool = False
    """True if the inbox has changed since the scan, and must be scanned again."""


class _Folders:
    """Record of the folders of an inbox that came and went between scans of this daemon."""

    def __init__(self) -> None:
        self._came: Mapping[Path, int] = {}
        """For each folder of the last scan, the number of the first of the consecutive scans that
        found it."""
        self._went: dict[Path, int] = {}
        """For each folder that vanished, if there are records of files in it: the number of the
        scan that missed it."""

    def update(self, listing: InboxListing, number: int, records: Iterable[Seen]) -> None:
        """Note the folders that the scan with a number listed; `records` are those of the inbox."""
        went = self._came.keys() - listing.folders
        self._came = {folder: self._came.get(folder, number) for folder in listing.folders}
        self._went |= dict.fromkeys(went, number)
        if self._went:
            paths = (Path(record.path) for record in records if record.gone is None)
            remembered = {folder for path in paths for folder in path.parents}
            self._went = {each: at for each, at in self._went.items() if each in remembered}

    def may_have_become(self, before: Path, now: Path) -> bool:
        """Return whether the folder `before` may have been renamed to `now`: no scan found both."""
        return self._came[now] >= self._went.get(before, NEVER)


class Scanner:
    """Scanner of the inbox with its `own` settings; `clock` is monotonic, in seconds.

    `remembered` returns the memory of the ledger, which has the id `ledger_id`. The `library` knows
    the default styles, so that no scan looks at the disk of the style library. The scanners of all
    inboxes share `numbers`. Only one thread at a time may call a scanner.
    """

    def __init__(
        self,
        own: InboxSettings,
        settings: ServiceSettings,
        remembered: Callable[[], Memory],
        ledger_id: str,
        library: Library,
        guard: MountGuard,
        clock: Callable[[], float],
        numbers: ScanNumbers,
    ) -> None:
        self._library = library
        self._styles = Styles()
        self._outside: Mapping[Path, Seen] = {}
        """The default styles, which are not in the inbox, by path."""
        self._own = own
        self._path = own.path
        self._settings = settings
        self._guard = guard
        self._clock = clock
        self._remembered = remembered
        self._ledger_id = ledger_id
        watch = settings.watch
        self._stability = Stability(clock, watch.quiet_s, watch.truncated_s)
        self._files: Mapping[Path, Look] = {}
        self._absences = Absences(clock, watch.rescan_s, numbers)
        self._folders = _Folders()
        self._listing = InboxListing()
        self._sides: dict[tuple[Path | None, Look | None], Side | None] = {}
        """The only side that a job needs, if any, by its job.yaml and the look of that file."""
        self._trouble: dict[str, str] = {}
        self._local_times: Mapping[Path, bool] = {}
        """For each disk of the inbox, by mount point: True if times of files there may shift by
        whole hours."""
        self._marked: InboxDisks | None = None
        """The disks at the last look, if all of them had marks then; else None."""
        self._disks = InboxDisks()
        """The disks of the last scan."""
        self._renewed: dict[Path, tuple[Seen, ...]] = {}
        """New records for the files that the last scan found at another path, or grown."""
        self._staying: set[Path] = set()
        """If files leave the inbox: files of pairs that were painted when the inbox had `after:
        keep`."""

    def scan(self, claims: Sequence[Claim] = (), step: Step = lambda: None) -> Scan:
        """Scan the inbox; raises OSError if that is not possible.

        Files of `claims`, and those that were left out with them, become parts of no other pair.
        """
        self._absences.begin()
        try:
            return self._scan(claims, Effort(step, self._clock))
        except BaseException:
            self._absences.interrupt()
            raise

    def _scan(self, claims: Sequence[Claim], effort: Effort) -> Scan:
        self._guard.check(self._path)
        root = entries.target_status(self._path)
        if root is not None and not stat.S_ISDIR(root.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "it is a file, not a folder", str(self._path))
        self._disks = self._marked_disks()
        mounts = disks.mounts_of(self._path)
        watch = self._settings.watch
        self._trouble = {}
        self._styles = self._library.styles
        self._outside = {Path(seen.path): seen for seen in self._styles.pictures.values()}
        if self._styles.trouble:
            self._trouble[f"the style library {shown(self._library.folder)}"] = self._styles.trouble
        separate = apart(self._settings, self._own, self._guard)
        listing = scan(self._path, watch.ignore, separate, effort, self._ledger_id)
        self._local_times = self._present_local_times()
        former_files = self._files
        self._files = listing.files
        self._listing = listing
        self._renewed = {}
        stable = self._stability.update(listing.files, self._is_open)
        memory = self._remembered()
        holds = entries.is_own_folder(self._path / HELD)
        held = entries.names(self._path / HELD / self._ledger_id) if holds else ()
        self._guard.check(self._path)
        effort()
        if self._present_disks() != self._disks:
            raise OutputError(f"another disk has taken the place of {self._path} at this moment")
        absent, new_records = self._came_and_went(memory, listing, mounts)
        result = self._pairs_of(listing, stable, memory, [*filter(self._is_here, claims)])
        effort()
        return replace(
            result,
            unknown=tuple(sorted(result.unknown, key=lambda path: path in former_files)),
            absent=absent,
            disks=self._disks,
            records=(*new_records, *chain.from_iterable(self._renewed.values())),
            held={**dict.fromkeys(held, ()), **listing.held},
            is_stable=len(stable) == len(listing.files)
            and not (self._stability.any_awaited or self._absences.any_doubt),
            seconds=effort.seconds,
        )

    def _present_disks(self) -> InboxDisks:
        """Return the disks that are mounted now."""
        return InboxDisks(disks.disk_of(self._path), disks.disks_in(self._path))

    def _present_local_times(self) -> Mapping[Path, bool]:
        """Return, by mount point, whether times of files may shift by whole hours on a disk."""
        mounts = disks.table()
        folders = (self._path, *self._disks.inner)
        return {folder: disks.stores_local_time(folder, mounts) for folder in folders}

    def _marked_disks(self) -> InboxDisks:
        """Mark disks that lack a mark, as far as possible; return all with their identities.

        The disk of the inbox needs a mark only if its files are remembered, or may be held there.
        """
        present = self._present_disks()
        if present != self._marked:
            state = disks.mount_root(self._settings.state.path)
            marked = []
            if self._is_kept or disks.mount_root(self._path) != state:
                marked.append(disks.mark(self._path, self._guard))
            marked += (disks.attempt_mark(folder, self._guard) for folder in present.inner)
            present = self._present_disks()
            self._marked = present if all(marked) else None
        return present

    def _is_here(self, claim: Claim) -> bool:
        """Return whether the files of a claim may be from the disk that is mounted now.

        Pairs on another disk may have the names of pairs that were claimed from the former disk.
        """
        main = claim.main.source
        return not disks.are_different(claim.disk_of(main), self._disks.of(main))

    def _pairs_of(
        self,
        listing: InboxListing,
        stable: frozenset[Path],
        memory: Memory,
        claims: Sequence[Claim],
    ) -> Scan:
        """Return a Scan with the pairs of a listing; files of `claims` are in no pair.

        A complete pair waits if an unreadable file may be a part of it (law 2), or if a file is too
        large. A pair that was painted before stays. If it is unknown whether a pair was painted,
        its files are to be hashed. All other complete pairs are `pending`.
        """
        files = listing.files
        self._sides = {
            (path, seen): side
            for (path, seen), side in self._sides.items()
            if path is None or files.get(path) == seen
        }
        records = {path: self._record(memory, path, looked) for path, looked in files.items()}
        left_out = {path: seen.left_out for path, seen in records.items() if seen and seen.left_out}
        left_out |= _left_out_with(claims, files)
        pairing = self._paired(files.keys() - left_out.keys(), records, claims)
        ready = only_ready(pairing, files.keys() - stable, self._stability.waits_for)
        pending = list[Pair]()
        incomplete = _without_remains(ready.incomplete, claims)
        equal = dict[Path, str]()
        stays = dict[Path, str]()
        unknown = list[Path]()
        for complete in ready.complete:
            folders = folders_of(self._path, complete.main)
            unread = [path for path in listing.unread if path.parent in folders]
            if not still_holds(complete, unread):  # one of them may be a part of it (law 2)
                names = ", ".join(shown(path.name) for path in unread)
                incomplete.append(
                    replace(complete, waits_for=f"{names} to be readable", changing=True)
                )
            elif self._is_known(complete, memory, equal, unknown):
                if not self._is_kept:
                    stays[complete.main] = _PAINTED_BEFORE
            elif too_large := self._too_large(complete):
                incomplete.append(replace(complete, waits_for=too_large))
            else:
                pending.append(complete)
        skipped = {**listing.skipped, **ready.skipped, **left_out, **stays}
        reason = listing.skipped.get(self._path)
        if reason:
            self._trouble[shown(self._path)] = f"the inbox is skipped: {reason}"
        groups = (tuple(group) for _, group in groupby(pending, lambda member: member.main))
        return Scan(
            files,
            pending=tuple(groups),
            incomplete=tuple(incomplete),
            skipped=skipped,
            unread=listing.unread,
            equal=equal,
            unknown=tuple(dict.fromkeys(reversed(unknown))),
            trouble=self._trouble,
        )

    def _paired(
        self,
        files: Iterable[Path],
        records: Mapping[Path, Seen | None],
        claims: Iterable[Claim],
    ) -> Pairing:
        """Pair `files`, except own files of `claims`, and all files in the own folders of these.

        A new file in such a folder may be a part of the claimed job; `Claiming.take` finds that
        out.
        """
        claimed = {file.source for claim in claims for file in claim.files if file.own}
        folders = {claim.folder for claim in claims}
        return pair(
            self._path,
            [path for path in files if path not in claimed and path.parent not in folders],
            {name: Path(seen.path) for name, seen in self._styles.pictures.items()},
            self._side_of,
            lambda path: records.get(path) is not None,
            self._styles.waits_for,
        )

    def _record(self, memory: Memory, path: Path, looked: Look) -> Seen | None:
        """Return the record of a file; None if it has none, has changed since, or was gone.

        If a folder above the file was renamed, it is a new record for the new path; see `_renamed`.
        If a left-out clip has grown, its new record is noted in `_renewed`.
        """
        if path in self._outside:
            return self._outside[path]
        record = self._of(memory, path, looked)
        if record is None or record.gone is not None:
            return self._renamed(memory, path, looked)
        local_time = self._has_local_time(path)
        if record.left_out and not record.look.resembles(looked, local_time=local_time):
            # a clip that was still growing: the next look may know it by this one
            grown = record._replace(size=looked.size, mtime_ns=looked.mtime_ns)
            self._renewed[path] = (grown,)
        return record

    def _renamed(self, memory: Memory, path: Path, looked: Look) -> Seen | None:
        """Return the record of a file that has another path because a folder above it was renamed.

        The folder may be the inbox itself, if the settings have another path for it now. Only files
        that are not known by content are known in this way (law 3). The result is None for a new
        file: one that was moved by itself, a copy, or a file from another inbox. If it is unknown
        whether the file is new, return the former record, but note no new one: the file stays in
        the inbox until another scan decides, because a new file would leave it, and the original
        may still exist (law 2).
        """
        unclear = None
        for record in memory.namesakes(path, looked, local_time=self._has_local_time(path)):
            is_unhashed = record.left_out or (record.inbox and not self._is_kept)
            is_renamed = self._may_be(record, path) if is_unhashed else False
            if is_renamed:
                disk, inbox = self._disks.of(path), str(self._path)
                renamed = record._replace(path=str(path), inbox=inbox, disk=disk)
                gone = record._replace(gone=self._absences.number)
                self._renewed[path] = gone, renamed
                return renamed
            if is_renamed is None:
                unclear = record
        return unclear

    def _may_be(self, record: Seen, path: Path) -> bool | None:
        """Return whether the file of a record may be at `path` now; None if that is unknown."""
        former, inbox = Path(record.path), Path(record.inbox)
        if inbox == self._path:
            return self._is_below_a_renamed_folder(former, path)
        is_watched = any(inbox == each.path for each in self._settings.inboxes)
        is_same = record.disk == self._disks.of(path)
        if is_watched or not is_same or self._path / former.relative_to(inbox) != path:
            return False
        has_moved = disks.has_moved(former, path)
        return True if has_moved is None and disks.tells_exchanges(record.disk) else has_moved

    def _is_below_a_renamed_folder(self, former: Path, path: Path) -> bool:
        """Return whether a file, formerly at `former`, is at `path` because a folder was renamed.

        Exactly one folder above the file must have another name, the former folder must certainly
        be gone, and no scan may have found both folders. Otherwise the file was moved by itself.
        """
        folders = zip(former.parents, path.parents, strict=False)
        others = [(before, now) for before, now in folders if before.name != now.name]
        if len(former.parts) != len(path.parts) or len(others) != 1:
            return False
        ((before, now),) = others
        is_gone = before not in self._listing.folders and self._listing.lacks(before)
        return is_gone and self._folders.may_have_become(before, now)

    def _of(self, memory: Memory, path: Path, looked: Look) -> Seen | None:
        """Return the record of a file, also if it is gone; None if there is none.

        In an inbox that files leave, nothing is hashed: painted files are known by path and look,
        on any disk.
        """
        disk = self._disks.of(path)
        any_disk = not self._is_kept
        local_time = self._has_local_time(path)
        return memory.of(disk, path, looked, local_time=local_time, any_disk=any_disk)

    def _has_local_time(self, path: Path) -> bool:
        """Return whether the time of a file may shift by whole hours, as `Look.resembles` says."""
        disk = next((each for each in path.parents if each in self._local_times), self._path)
        return self._local_times[disk]

    @property
    def _is_kept(self) -> bool:
        """True if the files stay in the inbox, where they are known by content (law 3)."""
        return self._own.after == "keep"

    def _is_known(
        self, pair: Pair, memory: Memory, equal: dict[Path, str], unknown: list[Path]
    ) -> bool:
        """Return whether a pair stays and is not to be painted now (law 3).

        Adds to `equal` the main file of a pair that was painted under another name, and to
        `unknown` the files to hash before it is known whether a pair was painted. If files leave
        the inbox, a pair is known only if it was painted while they stayed, and has not left since.
        """
        looks = self._looks_of(pair)
        records = {path: self._record(memory, path, looks[path]) for path in pair.files}
        own_files = [path for path in pair.files if path not in pair.shared]
        sizes = {path: looked.size for path, looked in looks.items()}
        judgment = memory.judge(pair.name, pair.roles, own_files, sizes, records)
        if not self._is_kept:
            is_painted = judgment.verdict is Verdict.PAINTED
            self._staying.update(pair.files if is_painted else ())
            return is_painted
        if judgment.verdict is Verdict.UNKNOWN:
            if self._too_large(pair):  # nobody hashes a sparse file of terabytes (law 11)
                return False
            unknown += judgment.unknown
        elif judgment.equal:
            equal[pair.main] = judgment.equal
        return judgment.verdict is not Verdict.NEW

    def _looks_of(self, pair: Pair) -> Mapping[Path, Look]:
        """Return the looks of all files of a pair, also of those in the style library.

        A file that is gone has the size -1.
        """
        looks = {}
        for path in (*pair.files, *pair.left_out):
            outside = self._outside.get(path)
            file_look = self._files.get(path) if outside is None else outside.look
            looks[path] = file_look or Look(-1, 0)  # it is gone, as the claim will find
        return looks

    def _came_and_went(
        self, memory: Memory, listing: InboxListing, mounts: frozenset[str]
    ) -> tuple[Mapping[Path, int], tuple[Seen, ...]]:
        """Compare a listing with the last one and the records of the inbox (law 3).

        Returns, for each file, the number of the last scan that certainly lacked it; and new
        records of files that are gone, are expected again, or are on another disk than recorded. If
        files leave the inbox, only files that stay are compared, and gone files are not expected
        again: a gone file that comes back is new.
        """
        inbox = str(self._path)
        records = [record for record in memory.seen.values() if record.inbox == inbox]
        self._folders.update(listing, self._absences.number, records)
        if not self._is_kept:
            records, listing = self._only_staying(memory, records, listing)
        own_disk = self._disks.root if self._is_beside_the_ledger() else ""
        certain_disks = self._certain_disks(own_disk)
        absent, new = self._absences.update(listing, certain_disks.of, mounts, records, own_disk)
        if not self._is_kept:
            new = tuple(record for record in new if record.gone is not None)
        return absent, (*new, *self._recognized(memory, records))

    def _only_staying(
        self, memory: Memory, records: Sequence[Seen], listing: InboxListing
    ) -> tuple[list[Seen], InboxListing]:
        """Return the records and listing, reduced to files that were painted before or left out.

        These files stay in an inbox that other files leave.
        """
        left_out = {Path(record.path) for record in records if record.left_out}
        staying = left_out | self._staying
        files = {path: listing.files[path] for path in staying & listing.files.keys()}
        known = {path: file for path, file in files.items() if self._record(memory, path, file)}
        own_records = [record for record in records if Path(record.path) in staying]
        return own_records, replace(listing, files=known)

    def _is_beside_the_ledger(self) -> bool:
        """Return whether the inbox is on the mount of the ledger: no other disk takes its place."""
        return disks.mount_root(self._path) == disks.mount_root(self._settings.state.path)

    def _certain_disks(self, own_disk: str) -> InboxDisks:
        """Return the disks of the inbox, with an empty identity where absences are uncertain.

        That is where another disk may take the place of this one unnoticed, and on a union of
        disks. `own_disk` is the identity of the disk of the ledger, which nothing can replace, or
        empty.
        """
        mounts = disks.table()

        def certain(folder: Path, disk: str) -> str:
            is_told = disks.tells_exchanges(disk) or disk == own_disk
            return disk if is_told and disks.shows_all(folder, mounts) else ""

        inner = {folder: certain(folder, disk) for folder, disk in self._disks.inner.items()}
        return InboxDisks(certain(self._path, self._disks.root), inner)

    def _recognized(self, memory: Memory, records: Sequence[Seen]) -> Iterator[Seen]:
        """Yield new records of present files that are recorded on another disk, or on none.

        Records of version 1 name no disk, and left-out files are known on any disk.
        """
        for record in records:
            path = Path(record.path)
            disk = self._disks.of(path)
            looked = self._files.get(path)
            if looked is None or (disk, record.path) in memory.seen:
                continue
            if self._of(memory, path, looked) is record:
                yield record._replace(disk=disk)

    def _too_large(self, pair: Pair) -> str:
        """Describe the files of a pair that are larger than the limits; empty if none is."""
        excesses = []
        looks = self._looks_of(pair)
        for role, path in pair.roles:
            size = looks[path].size
            limit = self._settings.limits.largest(role)
            if size > limit:
                key = " (limits.max_bytes)" if role == "content" else ""
                excesses.append(
                    f"a smaller {shown(path.name)}: it {disks.excess(size, limit)}{key}"
                )
        return "; ".join(excesses)

    def _side_of(self, job_file: Path | None) -> Side | None:
        """Return the only side that a job with this job.yaml needs; None if it needs both.

        A file that cannot be read now is recorded as trouble, and counts as absent in this scan.
        """
        key = job_file, None if job_file is None else self._files.get(job_file)
        if key not in self._sides:
            try:
                self._sides[key] = self._read_side(job_file)
            except OSError as error:  # the next scan reads it again
                self._not_read(shown(job_file), error)
                return self._side_of(None)
        return self._sides[key]

    def _read_side(self, job_file: Path | None) -> Side | None:
        if job_file is None:
            return only_side(self._settings, None)
        with folder_of(self._path, job_file) as folder:
            return only_side(self._settings, job_file, folder)

    def _not_read(self, place: str, error: OSError) -> None:
        """Record why something cannot be read; raises ShortageError if the machine is the cause."""
        shortage = shortages.shortage(error)
        if shortage is not None:
            raise shortage from error
        self._trouble[place] = shortages.in_words(error)

    # -- the last look before a claim

    def check(self, groups: Sequence[Group], step: Step = lambda: None) -> Checked:
        """Take a last look at groups; return which may be claimed: unchanged, with whole files.

        Pairs of groups that must wait are in `incomplete`. A group that has changed since the last
        scan is left out, and makes the result stale. An unfinished file that has not changed for
        `truncated_s` is claimed as it is. Raises OutputError if files cannot be taken out of the
        inbox, ShortageError if the machine cannot look at them now.
        """
        if not self._is_kept and not entries.is_writable(self._path):
            raise OutputError(
                f"no file can be taken out of {self._path}, which cannot be written: let the "
                "daemon's user write there, or set `after: keep` for this inbox"
            )
        ready = list[Group]()
        incomplete = list[Pair]()
        is_stale = False
        looks: dict[Path, Look] = {}
        near: dict[Path, list[Path]] = {}
        around = Surroundings(self._path, self._listing.ignored)
        for group in groups:
            step()
            is_current, waits_for = self._look_at(group[0], around)
            if not is_current:
                is_stale = True
            elif denied := self._denied(group[0]):
                incomplete += [replace(pair, waits_for=denied) for pair in group]
            elif waits_for:
                incomplete += [replace(pair, waits_for=waits_for, changing=True) for pair in group]
            else:
                ready.append(group)
                near[group[0].main] = [*around.of(group[0].main, group[0].folder)]
                for pair in group:
                    looks |= self._looks_of(pair)
        return Checked(tuple(ready), tuple(incomplete), looks, near, is_stale)

    def _look_at(self, pair: Pair, around: Surroundings) -> tuple[bool, str]:
        """Return whether a pair is as in the last scan, and what it still waits for.

        If a file cannot be read, nothing is known of it: its pair waits, but no other pair (law 2).
        """
        try:
            with shortages.translated("it was tried"):
                if not self._is_current(pair, around):
                    return False, ""
                return True, self._awaited(pair)
        except (OutputError, InputError) as error:
            return True, f"its files to be readable ({error})"

    def _is_current(self, pair: Pair, around: Surroundings) -> bool:
        """Return whether a pair is as in the last scan: no changed file, no new entry for it."""
        if any(look(path) != self._files[path] for path in pair.files if path in self._files):
            return False
        return all(map(self._listing.has, around.of(pair.main, pair.folder)))

    def _awaited(self, pair: Pair) -> str:
        """Note which files of a pair are open for writing or lack their end.

        Returns a text that says for which files the pair waits; empty if it waits for none. A
        job.yaml that lacks its end is not waited for.
        """
        for path in pair.files:
            if path not in self._files or self._stability.gave_up(path):
                continue
            state = unfinished(self._path, path)
            if state == "open" or (state and path != pair.job_file):
                self._stability.add(path, self._files[path], is_open=state == "open")
        return self._stability.waits_for(pair.files)

    def _denied(self, pair: Pair) -> str:
        """Return which file or folder is closed to this account, and what helps; empty if none."""
        folders = {path.parent for path in pair.files if path not in pair.shared}
        for folder in sorted(folders) if not self._is_kept else ():
            if not entries.is_writable(folder):
                return f"the folder {shown(folder)} to be writable: {account.whose(folder)}"
        for path in pair.files:
            if entries.is_closed(path):
                place = f"{shown(path.name)} in {shown(path.parent)}"
                return f"{place} to be readable: {account.whose(path)}"
        return ""

    def _is_open(self, path: Path) -> bool:
        """Return whether a program has a file open; False also if the file cannot be read.

        `check` looks again before a claim.
        """
        try:
            return unfinished(self._path, path) == "open"
        except (OSError, InputError):
            return False


def _left_out_with(claims: Iterable[Claim], files: Mapping[Path, Look]) -> dict[Path, str]:
    """Return the unchanged files that `claims` left out, with the reasons.

    The ledger does not have records of these files yet.
    """
    return {
        path: claim.why_left_out
        for claim in claims
        for path, looked in claim.left_out
        if files.get(path) == looked
    }


def _without_remains(incomplete: Iterable[Pair], claims: Iterable[Claim]) -> list[Pair]:
    """Return the incomplete pairs, except those that have only files of claims.

    The status of a claim says why some of its files are still in the inbox. Pairs with changing
    files are returned in any case.
    """
    claimed = {file.source for claim in claims for file in claim.files}
    return [pair for pair in incomplete if pair.changing or not claimed.issuperset(pair.files)]


def apart(settings: Config, own: InboxSettings, guard: MountGuard) -> Mapping[Identity, str]:
    """Return the identities of folders that a scan of an inbox must skip, with the reasons.

    `guard` has these identities from its last checks, because only the lanes of the folders may
    look at them. Folders that it has not checked are missing in the result.
    """
    return {
        guard.identities[path]: f"it is the {kind} {path}"
        for kind, path in settings.apart(own)
        if path in guard.identities
    }
