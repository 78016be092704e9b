"""Claiming of pairs: their files leave the inbox by a rename, and none is lost (laws 4 and 5).

Changes on the disk have this order, so that a kill at any moment leaves a consistent state:

1. The jobs are in the ledger, and claims in the state folder name the files that are about to be
   moved.
2. Files that leave the inbox are renamed: into the claim if that is on the same mount, otherwise
   into a folder of this ledger in the inbox or, if that fails too, to another name in their own
   folder. A file in one of the latter two places is held. The claim names its disk first: while
   another disk is in the place of this one, a held file only seems to be gone.
3. Held files, and those that stay in the inbox, are copied into the claim. Further jobs of the
   group get links to the files that they share.
4. One rename for each job, of its folder in the claim to `jobs`, completes the claim.
5. A held file is removed once its copy has been compared and no program writes to it; see
   `release`.

Each function may be repeated after a kill. If a file has changed, or another file came that may
belong to its pair, all files go back to where they were, and the job is given up. Other programs
may write in the inbox at the same time: folders below it are opened part by part, so that a link
that replaces a folder has no effect.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath

from stylewatch_daemon.base.errors import InputError, OutputError
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.base.model import Pair
from stylewatch_daemon.client import submit
from stylewatch_daemon.files import atomic, disks, entries, identity, leftovers, safe_dirs
from stylewatch_daemon.files.account import explained
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.identity import Look, Version, Writers, look
from stylewatch_daemon.files.leftovers import Ignored
from stylewatch_daemon.files.names import candidates, safe, shown, take_name
from stylewatch_daemon.intake import truncation
from stylewatch_daemon.intake.scan import HELD, Surroundings, held_beside
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
from stylewatch_daemon.ledger.state_dir import StateDir, style_key
from stylewatch_daemon.outbox import inputs
from stylewatch_daemon.outbox.inputs import Account, Removal
from stylewatch_daemon.outbox.job_files import Spot
from stylewatch_daemon.settings.sections import InboxSettings

MOST_NEAR = 10_000
"""Maximum number of other entries near a job that a claim lists, because `load` refuses larger
claims."""


class ChangedError(InputError):
    """A pair changed while it was being claimed; `Claiming.take` puts all its files back."""


class WrittenError(OutputError):
    """A claimed file is still being written, and cannot be copied yet."""


@dataclass(frozen=True)
class Taken:
    """Result of `Claiming.take` for a group."""

    digests: Mapping[Path, str] = field(default_factory=dict)
    """SHA-256 of each copied file, by its path in the inbox or the style library."""
    originals: tuple[tuple[Path, Look], ...] = ()
    """Files that version 1 copied and that are still in the inbox, with their looks."""
    stays: str = ""
    """Reason why the job's own folder is still in the inbox; empty if it is not."""


@contextmanager
def folder_of(inbox: Path, path: Path) -> Iterator[int]:
    """Open the folder that contains `path`, which is in `inbox`, and yield its handle.

    Links are not followed. Raises OSError.
    """
    with safe_dirs.opened(inbox, str(path.parent.relative_to(inbox))) as folder:
        yield folder


def unfinished(inbox: Path, path: Path) -> str | None:
    """Return `open` or `short` if a file is not complete; None if it seems to be complete.

    `open` means that a program has the file open for writing, `short` that it lacks its last bytes.
    Raises OSError if the file cannot be read, InputError if it is not a regular file.
    """
    with folder_of(inbox, path) as folder:
        if identity.writers(path.name, folder) is Writers.SOME:
            return "open"
        with atomic.open_regular(path.name, folder) as file:
            return "short" if truncation.lacks_end(file) else None


# -- the claims of a group


def claims_for(
    pairs: Sequence[Pair],
    looks: Mapping[Path, Look],
    near: Sequence[Path],
    disks_found: Iterable[tuple[Path, str]],
    inbox: InboxSettings,
    ids: Sequence[str],
    ledger_id: str,
) -> list[Claim]:
    """Return the claims of pairs with the same main file; each job gets the next of `ids`.

    `looks` has the looks of all files of the pairs, including files that are left out. `near` are
    the inbox entries that concern the pairs. `disks_found` has the inbox and the mount points in
    it, each with the identity of its disk.
    """
    others = {*near}.difference(*(pair.files for pair in pairs))
    others_in_inbox = tuple(sorted(str(path.relative_to(inbox.path)) for path in others))
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
            near=others_in_inbox if len(others) <= MOST_NEAR else None,
            finals=() if inbox.finals is None else (inbox.finals,),
            disks=tuple(disks_found),
        )
        for pair, job_id in zip(pairs, ids, strict=True)
    ]


