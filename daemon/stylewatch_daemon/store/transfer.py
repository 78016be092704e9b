"""Carries the files of a claim out of an inbox, over mounts, and back if need be.

Others write in the inbox meanwhile. Folders below it are entered part by part, so that a link that
comes in the place of one leads nowhere: nothing outside of the inbox is read, moved or removed.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import EIO, EXDEV
from functools import partial
from os.path import lexists
from pathlib import Path

from stylewatch_daemon.errors import InputError, OutputError
from stylewatch_daemon.files import atomic, leases, safe_dirs
from stylewatch_daemon.files.identity import look
from stylewatch_daemon.files.names import candidates, shown
from stylewatch_daemon.files.transfers import Transfers
from stylewatch_daemon.store.journal import File, Journal

LARGEST = 512 << 20
"""Bytes of the largest picture that is read; larger files are refused, and never copied."""


@dataclass(frozen=True)
class Left:
    """What became of originals: `gone`, all of them; those that `changed` meanwhile stay."""

    changed: tuple[File, ...] = ()
    gone: bool = True


@contextmanager
def folder_of(inbox: Path, path: Path) -> Iterator[int]:
    """A handle of the folder that `path` lies in; no link below `inbox` is followed.

    A file elsewhere, as one of the style library, is reached as its path says. Raises OSError.
    """
    root = inbox if path.is_relative_to(inbox) else path.parent
    with safe_dirs.opened(root, str(path.parent.relative_to(root))) as folder:
        yield folder


def is_being_written(inbox: Path, path: Path) -> bool:
    """Return whether a program has `path` open for writing, as far as that can be told."""
    try:
        with folder_of(inbox, path) as folder:
            return leases.is_being_written(path.name, folder)
    except OSError:
        return False


def bring(journal: Journal, file: File, target: Path, transfers: Transfers) -> None:
    """Bring `file` to `target`, whose folder is to be synced then.

    Raises InputError where it is not what it was, InProgressError while it is copied, OSError.
    """
    if transfers.has(str(target)):
        _copy(journal, file, target, transfers)
        return
    try:
        with folder_of(journal.inbox, file.source) as folder:
            if journal.moves(file) and _is_renamed(file, folder, target):
                return
    except OutputError as error:  # a link came in a folder's place
        raise _changed(file) from error
    _copy(journal, file, target, transfers)


def _is_renamed(file: File, folder: int, target: Path) -> bool:
    """Rename `file` to `target`; False where that lies on another mount."""
    try:
        os.rename(file.source.name, target, src_dir_fd=folder)
    except OSError as error:
        if error.errno != EXDEV:
            raise
        return False
    if look(target) != file.look:
        raise _changed(file)
    if file.look.size <= LARGEST:
        atomic.sync_file(target)
    return True


def _copy(journal: Journal, file: File, target: Path, transfers: Transfers) -> None:
    work = partial(_copy_now, journal.inbox, file, target, transfers.step)
    transfers.run(str(target), file.look.size, work)


def _copy_now(inbox: Path, file: File, target: Path, step: atomic.Step) -> None:
    name = file.source.name
    try:
        with folder_of(inbox, file.source) as folder:
            if look(name, folder) != file.look:
                raise _changed(file)
            read = atomic.copy(name, target, folder, step)
            if atomic.digest(target) != read or look(name, folder) != file.look:
                target.unlink()
                raise _changed(file)
    except OutputError as error:
        raise _changed(file) from error


def _changed(file: File) -> InputError:
    return InputError(f"{shown(file.source.name)} changed while it was being taken")


def moves_freely(inbox: Path, path: Path, target: Path, goes_on: Callable[[Path], bool]) -> bool:
    """Return whether the file `path` can be renamed to `target`, and `goes_on` from there."""
    try:
        with folder_of(inbox, path) as folder:
            os.link(path.name, target, src_dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    try:
        return goes_on(target)
    finally:
        target.unlink()


def remove_originals(journal: Journal, files: Path) -> Left:
    """Remove the originals that were copied to `files`.

    Where one has changed since it was copied, or is still being written, all stay: together they
    are the pair that is taken once it has settled.
    """
    ours = [one for one in journal.files if journal.moves(one) and (files / one.name).exists()]
    changed = tuple(file for file in ours if _has_changed(journal.inbox, file, files))
    if changed:
        return Left(changed, gone=False)
    for file in ours:
        try:
            with folder_of(journal.inbox, file.source) as folder:
                now = look(file.source.name, folder)
                if now == file.look or _is_same(files / file.name, file.source.name, folder):
                    os.unlink(file.source.name, dir_fd=folder)
                    safe_dirs.sync(folder)
        except FileNotFoundError:
            continue
        except OSError:  # a folder that may not be written: then they stay, and are remembered
            return Left(gone=False)
    if journal.folder is not None:
        # something else may lie in it, or it is gone
        with suppress(OSError), folder_of(journal.inbox, journal.folder) as around:
            os.rmdir(journal.folder.name, dir_fd=around)
    return Left()


def _has_changed(inbox: Path, file: File, files: Path) -> bool:
    """Whether the original of a copy in `files` has changed, or is being written."""
    held = look(files / file.name)
    if held is None or (held.inode and held.inode == file.look.inode):
        return False  # it was renamed: what lies in its place is something else
    with suppress(OSError), folder_of(inbox, file.source) as folder:
        now = look(file.source.name, folder)
        is_written = leases.is_being_written(file.source.name, folder)
        return now is not None and (now != file.look or is_written)
    return False


def put_back(journal: Journal, files: Path) -> None:
    """Put each of the job's own files back whose original is not there; they are in `files`.

    Into no folder made for it: one that is gone may be a mount, that would come back and lie over
    the file. Raises OSError.
    """
    for file in journal.files:
        held = files / file.name
        if not journal.moves(file) or not lexists(held):
            continue
        with folder_of(journal.inbox, file.source) as folder:
            name = file.source.name
            if look(name, folder) == file.look:
                continue
            seen = look(held)
            was_copied = seen is not None and seen.inode != file.look.inode
            if not (was_copied and _is_there(name, folder)):  # else a copy of what changed since
                _move_back(held, file.source, folder)


def _move_back(held: Path, source: Path, folder: int) -> None:
    """Move `held` into an opened folder, as `source` is called or like it, replacing nothing."""
    for stem in candidates(source.stem):
        name = source.with_stem(stem).name
        try:
            os.link(held, name, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            if _is_same(held, name, folder):
                break  # it was put back before a kill
            continue
        except OSError:
            if _is_there(name, folder):
                continue
            _rename_back(held, name, folder)
            return
        break
    safe_dirs.sync(folder)
    held.unlink()
    atomic.sync_folder(held.parent)


def _rename_back(held: Path, name: str, folder: int) -> None:
    """Move `held`, where it cannot be linked: a folder, on another mount, or without links."""
    try:
        os.rename(held, name, dst_dir_fd=folder)
    except OSError as error:
        if error.errno != EXDEV:
            raise
        if safe_dirs.copy(held, folder, name) != atomic.digest(name, folder):
            raise OSError(EIO, "what was written reads back otherwise", held) from error
        held.unlink()
    safe_dirs.sync(folder)
    atomic.sync_folder(held.parent)


def _status(name: str, folder: int) -> os.stat_result:
    return os.stat(name, dir_fd=folder, follow_symlinks=False)


def _is_same(held: Path, name: str, folder: int) -> bool:
    """Whether both are names of one file, as a kill while it was put back leaves it."""
    try:
        return os.path.samestat(held.lstat(), _status(name, folder))
    except OSError:
        return False


def _is_there(name: str, folder: int) -> bool:
    try:
        _status(name, folder)
    except FileNotFoundError:
        return False
    return True


def has_no_way_back(journal: Journal, state: Path) -> bool:
    """Whether a folder that files came from is gone, and the inbox around it is the one it was.

    The inbox of a journal that does not tell its device lay on that of the `state` folder, as
    nothing that was copied needs a way back.
    """
    try:
        next(journal.inbox.iterdir(), None)
        device = journal.inbox.stat().st_dev
        known = state.stat().st_dev if journal.device is None else journal.device
    except OSError:
        return False
    moved = [file.source for file in journal.files if journal.moves(file)]
    return device == known and not all(_is_folder(journal.inbox, path) for path in moved)


def _is_folder(inbox: Path, path: Path) -> bool:
    """Whether `path` lies in a folder, to which no link leads."""
    try:
        with folder_of(inbox, path):
            return True
    except OSError:
        return False
