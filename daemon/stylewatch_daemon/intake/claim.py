"""Claim a pair: move its files out of the inbox, also over mounts, without losing one.

The order of changes on the disk, whatever is killed when:

1. The job is in the ledger, and the claim in the state folder says what is about to be moved.
2. Files are copied or renamed into the claim; copies first, as they are what may fail.
3. One rename, of the claim's folder to `jobs`, completes the claim.
4. The pictures are inspected, and the job is queued; the ledger lists originals to be removed.
5. Originals that were copied are removed, each only if it is still the file that was copied.

Each function may be repeated after a kill. Others write in the inbox meanwhile: folders below it
are opened part by part, so that a link that replaces one leads nowhere.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from errno import EIO, EXDEV
from os.path import lexists
from pathlib import Path

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import DaemonError, InputError, OutputError
from stylewatch_daemon.base.model import Pair, Picture, Role
from stylewatch_daemon.base.mover import Step
from stylewatch_daemon.files import atomic, disks, identity, safe_dirs
from stylewatch_daemon.files.identity import Look, look
from stylewatch_daemon.files.names import candidates, safe, shown
from stylewatch_daemon.ledger.claim import FILE_NAME, FILES, Claim, File, save
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.ledger.writer import Kept, KeptFile
from stylewatch_daemon.settings.sections import LARGEST_PICTURE, Inbox, Limits

_BLOCK = 512
"""Bytes of a block, as `st_blocks` counts them on Linux."""


class StuckError(OutputError):
    """Files could neither be claimed nor put back: they are safe in the state folder."""


@contextmanager
def folder_of(inbox: Path, path: Path) -> Iterator[int]:
    """Open the folder that `path` is in; no link below `inbox` is followed.

    A file elsewhere, as one of the style library, is reached by its path. Raises OSError.
    """
    root = inbox if path.is_relative_to(inbox) else path.parent
    with safe_dirs.opened(root, str(path.parent.relative_to(root))) as folder:
        yield folder


def is_being_written(inbox: Path, path: Path) -> bool:
    """Return True if a program has `path` open for writing, as far as the system tells."""
    try:
        with folder_of(inbox, path) as folder:
            return identity.is_being_written(path.name, folder)
    except OSError:
        return False


# -- what is claimed


def claim_for(
    pair: Pair, looks: Mapping[Path, Look], inbox: Inbox, job_id: str, limits: Limits
) -> Claim:
    """Return the claim of a pair whose files looked like `looks`, as the job `job_id`.

    Raises InputError if a file is gone.
    """
    device = None
    with suppress(OSError):
        device = inbox.path.stat().st_dev
    claim = Claim(
        job_id,
        pair.name,
        inbox.path,
        inbox.outbox,
        inbox.after,
        tuple(_files(pair, looks)),
        folder=pair.folder,
        device=device,
    )
    if too_large(claim, limits):
        return Claim(**{**vars(claim), "in_place": True})
    return claim


def _files(pair: Pair, looks: Mapping[Path, Look]) -> Iterator[File]:
    """Yield the files of `pair` by their roles, each under a unique name."""
    roles: list[Role] = [
        *(["content"] if pair.content else []),
        *["style"] * len(pair.styles),
        *(["init"] if pair.init else []),
        *pair.masks,
        *(["job"] if pair.job_file else []),
        *pair.rest.values(),
    ]
    if not {"content", "style"}.intersection(roles):
        roles[0] = "content"  # each job has one, and an incomplete pair may be a job.yaml alone
    taken: set[str] = set()
    for role, path in zip(roles, pair.files, strict=True):
        seen = looks.get(path) or look(path)
        if seen is None:
            raise InputError(f"{shown(path.name)} is gone, or is no file any more")
        name = next(name for name in _safe_names(path.name) if name.casefold() not in taken)
        taken.add(name.casefold())
        yield File(role, name, path, seen, own=path not in pair.shared)


def _safe_names(name: str) -> Iterator[str]:
    """Yield `a.jpg`, `a-2.jpg`, `a-3.jpg` ..., made safe."""
    stem, dot, suffix = name.rpartition(".")
    if not stem:
        return candidates(safe(name))
    return (f"{candidate}{dot}{safe(suffix)}" for candidate in candidates(safe(stem)))


def too_large(claim: Claim, limits: Limits) -> str:
    """Return why a job is refused for the size of its files; empty if it is not.

    Such files are not moved: a copy of them could fill a disk.
    """
    reasons = []
    for file in claim.files:
        limit = limits.largest(file.role)
        if file.look.size > limit:
            excess = disks.excess(file.look.size, limit)
            key = " (limits.max_bytes)" if file.role == "content" else ""
            reasons.append(f"{shown(file.source.name)} {excess}{key}")
    if not reasons:
        return ""
    folder = shown(claim.main.source.parent)
    return f"{'; '.join(reasons)}. Its files are still in {folder}: remove them there"


# -- moving


def move(claim: Claim, state: StateDir, free_bytes: int, step: Step) -> str:
    """Move or copy the files of a claim into the state folder.

    Copies of clips leave `free_bytes` on the disk. Returns an empty text, or why the job must be
    refused: its files can neither be claimed nor put back. Raises InputError if a file has changed,
    OSError if the files cannot be claimed now; in both cases all of them are in the inbox as
    before. Raises StuckError if they are not.
    """
    folder, job = state.claims / claim.id, state.jobs / claim.id
    if job.exists():
        return ""
    try:
        (folder / FILES).mkdir(parents=True, exist_ok=True)
        if not (folder / FILE_NAME).exists():
            save(claim, folder)
            atomic.sync_folder(folder.parent)
        if not claim.in_place:
            _gather(claim, folder / FILES, free_bytes, step)
    except Exception as error:  # whatever it is, no file stays in between
        reason = f"claiming it was cut off, and its folder is gone: {error}"
        if not _put_back(claim, state):
            return reason
        if isinstance(error, DaemonError):
            raise
        message = f"{shown(claim.name)} cannot be moved out of the inbox: {_why(error)}"
        raise OutputError(message) from error
    _commit(folder, job)
    return ""


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return str(shortages.shortage(error) or error.strerror)
    logging.getLogger(__name__).error("a fault of stylewatch", exc_info=error)
    return f"a fault of stylewatch ({type(error).__name__}: {error})"


def keep(claim: Claim, state: StateDir) -> None:
    """Make what was claimed so far the files of the job, which fails; raises OSError."""
    folder = state.claims / claim.id
    if folder.exists():
        _commit(folder, state.jobs / claim.id)


def _commit(folder: Path, job: Path) -> None:
    """Rename the claim's folder: from then on it is that of a job."""
    try:
        atomic.rename_folder(folder, job)
    except OSError:
        if not job.exists():  # else the sync failed: after a power cut it is claimed again
            raise


