"""Claim a pair: move its files out of the inbox, also over mounts, without losing one.

The order of changes on the disk, whatever is killed when:

1. The job is in the ledger, and the claim in the state folder says what is about to be moved.
2. Files are copied or renamed into the claim; copies first, as they are what may fail.
3. One rename, of the claim's folder to `jobs`, completes the claim.
4. The ledger lists the files that are still in the inbox; the pictures are inspected.
5. Originals that were copied are removed, each only if it is still the file that was copied.

Each function may be repeated after a kill. Others write in the inbox meanwhile: folders below it
are opened part by part, so that a link that replaces one leads nowhere.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from errno import EIO, EXDEV
from os.path import lexists
from pathlib import Path
from typing import NamedTuple

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import DaemonError, InputError, OutputError
from stylewatch_daemon.base.model import Pair, Role
from stylewatch_daemon.base.mover import Step
from stylewatch_daemon.files import atomic, disks, identity, safe_dirs
from stylewatch_daemon.files.identity import Look, look
from stylewatch_daemon.files.names import candidates, safe, shown
from stylewatch_daemon.intake import truncation
from stylewatch_daemon.ledger.claim import FILE_NAME, FILES, Claim, File, save
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.ledger.writer import Kept, KeptFile
from stylewatch_daemon.settings.sections import LARGEST_PICTURE, Inbox, Limits


class StuckError(OutputError):
    """Files could neither be claimed nor put back: they are safe in the state folder."""


class Taken(NamedTuple):
    """Result of a claim: the files still in the inbox, and the reason to refuse the job."""

    kept: Kept | None
    problem: str = ""


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
    with suppress(OSError), folder_of(inbox, path) as folder:
        return identity.is_being_written(path.name, folder)
    return False


def lacks_end(inbox: Path, path: Path) -> bool:
    """Return True if the picture or clip `path` may lack its last bytes."""
    with (
        suppress(OSError, InputError),
        folder_of(inbox, path) as folder,
        atomic.open_regular(path.name, folder) as file,
    ):
        return truncation.lacks_end(file)
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
    return replace(claim, in_place=bool(_refusal(claim, limits)))


def _files(pair: Pair, looks: Mapping[Path, Look]) -> Iterator[File]:
    """Yield the files of `pair` by their roles, each under a unique name."""
    roles: list[Role] = [
        *(["content"] if pair.content else []),
        *["style"] * len(pair.styles),
        *(["init"] if pair.init else []),
        *pair.masks,
        *(["job"] if pair.job_file else []),
    ]
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


def _refusal(claim: Claim, limits: Limits) -> str:
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
    if not (reasons or claim.in_place):
        return ""
    reason, folder = "; ".join(reasons) or "a file is too large", claim.main.source.parent
    return f"{reason}. Its files are still in {shown(folder)}: remove them there"


# -- moving


def move(claim: Claim, state: StateDir, limits: Limits, step: Step) -> Taken:
    """Move or copy the files of a claim into the state folder.

    The job is refused if they are too large, or could neither be claimed nor put back. Raises
    InputError if a file has changed, OSError if the files cannot be claimed now; in both cases all
    of them are in the inbox as before. Raises StuckError if they are not.
    """
    folder, job = state.claims / claim.id, state.jobs / claim.id
    digests: Mapping[str, str] = {}
    problem = _refusal(claim, limits) if claim.in_place else ""
    if not job.exists():
        try:
            digests = _gather(claim, folder, limits.free_bytes, step)
            _commit(folder, job)
        except Exception as error:  # whatever it is, no file stays in between
            if _put_back(claim, state):
                if isinstance(error, DaemonError):
                    raise
                message = f"{shown(claim.name)} cannot be moved out of the inbox: {_why(error)}"
                raise OutputError(message) from error
            problem = f"claiming it was cut off, and its folder is gone: {_why(error)}"
    return Taken(_kept(claim, job / FILES, digests, step), problem)


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return str(shortages.shortage(error) or error.strerror or error)
    if isinstance(error, DaemonError):
        return str(error)
    logging.getLogger(__name__).error("a fault of stylewatch", exc_info=error)
    return f"a fault of stylewatch ({type(error).__name__}: {error})"


def _commit(folder: Path, job: Path) -> None:
    """Rename the claim's folder: from then on it is that of a job."""
    try:
        atomic.rename_folder(folder, job)
    except OSError:
        if not job.exists():  # else the sync failed: after a power cut it is claimed again
            raise


def _gather(claim: Claim, folder: Path, free_bytes: int, step: Step) -> Mapping[str, str]:
    """Write the claim into `folder`, and bring its files there.

    Returns the SHA-256 of the copied ones, by name. Copies of clips leave `free_bytes` on the disk.
    """
    files, digests = folder / FILES, {}
    files.mkdir(parents=True, exist_ok=True)
    if not (folder / FILE_NAME).exists():
        save(claim, folder)
        atomic.sync_folder(folder.parent)
    copies_first = sorted(claim.files, key=claim.leaves_inbox)
    for file in () if claim.in_place else copies_first:
        target = files / file.name
        if lexists(target) or (claim.leaves_inbox(file) and _rename(claim.inbox, file, target)):
            continue
        if file.look.size > LARGEST_PICTURE:
            disks.check([(files, file.look.size)], free_bytes)
        digests[file.name] = _copy(claim.inbox, file, target, step)
    atomic.sync_folder(files)
    return digests


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
    atomic.sync_file(target)
    return True


