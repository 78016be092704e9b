"""Listing of folders, and opening of files in whose place there may be a pipe, which would wait."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path


class NotAFileError(OSError):
    """A pipe or a device was named instead of a file."""


def listed(folder: Path) -> list[Path]:
    """Return what is in `folder`, sorted, without hidden entries.

    Raises OSError if the folder cannot be listed, also if it is missing: an error is not an absence
    (law 2), and `glob` finds nothing in either case.
    """
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


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
