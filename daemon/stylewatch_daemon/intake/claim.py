"""Claiming a pair: moving its files out of the inbox, also across mounts, without losing any.

The order of changes on the disk, which a kill at any moment leaves consistent:

1. The job is in the ledger, and the claim in the state folder says what is about to be moved.
2. Files that stay in the inbox are copied into the claim; others are renamed, or copied as well if
   the inbox is on another mount.
3. One rename, of the claim's folder to `jobs`, completes the claim.
4. The ledger lists the files that are still in the inbox; the pictures are inspected.
5. Originals that were copied are removed, each only if it is still the file that was copied.

Each function may be repeated after a kill. Until the first rename the claim holds only copies, and
is dropped if a file has changed; afterwards it is always completed. Others may write in the inbox
at the same time: folders below it are opened part by part, so that a link that replaces one has no
effect.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from errno import EXDEV
from os.path import lexists
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

from stylewatch_daemon.base.errors import InputError, OutputError
from stylewatch_daemon.base.model import Pair
from stylewatch_daemon.base.mover import Step
from stylewatch_daemon.files import atomic, disks, identity, safe_dirs
from stylewatch_daemon.files.identity import Look, look
from stylewatch_daemon.files.names import candidates, safe, shown
from stylewatch_daemon.intake import truncation
from stylewatch_daemon.ledger.claim import FILE_NAME, FILES, Claim, File, save
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.ledger.writer import Kept, KeptFile
from stylewatch_daemon.settings.sections import Inbox


class Taken(NamedTuple):
    """Result of a claim: the files still in the inbox, and a reason to refuse the job."""

    kept: Kept | None
    problem: str = ""


@contextmanager
def folder_of(inbox: Path, path: Path) -> Iterator[int]:
    """Open the folder that contains `path`, following no link below `inbox`.

    A file outside, such as one of the style library, is reached by its path. Raises OSError.
    """
    root = inbox if path.is_relative_to(inbox) else path.parent
    with safe_dirs.opened(root, str(path.parent.relative_to(root))) as folder:
        yield folder


def is_being_written(inbox: Path, path: Path) -> bool:
    """Return whether a program is known to have `path` open for writing."""
    with suppress(OSError), folder_of(inbox, path) as folder:
        return identity.is_being_written(path.name, folder)
    return False


def lacks_end(inbox: Path, path: Path) -> bool:
    """Return whether the picture or clip `path` may lack its last bytes."""
    with (
        suppress(OSError, InputError),
        folder_of(inbox, path) as folder,
        atomic.open_regular(path.name, folder) as file,
    ):
        return truncation.lacks_end(file)
    return False


# -- the claim of a pair


def claim_for(pair: Pair, looks: Mapping[Path, Look], inbox: Inbox, job_id: str) -> Claim:
    """Return the claim of a pair, as the job `job_id`; `looks` are the scanned looks of files.

    Raises InputError if a file is missing.
    """
    files, names = tuple(_files(pair, looks)), (pair.name, inbox.path, inbox.outbox, inbox.after)
    return Claim(job_id, *names, files, folder=pair.folder)


def _files(pair: Pair, looks: Mapping[Path, Look]) -> Iterator[File]:
    """Yield the files of `pair` with their roles, each under a unique name."""
    taken: set[str] = set()
    for role, path in pair.roles:
        seen = looks.get(path) or look(path)
        if seen is None:
            raise InputError(f"{shown(path.name)} is gone, or is no longer a file")
        name = next(name for name in _safe_names(path.name) if name.casefold() not in taken)
        taken.add(name.casefold())
        yield File(role, name, path, seen, own=path not in pair.shared)


def _safe_names(name: str) -> Iterator[str]:
    """Yield safe candidates for a file name: `a.jpg`, `a-2.jpg`, `a-3.jpg` and so on."""
    stem, dot, suffix = name.rpartition(".")
    if not stem:
        return candidates(safe(name))
    return (f"{candidate}{dot}{safe(suffix)}" for candidate in candidates(safe(stem)))


# -- moving


def move(claim: Claim, state: StateDir, free_bytes: int, step: Step) -> Taken:
    """Move or copy the files of a claim into the state folder.

    Copies leave twice `free_bytes` free on its disk, because claimed jobs need `free_bytes` to
    begin. Raises OSError if the files cannot be moved now; the call can be repeated later. If a
    file has changed, raises InputError and drops the claim, unless another file was already moved:
    then the claim is completed, and the job must be refused.
    """
    folder, job = state.claims / claim.id, state.jobs / claim.id
    digests: dict[str, str] = {}
    problem = ""
    if not job.exists():
        try:
            _gather(claim, folder, free_bytes, digests, step)
        except InputError as error:
            if not any(_is_moved(claim, file, folder) for file in claim.files):
                atomic.discard(folder, state.trash)
                raise
            problem = f"{error}: drop the pair again"
        _commit(folder, job)
    return Taken(_kept(claim, job / FILES, digests, step), problem)


def _commit(folder: Path, job: Path) -> None:
    """Rename the claim's folder, which makes it the folder of a job."""
    try:
        atomic.rename_folder(folder, job)
    except OSError:
        if not job.exists():  # else only the sync failed: a power cut repeats the claim
            raise


