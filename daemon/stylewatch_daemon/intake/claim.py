"""Claiming pairs: their files leave the inbox by a rename, and none is lost (laws 4 and 5).

The order of changes on the disk, which a kill at any moment leaves consistent:

1. The jobs are in the ledger, and the claims in the state folder say what is about to be moved.
2. Files that leave the inbox are renamed: into the claim if that is on the same mount, otherwise
   into a folder of this ledger in the inbox, or beside themselves; these are held there.
3. Held files, and those that stay in the inbox, are copied into the claim. Further jobs of the
   group get links of the files that they share.
4. One rename for each job, of its folder in the claim to `jobs`, completes the claim.
5. A held file goes once its copy has been compared and nobody writes to it; see `release`.

Each function may be repeated after a kill. If a file has changed, all files go back to where they
were, and there is no job. Others may write in the inbox at the same time: folders below it are
opened part by part, so that a link that replaces one has no effect.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from stylewatch_daemon.base.errors import InputError, OutputError
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.base.model import Pair
from stylewatch_daemon.files import atomic, disks, entries, identity, safe_dirs
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.identity import Look, Version, Writers, look
from stylewatch_daemon.files.names import candidates, folded, safe, shown
from stylewatch_daemon.intake import leftovers, truncation
from stylewatch_daemon.ledger.claim import (
    FILE_NAME,
    FILES,
    ORIGINALS,
    Claim,
    File,
    held_on,
    hold,
    save,
)
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.outbox import inputs
from stylewatch_daemon.outbox.inputs import Account, Removal
from stylewatch_daemon.settings.sections import Inbox

HELD = ".stylewatch"
"""Folder in an inbox for claimed files on another mount than the state folder, by ledger and job;
start of the names of those on a mount of their own. No scan looks there."""


class ChangedError(InputError):
    """A file of a pair changed while it was being claimed; all are where they were."""


class WrittenError(OutputError):
    """A claimed file is still being written, and cannot be copied yet."""


class Spot(NamedTuple):
    """A place for a claimed file: `name` in a folder below `root`."""

    root: Path
    folder: str
    name: str


@dataclass(frozen=True)
class Taken:
    """Result of a claim: the SHA-256 of each copied file, by its path in the inbox.

    `originals` are files that an earlier version copied, and that are still in the inbox. `stays`
    says why the job's own folder is still there.
    """

    digests: Mapping[Path, str] = field(default_factory=dict)
    originals: tuple[tuple[Path, Look], ...] = ()
    stays: str = ""


@contextmanager
def folder_of(inbox: Path, path: Path) -> Iterator[int]:
    """Open the folder that contains `path`, following no link below `inbox`.

    A file outside, such as one of the style library, is reached by its path. Raises OSError.
    """
    root = inbox if path.is_relative_to(inbox) else path.parent
    with safe_dirs.opened(root, str(path.parent.relative_to(root))) as folder:
        yield folder


def unfinished(inbox: Path, path: Path) -> str | None:
    """Return why a file is not complete: `open` or `short`; None if nothing is known of that."""
    with folder_of(inbox, path) as folder:
        if identity.writers(path.name, folder) is Writers.SOME:
            return "open"
        with atomic.open_regular(path.name, folder) as file:
            return "short" if truncation.lacks_end(file) else None


# -- the claims of a group


def claims_for(
    pairs: Sequence[Pair],
    looks: Mapping[Path, Look],
    inbox: Inbox,
    ids: Sequence[str],
    ledger_id: str,
) -> list[Claim]:
    """Return the claims of pairs with the same main file, as the jobs `ids`."""
    return [
        Claim(
            job_id,
            pair.name,
            inbox.path,
            inbox.outbox,
            inbox.after,
            tuple(_files(pair, looks)),
            folder=pair.folder,
            group=ids[0] if len(ids) > 1 else "",
            ledger=ledger_id,
            left_out=tuple((path, looks[path]) for path in pair.left_out),
        )
        for pair, job_id in zip(pairs, ids, strict=True)
    ]


def _files(pair: Pair, looks: Mapping[Path, Look]) -> Iterator[File]:
    """Yield the files of `pair` with their roles, each under a unique name."""
    taken: set[str] = set()
    for role, path in pair.roles:
        name = next(name for name in _safe_names(path.name) if folded(name) not in taken)
        taken.add(folded(name))
        yield File(role, name, path, looks[path], own=path not in pair.shared)


def _safe_names(name: str) -> Iterator[str]:
    """Yield safe candidates for a file name: `a.jpg`, `a-2.jpg`, `a-3.jpg` and so on."""
    stem, dot, suffix = name.rpartition(".")
    if not stem:
        return candidates(safe(name))
    return (f"{candidate}{dot}{safe(suffix)}" for candidate in candidates(safe(stem)))


class Claiming:
    """Claiming of groups of jobs into the state folder, for the ledger with the id `ledger_id`.

    What is missing in an inbox counts as absent only if `guard` finds its disk before and after
    (law 2). Copies leave twice `free_bytes` free on their disk, because claimed jobs need
    `free_bytes` to begin.
    """

    def __init__(self, state: StateDir, ledger_id: str, free_bytes: int, guard: MountGuard) -> None:
        self._state, self._ledger_id, self._free_bytes = state, ledger_id, free_bytes
        self._guard = guard

    # -- taking

    def take(self, group: Sequence[Claim], step: Step = lambda: None) -> Taken:
        """Bring the files of a group of claims into the state folder.

        Raises OSError if that is not possible now; the call can be repeated later. Raises
        ChangedError if a file has changed: then all are back in the inbox, and nothing is claimed.
        """
        first = group[0]
        with self._guard.checked(first.inbox):
            digests = self._take(group, step)
            if self._state.held_on(first.id):
                self.release(Account(first, {}, is_settled=False), step)
            stays = remove_folder(first)
            if stays:  # the end of the job tries again
                hold(self._state.jobs / first.id, self._guard.check(first.inbox))
            return Taken(digests, self._former_originals(first), stays)

    def _take(self, group: Sequence[Claim], step: Step) -> dict[Path, str]:
        """Make jobs of a group of claims; return the SHA-256 of each copied file."""
        todo = [claim for claim in group if not entries.exists(self._state.jobs / claim.id)]
        digests: dict[Path, str] = {}
        try:
            if todo:
                self._drop_former_copies(todo[0])
                self._gather(todo, digests, step)
        except ChangedError:
            self._give_back(group)
            raise
        for claim in reversed(todo):  # the first, which has the files themselves, comes last
            self._commit(claim)
        for claim in group:
            self._drop_moved(claim, step)
        if group[0].group:
            entries.remove_empty(self._state.claims / group[0].group)
        self._add_digests(group, digests, step)
        return digests

    def _drop_former_copies(self, claim: Claim) -> None:
        """Drop copies that version 1 made of files that it was about to remove from the inbox."""
        for path, _ in self._former_originals(claim):
            file = next(file for file in claim.files if file.source == path)
            entries.unlink(self._folder(claim) / FILES / file.name)

    def _former_originals(self, claim: Claim) -> tuple[tuple[Path, Look], ...]:
        """Return the files of a claim of version 1 that were copied, and are in the inbox."""
        if claim.ledger:
            return ()
        own = [file for file in claim.files if claim.leaves_inbox(file)]
        there = [file for file in own if look(file.source) == file.look]
        return tuple((file.source, file.look) for file in there)

    def _add_digests(self, group: Sequence[Claim], digests: dict[Path, str], step: Step) -> None:
        """Add the digests of files that stay in the inbox and were copied before a kill."""
        for claim in group:
            for file in claim.files:
                if file.source not in digests and not claim.leaves_inbox(file):
                    path = self._state.files(claim.id) / file.name
                    digests[file.source] = atomic.digest(path, step=step)

    def _gather(self, group: Sequence[Claim], digests: dict[Path, str], step: Step) -> None:
        """Bring the files of all claims into their folders; the first has the files themselves."""
        first = group[0]
        for claim in reversed(group):  # once the first is written, all are
            self._begin(claim)
        self._guard.check(self._state.root)  # it was not written in the place of a missing disk
        for file in filter(first.leaves_inbox, first.files):
            self._hold(first, file)
        for claim in group:
            for file in claim.files:
                is_linked = claim != first and self._link(first, claim, file)
                if not is_linked:
                    self._bring(claim, file, digests, step)
            atomic.sync_folder(self._folder(claim) / FILES)

    def _begin(self, claim: Claim) -> None:
        """Write the claim, before any of its files is touched."""
        folder = self._folder(claim)
        if entries.exists(folder / FILE_NAME):
            with safe_dirs.opened(folder, FILES) as files:
                atomic.sweep(files)  # a kill may have left a half, which takes space
            return
        for path in (folder.parent, folder, folder / FILES):
            entries.make_folder(path)
        save(claim, folder)
        atomic.sync_folder(folder.parent)
        if claim.group:
            atomic.sync_folder(self._state.claims)

    def _commit(self, claim: Claim) -> None:
        """Rename the claim's folder, which makes it the folder of a job."""
        job = self._state.jobs / claim.id
        try:
            atomic.move_folder(self._folder(claim), job)
        except OSError:
            if not entries.exists(job):  # else only the sync failed: a power cut repeats the claim
                raise

    def _drop_moved(self, claim: Claim, step: Step) -> None:
        """Remove what a move across mounts has left of a claim that is complete."""
        folder = self._folder(claim)
        if not entries.exists(folder):
            return
        for file in claim.files:
            left, moved = folder / FILES / file.name, self._state.files(claim.id) / file.name
            if not entries.exists(left):
                continue
            if atomic.digest(left, step=step) != atomic.digest(moved, step=step):
                atomic.copy(left, moved, step=step)  # its last bytes came late
            entries.unlink(left)
        atomic.discard(folder, self._state.trash)

    def _folder(self, claim: Claim) -> Path:
        return self._state.claims.joinpath(*filter(None, (claim.group, claim.id)))

    def _spots(self, claim: Claim, file: File) -> tuple[Spot, ...]:
        """Return the places for a file that leaves the inbox, in the order of preference."""
        inbox, own = claim.inbox, claim.ledger or self._ledger_id
        beside = str(file.source.parent.relative_to(inbox))
        return (
            Spot(self._folder(claim), FILES, file.name),
            Spot(inbox, str(PurePosixPath(HELD, own, claim.id, beside)), file.source.name),
            Spot(inbox, beside, f"{HELD}-{own}-{claim.id}-{file.name}"),
        )

    def _held(self, claim: Claim, file: File) -> Spot | None:
        """Return the place where a file is held outside of the claim; None if there is none."""
        for spot in self._spots(claim, file)[1:] if claim.leaves_inbox(file) else ():
            folder = spot.root / spot.folder
            if entries.is_folder(folder) and entries.exists(folder / spot.name):
                return spot
        return None

    def _hold(self, claim: Claim, file: File) -> None:
        """Rename a file out of the inbox, unless that is done; raises ChangedError."""
        target = self._folder(claim) / FILES / file.name
        if entries.exists(target) or self._held(claim, file) is not None:
            return
        with _unchanged(claim.inbox, file) as source:
            for spot in self._spots(claim, file):
                if spot.root == claim.inbox:
                    self._note_originals(claim)
                if spot.folder.startswith(HELD):
                    self._make_private(claim.inbox)
                with safe_dirs.opened(spot.root, spot.folder, make=True) as folder:
                    if atomic.rename(file.source.name, spot.name, source, folder):
                        if spot.root == claim.inbox:  # else the claim is synced as a whole
                            atomic.sync_folder(folder)
                        break
            else:
                raise OutputError(f"{shown(file.source)} cannot be moved: no rename is possible")
        path = spot.root / spot.folder / spot.name
        if look(path) != file.look:
            raise _changed(file)
        atomic.sync_file(path)

    def _note_originals(self, claim: Claim) -> None:
        """Note that originals are held in the inbox, before any is: only the state folder tells."""
        if held_on(self._folder(claim)) is None:
            hold(self._folder(claim), self._guard.check(claim.inbox))

    def _make_private(self, inbox: Path) -> None:
        with safe_dirs.opened(inbox, HELD, make=True) as folder:
            entries.attempt_privacy(folder)

    def _bring(self, claim: Claim, file: File, digests: dict[Path, str], step: Step) -> None:
        """Copy a file that is held elsewhere, or stays, into the claim, unless it is there."""
        target = self._folder(claim) / FILES / file.name
        if entries.exists(target):
            return
        spot = self._held(claim, file)
        disks.check([(target.parent, file.look.size + self._free_bytes)], self._free_bytes)
        if spot is not None:
            with safe_dirs.opened(spot.root, spot.folder) as source:
                digests[file.source] = _copy_whole(spot.name, source, target, step)
            return
        with _unchanged(claim.inbox, file) as source:
            digests[file.source] = _copy_whole(file.source.name, source, target, step)
            if look(file.source.name, source) != file.look:
                entries.unlink(target)
                raise _changed(file)

    def _link(self, first: Claim, claim: Claim, file: File) -> bool:
        """Give a job its own link of a file that it shares with the first; False if it has none."""
        shared = next((each for each in first.files if each.source == file.source), None)
        target = self._folder(claim) / FILES / file.name
        if shared is None:
            return False
        if entries.exists(target):
            return True
        source = self._folder(first) / FILES / shared.name
        if not entries.link(source, target):
            disks.check([(target.parent, file.look.size + self._free_bytes)], self._free_bytes)
            atomic.copy(source, target)
        return True

    # -- giving back

    def _give_back(self, group: Sequence[Claim]) -> None:
        """Return the files of claims that are given up to the inbox, and drop their copies.

        A file whose place is taken gets the next free name there.
        """
        first = group[0]
        with self._guard.checked(first.inbox):
            for file in filter(first.leaves_inbox, first.files):
                spot = self._held(first, file) or self._spots(first, file)[0]
                if entries.exists(spot.root / spot.folder / spot.name):
                    _put_back(spot, first.inbox, file.source)
            self._drop_folder(first)
        for claim in group:  # what is left are copies and links
            for folder in (self._folder(claim), self._state.jobs / claim.id):
                atomic.discard(folder, self._state.trash)
        if first.group:
            entries.remove_empty(self._state.claims / first.group)

    def sweep(self, inbox: Path, known: Collection[str]) -> list[Path]:
        """Put right what is left in an inbox, after a power cut or a loss of the ledger's changes.

        Files that this ledger holds there for no job that it knows are put back; returns their
        paths. Halves and empty folders are removed, among them those of claimed jobs.
        """
        back: list[Path] = []
        own = f"{HELD}/{self._ledger_id}"
        with self._guard.checked(inbox):
            if entries.is_own_folder(inbox / HELD):
                with safe_dirs.opened(inbox, HELD) as held:
                    atomic.sweep(held)  # halves of the mark of its disk
            for folder, name in sorted(_files_below(inbox / own)):
                job_id, _, place = folder.partition("/")
                if job_id not in known:
                    spot = Spot(inbox, f"{own}/{folder}", name)
                    back.append(_put_back(spot, inbox, inbox / place / name))
            _remove_empty_folders(inbox / HELD)
            for claim in self._state.claims_of(inbox):
                remove_folder(claim)
        return back

    # -- releasing

    def release(self, account: Account, step: Step = lambda: None) -> dict[str, Removal]:
        """Remove what an inbox still has of a job: its folder, and originals that are held there.

        Return those that stay. An original is accounted for by the job's own copy in the state
        folder, if that has the same bytes; one that was written to since is copied again.
        """
        claim = account.claim
        left: dict[str, Removal] = {}
        with self._guard.checked(claim.inbox):
            held = [(file, spot) for file in claim.files if (spot := self._held(claim, file))]
            for place in {(spot.root, spot.folder): None for _, spot in held}:
                with safe_dirs.opened(*place) as folder:
                    for file, spot in held:
                        if (spot.root, spot.folder) == place:
                            result = self._release(spot.name, folder, file, account, step)
                            left |= {} if result is Removal.GONE else {file.name: result}
                    atomic.sync_folder(folder)  # a power cut brings none back after the job's end
            if not left:
                self._drop_folder(claim)
                remove_folder(claim)
        if not left:
            entries.unlink(self._state.jobs / claim.id / ORIGINALS)
        return left

    def _release(self, name: str, folder: int, file: File, account: Account, step: Step) -> Removal:
        copy = self._state.files(account.claim.id) / file.name
        if entries.exists(copy) and account.needs_digest(file):
            sha256, copied = atomic.digest(copy, step=step), look(copy)
            size = copied.size if copied else 0
            account = replace(account, published={**account.published, sha256: size})
        result = inputs.remove(name, folder, file, account, step)
        if result is Removal.CHANGED and entries.exists(name, folder):
            _copy_whole(name, folder, copy, step)  # its last bytes came late
        return result

    def _drop_folder(self, claim: Claim) -> None:
        """Remove the job's folders for held files in the inbox, which are empty."""
        held = claim.inbox / HELD
        for file in filter(claim.leaves_inbox, claim.files):
            spot = self._spots(claim, file)[1]
            for folder in (spot.root / spot.folder, *(spot.root / spot.folder).parents):
                is_ours = folder == held or held in folder.parents
                if is_ours and entries.is_folder(folder) and not entries.remove_empty(folder):
                    break


