"""Removal of the inputs of a job: only a file that is accounted for is removed (law 1).

This is the only place where an input is removed: from the state folder or, if it had to be copied
there, from the folder in the inbox that holds its original.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from io import BufferedReader
from math import inf

from stylewatch_daemon.base.errors import InputError
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.base.model import PICTURES, Job, OutputFile
from stylewatch_daemon.files import atomic, entries, identity, safe_dirs, strangers
from stylewatch_daemon.files.identity import Look, Version, Writers
from stylewatch_daemon.ledger.claim import FILES, Claim, File
from stylewatch_daemon.ledger.state_dir import StateDir


class Removal(StrEnum):
    """Result of an attempt to remove an input; only GONE means that it is not there any more."""

    GONE = "gone"
    OPEN = "a program may still write to it"
    CHANGED = "no published file has its bytes"
    STRANGE = "it is no input of the job: move it away"


class FirstSights:
    """Record of when each version of a file was first seen; `clock` is monotonic, in seconds.

    The times of a file are reliable only for changes since the start of this daemon: while no
    daemon ran, somebody may have set the system clock. An earlier change counts as made at the
    first sight.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self._times: dict[tuple[str, str, Version], float] = {}

    def unchanged(self, seconds: float | None, job_id: str, name: str, version: Version) -> float:
        """Return for how many seconds the input `name` of a job has certainly not changed.

        `seconds` is the time since its last change by its own times, or None if they are not
        reliable; `version` is its present version. Record the first sight of a version when it is
        needed.
        """
        now = self._clock()
        if seconds is not None and (seconds == inf or seconds <= now - self._began):
            return seconds
        return now - self._times.setdefault((job_id, name, version), now)


@dataclass(frozen=True)
class Account:
    """Conditions under which inputs of a job may be removed.

    `digests` maps the SHA-256 of files that may be removed to their sizes in bytes: those of
    published inputs that the ledger lists and, if the claim says `after: delete` and the job has a
    picture, those of the inputs that it was painted from. A size is 0 if a ledger of version 1 did
    not record it. `is_deleted` is True if the owner asked for the deletion of the job. If the
    system cannot tell whether a program writes to a file, the file stays until it has not changed
    for `settles_in` seconds, by its times or, if these do not tell, by `first_sights`.
    """

    claim: Claim
    digests: Mapping[str, int]
    undigested: frozenset[str] = frozenset()
    """Names of inputs whose digest the job did not record: they may be removed if their size and
    time are still those in the claim."""
    is_deleted: bool = False
    settles_in: float = inf
    first_sights: FirstSights | None = None

    @classmethod
    def of(
        cls,
        job: Job,
        claim: Claim,
        listed: Iterable[OutputFile],
        settles_in: float,
        first_sights: FirstSights | None = None,
    ) -> "Account":
        """Return the account of a job for which the ledger lists the files `listed`.

        It allows the removal of inputs whose bytes were published or, with `after: delete`, of
        those that a picture was painted from.
        """
        parts = ("inputs", "refused")
        digests = {file.sha256: file.size for file in listed if file.part in parts}
        undigested = frozenset[str]()
        if claim.after == "delete" and job.end in PICTURES:
            used = {file.sha256: file.size for file in job.inputs if file.sha256}
            digests = {**used, **digests}
            undigested = frozenset(file.name for file in job.inputs if not file.sha256)
        return cls(claim, digests, undigested, False, settles_in, first_sights)

    def needs_digest(self, file: File) -> bool:
        """Return whether `file` may be removed only if `digests` or `undigested` allow it.

        A copy of a file that stays elsewhere may be removed in any case, and so may every input of
        a job that its owner deletes.
        """
        return not (self.claim.stays_elsewhere(file) or self.is_deleted)


def remove(
    name: str, folder: int, file: File, account: Account, step: Step = lambda: None
) -> Removal:
    """Remove the input `file`, called `name` in an opened folder, if it is accounted for.

    Returns GONE, also if it was gone before, or the reason why it stays. The digest is read through
    a handle, and just before the removal the name must still lead to the same file. Raises OSError
    if anything about the file is unknown.
    """
    if not entries.exists(name, folder):
        return Removal.GONE
    try:
        opened = atomic.open_regular(name, folder)
    except InputError:
        return Removal.CHANGED
    with opened:
        is_claimed = account.claim.leaves_inbox(file)
        if is_claimed and not account.is_deleted and _may_be_written(opened, name, folder, account):
            return Removal.OPEN
        if account.needs_digest(file) and not _is_accounted(opened, file, account, step):
            return Removal.CHANGED
        if not identity.is_same_file(opened, name, folder):
            return Removal.CHANGED
        entries.unlink(name, folder)
    return Removal.GONE


def _may_be_written(file: BufferedReader, name: str, folder: int, account: Account) -> bool:
    """Return whether a program may still write to an opened file that was taken out of the inbox.

    If the writers of the file cannot be seen, the time since its last change decides: an upload
    that stalled changes the file when it goes on.
    """
    found = identity.writers(name, folder)
    if found is not Writers.UNKNOWN:
        return found is Writers.SOME
    seconds = atomic.seconds_unchanged(file, name, folder)
    if account.first_sights is not None:
        version = identity.version(file)
        seconds = account.first_sights.unchanged(seconds, account.claim.id, name, version)
    return seconds is None or seconds < account.settles_in


def _is_accounted(file: BufferedReader, claimed: File, account: Account, step: Step) -> bool:
    """Return whether the `account` allows the removal of an opened input.

    A file in `undigested` must have the size and the time in the claim. Any other file must have
    one of the `digests`; it is read only if it has the size of one of them.
    """
    version = identity.version(file)
    is_as_claimed = claimed.look == Look(version.size, version.mtime_ns)
    if claimed.name in account.undigested and is_as_claimed:
        return True
    if not any(strangers.may_have(version.size, size) for size in account.digests.values()):
        return False
    sha256 = atomic.digest_of(file, strangers.in_time(version.size, step), most=version.size)
    return sha256 in account.digests and identity.version(file) == version


def remove_all(state: StateDir, account: Account, step: Step = lambda: None) -> dict[str, Removal]:
    """Remove the inputs of a job from the state folder; return the reasons for files that stay.

    The reasons are by file name. Files in that folder that are no inputs stay, too, as STRANGE.
    """
    claim = account.claim
    folder = state.files(claim.id)
    if not entries.is_folder(folder):
        return {}
    left: dict[str, Removal] = {}
    with safe_dirs.opened(state.jobs, f"{claim.id}/{FILES}") as handle:
        atomic.sweep(handle)
        for file in claim.files:
            result = remove(file.name, handle, file, account, step)
            if result is not Removal.GONE:
                left[file.name] = result
        strange = {*entries.names(handle)} - {file.name for file in claim.files}
    return left | dict.fromkeys(strange, Removal.STRANGE)
