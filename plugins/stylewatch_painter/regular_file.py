"""Listing of folders, and opening of files without waiting: in place of a file may be a pipe.

An error is not an absence (law 2): no function takes a file that cannot be looked at for missing.
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
    """Return the status of what is at a path; None if nothing is there.

    Without `follow` the status of a symbolic link is its own, not that of its target. Raises
    OSError if the path cannot be looked at, for which `Path.exists` returns False since Python
    3.14.
    """
    try:
        return path.stat(follow_symlinks=follow)
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_file(path: Path) -> bool:
    """Return whether a path leads to a regular file; raises OSError if it cannot be looked at."""
    found = status(path)
    return found is not None and stat.S_ISREG(found.st_mode)


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file for reading, following symbolic links, without waiting for anything.

    Raises NotAFileError, and OSError as `open` does; a folder is an IsADirectoryError.
    """
    with open(path, "rb", opener=_open) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise NotAFileError(0, "it is a pipe or a device, not a file", str(path))
        yield file


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
