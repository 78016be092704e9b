"""Functions that examine, create, rename and remove entries of folders.

Only ENOENT and ENOTDIR mean that an entry does not exist. Any other error does not tell whether it
exists; it is raised, and must not be treated as an absence (law 2). A `name` is a path or, with the
descriptor of an opened `folder`, relative to that. Functions called `attempt_...` raise no OSError.
"""

import errno
import os
import secrets
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import Any

from stylewatch_daemon.files.system import system

ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})
"""Error numbers that mean that an entry does not exist."""

FOLDER = os.O_RDONLY | os.O_DIRECTORY
"""Flags to open a folder."""

Name = PurePath | str


def done_unless(
    errors: Collection[int], call: Callable[..., object], *names: Any, **more: Any
) -> bool:
    """Call `call`; return False if it raises an OSError whose number is in `errors`, else True.

    Any other OSError is raised.
    """
    try:
        call(*names, **more)
    except OSError as error:
        if error.errno in errors:
            return False
        raise
    return True


def real_path(path: Path) -> Path:
    """Return `path` as an absolute path, with all links resolved that can be read."""
    return Path(os.path.realpath(path))


def target_status(name: Name, folder: int | None = None) -> os.stat_result | None:
    """Return the status of an entry, following links; None if the entry or target is missing."""
    return status(name, folder, follow=True)


def leads_to(path: Path, handle: int) -> bool:
    """Return whether `path`, after following links, is the opened file or folder `handle`."""
    path_status = target_status(path)
    return path_status is not None and os.path.samestat(path_status, system.fstat(handle))


def status(name: Name, folder: int | None = None, *, follow: bool = False) -> os.stat_result | None:
    """Return the status of an entry; None if it does not exist.

    For a link, this is the status of the link itself or, with `follow`, of its target.
    """
    try:
        return system.stat(name, dir_fd=folder, follow_symlinks=follow)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise


def exists(name: Name, folder: int | None = None) -> bool:
    """Return whether there is an entry of this name, including a broken link."""
    return status(name, folder) is not None


def is_taken(name: Name, folder: int | None = None) -> bool:
    """Return whether a name is taken, so that a new entry needs another one.

    A name in the listing of its folder is taken, even if the status of the entry cannot be read
    (law 9).
    """
    try:
        return exists(name, folder)
    except OSError:
        path = Path(name)
        if path.name in names(path.parent if folder is None else folder):
            return True
        raise


def is_folder(name: Name, folder: int | None = None) -> bool:
    """Return whether an entry is a folder or a link to one."""
    entry_status = target_status(name, folder)
    return entry_status is not None and stat.S_ISDIR(entry_status.st_mode)


def is_file(name: Name, folder: int | None = None, *, follow: bool = False) -> bool:
    """Return whether an entry is a regular file or, with `follow`, a link to one."""
    entry_status = status(name, folder, follow=follow)
    return entry_status is not None and stat.S_ISREG(entry_status.st_mode)


def is_own_folder(name: Name, folder: int | None = None) -> bool:
    """Return whether an entry is itself a folder, not a link to one."""
    entry_status = status(name, folder)
    return entry_status is not None and stat.S_ISDIR(entry_status.st_mode)


def names(folder: Name | int) -> list[str]:
    """Return the names of all entries of a folder, sorted; none if there is no such folder."""
    try:
        with system.scandir(folder) as entries:
            return sorted(entry.name for entry in entries)
    except OSError as error:
        if error.errno in ABSENT:
            return []
        raise


@contextmanager
def opened(
    name: Name, folder: int | None = None, *, follow: bool = False, flags: int = FOLDER
) -> Iterator[int]:
    """Open a folder, or with `flags` a file; yield its descriptor, which is closed after the block.

    A link is followed only if `follow`, and otherwise refused. A file that `flags` create is for
    this user alone. Raises OSError.
    """
    flags |= os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    handle = system.open(name, flags, 0o600, dir_fd=folder)
    try:
        yield handle
    finally:
        system.close(handle)


def make_folder(name: Name, folder: int | None = None) -> bool:
    """Create a folder; return False if an entry already has its name."""
    return done_unless({errno.EEXIST}, system.mkdir, name, dir_fd=folder)


def is_closed(file: Path) -> bool:
    """Return whether this process is forbidden to read a file.

    Any other error is not a prohibition (law 2): the result is False, and reading the file raises
    that error again.
    """
    try:
        handle = system.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        return True
    except OSError:
        return False
    system.close(handle)
    return False


def is_writable(folder: Path) -> bool:
    """Return whether this process may create entries in a folder."""
    return system.access(folder, os.W_OK | os.X_OK)


def unlink(name: Name, folder: int | None = None) -> bool:
    """Remove a file or a link; return False if there is none."""
    return done_unless(ABSENT, system.unlink, name, dir_fd=folder)


def rename(name: Name, to: Name, source: int | None = None, target: int | None = None) -> bool:
    """Rename an entry, replacing any entry called `to`; return False on EXDEV (another mount).

    `source` and `target` are opened folders, to which `name` and `to` are relative. Union file
    systems, bind mounts and quotas may refuse any rename with EXDEV (law 6).
    """
    folders = {"src_dir_fd": source, "dst_dir_fd": target}
    return done_unless({errno.EXDEV}, system.rename, name, to, **folders)