def _remove_empty_folders(folder: Path) -> None:
    """Remove a folder and those in it, as far as they have no files; no link is followed."""
    if entries.is_own_folder(folder):
        for name in entries.names(folder):
            _remove_empty_folders(folder / name)
        entries.remove_empty(folder)


def _files_below(folder: Path, inner: str = "") -> Iterator[tuple[str, str]]:
    """Yield the folder, relative to the first, and the name of each file or link below a folder."""
    for name in entries.names(folder):
        if entries.is_own_folder(folder / name):
            yield from _files_below(folder / name, f"{inner}{name}/")
        else:
            yield inner, name


@contextmanager
def _unchanged(inbox: Path, file: File) -> Iterator[int]:
    """Open the folder of a file that looks as it did; raises ChangedError, and OSError.

    A rename needs no permission to read, but nothing could be done with the file after it.
    """
    if not entries.is_folder(file.source.parent):
        raise _changed(file)
    with folder_of(inbox, file.source) as folder:
        if look(file.source.name, folder) != file.look:
            raise _changed(file)
        try:
            with atomic.open_regular(file.source.name, folder):
                pass
            yield folder
        except InputError as error:  # it is a link now
            raise _changed(file) from error
        except FileNotFoundError as error:
            if entries.exists(file.source.name, folder):
                raise
            raise _changed(file) from error


