"""Removal of the inputs of a job: no file goes that is not accounted for (law 1).

This is the only place where an input is removed, from the state folder or, if it had to be copied,
from the inbox's own folder for claimed files.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from io import BufferedReader

from stylewatch_daemon.base.errors import InputError
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.base.model import PICTURES, Job, OutputFile
from stylewatch_daemon.files import atomic, entries, identity, safe_dirs, strangers
from stylewatch_daemon.files.identity import Writers
from stylewatch_daemon.ledger.claim import FILES, Claim, File
from stylewatch_daemon.ledger.state_dir import StateDir


class Removal(StrEnum):
    """Result of an attempt to remove an input; only GONE means that it is not there any more."""

    GONE = "gone"
    OPEN = "a program may still write to it"
    CHANGED = "no published file has its bytes"
    STRANGE = "it is no input of the job: move it away"


@dataclass(frozen=True)
class Account:
    """What allows the removal of the inputs of a job.

    `published` maps the digests of the synced files that the ledger lists to their sizes; a size
    is 0 if a ledger of version 1 did not record it. `is_deleted` is True if the owner asked for
    the deletion of the job. `is_settled` is True once so much time has passed since the claim that
    a program that still writes would have been seen.
    """

    claim: Claim
    published: Mapping[str, int]
    deletes: bool = False
    """True if the settings say `delete` and the job has a picture."""
    is_deleted: bool = False
    is_settled: bool = True

    @classmethod
    def of(
        cls, job: Job, claim: Claim, listed: Iterable[OutputFile], *, is_settled: bool
    ) -> "Account":
        """Return the account of a job with the files that the ledger lists for it."""
        parts = ("inputs", "refused")
        published = {file.sha256: file.size for file in listed if file.part in parts}
        deletes = claim.after == "delete" and job.end in PICTURES
        return cls(claim, published, deletes=deletes, is_settled=is_settled)

    def needs_digest(self, file: File) -> bool:
        """Return whether `file` may go only if its bytes are published.

        Otherwise it is a copy of a file that stays elsewhere, or someone wants it to be deleted.
        """
        return not (self.claim.stays_elsewhere(file) or self.deletes or self.is_deleted)


def remove(
    name: str, folder: int, file: File, account: Account, step: Step = lambda: None
) -> Removal:
    """Remove the input `file`, called `name` in an opened folder, if it is accounted for.

    The digest is read through the handle that is compared with the name just before. Raises OSError
    if anything about it is unknown.
    """
    if not entries.exists(name, folder):
        return Removal.GONE
    try:
        opened = atomic.open_regular(name, folder)
    except InputError:
        return Removal.CHANGED
    with opened:
        is_claimed = account.claim.leaves_inbox(file)
        if is_claimed and not account.is_deleted and _may_be_written(name, folder, account):
            return Removal.OPEN
        if account.needs_digest(file) and not _is_published(opened, account.published, step):
            return Removal.CHANGED
        if not identity.is_same_file(opened, name, folder):
            return Removal.CHANGED
        entries.unlink(name, folder)
    return Removal.GONE


def _may_be_written(name: str, folder: int, account: Account) -> bool:
    """Return whether a program may still write; only a claimed file has other writers than us."""
    found = identity.writers(name, folder)
    return found is Writers.SOME or (found is Writers.UNKNOWN and not account.is_settled)


def _is_published(file: BufferedReader, published: Mapping[str, int], step: Step) -> bool:
    """Return whether an opened file has the bytes of a published one; another size is not read."""
    before = identity.version(file)
    if not any(strangers.may_have(before.size, size) for size in published.values()):
        return False
    sha256 = atomic.digest_of(file, strangers.in_time(before.size, step), most=before.size)
    return sha256 in published and identity.version(file) == before


def remove_all(state: StateDir, account: Account, step: Step = lambda: None) -> dict[str, Removal]:
    """Remove the inputs of a job from the state folder; return those that stay, by name.

    What is there under other names stays, too.
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
