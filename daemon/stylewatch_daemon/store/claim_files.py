"""Move the files of a claim out of an inbox, also over mounts, and back.

Others write in the inbox meanwhile. Folders below it are opened part by part, so that a link that
replaces one leads nowhere: nothing outside of the inbox is read, moved or removed.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from errno import EIO, EXDEV
from functools import partial
from os.path import lexists
from pathlib import Path

from stylewatch_daemon.errors import InputError, OutputError
from stylewatch_daemon.files import atomic, disk_space, identity, safe_dirs
from stylewatch_daemon.files.identity import look
from stylewatch_daemon.files.names import candidates, shown
from stylewatch_daemon.files.transfers import Transfers
from stylewatch_daemon.settings.sections import LARGEST_PICTURE
from stylewatch_daemon.store.journal import File, Journal


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


def bring(
    journal: Journal, file: File, target: Path, transfers: Transfers, free_bytes: int = 0
) -> None:
    """Move or copy `file` to `target`; the caller syncs the target's folder.

    The copy of a clip leaves `free_bytes` on the disk. Raises InputError where the file has
    changed, InProgressError while it is copied or synced, FullError, OSError.
    """
    key, is_long = str(target), file.look.size > LARGEST_PICTURE
    work = partial(_copy, journal.inbox, file, target, transfers.step)
    if not transfers.has(key):
        if journal.moves(file) and _rename(journal.inbox, file, target):
            if not is_long:
                atomic.sync_file(target)
                return
            work = partial(atomic.sync_file, target)
        elif is_long:
            disk_space.check([(target.parent, file.look.size)], free_bytes)
    transfers.run(key, file.look.size, work)


def _rename(inbox: Path, file: File, target: Path) -> bool:
    """Rename `file` to `target`; return False where that is on another mount."""
    try:
        with folder_of(inbox, file.source) as folder:
            os.rename(file.source.name, target, src_dir_fd=folder)
    except OutputError as error:  # a folder was replaced by a link
        raise _changed(file) from error
    except OSError as error:
        if error.errno != EXDEV:
            raise
        return False
    if look(target) != file.look:
        raise _changed(file)
    return True


def _copy(inbox: Path, file: File, target: Path, step: atomic.Step) -> None:
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
    except OutputError as error:
        raise _changed(file) from error


def _changed(file: File) -> InputError:
    return InputError(f"{shown(file.source.name)} changed while it was being taken")


def moves_freely(inbox: Path, path: Path, target: Path, can_go_on: Callable[[Path], bool]) -> bool:
    """Return True if the file `path` can be renamed to `target`, and `can_go_on` from there."""
    try:
        with folder_of(inbox, path) as folder:
            os.link(path.name, target, src_dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    try:
        return can_go_on(target)
    finally:
        target.unlink()


def remove_originals(journal: Journal, files: Path) -> tuple[bool, tuple[File, ...]]:
    """Remove the originals that were copied to the folder `files`.

    Returns whether they are gone, and those that have changed since they were copied, or are still
    being written: then all stay, as together they are the pair that is claimed once it has settled.
    """
    copied = [
        file for file in journal.files if journal.moves(file) and (files / file.name).exists()
    ]
    changed = tuple(file for file in copied if _has_changed(journal.inbox, file, files))
    if changed:
        return False, changed
    for file in copied:
        try:
            with folder_of(journal.inbox, file.source) as folder:
                name = file.source.name
                if look(name, folder) == file.look or _is_same(files / file.name, name, folder):
                    os.unlink(name, dir_fd=folder)
                    atomic.sync_folder(folder)
        except FileNotFoundError:
            continue
        except OSError:  # a folder without write permission: then they stay, and are remembered
            return False, ()
    if journal.folder is not None:
        # it may hold other files, or be gone
        with suppress(OSError), folder_of(journal.inbox, journal.folder) as parent:
            os.rmdir(journal.folder.name, dir_fd=parent)
    return True, ()


def _has_changed(inbox: Path, file: File, files: Path) -> bool:
    """Return True if the original of a copy in `files` has changed, or is being written."""
    held = look(files / file.name)
    if held is None or (held.inode and held.inode == file.look.inode):
        return False  # it was renamed: a file in its place is another one
    with suppress(OSError), folder_of(inbox, file.source) as folder:
        original = look(file.source.name, folder)
        is_written = identity.is_being_written(file.source.name, folder)
        return original is not None and (original != file.look or is_written)
    return False


def put_back(journal: Journal, files: Path) -> None:
    """Put back each of the job's own files, from the folder `files`, whose original is missing.

    No folder is made for a file: a missing one may be a mount, which would hide the file when it
    comes back. Raises OSError.
    """
    for file in journal.files:
        held = files / file.name
        if not journal.moves(file) or not lexists(held):
            continue
        with folder_of(journal.inbox, file.source) as folder:
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
    """Move `held` where it cannot be linked: a folder, on another mount, or without links."""
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


def has_no_way_back(journal: Journal, state: Path) -> bool:
    """Return True if a folder that files came from is gone from an inbox that is still the same.

    A journal without a device was written where the inbox was on the disk of the `state` folder:
    copies need no way back.
    """
    try:
        next(journal.inbox.iterdir(), None)
        device = journal.inbox.stat().st_dev
        known = state.stat().st_dev if journal.device is None else journal.device
    except OSError:
        return False
    if device != known:
        return False
    try:
        for file in journal.files:
            if journal.moves(file):
                with folder_of(journal.inbox, file.source):
                    pass
    except OSError:
        return True
    return False
