"""Handles of folders below a root, opened part by part, so that no link is followed.

Other programs may write in an outbox too: between a check of a path and its use, they can replace a
folder in it by a link. A handle always refers to the folder for which it was opened.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.files import atomic, entries
from stylewatch_daemon.files.system import system


@contextmanager
def opened(
    root: Path,
    path: str = "",
    *,
    make: bool = False,
    within: str = "",
    check: Callable[[int], object] = lambda root: None,
) -> Iterator[int]:
    """Open the folder `root / path` and yield its handle; no part of `path` may be a link.

    `root` may be a link. With `make`, missing parts of `path` are created, but not the parts of
    `within`, with which `path` begins. `check` is called with the handle of `root` before any part
    is opened. Raises OutputError if a part is a link or `path` leads upwards, OSError if a folder
    does not exist or cannot be created.
    """
    handle = system.open(root, entries.FOLDER)
    try:
        check(handle)
        for number, part in enumerate(PurePosixPath(path).parts):
            is_within = number >= len(PurePosixPath(within).parts)
            deeper = _enter(handle, part, (root, path), make=make and is_within)
            system.close(handle)
            handle = deeper
        yield handle
    finally:
        system.close(handle)


def _enter(folder: int, name: str, where: tuple[Path, str], *, make: bool) -> int:
    """Return a handle of the folder `name` in an opened folder, after creating it with `make`.

    `where` has the root and the path for messages. Raises as `opened` does.
    """
    if name in ("..", "/"):
        raise OutputError(f"{where[0] / where[1]} leads out of its folder")
    try:
        return system.open(name, entries.FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    except OSError as error:
        if make and error.errno == errno.ENOENT:
            if entries.make_folder(name, folder):
                atomic.sync_folder(folder)
            return _enter(folder, name, where, make=False)
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and _is_link(name, folder):
            raise OutputError(
                f"{where[0] / where[1]} leads elsewhere by the link {name!r}; remove the link there"
            ) from error
        in_the_way = error.errno == errno.ENOTDIR and entries.exists(name, folder)
        why = f"{name!r} is no folder: move it away" if in_the_way else error.strerror
        raise OSError(error.errno, why, where[0] / where[1]) from error


def _is_link(name: str, folder: int) -> bool:
    status = entries.status(name, folder)
    return status is not None and stat.S_ISLNK(status.st_mode)