def _files(pair: Pair, looks: Mapping[Path, Look]) -> Iterator[File]:
    """Yield the files of `pair` with their roles, each under a unique name."""
    taken: set[str] = set()
    for role, path in pair.roles:
        name = take_name(_safe_names(path.name), taken)
        yield File(role, name, path, looks[path], own=path not in pair.shared)


def _safe_names(name: str) -> Iterator[str]:
    """Yield safe candidates for a file name: `a.jpg`, `a-2.jpg`, `a-3.jpg` and so on."""
    stem, dot, suffix = name.rpartition(".")
    if not stem:
        return candidates(safe(name))
    return candidates(safe(stem), dot + safe(suffix))


class Claiming:
    """Claiming of groups of jobs into the state folder, for the ledger with the id `ledger_id`.

    Inbox entries that are `ignored` concern no pair. A file that is missing in an inbox counts as
    absent only if `guard` finds its disk before and after the look (law 2). Copies leave twice
    `free_bytes` free on their disk, because claimed jobs need `free_bytes` to begin.
    """

    def __init__(
        self,
        state: StateDir,
        ledger_id: str,
        free_bytes: int,
        guard: MountGuard,
        ignored: Ignored,
    ) -> None:
        self._ignored = ignored
        self._state = state
        self._ledger_id = ledger_id
        self._free_bytes = free_bytes
        self._guard = guard

    # -- taking

    def take(
        self, groups: Iterable[Sequence[Claim]], step: Step = lambda: None
    ) -> list[Taken | Exception]:
        """Bring the files of `groups` into the state folder; return a result for each, in order.

        All groups must be from one inbox. They pass each stage together, so that one sync of a disk
        serves all of them. If a group fails, its result is the exception. An OSError means that the
        group may be taken later. A ChangedError means that the pair has changed: all its files are
        back in the inbox, and the group is not claimed. Raises OutputError if the disk of the inbox
        or of the state folder is missing.
        """
        batch = [_Taking(group) for group in groups]
        inbox = batch[0].group[0].inbox
        check = partial(self._check, Surroundings(inbox, self._ignored))
        with self._guard.checked(inbox, self._state.root):
            for make in (
                check, self._begin, self._begin_first, self._hold,
                self._gather, self._commit, self._finish,
            ):  # fmt: skip
                for taking in batch:
                    step()
                    taking.attempt(partial(make, taking, step))
                _sync(batch)
            for taking in batch:
                changed = taking.error
                if isinstance(changed, ChangedError):
                    taking.error = None
                    taking.attempt(partial(self._give_back, taking.group))
                    taking.error = taking.error or changed
        return [taking.error or taking.result for taking in batch]

    @contextmanager
    def _checked(self, claim: Claim, *, is_deleted: bool = False) -> Iterator[None]:
        """Check the disks of inbox, state folder and held files before and after the context.

        Raises OutputError if one is missing (law 2). With `is_deleted`, because the owner deletes
        the job, the disk of a held file is not checked if a disk with another mark has taken its
        place.
        """
        with ExitStack() as stack:
            stack.enter_context(self._guard.checked(claim.inbox, self._state.root))
            for folder in (self._folder(claim), self._state.jobs / claim.id):
                for path, mark in held_on(folder).items():
                    if is_deleted and disks.has_another_mark(path, mark):
                        continue
                    stack.enter_context(self._guard.checked_inside(path, disk=mark))
            yield

    def _check(self, around: Surroundings, taking: "_Taking", step: Step) -> None:
        """Check that the disks of held files are there, and that no new entry concerns the pair.

        Raises OutputError if a disk is missing. Raises ChangedError if a new entry concerns the
        pair while files of it are still in the inbox: an earlier try may be hours ago.
        """
        first = taking.group[0]
        with self._checked(first):
            if first.near is None or self._has_left(first):
                return
            known = {first.inbox / name for name in first.near}
            known.update(file.source for claim in taking.group for file in claim.files)
            new = {*around.of(first.main.source, first.folder)} - known
        if new:
            names = ", ".join(sorted(shown(path.name) for path in new))
            raise ChangedError(f"{names} came while it was being claimed")

    def _has_left(self, claim: Claim) -> bool:
        """Return whether a claim is complete, or all files that leave the inbox have left it."""
        if entries.exists(self._state.jobs / claim.id):
            return True
        leaving = [file for file in claim.files if claim.leaves_inbox(file)]
        return bool(leaving) and all(self._spot_of(claim, file) for file in leaving)

    def _begin(self, taking: "_Taking", step: Step) -> None:
        """Set `taking.todo` to the claims that are not complete; write all but the first."""
        taking.todo = [
            claim for claim in taking.group if not entries.exists(self._state.jobs / claim.id)
        ]
        for claim in taking.todo[1:]:
            self._write(taking, claim)

    def _begin_first(self, taking: "_Taking", step: Step) -> None:
        """Write the first claim, after all others: once it exists, files may be moved."""
        for claim in taking.todo[:1]:
            self._drop_former_copies(claim)
            self._write(taking, claim)

    def _write(self, taking: "_Taking", claim: Claim) -> None:
        folder = self._folder(claim)
        if entries.exists(folder / FILE_NAME):
            with safe_dirs.opened(folder, FILES) as files:
                atomic.sweep(files)  # a kill may have left a half, which takes space
        else:
            for path in (folder.parent, folder, folder / FILES):
                entries.make_folder(path)
            save(claim, folder, durable=False)
        taking.unsynced += [folder / FILE_NAME, folder, folder.parent, self._state.claims]

    def _hold(self, taking: "_Taking", step: Step) -> None:
        """Rename the files that leave the inbox, unless this is done already; note their places."""
        for claim in taking.todo[:1]:
            self._guard.check(self._state.root)  # the claim is not below a missing mount
            for file in filter(claim.leaves_inbox, claim.files):
                spot = self._spot_of(claim, file) or self._rename(claim, file)
                taking.spots[file.source] = spot
                taking.unsynced.append(spot.path)
                if spot.root == claim.inbox:
                    taking.unsynced.append(spot.path.parent)

    def _gather(self, taking: "_Taking", step: Step) -> None:
        """Copy or link the files that are missing in the folders of the claims.

        The first claim gets copies, except of the files that were renamed into its folder. Another
        claim gets links to the files that it shares with the first, and copies of its own files.
        """
        for claim in taking.todo:
            for file in claim.files:
                target = self._folder(claim) / FILES / file.name
                if entries.exists(target):
                    continue
                if not file.source.is_relative_to(claim.inbox):
                    taking.digests[file.source] = self._take_style(file, target, step)
                elif not self._link(taking.todo[0], claim, file):
                    spot = taking.spots.get(file.source)
                    taking.digests[file.source] = self._copy(claim, file, spot, target, step)
            taking.unsynced.append(self._folder(claim) / FILES)

    def _commit(self, taking: "_Taking", step: Step) -> None:
        """Move the folders of the claims to `jobs`, that of the first claim last."""
        for claim in reversed(taking.todo):  # the first, which has the files themselves, comes last
            atomic.move(self._folder(claim), self._state.jobs / claim.id, durable=False)
        taking.unsynced.append(self._state.jobs)

    def _finish(self, taking: "_Taking", step: Step) -> None:
        """Clean up after a group that is in the state folder, and set its result.

        Remove held originals, and the job's own folder, from the inbox, as far as possible now: the
        end of the job tries again. Hash the files that an earlier daemon copied before it was
        killed.
        """
        first = taking.group[0]
        for claim in taking.group:
            self._drop_moved(claim, step)
            for file in claim.files:
                if file.source not in taking.digests and not claim.leaves_inbox(file):
                    copied = self._state.files(claim.id) / file.name
                    taking.digests[file.source] = atomic.digest(copied, step=step)
        if first.group:
            entries.remove_empty(self._state.claims / first.group)
        if self._state.is_held(first.id):
            self.release(Account(first, {}), step)
        stays = remove_folder(first)
        if stays and not self._state.is_held(first.id):  # the end of the job tries again
            hold(self._state.jobs / first.id, {})
        taking.result = Taken(taking.digests, self._former_originals(first), stays)

    def _drop_former_copies(self, claim: Claim) -> None:
        """Drop the copies of files that version 1 was about to remove from the inbox."""
        for path, _ in self._former_originals(claim):
            entries.unlink(self._folder(claim) / FILES / claim.file_from(path).name)

    def _former_originals(self, claim: Claim) -> tuple[tuple[Path, Look], ...]:
        """Return the unchanged files in the inbox that version 1 claimed, with their looks.

        Version 1 copied files before it removed them from the inbox. Claims of later versions,
        which name their ledger, have no such files.
        """
        if claim.ledger:
            return ()
        leaving = [file for file in claim.files if claim.leaves_inbox(file)]
        unchanged = [file for file in leaving if look(file.source) == file.look]
        return tuple((file.source, file.look) for file in unchanged)

    def _drop_moved(self, claim: Claim, step: Step) -> None:
        """Remove the folder in `claims` that a move to `jobs` across mounts has left.

        A file there that differs from its copy, because it was written to late, is copied again
        first.
        """
        folder = self._folder(claim)
        if not entries.exists(folder):
            return
        for file in claim.files:
            source = folder / FILES / file.name
            target = self._state.files(claim.id) / file.name
            if not entries.exists(source):
                continue
            if atomic.digest(source, step=step) != atomic.digest(target, step=step):
                atomic.copy(source, target, step=step)  # its last bytes came late
            entries.unlink(source)
        atomic.discard(folder, self._state.trash)

    def _folder(self, claim: Claim) -> Path:
        return self._state.claims.joinpath(*filter(None, (claim.group, claim.id)))

    def _ledger_of(self, claim: Claim) -> str:
        return claim.ledger or self._ledger_id  # version 1 wrote none

    def _spots(self, claim: Claim, file: File) -> tuple[Spot, ...]:
        """Return the places to which a file may be renamed, in the order of preference."""
        inbox = claim.inbox
        ledger_id = self._ledger_of(claim)
        beside = _beside(claim, file)
        folder = PurePosixPath(claim.group, claim.id, FILES)
        return (
            Spot(self._state.claims, str(folder), file.name),
            Spot(inbox, str(PurePosixPath(HELD, ledger_id, claim.id, beside)), file.source.name),
            Spot(inbox, beside, f"{held_beside(ledger_id, claim.id)}{file.name}"),
        )

    def _spot_of(self, claim: Claim, file: File) -> Spot | None:
        """Return the place to which a file of the inbox was renamed; None if it was not."""
        if not claim.leaves_inbox(file):
            return None
        inside, *held = self._spots(claim, file)  # a held file may have a copy inside
        for spot in (*held, inside):
            if entries.exists(spot.path):
                return spot
        return None

    def _held(self, claim: Claim, file: File) -> Spot | None:
        """Return the place where a file is held outside of the claim; None if there is none."""
        spot = self._spot_of(claim, file)
        return None if spot is None or spot.root == self._state.claims else spot

    def _rename(self, claim: Claim, file: File) -> Spot:
        """Rename a file of the inbox to the first of its spots that allows it; return the spot.

        Raises ChangedError if the file has changed, even if that shows only after the rename, and
        OutputError if no rename is possible.
        """
        with _unchanged(claim.inbox, file) as source:
            for spot in self._spots(claim, file):
                if spot.root == claim.inbox:
                    self._note_disk(claim, file)
                if spot.folder.startswith(HELD):
                    self._make_private(claim.inbox)
                with (
                    safe_dirs.opened(spot.root, spot.folder, make=True) as folder,
                    explained(file.source, "moved"),
                ):
                    if entries.rename(file.source.name, spot.name, source, folder):
                        break
            else:
                raise OutputError(f"{shown(file.source)} cannot be moved: no rename is possible")
        if look(spot.path) != file.look:
            raise _changed(file)
        return spot

    def _note_disk(self, claim: Claim, file: File) -> None:
        """Note the mark of the disk on which a file is about to be held.

        The disk is that of the inbox, or one that is mounted in the inbox.
        """
        folder = self._folder(claim)
        path = disks.mount_root(file.source.parent)
        if claim.inbox not in path.parents:
            path = claim.inbox
        if path not in (noted := held_on(folder)):
            self._guard.check(path)
            mark = disks.mark_of(path)
            if mark:
                atomic.sync_folder(path / disks.MARK[0])
            hold(folder, {**noted, path: mark})

    def _make_private(self, inbox: Path) -> None:
        with safe_dirs.opened(inbox, HELD, make=True) as folder:
            entries.attempt_privacy(folder)

    def _copy(self, claim: Claim, file: File, spot: Spot | None, target: Path, step: Step) -> str:
        """Copy a file from `spot`, or from the inbox if `spot` is None; return its SHA-256.

        Raises ChangedError if the file in the inbox has changed, and raises as `copy_whole` does.
        """
        self._check_space(target, file)
        if spot is not None:
            with safe_dirs.opened(spot.root, spot.folder) as source:
                return copy_whole(spot.name, source, target, step)
        with _unchanged(claim.inbox, file) as source:
            sha256 = copy_whole(file.source.name, source, target, step)
            if look(file.source.name, source) != file.look:
                entries.unlink(target)
                raise _changed(file)
        return sha256

    def _take_style(self, file: File, target: Path, step: Step) -> str:
        """Link or copy a default style from the state folder to `target`; return its SHA-256.

        The lane of the style library made the copy in the state folder. Raises ChangedError if
        there is none: then the library has changed, and only its own lane may look there (law 9).
        """
        copy, sha256 = self._state.style_copies().get(style_key(file.source, file.look), (None, ""))
        if copy is None:
            raise _changed(file)
        if not entries.link(copy, target):
            self._check_space(target, file)
            atomic.copy(copy, target, step=step)
        return sha256

    def _check_space(self, target: Path, file: File) -> None:
        disks.check([(target.parent, file.look.size + self._free_bytes)], self._free_bytes)

    def _link(self, first: Claim, claim: Claim, file: File) -> bool:
        """Give a job its own link or copy of a file that it shares with the first of its group.

        Returns False if the job does not share the file, or is the first one.
        """
        shared = next((each for each in first.files if each.source == file.source), None)
        if claim == first or shared is None:
            return False
        source, target = (self._folder(each) / FILES for each in (first, claim))
        if not entries.link(source / shared.name, target / file.name):
            self._check_space(target / file.name, file)
            atomic.copy(source / shared.name, target / file.name)
        return True

    # -- giving back

    def _give_back(self, group: Sequence[Claim]) -> None:
        """Move the files of a group back to the inbox, and remove its claims with all copies.

        A file whose name is taken gets a name that scans ignore and the status shows.
        """
        first = group[0]
        with self._checked(first):
            for file in filter(first.leaves_inbox, first.files):
                spot = self._spot_of(first, file)
                if spot is None:
                    continue
                if spot.root == first.inbox:
                    self._drop_copies(group, file)
                _put_back(spot, first.inbox, file.source)
            self._drop_empty(first.inbox, self._ledger_of(first), [first.id])
        for claim in group:  # what is left are copies and links
            for folder in (self._folder(claim), self._state.jobs / claim.id):
                atomic.discard(folder, self._state.trash)
        if first.group:
            entries.remove_empty(self._state.claims / first.group)

    def _drop_copies(self, group: Sequence[Claim], file: File) -> None:
        """Remove the copies of a file that is about to be put back into the inbox.

        Otherwise, after a kill, a copy in a claim would be taken for the file that left the inbox.
        """
        for claim in group:
            folder = self._folder(claim) / FILES
            if entries.unlink(folder / claim.file_from(file.source).name):
                atomic.sync_folder(folder)

    def sweep(
        self, inbox: Path, open_jobs: Collection[str], beside: Mapping[str, Collection[Path]]
    ) -> list[Path]:
        """Put back files that this ledger holds in an inbox for no known job; return their paths.

        A power cut, or a loss of the ledger's changes, may leave such files. Jobs in `open_jobs`
        and in the state folder are known. `beside` has, by job, the files that a scan found held in
        their own folders. Abandoned pairs that a client prepared in the inbox, empty folders for
        held files, and the own folders of claimed jobs, if empty, are removed.
        """
        back: list[Path] = []
        held_folder = f"{HELD}/{self._ledger_id}"
        with self._guard.checked(inbox, self._state.root):
            open_ids = {*open_jobs, *self._state.claimed(), *entries.names(self._state.claims)}
            submit.clear(inbox)
            for folder, name in sorted(_files_below(inbox / held_folder)):
                job_id, _, place = folder.partition("/")
                if job_id not in open_ids:
                    spot = Spot(inbox, f"{held_folder}/{folder}", name)
                    back.append(_put_back(spot, inbox, inbox / place / name))
            lost = [
                (job, path)
                for job, paths in beside.items()
                for path in paths
                if job not in open_ids
            ]
            for job_id, path in lost:
                if entries.exists(path):
                    spot = Spot(inbox, str(path.parent.relative_to(inbox)), path.name)
                    name = path.name.removeprefix(held_beside(self._ledger_id, job_id))
                    back.append(_put_back(spot, inbox, path.with_name(name)))
            self._drop_empty(
                inbox, self._ledger_id, {*entries.names(inbox / held_folder)} - open_ids
            )
            for claim in self._state.claims_of(inbox):
                remove_folder(claim)
        return back

    # -- releasing

    def release(self, account: Account, step: Step = lambda: None) -> dict[str, Removal]:
        """Remove the held originals of a job, and its own folder, from the inbox.

        Returns the reasons for originals that stay, by file name. The folder stays as long as an
        original does. An original may be removed if the job's copy in the state folder has the same
        bytes. If it was written to after it was copied, it is copied again first. Raises OSError if
        a disk is missing or a file cannot be read now.
        """
        claim = account.claim
        remains: dict[str, Removal] = {}
        with self._checked(claim, is_deleted=account.is_deleted):
            held = [(file, spot) for file in claim.files if (spot := self._held(claim, file))]
            for above in {(spot.root, spot.folder): None for _, spot in held}:
                with safe_dirs.opened(*above) as opened:
                    for file, spot in held:
                        if (spot.root, spot.folder) == above:
                            result = self._release(spot.name, opened, file, account, step)
                            remains |= {} if result is Removal.GONE else {file.name: result}
                    atomic.sync_folder(opened)  # a power cut brings none back after the job's end
            if not remains:
                self._drop_empty(claim.inbox, self._ledger_of(claim), [claim.id])
                remove_folder(claim)
        if not remains:
            entries.unlink(self._state.jobs / claim.id / ORIGINALS)
        return remains

    def _release(self, name: str, folder: int, file: File, account: Account, step: Step) -> Removal:
        """Remove an original; copy it again first if it has changed since it was copied."""
        copy = self._state.files(account.claim.id) / file.name
        if entries.exists(copy) and account.needs_digest(file):
            account = _with_digest(account, atomic.digest(copy, step=step), copy)
        result = inputs.remove(name, folder, file, account, step)
        if result is Removal.CHANGED and entries.exists(name, folder):
            account = _with_digest(account, copy_whole(name, folder, copy, step), copy)
            result = inputs.remove(name, folder, file, account, step)
        return result

    def _drop_empty(self, inbox: Path, ledger_id: str, job_ids: Iterable[str]) -> None:
        """Remove the folders for held files of jobs, as far as they are empty."""
        ledger_folder = inbox / HELD / ledger_id
        for job_id in job_ids:
            _remove_empty_folders(ledger_folder / job_id)
        for folder in (ledger_folder, ledger_folder.parent):
            if entries.is_own_folder(folder):
                entries.remove_empty(folder)


