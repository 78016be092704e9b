"""Files that are whole or absent, whatever is killed: written beside, synced, renamed, synced."""

import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader, BufferedWriter
from itertools import takewhile
from pathlib import Path

from stylewatch_daemon.errors import InputError

CHUNK = 1 << 20
"""Bytes that are copied at a time."""


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` last.

    Some network file systems cannot (EINVAL); their word is taken. Other errors are raised.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(handle)


def read(path: Path, most: int) -> bytes:
    """The bytes of a regular file; raises ValueError where it is none, or longer than `most`."""
    try:
        handle = _opened(path)
    except InputError as error:
        raise ValueError(f"{path.name!r} is not a regular file") from error
    try:
        size = os.fstat(handle).st_size
        if size > most:
            raise ValueError(f"{path.name!r} is longer than {most:,} bytes")
        return os.read(handle, size)
    finally:
        os.close(handle)


def is_regular(path: Path) -> bool:
    """Whether a file is there, and no link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def sync_file(path: Path) -> None:
    """Make the bytes of `path` last."""
    with open_regular(path) as file:
        os.fsync(file.fileno())


def make_folder(folder: Path) -> None:
    """Make `folder` and what is missing above it, to last."""
    missing = list(takewhile(lambda one: not one.exists(), (folder, *folder.parents)))
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        sync_folder(one.parent)


def write(path: Path, content: bytes) -> None:
    """Put `content` at `path`, replacing what is there in one go."""
    with beside(path) as file:
        file.write(content)


def copy(source: Path, target: Path) -> str:
    """Copy the regular file `source`, its time too; the SHA-256 of the bytes that were read.

    Raises InputError where `source` is no regular file.
    """
    digest = hashlib.sha256()
    with open_regular(source) as reading, beside(target) as writing:
        while chunk := reading.read(CHUNK):
            digest.update(chunk)
            writing.write(chunk)
        status = os.fstat(reading.fileno())
        writing.flush()
        with suppress(PermissionError):  # a share may have an owner of its own for all files
            os.utime(writing.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
    return digest.hexdigest()


def digest(path: Path) -> str:
    """The SHA-256 of a regular file; raises InputError where it is none."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def move(source: Path, target: Path) -> None:
    """Rename `source`, replacing `target`; over mounts it is a copy and a removal."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        if copy(source, target) != digest(target):
            raise OSError(errno.EIO, "what was written reads back otherwise", target) from error
        source.unlink()
    sync_folder(target.parent)
    sync_folder(source.parent)


def rename_folder(source: Path, target: Path) -> None:
    """Rename the folder `source`, to last; it stays on its mount.

    Where it was is not synced: a rename is there as a whole or not at all after a power cut.
    """
    source.rename(target)
    sync_folder(target.parent)


def discard(folder: Path, trash: Path) -> None:
    """Remove `folder` with all that is in it: gone as a whole at once, its space soon after.

    Nothing is synced: whoever finds it again after a power cut discards it again.
    """
    make_folder(trash)
    doomed = trash / secrets.token_hex(8)
    folder.rename(doomed)
    remove(doomed)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, as far as that can be done."""
    with suppress(OSError):
        if path.is_symlink() or not path.is_dir():
            path.unlink()
            return
        try:
            shutil.rmtree(path, ignore_errors=True)
        except RecursionError:
            _remove_deep(path)


def _remove_deep(path: Path) -> None:
    """Remove a folder that is too deep for `rmtree`: each folder in it is first moved beside it."""
    doomed = [path]
    while doomed:
        folder = doomed.pop()
        for inner in list(folder.iterdir()):
            if inner.is_symlink() or not inner.is_dir():
                inner.unlink()
            else:
                doomed.append(inner.rename(path.parent / secrets.token_hex(8)))
        folder.rmdir()


@contextmanager
def open_regular(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file for reading: no link is followed, no pipe waited for.

    Raises InputError where `path` is something else.
    """
    with os.fdopen(_opened(path), "rb") as file:
        yield file


def _opened(path: Path) -> int:
    """A handle of a regular file; raises as `open_regular` does."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise InputError(
                f"{path.name!r} is not a regular file; drop the file itself"
            ) from error
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise InputError(f"{path.name!r} is not a regular file; drop the file itself")
    return handle


@contextmanager
def beside(path: Path) -> Iterator[BufferedWriter]:
    """A file to write that becomes `path` if nothing goes wrong; of a name nobody else has."""
    temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
