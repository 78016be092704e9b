"""Atomic writes: a temporary file is written and synced, then renamed, then the folder synced.

Whatever is killed, a file is complete or absent. Paths may be names in an opened folder, so that a
link that replaces a folder leads nowhere; `safe_dirs` opens such folders.
"""

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader, BufferedWriter
from itertools import takewhile
from pathlib import Path

from stylewatch_daemon.base.errors import InputError

CHUNK = 1 << 20
"""Bytes that are copied or hashed at a time."""

RANDOM = 8
"""Random bytes in the name of a temporary file."""

Step = Callable[[], object]
"""Called for each piece that is copied or hashed; it may raise, to end that."""


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
    """Make `folder` and the missing ones above it, durably."""
    missing = list(takewhile(lambda path: not path.exists(), (folder, *folder.parents)))
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


def write(
    path: Path | str, content: bytes, folder: int | None = None, *, durable: bool = True
) -> None:
    """Write `content` to a file, by the rules of `replacing`."""
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

    Each path may be a name in an opened folder. Raises InputError if `source` is no regular
    file.
    """
    sha256 = hashlib.sha256()
    with (
        open_regular(source, source_folder) as reading,
        replacing(target, target_folder) as writing,
    ):
        status = os.fstat(reading.fileno())
        left = status.st_size  # it may grow meanwhile
        while left > 0 and (chunk := reading.read(min(CHUNK, left))):
            step()
            sha256.update(chunk)
            if chunk == bytes(len(chunk)):
                writing.seek(len(chunk), os.SEEK_CUR)  # a hole takes no space in the copy either
            else:
                writing.write(chunk)
            left -= len(chunk)
        writing.truncate()
        with suppress(PermissionError):  # a share may have an owner of its own for all files
            os.utime(writing.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
    return sha256.hexdigest()


def digest(path: Path | str, folder: int | None = None, step: Step = lambda: None) -> str:
    """Return the SHA-256 of a regular file; raises InputError if it is none."""
    with open_regular(path, folder) as file:
        return digest_of(file, step)


def digest_of(file: BufferedReader, step: Step = lambda: None) -> str:
    """Return the SHA-256 of an opened file, from its position on."""
    sha256 = hashlib.sha256()
    while chunk := file.read(CHUNK):
        step()
        sha256.update(chunk)
    return sha256.hexdigest()


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
    """Rename the folder `source` on its mount, durably.

    The old parent is not synced: after a power cut a rename is there as a whole or not at all.
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
        doomed = [path]
        while doomed:
            folder = doomed.pop()
            for inner in list(folder.iterdir()):
                if inner.is_symlink() or not inner.is_dir():
                    inner.unlink()
                else:  # moved up first, so that no path gets too long
                    doomed.append(inner.rename(path.parent / secrets.token_hex(8)))
            folder.rmdir()


def open_regular(path: Path | str, folder: int | None = None) -> BufferedReader:
    """Open a regular file for reading: no link is followed, no pipe waited for.

    `path` may be a name in an opened `folder`. Raises InputError if it is something else.
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
    """Open a temporary file that replaces `path` if nothing goes wrong.

    Its bytes are synced before, if it is to be `durable`, and so is the folder of a path after it.
    `path` may be a name in an opened `folder`, which the caller syncs.
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
