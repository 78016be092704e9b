"""Atomic writes: write and sync a temporary file, rename it, then sync the folder.

A file is complete or absent, whenever a process is killed. Paths may be names in an opened folder,
so that a link that replaces the folder has no effect; `safe_dirs` opens such folders.
"""

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader, BufferedWriter
from itertools import takewhile
from pathlib import Path

from stylewatch_daemon.base.errors import InputError
from stylewatch_daemon.base.mover import Step

CHUNK = 1 << 20
"""Number of bytes copied or hashed at a time."""

RANDOM = 8
"""Number of random bytes in the name of a temporary file."""


def sync_folder(folder: Path | int) -> None:
    """Make the names in `folder`, a path or a handle, durable.

    Some network file systems cannot sync a folder (EINVAL), which is ignored.
    """
    handle = folder if isinstance(folder, int) else os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        if not isinstance(folder, int):
            os.close(handle)


def read(path: Path, most: int) -> bytes:
    """Return the bytes of a regular file of at most `most` bytes; raises ValueError otherwise."""
    try:
        with open_regular(path) as file:
            content = file.read(most + 1)
    except InputError as error:
        raise ValueError(f"{path.name!r} is not a regular file") from error
    if len(content) > most:
        raise ValueError(f"{path.name!r} is longer than {most:,} bytes")
    return content


def sync_file(path: Path) -> None:
    """Make the bytes of `path` durable."""
    with open_regular(path) as file:
        os.fsync(file.fileno())


def make_folder(folder: Path) -> None:
    """Create `folder` and its missing parents, durably."""
    missing = list(takewhile(lambda path: not path.exists(), (folder, *folder.parents)))
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


def write(
    path: Path | str, content: bytes, folder: int | None = None, *, durable: bool = True
) -> None:
    """Write `content` to a file, following the rules of `replacing`."""
    with replacing(path, folder, durable=durable) as file:
        file.write(content)


def copy(
    source: Path | str,
    target: Path | str,
    source_folder: int | None = None,
    step: Step = lambda: None,
    *,
    target_folder: int | None = None,
) -> str:
    """Copy a regular file with its time and its holes; return the SHA-256 of the bytes read.

    Each path may be a name in an opened folder. Raises InputError if `source` is not a regular
    file.
    """
    sha256 = hashlib.sha256()
    with (
        open_regular(source, source_folder) as reading,
        replacing(target, target_folder) as writing,
    ):
        status = os.fstat(reading.fileno())
        left = status.st_size  # it may grow in the meantime
        while left > 0 and (chunk := reading.read(min(CHUNK, left))):
            step()
            sha256.update(chunk)
            if chunk == bytes(len(chunk)):
                writing.seek(len(chunk), os.SEEK_CUR)  # keep holes, which take no space
            else:
                writing.write(chunk)
            left -= len(chunk)
        writing.truncate()
        with suppress(PermissionError):  # all files of a share may belong to another user
            os.utime(writing.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
    return sha256.hexdigest()


def digest(path: Path | str, folder: int | None = None, step: Step = lambda: None) -> str:
    """Return the SHA-256 of a regular file; raises InputError if it is not a regular file."""
    with open_regular(path, folder) as file:
        return digest_of(file, step)


def digest_of(file: BufferedReader, step: Step = lambda: None) -> str:
    """Return the SHA-256 of an opened file, from its current position on."""
    sha256 = hashlib.sha256()
    while chunk := file.read(CHUNK):
        step()
        sha256.update(chunk)
    return sha256.hexdigest()


def move(source: Path, target: Path) -> None:
    """Rename `source`, replacing `target`; across mounts, copy and remove it."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        if copy(source, target) != digest(target):
            raise OSError(errno.EIO, "the written file differs when read back", target) from error
        source.unlink()
    sync_folder(target.parent)
    sync_folder(source.parent)


def rename_folder(source: Path, target: Path) -> None:
    """Rename the folder `source` on its mount, durably.

    The old parent is not synced: after a power cut a rename is either complete or undone.
    """
    source.rename(target)
    sync_folder(target.parent)


def discard(folder: Path, trash: Path) -> None:
    """Remove `folder` and its contents: it disappears at once, its space is freed soon after.

    Nothing is synced: if the folder is back after a power cut, it is discarded again.
    """
    make_folder(trash)
    doomed = trash / secrets.token_hex(8)
    folder.rename(doomed)
    remove(doomed)


def remove(path: Path) -> None:
    """Remove a file, or a folder with its contents, as far as possible."""
    with suppress(OSError):
        if path.is_symlink() or not path.is_dir():
            path.unlink()
            return
        doomed = [path]
        while doomed:
            folder = doomed.pop()
            for inner in list(folder.iterdir()):
                if inner.is_symlink() or not inner.is_dir():
                    inner.unlink()
                else:  # moved up first, so that no path becomes too long
                    doomed.append(inner.rename(path.parent / secrets.token_hex(8)))
            folder.rmdir()


def open_regular(path: Path | str, folder: int | None = None) -> BufferedReader:
    """Open a regular file for reading, without following links or waiting for pipes.

    `path` may be a name in an opened `folder`. Raises InputError if it is not a regular file.
    """
    refusal = f"{Path(path).name!r} is not a regular file; drop the file itself"
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(path, flags, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise InputError(refusal) from error
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise InputError(refusal)
    return os.fdopen(handle, "rb")


@contextmanager
def replacing(
    path: Path | str, folder: int | None = None, *, durable: bool = True
) -> Iterator[BufferedWriter]:
    """Open a temporary file that replaces `path` if the context ends without an error.

    If `durable`, its bytes are synced first; afterwards the folder of a path is synced. `path` may
    be a name in an opened `folder`, which the caller syncs.
    """
    temporary = str(Path(path).with_name(f".{secrets.token_hex(RANDOM)}.tmp"))
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(temporary, flags, 0o666, dir_fd=folder), "wb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        raise
    if folder is None:
        sync_folder(Path(path).parent)