def _gather(
    claim: Claim, folder: Path, free_bytes: int, digests: dict[str, str], step: Step
) -> None:
    """Write the claim into `folder` and bring its files there, unless they are there already.

    The SHA-256 of copied files is added to `digests`, by name.
    """
    files = folder / FILES
    files.mkdir(parents=True, exist_ok=True)
    if not (folder / FILE_NAME).exists():
        save(claim, folder)
        atomic.sync_folder(folder.parent)
    left = [file for file in claim.files if not lexists(files / file.name)]
    stay = [file for file in left if not claim.leaves_inbox(file)]
    leave = [file for file in left if claim.leaves_inbox(file)]
    for file in stay:
        digests[file.name] = _copy(claim.inbox, file, files, free_bytes, step)
    for file in leave:
        _check_same(claim.inbox, file)
    for file in leave:
        if not _rename(claim.inbox, file, files / file.name):
            digests[file.name] = _copy(claim.inbox, file, files, free_bytes, step)
    atomic.sync_folder(files)


def _check_same(inbox: Path, file: File) -> None:
    """Raise InputError if `file` has changed, OSError if it cannot be read.

    A rename needs no permission to read, but nothing could be done with the file after it.
    """
    try:
        with folder_of(inbox, file.source) as folder:
            is_same = look(file.source.name, folder) == file.look
            if is_same:
                with atomic.open_regular(file.source.name, folder):
                    return
    except (OutputError, FileNotFoundError) as error:
        raise _changed(file) from error
    raise _changed(file)


def _is_moved(claim: Claim, file: File, folder: Path) -> bool:
    """Return whether the claim's `folder` has the file itself, and not a copy of it.

    In doubt it has, because what is believed to be a copy may be removed.
    """
    held = look(folder / FILES / file.name)
    if held is None or not claim.leaves_inbox(file):
        return False
    if held.inode == file.look.inode != 0:
        return True
    left = _look_in_inbox(claim.inbox, file.source)
    if held.inode and file.look.inode:  # another file may have replaced it just before its move
        return left is None
    # without a lasting number on one side only, they are on two mounts, and a copy was made
    return held.inode == file.look.inode and left != file.look


def _rename(inbox: Path, file: File, target: Path) -> bool:
    """Rename `file` to `target`; return False if that is on another mount."""
    try:
        with folder_of(inbox, file.source) as folder:
            os.rename(file.source.name, target, src_dir_fd=folder)
    except (OutputError, FileNotFoundError) as error:  # missing, or a link replaced a folder
        raise _changed(file) from error
    except OSError as error:
        if error.errno != EXDEV:
            raise
        return False
    if look(target) != file.look:
        raise _changed(file)
    atomic.sync_file(target)
    return True


