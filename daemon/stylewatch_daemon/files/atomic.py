"""Files that are whole or absent, whatever is killed: written beside, synced, renamed, synced."""

import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader, BufferedWriter
from itertools import takewhile
from pathlib import Path

from stylewatch_daemon.errors import InputError

CHUNK = 1 << 20
"""Bytes that are copied at a time."""

Step = Callable[[], object]
"""Called before each piece that is copied; it may raise, to end the copying."""


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
    """Return True if `path` is a regular file, and not a link to one."""
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


def copy(
    source: Path | str, target: Path, folder: int | None = None, step: Step = lambda: None
) -> str:
    """Copy the regular file `source`, its time too; the SHA-256 of the bytes that were read.

    `source` may be a name in an opened `folder`. Raises InputError where it is no regular file.
    """
    with open_regular(source, folder) as reading, beside(target) as writing:
        return fill(reading, writing, step)


def fill(source: BufferedReader, target: BufferedWriter, step: Step = lambda: None) -> str:
    """Copy the bytes of an opened file, its holes and its time; the SHA-256 of what was read."""
    digest, reading, writing = hashlib.sha256(), source.fileno(), target.fileno()
    status, at = os.fstat(reading), 0
    while at < status.st_size:
        start, end = _data(reading, at, status.st_size)
        for length in _lengths(start - at):
            step()
            digest.update(bytes(length))
        at = start
        while at < end and (chunk := os.pread(reading, min(CHUNK, end - at), at)):
            step()
            digest.update(chunk)
            _write(writing, chunk, at)
            at += len(chunk)
        if at < end:  # it was cut meanwhile
            break
    os.ftruncate(writing, at)
    with suppress(PermissionError):  # a share may have an owner of its own for all files
        os.utime(writing, ns=(status.st_atime_ns, status.st_mtime_ns))
    return digest.hexdigest()


def _data(handle: int, at: int, size: int) -> tuple[int, int]:
    """Where the next bytes from `at` on begin and end that are no hole."""
    try:
        start = os.lseek(handle, at, os.SEEK_DATA)
        return start, min(os.lseek(handle, start, os.SEEK_HOLE), size)
    except OSError as error:
        # ENXIO: nothing but a hole is left. Else the file system does not know of holes.
        return (size, size) if error.errno == errno.ENXIO else (at, size)


def _write(handle: int, chunk: bytes, at: int) -> None:
    """Write all of `chunk` at a place in an opened file."""
    while chunk:
        written = os.pwrite(handle, chunk, at)
        chunk, at = chunk[written:], at + written


def _lengths(length: int) -> Iterator[int]:
    """`length` in pieces."""
    while length > 0:
        yield min(length, CHUNK)
        length -= CHUNK


def digest(path: Path | str, folder: int | None = None) -> str:
    """The SHA-256 of a regular file; raises InputError where it is none."""
    with open_regular(path, folder) as file:
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
def open_regular(path: Path | str, folder: int | None = None) -> Iterator[BufferedReader]:
    """Open a regular file for reading: no link is followed, no pipe waited for.

    `path` may be a name in an opened `folder`. Raises InputError where it is something else.
    """
    with os.fdopen(_opened(path, folder), "rb") as file:
        yield file


def _opened(path: Path | str, folder: int | None = None) -> int:
    """A handle of a regular file; raises as `open_regular` does."""
    name = Path(path).name
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(path, flags, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise InputError(f"{name!r} is not a regular file; drop the file itself") from error
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise InputError(f"{name!r} is not a regular file; drop the file itself")
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