def _gather(claim: Claim, folder: Path, free_bytes: int, step: Step) -> None:
    """Bring all files of a claim into `folder`."""
    for file in sorted(claim.files, key=claim.leaves_inbox):  # copies first
        target = folder / file.name
        if not lexists(target):
            if claim.leaves_inbox(file) and _rename(claim.inbox, file, target):
                atomic.sync_file(target)
                continue
            if file.look.size > LARGEST_PICTURE:
                disks.check([(folder, _stored(claim.inbox, file))], free_bytes)
            _copy(claim.inbox, file, target, step)
    atomic.sync_folder(folder)


def _stored(inbox: Path, file: File) -> int:
    """Return the bytes that a file takes on a disk, where holes take none."""
    with folder_of(inbox, file.source) as folder:
        return os.stat(file.source.name, dir_fd=folder, follow_symlinks=False).st_blocks * _BLOCK


def _rename(inbox: Path, file: File, target: Path) -> bool:
    """Rename `file` to `target`; return False if that is on another mount."""
    try:
        with folder_of(inbox, file.source) as folder:
            os.rename(file.source.name, target, src_dir_fd=folder)
    except (OutputError, FileNotFoundError) as error:  # gone, or a link replaced a folder
        raise _changed(file) from error
    except OSError as error:
        if error.errno != EXDEV:
            raise
        return False
    if look(target) != file.look:
        raise _changed(file)
    return True


