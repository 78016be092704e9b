"""Memory of the files that stay in inboxes: painted files are recognized by content (law 3)."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import InputError, OutputError
from stylewatch_daemon.base.lanes import Effort, Lanes, Step
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.identity import Look, look
from stylewatch_daemon.intake.claim import Taken, folder_of
from stylewatch_daemon.intake.inbox import Inbox
from stylewatch_daemon.intake.scanner import Scan
from stylewatch_daemon.jobs.jobs import Also, Jobs
from stylewatch_daemon.ledger.claim import Claim
from stylewatch_daemon.ledger.memory import BEFORE, Painted, Seen, key_of
from stylewatch_daemon.ledger.writer import LedgerWriter

HASHED = 64 << 20
"""Number of bytes after which hashing pauses, so that new files are not kept waiting."""

HASH_EVERY_S = 1.0
"""Minimum pause in seconds between two batches of files of an inbox that are hashed. A pause also
lasts at least as long as the batch before it took."""


Hashed = tuple[Seen, int]
"""Record of a file that was hashed, and the number of the last scan that certainly lacked it."""


@dataclass(frozen=True)
class Hashing:
    """Result of the hashing of some files of an inbox."""

    found: Sequence[Hashed] = ()
    unread: Mapping[Path, str] = field(default_factory=dict)
    """Files that could not be read, with the reasons."""
    seconds: float = 0.0
    """How long the hashing took, in seconds."""


class Kept:
    """Memory of the files that stay in `inboxes`, in the ledger; `clock` is monotonic, in seconds.

    If the sizes and looks of files do not tell whether their pair was painted, the files are hashed
    first: in the lane of their inbox, after new drops, and at a limited rate.
    """

    def __init__(
        self, jobs: Jobs, lanes: Lanes, inboxes: Sequence[Inbox], clock: Callable[[], float]
    ) -> None:
        self._jobs = jobs
        self._lanes = lanes
        self._inboxes = inboxes
        self._clock = clock
        self._keys: dict[str, str] = {}
        """Keys of the pairs that jobs are about to paint, by job."""
        self._remembering: list[Claim] = []
        """Claims whose files in the inbox the ledger may not know yet."""
        self._unknown: dict[Path, deque[Path]] = {}
        """Files to hash, by inbox."""
        self._learned: set[Path] = set()
        """Inboxes with files that were hashed since the last scan."""
        self._hash_at: dict[Path, float] = {}
        """Time from which more files of an inbox may be hashed; infinite while a lane hashes some
        of them (law 9)."""

    # -- what scans find

    def scanned(self, inbox: Inbox, scan: Scan) -> None:
        """Post the new records of a scan to the ledger, and note the files to hash."""
        self._unknown[inbox.path] = deque(scan.unknown)
        self._learned.discard(inbox.path)
        if scan.records:
            self._jobs.post("", None, lambda ledger: ledger.remember(scan.records))

    def leave_out(self, inbox: Inbox, path: Path, looked: Look, why: str) -> None:
        """Record that a file of an inbox is not to be painted, and why.

        A picture is left out until it changes, a clip for as long as it has this name.
        """
        disk = inbox.last.disks.of(path)
        record = _record(inbox.path, disk, path, looked, left_out=why)
        self._jobs.post("", None, lambda ledger: ledger.remember([record]))

    def hash(self, inbox: Inbox) -> None:
        """Begin to hash some files of unknown content in the lane of `inbox` (law 3).

        Do nothing if no file waits, or the pause after the last batch is not over.
        """
        unknown = self._unknown.get(inbox.path)
        if not unknown or self._clock() < self._hash_at.get(inbox.path, 0.0):
            return
        scan = inbox.last
        files = list[Path]()
        total = 0
        while unknown and total < HASHED:
            files.append(unknown.popleft())
            total += scan.files[files[-1]].size
        self._hash_at[inbox.path] = inf
        work = partial(_hash, inbox, scan, files, self._clock)
        self._lanes.do(inbox.path, work, partial(self._hashed, inbox), total)

    def _hashed(self, inbox: Inbox, result: Hashing | Exception) -> None:
        """Record the result of a batch; after the last batch, scan again if files were hashed."""
        hashing = Hashing() if isinstance(result, Exception) else result
        self._hash_at[inbox.path] = self._clock() + max(HASH_EVERY_S, hashing.seconds)
        inbox.not_read(hashing.unread)
        if hashing.found:
            self._jobs.post("", None, partial(self._arrived, hashing.found))
            self._jobs.commit()
            self._learned.add(inbox.path)
        if not self._unknown.get(inbox.path) and inbox.path in self._learned:
            inbox.scan()

    def _arrived(self, hashed: Sequence[Hashed], ledger: LedgerWriter) -> None:
        inboxes = [inbox.path for inbox in self._inboxes]
        for record, absent in hashed:
            ledger.arrived(record, absent, inboxes)

    @property
    def is_hashing(self) -> bool:
        """True while files are hashed."""
        return inf in self._hash_at.values()

    @property
    def hash_in(self) -> float:
        """Seconds until more files may be hashed; infinite if none wait, or lanes hash them."""
        waiting = (path for path, files in self._unknown.items() if files)
        soonest = min((self._hash_at.get(path, 0.0) for path in waiting), default=inf)
        return max(0.0, soonest - self._clock())

    # -- what is claimed

    def is_painted(self, claim: Claim, digests: Mapping[Path, str]) -> bool:
        """Return whether a claimed pair was painted before, or another job is about to paint it.

        `digests` are the SHA-256 of the files of `claim`, by source path. The result is False for a
        pair that leaves its inbox, and for a retry. For any other pair, a result of False also
        records the job of `claim` as the one that is about to paint it.
        """
        if claim.after != "keep" or claim.is_copy:
            return False
        key = key_of([(file.role, digests[file.source]) for file in claim.files])
        if any(key == other_key for job_id, other_key in self._keys.items() if job_id != claim.id):
            return True
        painter = self._jobs.ledger.painter(key)
        is_known = painter not in (None, claim.id)  # its own record is from before a kill
        if not is_known:
            self._keys[claim.id] = key
        return is_known

    def remembering(self, claim: Claim, taken: Taken) -> Also:
        """Return a function that writes into the ledger what is to be remembered of a claim.

        The function records the files that stay in the inbox, files that are left out because of
        the claim, and, if `is_painted` recorded the job, the pair as painted. For a retry it
        records nothing. It takes all data from `claim` and `taken`: the present settings may lack
        the inbox. Until the records are in the ledger, `being_remembered` returns the claim.
        """
        if claim.is_copy:
            return lambda ledger: None
        self._remembering.append(claim)
        records = _records(claim, taken)
        key = self._keys.get(claim.id)
        painted = None
        if key is not None:
            digests = frozenset(taken.digests[file.source] for file in claim.files)
            painted = Painted(key, digests, str(claim.main.source), claim.id)

        def write(ledger: LedgerWriter) -> None:
            ledger.remember(records, painted)
            self._keys.pop(claim.id, None)

        return write

    def being_remembered(self) -> Sequence[Claim]:
        """Return the claims whose records the ledger lacks, for example with a full disk."""
        posted = self._jobs.has_posted
        self._remembering = [claim for claim in self._remembering if posted(claim.id)]
        return self._remembering


def _records(claim: Claim, taken: Taken) -> list[Seen]:
    """Return records of the files of a claim that stay in the inbox, and of those left out."""

    def record(path: Path, looked: Look, sha256: str = "", left_out: str = "") -> Seen:
        return _record(claim.inbox, claim.disk_of(path), path, looked, sha256, left_out)

    stay = [
        record(file.source, file.look, taken.digests[file.source])
        for file in claim.files
        if not claim.leaves_inbox(file) and file.source.is_relative_to(claim.inbox)
    ]
    why = claim.why_left_out
    left_out = [record(path, looked, left_out=why) for path, looked in claim.left_out]
    former = [record(path, looked, left_out=BEFORE) for path, looked in taken.originals]
    return [*stay, *left_out, *former]


def _hash(
    inbox: Inbox, scan: Scan, files: Iterable[Path], clock: Callable[[], float], step: Step
) -> Hashing:
    """Hash files of an inbox; a file that cannot be read holds up no other file (law 2).

    Raises ShortageError, and OutputError if the daemon stops.
    """
    effort = Effort(step, clock)
    hashed = list[Hashed]()
    unread = dict[Path, str]()
    for path in files:
        try:
            hashed += _hash_one(inbox, scan, path, effort)
        except OutputError:  # the daemon stops
            raise
        except (OSError, InputError) as error:
            shortage = shortages.shortage(error)
            if shortage:
                raise shortage from error
            reason = error.strerror if isinstance(error, OSError) else error
            unread[path] = f"it cannot be read: {reason}"
    return Hashing(hashed, unread, effort.seconds)


def _hash_one(inbox: Inbox, scan: Scan, path: Path, step: Step) -> list[Hashed]:
    """Hash a file; return a list with its record, empty if it is gone or has just changed."""
    looked = look(path)
    if looked is None:
        return []
    with folder_of(inbox.path, path) as folder, atomic.open_regular(path.name, folder) as file:
        sha256 = atomic.digest_of(file, step, most=looked.size)  # it may have grown (law 11)
    record = _record(inbox.path, scan.disks.of(path), path, looked, sha256)
    return [(record, scan.absent.get(path, 0))] if look(path) == looked else []


def _record(
    inbox: Path, disk: str, path: Path, looked: Look, sha256: str = "", left_out: str = ""
) -> Seen:
    """Return the record of a file that stays in an inbox, on the disk where it was found."""
    return Seen(str(path), str(inbox), disk, looked.size, looked.mtime_ns, sha256, left_out)