def link(name: Name, to: Name, source: int | None = None, target: int | None = None) -> bool:
    """Give a file the second name `to`, a hard link; return False if the disk does not do it.

    Raises FileExistsError if `to` is taken. Any other error gives False, because disks without hard
    links raise various ones; if the disk itself has failed, so does the copy that the caller makes
    instead. `source` and `target` are opened folders, to which `name` and `to` are relative.
    """
    try:
        system.link(name, to, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        return False
    return True


def remove_empty(name: Name, folder: int | None = None) -> bool:
    """Remove a folder; return False if it is not empty, or does not exist."""
    filled = {errno.ENOTEMPTY, errno.EEXIST}
    return done_unless(ABSENT | filled, system.rmdir, name, dir_fd=folder)


def attempt_folder_removal(name: Name, folder: int | None = None) -> bool:
    """Remove a folder; return False if it is not empty, does not exist, or cannot be removed.

    A folder that is a mount, or that lies in a folder of another user, cannot be removed.
    """
    try:
        return remove_empty(name, folder)
    except OSError:
        return False


def remove(name: Name, folder: int | None = None) -> None:
    """Remove an entry if it exists, a folder with its contents; no link is followed.

    Inner folders are first moved up into the entry itself, so that a deep tree needs no deep
    recursion; if the disk refuses such a rename (law 6), the inner folder is removed in its place.
    Raises OSError, such as ENOTEMPTY if another program writes into the folder meanwhile; a later
    call removes the rest.
    """
    if not is_own_folder(name, folder):
        unlink(name, folder)
        return
    with opened(name, folder) as whole:
        doomed = [*names(whole)]
        while doomed:
            doomed += _remove_from(doomed.pop(), whole)
    done_unless(ABSENT, system.rmdir, name, dir_fd=folder)


def _remove_from(name: str, whole: int) -> list[str]:
    """Remove the entry `name` of the opened folder `whole`, after moving its folders into `whole`.

    Returns the new names of these folders.
    """
    if not is_own_folder(name, whole):
        unlink(name, whole)
        return []
    moved = []
    with opened(name, whole) as handle:
        for inner in names(handle):
            beside = secrets.token_hex(8)
            if is_own_folder(inner, handle) and rename(inner, beside, handle, whole):
                moved.append(beside)
            else:
                remove(inner, handle)
    done_unless(ABSENT, system.rmdir, name, dir_fd=whole)
    return moved


def attempt_removal(name: Name, folder: int | None = None) -> bool:
    """Remove an entry and its contents; return False if that fails, for example on a full disk.

    Call it only for entries that do no harm if they stay, apart from the space that they take.
    """
    try:
        remove(name, folder)
    except OSError:
        return False
    return True


def attempt_removal_if_old(folder: Path, since: float) -> None:
    """Remove a folder, if possible, unless it or an entry in it changed after `since`.

    `since` is in seconds since the epoch, and compared with modification times.
    """
    with suppress(OSError):
        statuses = [status(path) for path in (folder, *(folder / name for name in names(folder)))]
        if all(each is None or each.st_mtime <= since for each in statuses):
            remove(folder)


def attempt_removal_of_old(folder: Path, since: float, but: Path | None) -> None:
    """Call `attempt_removal_if_old` for each entry of `folder` except `but`."""
    with suppress(OSError):
        for path in (folder / name for name in names(folder)):
            if path != but:
                attempt_removal_if_old(path, since)


def attempt_emptying(folder: Path) -> None:
    """Remove the entries of a folder, apart from those that cannot be removed.

    Call it only for entries that do no harm if they stay, apart from the space that they take.
    """
    try:
        contents = names(folder)
    except OSError:
        return
    for name in contents:
        attempt_removal(folder / name)


def attempt_mode(name: Name, mode: int) -> None:
    """Set the permissions of an entry, if its disk and its owner allow that."""
    with suppress(OSError):
        system.chmod(name, mode)


def make_pipe(path: Path) -> None:
    """Create a pipe for this user alone, unless there is an entry of its name."""
    with suppress(FileExistsError):
        system.mkfifo(path, 0o600)


def attempt_privacy(folder: int) -> None:
    """Restrict an opened folder to its owner (mode 0700), if its disk supports permissions.

    The setgid bit, by which new files inherit the group of the folder, stays.
    """
    with suppress(OSError):
        mode = system.fstat(folder).st_mode
        private = 0o700 | mode & stat.S_ISGID
        if private != stat.S_IMODE(mode):
            system.fchmod(folder, private)


def attempt_status(name: Name) -> os.stat_result | None:
    """Return the status of an entry, following links; None if it is missing or after an error.

    Call `target_status` to tell these cases apart.
    """
    try:
        return target_status(name)
    except OSError:
        return None


def attempt_touch(path: Path) -> None:
    """Set the time of a file to now, if possible; create the file, for this user, if missing."""
    with suppress(OSError):
        system.close(system.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        system.utime(path)