def _copy(inbox: Path, file: File, target: Path, step: Step) -> None:
    name = file.source.name
    try:
        with folder_of(inbox, file.source) as folder:
            if look(name, folder) != file.look:
                raise _changed(file)
            digest = atomic.copy(name, target, folder, step)
            try:
                if atomic.digest(target, step=step) != digest or look(name, folder) != file.look:
                    raise _changed(file)
            except (InputError, OSError):  # else the next start would trust the copy
                target.unlink()
                raise
    except (OutputError, FileNotFoundError) as error:
        raise _changed(file) from error


def _changed(file: File) -> InputError:
    return InputError(f"{shown(file.source.name)} changed while it was being moved")


# -- back into the inbox


def give_back(claim: Claim, state: StateDir) -> bool:
    """Put the files of a claimed job back into the inbox; return whether that was possible.

    If it is not, as their folder is gone, they stay where they are. Raises StuckError.
    """
    job, folder = state.jobs / claim.id, state.claims / claim.id
    if job.exists():
        atomic.rename_folder(job, folder)
    return _put_back(claim, state)


def _put_back(claim: Claim, state: StateDir) -> bool:
    folder = state.claims / claim.id
    if not folder.exists():
        return True
    try:
        _return_files(claim, folder / FILES)
    except OSError as error:
        if not _has_no_way_back(claim, state.root):
            raise StuckError(
                f"{shown(claim.name)} is being moved, and {claim.inbox} cannot be written "
                f"({error.strerror or error}): its files are in {folder} until it can be"
            ) from error
        _commit(folder, state.jobs / claim.id)
        return False
    atomic.discard(folder, state.trash)
    return True


def _return_files(claim: Claim, files: Path) -> None:
    """Put back each of the job's own files, from the folder `files`, whose original is missing.

    No folder is made for a file: a missing one may be a mount, which would hide the file when it
    comes back. Raises OSError.
    """
    for file in claim.files:
        held = files / file.name
        if not claim.leaves_inbox(file) or not lexists(held):
            continue
        with folder_of(claim.inbox, file.source) as folder:
            name = file.source.name
            if look(name, folder) == file.look:
                continue
            held_look = look(held)
            was_copied = held_look is not None and held_look.inode != file.look.inode
            if not (was_copied and _exists(name, folder)):  # else a copy of what changed since
                _move_back(held, file.source, folder)