def _copy_whole(name: str, source: int, target: Path, step: Step) -> str:
    """Copy a file and compare the copy; return the SHA-256 of its bytes.

    Raises WrittenError if a program wrote to it in the meantime.
    """
    if identity.writers(name, source) is Writers.SOME:
        raise WrittenError(f"{shown(target.name)} is still being written: a program has it open")
    with atomic.open_regular(name, source) as reading:
        before: Version = identity.version(reading)
        with atomic.replacing(target) as writing:
            sha256 = atomic.copy_into(reading, writing, step)
            writing.flush()
            is_whole = identity.version(reading) == before
        if not is_whole or atomic.digest(target, step=step) != sha256:
            entries.unlink(target)
            raise WrittenError(f"{shown(target.name)} is still being written")
    return sha256


def _put_back(spot: Spot, inbox: Path, source: Path) -> Path:
    """Move a held file back into the inbox, under a free name; return its path."""
    folder = str(source.parent.relative_to(inbox))
    with (
        safe_dirs.opened(spot.root, spot.folder) as held,
        safe_dirs.opened(inbox, folder, make=True) as target,
    ):
        for name in (f"{stem}{source.suffix}" for stem in candidates(source.stem)):
            if atomic.move_unless_taken(spot.name, name, held, target):
                return source.with_name(name)
    raise AssertionError("the names never end")


def _changed(file: File) -> ChangedError:
    return ChangedError(f"{shown(file.source.name)} changed while it was being claimed")


def remove_folder(claim: Claim) -> str:
    """Remove the job's own folder in the inbox if it is empty but for debris (law 10).

    Return why it stays; empty if it is gone, or is nobody's.
    """
    if claim.folder is None or not claim.leaves_inbox(claim.main):
        return ""
    if not entries.is_folder(claim.folder):
        return ""
    with folder_of(claim.inbox, claim.folder) as parent:
        name = claim.folder.name
        with safe_dirs.inner(parent, name) as folder:
            names = entries.names(folder)
            folders = [each for each in names if entries.is_folder(each, folder)]
            files = [each for each in names if each not in folders]
            if not leftovers.may_leave_with(files, folders):
                return f"it stays, with {leftovers.what_stays(names)}"
            for each in names:
                entries.attempt_removal(each, folder)
        is_gone = entries.attempt_folder_removal(name, parent)
    return "" if is_gone else "it stays, as it cannot be removed"