def _with_digest(account: Account, sha256: str, copy: Path) -> Account:
    """Return `account`, extended so that a file with the bytes of `copy` may be removed."""
    copied = look(copy)
    size = copied.size if copied else 0
    return replace(account, digests={**account.digests, sha256: size})


@dataclass
class _Taking:
    """Progress of bringing one group of claims into the state folder."""

    group: Sequence[Claim]
    todo: Sequence[Claim] = ()
    """Claims of the group that are not complete yet."""
    spots: dict[Path, Spot] = field(default_factory=dict)
    """Places of the files that left the inbox, by the path that they had there."""
    digests: dict[Path, str] = field(default_factory=dict)
    unsynced: list[Path] = field(default_factory=list)
    result: Taken = field(default_factory=Taken)
    error: Exception | None = None

    def attempt(self, work: Callable[[], object]) -> None:
        """Call `work`, unless an earlier part has failed; store an exception of it in `error`."""
        if self.error is None:
            try:
                work()
            except Exception as error:
                self.error = error


def _sync(batch: Iterable[_Taking]) -> None:
    """Sync what was written for all groups; a failed sync is an error of its group alone."""
    unsynced = dict.fromkeys(path for taking in batch for path in taking.unsynced)
    errors = atomic.sync_all(unsynced)
    for taking in batch:
        failed = [errors[path] for path in taking.unsynced if path in errors]
        if taking.error is None and failed:
            taking.error = failed[0]
        taking.unsynced.clear()


