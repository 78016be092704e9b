"""Handles of folders below a root, opened part by part, so that no link is followed.

Others may write in an outbox too: between a check of a path and its use, a folder there can be
replaced by a link. A handle always refers to the folder for which it was opened.
"""

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.files import atomic

_HERE = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

_HALF = re.compile(rf"\.[0-9a-f]{{{2 * atomic.RANDOM}}}\.tmp")
"""Pattern for the names of incomplete files."""


@contextmanager
def opened(root: Path, path: str = "", *, make: bool = False) -> Iterator[int]:
    """Open the folder `root / path`; with `make`, create the missing parts of `path`.

    No part of `path` may be a link; `root` may. Raises OutputError if a part is a link or `path`
    leads upwards, OSError if a folder does not exist or cannot be created.
    """
    handle = os.open(root, _HERE)
    try:
        for part in PurePosixPath(path).parts:
            deeper = _enter(handle, part, (root, path), make=make)
            os.close(handle)
            handle = deeper
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


def exists(name: str, folder: int) -> bool:
    """Return whether an opened folder has an entry called `name`, including broken links."""
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def move(source: int, name: str, target: int, to: str = "") -> None:
    """Rename `name` from one opened folder into another, as `to` if given, and sync the latter.

    The old folder is not synced: after a power cut a rename is either complete or undone.
    """
    os.rename(name, to or name, src_dir_fd=source, dst_dir_fd=target)
    atomic.sync_folder(target)


def sweep(folder: int) -> None:
    """Remove the incomplete files in an opened folder.

    A process that is writing there at this moment fails and has to try again.
    """
    with os.scandir(folder) as files:
        halves = [entry.name for entry in files if _HALF.fullmatch(entry.name)]
    for name in halves:
        with suppress(OSError):  # already gone, or a folder
            os.unlink(name, dir_fd=folder)


def discard(folder: int, name: str, trash: int) -> None:
    """Remove the folder `name`: it disappears at once, its space is freed soon after.

    Nothing is synced: it does no harm if a power cut brings the folder back.
    """
    doomed = secrets.token_hex(8)
    os.rename(name, doomed, src_dir_fd=folder, dst_dir_fd=trash)
    shutil.rmtree(doomed, ignore_errors=True, dir_fd=trash)
