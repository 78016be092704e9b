"""Handles of folders below a root, opened part by part, so that no link is followed.

Others may write in an outbox too: between a check of a path and its use, a folder there can be
replaced by a link. A handle stays with the folder that it was opened for.
"""

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.files import atomic

OnEntered = Callable[[int], object]
"""Called with the handle of every folder on the way."""

_HERE = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

_HALF = re.compile(rf"\.[0-9a-f]{{{2 * atomic.RANDOM}}}\.tmp")
"""Pattern of the names of incomplete files."""


@contextmanager
def opened(root: Path, path: str = "", entered: OnEntered | None = None) -> Iterator[int]:
    """Open the folder `root / path`; with `entered`, make what is missing of `path`.

    No part of `path` may be a link; `root` may. Raises OutputError if one is, or if `path`
    leads upwards; OSError if a folder is not there, or cannot be made.
    """
    handle = os.open(root, _HERE)
    try:
        for part in PurePosixPath(path).parts:
            deeper = _enter(handle, part, (root, path), make=entered is not None)
            os.close(handle)
            handle = deeper
            if entered is not None:
                entered(handle)
        yield handle
    finally:
        os.close(handle)


def _enter(folder: int, name: str, where: tuple[Path, str], *, make: bool) -> int:
    if name in ("..", "/"):
        raise OutputError(f"{where[0] / where[1]} leads out of its folder")
    try:
        return os.open(name, _HERE | os.O_NOFOLLOW, dir_fd=folder)
    except OSError as error:
        if make and error.errno == errno.ENOENT:
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=folder)
                atomic.sync_folder(folder)
            return _enter(folder, name, where, make=False)
        is_link = False
        with suppress(FileNotFoundError):
            is_link = stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and is_link:
            raise OutputError(
                f"{where[0] / where[1]} leads out of the outbox by the link {name!r}; "
                "remove the link there"
            ) from error
        raise OSError(error.errno, error.strerror, where[0] / where[1]) from error


def move(source: int, name: str, target: int, to: str = "") -> None:
    """Rename `name` from one opened folder into another, as `to` if given, and sync that one.

    The old folder is not synced: a rename is there as a whole or not at all after a power cut.
    """
    os.rename(name, to or name, src_dir_fd=source, dst_dir_fd=target)
    atomic.sync_folder(target)


def link(source: Path, folder: int, name: str) -> bool:
    """Make `name` in an opened folder a hard link of the file `source`; return True if possible.

    It has the permissions of a file that is made there, and its bytes last; the folder is to be
    synced. It is not possible over mounts, nor for a file that belongs to somebody else, that has
    more names (whose permissions would change as well), or that would lack an attribute, such as
    an access control list, that files get in this folder.
    """
    status = os.lstat(source)
    is_ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
    if not is_ours or status.st_nlink > 1:
        return False
    try:
        os.link(source, name, dst_dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    try:
        with atomic.open_regular(name, folder) as file:
            _settle_as_new(file.fileno(), folder)
            os.fsync(file.fileno())
    except OSError:
        os.unlink(name, dir_fd=folder)
        return False
    return True


def _settle_as_new(handle: int, folder: int) -> None:
    """Give an opened file the permissions of one made in an opened folder; raises OSError."""
    temporary = f".{secrets.token_hex(atomic.RANDOM)}.tmp"
    new = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder)
    try:
        os.unlink(temporary, dir_fd=folder)
        if any(os.getxattr(new, key) != os.getxattr(handle, key) for key in os.listxattr(new)):
            raise PermissionError("attributes differ")
        wanted, now = os.fstat(new), os.fstat(handle)
        if wanted.st_gid != now.st_gid:
            os.fchown(handle, -1, wanted.st_gid)
        if stat.S_IMODE(wanted.st_mode) != stat.S_IMODE(now.st_mode):
            os.fchmod(handle, stat.S_IMODE(wanted.st_mode))
    finally:
        os.close(new)


def sweep(folder: int) -> None:
    """Remove the incomplete files in an opened folder.

    Someone else who writes there this very moment fails, and has to try again.
    """
    with os.scandir(folder) as files:
        halves = [entry.name for entry in files if _HALF.fullmatch(entry.name)]
    for name in halves:
        with suppress(OSError):  # gone, or a folder
            os.unlink(name, dir_fd=folder)


def discard(folder: int, name: str, trash: int) -> None:
    """Remove the folder `name`: gone as a whole at once, its space soon after.

    Nothing is synced: no harm comes of it where a power cut brings it back.
    """
    doomed = secrets.token_hex(8)
    os.rename(name, doomed, src_dir_fd=folder, dst_dir_fd=trash)
    shutil.rmtree(doomed, ignore_errors=True, dir_fd=trash)