def _remove_empty_folders(folder: Path) -> None:
    """Remove a folder and the folders in it, except those with files; no link is followed."""
    if entries.is_own_folder(folder):
        for name in entries.names(folder):
            _remove_empty_folders(folder / name)
        entries.remove_empty(folder)


def _files_below(folder: Path, inner: str = "") -> Iterator[tuple[str, str]]:
    """Yield (folder, name) of each file or link at any depth below `folder`.

    The yielded folder is relative to the outermost `folder`, with a `/` at the end, or empty.
    """
    for name in entries.names(folder):
        if entries.is_own_folder(folder / name):
            yield from _files_below(folder / name, f"{inner}{name}/")
        else:
            yield inner, name


@contextmanager
def _unchanged(inbox: Path, file: File) -> Iterator[int]:
    """Yield the handle of the folder of a file in the inbox, after checking that it is unchanged.

    Raises ChangedError if the file has changed, OSError if it cannot be read: the copy after a
    rename needs the permission to read it, which the rename does not.
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


def copy_whole(name: str, source: int, target: Path, step: Step) -> str:
    """Copy `name` in the opened folder `source` to `target`, compare both, return the SHA-256.

    Raises WrittenError if a program has the file open for writing or wrote to it in the meantime,
    InputError if it is not a regular file.
    """
    if identity.writers(name, source) is Writers.SOME:
        raise WrittenError(f"{shown(target.name)} is still being written: a program has it open")
    with atomic.open_regular(name, source) as reading:
        version: Version = identity.version(reading)
        with atomic.replacing(target) as writing:
            sha256 = atomic.copy_into(reading, writing, step)
            writing.flush()
            is_whole = identity.version(reading) == version
        if not is_whole or atomic.digest(target, step=step) != sha256:
            entries.unlink(target)
            raise WrittenError(f"{shown(target.name)} is still being written")
    return sha256


def _put_back(spot: Spot, inbox: Path, source: Path) -> Path:
    """Move a held file back into the inbox; return its path.

    If its name is taken, the file gets a name that scans ignore and the status shows. With any
    other name it could become a part of a job.
    """
    folder = str(source.parent.relative_to(inbox))
    with (
        safe_dirs.opened(spot.root, spot.folder) as held,
        safe_dirs.opened(inbox, folder, make=True) as target,
    ):
        other_names = candidates(f"{safe(source.stem)} {leftovers.PUT_BACK}", source.suffix)
        for name in chain([source.name], other_names):
            if atomic.move_unless_taken(spot.name, name, held, target):
                return source.with_name(name)
    raise AssertionError("the names never end")


def _beside(claim: Claim, file: File) -> str:
    """Return the folder of a file, relative to its inbox."""
    return str(file.source.parent.relative_to(claim.inbox))


def _changed(file: File) -> ChangedError:
    return ChangedError(f"{shown(file.source.name)} changed while it was being claimed")


def remove_folder(claim: Claim) -> str:
    """Remove the job's own folder in the inbox if it is empty or has only debris (law 10).

    Debris is what other programs make again, such as thumbnails. Returns why the folder stays;
    empty if it is gone, or the job has no folder that leaves the inbox.
    """
    if claim.folder is None or not claim.leaves_inbox(claim.main):
        return ""
    if not entries.is_folder(claim.folder):
        return ""
    with folder_of(claim.inbox, claim.folder) as parent:
        name = claim.folder.name
        with entries.opened(name, parent) as folder:
            names = entries.names(folder)
            folders = [entry for entry in names if entries.is_folder(entry, folder)]
            files = [entry for entry in names if entry not in folders]
            if not leftovers.may_leave_with(files, folders):
                return f"it stays, with {leftovers.what_stays(names)}"
            for entry in names:
                entries.attempt_removal(entry, folder)
        is_gone = entries.attempt_folder_removal(name, parent)
    return "" if is_gone else "it stays, as it cannot be removed"
