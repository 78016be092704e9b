"""Listing of folders, and opening of files without blocking on a pipe.

An error is not an absence (law 2): no function treats a file as missing because its status cannot
be read.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path


class NotAFileError(OSError):
    """A path leads to a pipe or a device instead of a file."""


def listed(folder: Path) -> list[Path]:
    """Return the paths in `folder`, sorted, without hidden entries.

    Raises OSError if the folder is missing or cannot be listed. `glob` would hide that error, and
    an error is not an absence (law 2).
    """
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def status(path: Path, *, follow: bool = True) -> os.stat_result | None:
    """Return the status of the file or folder at `path`; None if nothing is there.

    A symbolic link without a target counts as nothing, unless `follow` is False: then the result is
    the status of the link itself. Raises OSError if the status cannot be read. `Path.exists` hides
    that error since Python 3.14.
    """
    try:
        return path.stat(follow_symlinks=follow)
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_file(path: Path) -> bool:
    """Return whether `path` leads to a regular file.

    Raises OSError if its status cannot be read.
    """
    found = status(path)
    return found is not None and stat.S_ISREG(found.st_mode)


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """Open the regular file at `path` for reading in binary mode, and yield it.

    Symbolic links are followed. Opening never blocks, not even on a pipe. Raises NotAFileError for
    a pipe or a device, IsADirectoryError for a folder, and other OSErrors as `open` does.
    """
    with open(path, "rb", opener=_open) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise NotAFileError(0, "it is a pipe or a device, not a file", str(path))
        yield file


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