def _copy(inbox: Path, file: File, target: Path, step: Step) -> str:
    """Copy `file` to `target`; return the SHA-256."""
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
    return digest


def _changed(file: File) -> InputError:
    return InputError(f"{shown(file.source.name)} changed while it was being moved")


# -- back into the inbox, if the claim cannot be completed


def _put_back(claim: Claim, state: StateDir) -> bool:
    """Put the files of a claim back into the inbox.

    If their folder there is gone they become those of the job, and False is returned. Raises
    StuckError if they can be put back later.
    """
    folder, job = state.claims / claim.id, state.jobs / claim.id
    if not folder.exists():
        return True
    try:
        for file in filter(claim.leaves_inbox, claim.files):
            if lexists(folder / FILES / file.name):
                _return(claim.inbox, file, folder / FILES / file.name)
    except OSError as error:
        with suppress(OSError):
            if _has_no_way_back(claim):
                _commit(folder, job)
                return False
        raise StuckError(
            f"{shown(claim.name)} is being moved, and {claim.inbox} cannot be written "
            f"({error.strerror or error}): its files are in {folder} until it can be"
        ) from error
    except Exception:  # a fault of stylewatch: the job fails, with the files
        _commit(folder, job)
        raise
    atomic.discard(folder, state.trash)
    return True


def _return(inbox: Path, file: File, held: Path) -> None:
    """Put `held` back into the inbox, unless it is a copy and a file of its name is there.

    No folder is made for it: a missing one may be a mount, which would hide the file when it comes
    back. Raises OSError.
    """
    with folder_of(inbox, file.source) as folder:
        seen = look(held)
        was_copied = seen is not None and seen.inode != file.look.inode
        name = file.source.name
        if look(name, folder) == file.look or (was_copied and safe_dirs.exists(name, folder)):
            return
        names = (file.source.with_stem(stem).name for stem in candidates(file.source.stem))
        next(name for name in names if _gave_name(held, name, folder))


def _gave_name(held: Path, name: str, folder: int) -> bool:
    """Make `held` the file `name` of an opened folder; return False if that is taken."""
    try:
        os.link(held, name, dst_dir_fd=folder, follow_symlinks=False)
    except OSError:
        if safe_dirs.exists(name, folder):
            return False
        try:  # a file system without links, or another mount
            os.rename(held, name, dst_dir_fd=folder)
        except OSError as error:
            if error.errno != EXDEV:
                raise
            if atomic.copy(held, name, target_folder=folder) != atomic.digest(name, folder):
                raise OSError(EIO, "the copy differs from what was written", held) from error
    atomic.sync_folder(folder)
    return True


def _has_no_way_back(claim: Claim) -> bool:
    """Return True if a folder that files came from is gone from an inbox that is still the same.

    Raises OSError if the inbox cannot be read.
    """
    next(claim.inbox.iterdir(), None)  # which mounts it if need be
    if claim.inbox.stat().st_dev != claim.device:
        return False
    try:
        for file in filter(claim.leaves_inbox, claim.files):
            with folder_of(claim.inbox, file.source):
                pass
    except OSError:
        return True
    return False


# -- files that stay in the inbox, and originals that are removed later


def _kept(claim: Claim, folder: Path, digests: Mapping[str, str], step: Step) -> Kept | None:
    """Return the files of a claim that are still in the inbox; None if all were renamed.

    `folder` has the claimed ones. Without a digest a file is the same as long as its time is.
    """
    files = []
    for file in () if claim.is_copy else claim.files:
        held, leaves = look(folder / file.name), claim.leaves_inbox(file)
        is_renamed = held is not None and 0 != held.inode == file.look.inode
        if leaves and is_renamed and _look_in_inbox(claim.inbox, file.source) != file.look:
            continue
        if not (file.own or file is claim.main):
            continue
        digest = digests.get(file.name, "")
        if not (digest or leaves or held is None):  # it was copied before a kill
            with suppress(OSError):
                digest = atomic.digest(folder / file.name, step=step)
        files.append(KeptFile(str(file.source), **vars(file.look), sha256=digest))
    if not files:
        return None
    # a picture that other jobs use as well leaves with the last of them, which owns it
    doomed = claim.leaves_inbox(claim.main)
    return Kept(claim.key, str(claim.main.source), str(claim.inbox), doomed, tuple(files))


def touched(kept: Kept, pair: Pair, looks: Mapping[Path, Look]) -> Kept | None:
    """Return `kept` as its files look now, if nothing but their times changed since the claim.

    Returns None if the pair has other files, or if one has certainly changed.
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

    Returns the names of those that have changed since, or are being written: then all stay, as
    together they are the pair that is claimed once it is stable. Raises OSError if they cannot be
    removed now, as in a read-only inbox.
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
    with suppress(OSError), folder_of(inbox, path) as folder:
        return look(path.name, folder)
    return None


def remove_folder(claim: Claim) -> None:
    """Remove the job's own folder in the inbox if it is empty."""
    if claim.folder is not None and claim.leaves_inbox(claim.main):
        with suppress(OSError), folder_of(claim.inbox, claim.folder) as parent:
            os.rmdir(claim.folder.name, dir_fd=parent)