def _copy(inbox: Path, file: File, files: Path, free_bytes: int, step: Step) -> str:
    """Copy `file` into the folder `files`; return the SHA-256."""
    name, target = file.source.name, files / file.name
    disks.check([(files, file.look.size + free_bytes)], free_bytes)
    try:
        with folder_of(inbox, file.source) as folder:
            if look(name, folder) != file.look:
                raise _changed(file)
            digest = atomic.copy(name, target, folder, step)
            try:
                if atomic.digest(target, step=step) != digest or look(name, folder) != file.look:
                    raise _changed(file)
            except (InputError, OSError):  # otherwise the next start would trust the copy
                target.unlink()
                raise
    except (OutputError, FileNotFoundError) as error:
        raise _changed(file) from error
    return digest


def _changed(file: File) -> InputError:
    return InputError(f"{shown(file.source.name)} changed while it was being claimed")


# -- files that stay in the inbox, and originals that are removed later


def _kept(claim: Claim, folder: Path, digests: Mapping[str, str], step: Step) -> Kept | None:
    """Return the files of a claim that were copied and are still in the inbox; None if none.

    `folder` has the claimed files. A file without a digest counts as the same only while its time
    is unchanged.
    """
    files = []
    for file in () if claim.is_copy else claim.files:
        leaves = claim.leaves_inbox(file)
        is_moved = _is_moved(claim, file, folder.parent)
        if is_moved and _look_in_inbox(claim.inbox, file.source) != file.look:
            continue
        if not (file.own or file is claim.main) or not lexists(folder / file.name):
            continue
        digest = digests.get(file.name, "")
        if not (digest or leaves):  # it was copied before a kill
            with suppress(OSError):
                digest = atomic.digest(folder / file.name, step=step)
        files.append(KeptFile(str(file.source), **vars(file.look), sha256=digest))
    if not files:
        return None
    # a picture that other jobs also use leaves with the last of them, which owns it
    doomed = claim.leaves_inbox(claim.main)
    return Kept(claim.key, str(claim.main.source), str(claim.inbox), doomed, tuple(files))


def touched(kept: Kept, pair: Pair, looks: Mapping[Path, Look]) -> Kept | None:
    """Return `kept` with the files' current times, if only times have changed since the claim.

    Returns None if the pair has other files, or if a file has certainly changed.
    """
    own = {str(path): looks[path] for path in pair.files
           if path in looks and (path == pair.main or path not in pair.shared)}  # fmt: skip
    if own.keys() != {file.path for file in kept.files}:
        return None
    files = tuple(replace(file, mtime_ns=own[file.path].mtime_ns) for file in kept.files)
    for before, now in zip(kept.files, files, strict=True):
        if now.look != own[now.path] or (now != before and not now.sha256):
            return None
    return replace(kept, files=files)


def remove_originals(kept: Kept) -> frozenset[str]:
    """Remove originals that were copied.

    Returns the names of those that have changed since, or are being written. In that case all of
    them stay, because together they are a new pair, which is claimed once it is stable. Raises
    OSError if they cannot be removed now, as in a read-only inbox.
    """
    inbox = Path(kept.inbox)
    known = {Path(file.path): file.look for file in kept.files}
    there = {path: seen for path in known if (seen := _look_in_inbox(inbox, path)) is not None}
    changed = [
        path for path, seen in there.items() if seen != known[path] or is_being_written(inbox, path)
    ]
    for path in () if changed else there:
        with suppress(FileNotFoundError), folder_of(inbox, path) as folder:
            if look(path.name, folder) == known[path]:
                os.unlink(path.name, dir_fd=folder)
                atomic.sync_folder(folder)
    return frozenset(path.name for path in changed)


def _look_in_inbox(inbox: Path, path: Path) -> Look | None:
    """Return the look of a file; None if it is gone, or is no file. Raises OSError if in doubt."""
    gone = (FileNotFoundError, NotADirectoryError, OutputError)  # or a link replaced a folder
    with suppress(*gone), folder_of(inbox, path) as folder:
        status = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
        return identity.look_of(status, {}) if S_ISREG(status.st_mode) else None
    return None


def remove_folder(claim: Claim) -> None:
    """Remove the job's own folder in the inbox if it is empty."""
    if claim.folder is not None and claim.leaves_inbox(claim.main):
        with suppress(OSError), folder_of(claim.inbox, claim.folder) as parent:
            os.rmdir(claim.folder.name, dir_fd=parent)