def _move_back(held: Path, source: Path, folder: int) -> None:
    """Move `held` into an opened folder under the name of `source`, or with a number if taken."""
    for stem in candidates(source.stem):
        name = source.with_stem(stem).name
        try:
            os.link(held, name, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            if _is_same(held, name, folder):
                break  # it was put back before a kill
            continue
        except OSError:
            if _exists(name, folder):
                continue
            _rename_back(held, name, folder)
            return
        break
    atomic.sync_folder(folder)
    held.unlink()
    atomic.sync_folder(held.parent)


def _rename_back(held: Path, name: str, folder: int) -> None:
    """Move `held` if it cannot be linked: on another mount, or without links."""
    try:
        os.rename(held, name, dst_dir_fd=folder)
    except OSError as error:
        if error.errno != EXDEV:
            raise
        if atomic.copy(held, name, target_folder=folder) != atomic.digest(name, folder):
            raise OSError(EIO, "the copy differs from what was written", held) from error
        held.unlink()
    atomic.sync_folder(folder)
    atomic.sync_folder(held.parent)


def _is_same(held: Path, name: str, folder: int) -> bool:
    """Return True if both are names of one file, as after a kill while it was put back."""
    try:
        return os.path.samestat(held.lstat(), os.stat(name, dir_fd=folder, follow_symlinks=False))
    except OSError:
        return False


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _has_no_way_back(claim: Claim, state: Path) -> bool:
    """Return True if a folder that files came from is gone from an inbox that is still the same.

    A claim without a device was made when the inbox was on the disk of the `state` folder.
    """
    try:
        next(claim.inbox.iterdir(), None)
        device = claim.inbox.stat().st_dev
        known = state.stat().st_dev if claim.device is None else claim.device
    except OSError:
        return False
    if device != known:
        return False
    try:
        for file in claim.files:
            if claim.leaves_inbox(file):
                with folder_of(claim.inbox, file.source):
                    pass
    except OSError:
        return True
    return False


# -- files that stay in the inbox, and originals that are removed later


def kept_files(claim: Claim, folder: Path, pictures: Iterable[Picture]) -> Kept | None:
    """Return the files of a claim that are still in the inbox; None if all were renamed.

    `folder` has the claimed ones. Without a digest a file is the same as long as its time is.
    """
    digests = {picture.name: picture.sha256 for picture in pictures}
    files = []
    for file in claim.files:
        if not (file.own or file is claim.main):
            continue
        held = look(folder / file.name)
        is_renamed = held is not None and held.inode != 0 and held.inode == file.look.inode
        if claim.leaves_inbox(file) and is_renamed:
            continue
        digest = digests.get(file.name, "")
        if not digest and file.role == "job" and held is not None:
            digest = atomic.digest(folder / file.name)
        files.append(KeptFile(str(file.source), **vars(file.look), sha256=digest))
    if not files:
        return None
    # a picture that other jobs use as well leaves with the last of them, which owns it
    doomed = claim.leaves_inbox(claim.main)
    return Kept(claim.key, str(claim.main.source), str(claim.inbox), doomed, tuple(files))


def touched(kept: Kept, pair: Pair, looks: Mapping[Path, Look]) -> dict[Path, Look] | None:
    """Return the files of a pair of which nothing but the time changed since they were claimed.

    Returns None if the pair has other files, or if one has certainly changed.
    """
    own = {path: looks[path] for path in pair.files
           if path in looks and (path == pair.main or path not in pair.shared)}  # fmt: skip
    known = {Path(file.path): file for file in kept.files}
    if known.keys() != own.keys():
        return None
    changed = {path: own[path] for path, file in known.items() if file.look != own[path]}
    for path, seen in changed.items():
        file = known[path]
        if not file.sha256 or (seen.inode, seen.size) != (file.inode, file.size):
            return None
    return changed


def remove_originals(kept: Kept, folder: Path | None) -> frozenset[str]:
    """Remove originals that were copied, and then their own `folder` if it is empty.

    Returns the names of those that have changed since, or are being written: then all stay, as
    together they are the pair that is claimed once it is stable. Raises OSError if they cannot be
    removed now, as in a read-only inbox.
    """
    inbox = Path(kept.inbox)
    changed = frozenset(Path(file.path).name for file in kept.files if _has_changed(inbox, file))
    if changed:
        return changed
    for file in kept.files:
        path = Path(file.path)
        with suppress(FileNotFoundError), folder_of(inbox, path) as opened:
            if look(path.name, opened) == file.look:
                os.unlink(path.name, dir_fd=opened)
                atomic.sync_folder(opened)
    if folder is not None:
        # it may hold other files, or be gone
        with suppress(OSError), folder_of(inbox, folder) as parent:
            os.rmdir(folder.name, dir_fd=parent)
    return frozenset()


def _has_changed(inbox: Path, file: KeptFile) -> bool:
    """Return True if an original has changed since it was copied, or is being written."""
    path = Path(file.path)
    with suppress(OSError), folder_of(inbox, path) as folder:
        original = look(path.name, folder)
        is_written = identity.is_being_written(path.name, folder)
        return original is not None and (original != file.look or is_written)
    return False
