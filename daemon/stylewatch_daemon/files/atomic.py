"""Atomic writes: write and sync a temporary file, rename it, then sync the folder.

If the process is killed at any time, a file is complete, as it was before, or absent. A path may be
relative to an opened folder: then a link that replaces the folder has no effect. `safe_dirs` opens
such folders.
"""

import errno
import hashlib
import math
import os
import re
import secrets
import stat
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader, BufferedWriter
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

from stylewatch_daemon.base.errors import InputError
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.files import entries, identity
from stylewatch_daemon.files.system import system

CHUNK = 1 << 20
"""Number of bytes copied or hashed at a time."""

SYNCS_AT_ONCE = 8
"""Maximum number of files and folders that `sync_all` syncs at the same time."""

RANDOM = 8
"""Number of random bytes in an unused name."""

DIGITS = 2 * RANDOM
"""Number of hexadecimal digits at the end of the name of a temporary file, before `.tmp`."""

TAG = 8
"""Number of hexadecimal digits, the first of the DIGITS, that identify the owner of a temporary
file; without an owner they are random."""

_HALF = re.compile(
    r"\.(?:(?P<process>[0-9a-f]+)-)?"
    rf"(?P<tag>[0-9a-f]{{{TAG}}})[0-9a-f]{{{DIGITS - TAG}}}\.tmp"
)
"""Pattern for the names of temporary files (law 7). Group `process` has the digits of
`this_process`, if the file belongs to a process; group `tag` has the TAG digits of its owner."""

PROBE = f".0-{'0' * DIGITS}.tmp"
"""Name of the file that `probe` writes. If an error or a power cut leaves the file behind, the next
`sweep` without an `owner` removes it."""

_START = secrets.token_hex(4)
"""Random digits of this run of the program. The next run may have the same process id, in a
container or after `execve`."""


def this_process() -> str:
    """Return the digits that identify this process in the names of its temporary files."""
    return f"{os.getpid()}{_START}"


def unused_name() -> str:
    """Return a random name of DIGITS hexadecimal digits."""
    return secrets.token_hex(RANDOM)


def sync_folder(folder: Path | int) -> None:
    """Make the names in `folder`, a path or a handle, durable.

    Some network file systems cannot sync a folder (EINVAL), which is ignored.
    """
    if isinstance(folder, int):
        entries.done_unless({errno.EINVAL}, system.fsync, folder)
    else:
        with entries.opened(folder, follow=True) as handle:
            sync_folder(handle)


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
    """Make the bytes of the file `path` durable; raises InputError if it is not a regular file."""
    with open_regular(path) as file:
        system.fsync(file.fileno())


def _sync_own(path: Path) -> None:
    """Make a file's bytes or a folder's names durable; raises OSError (ELOOP) for a link."""
    handle = system.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if stat.S_ISDIR(system.fstat(handle).st_mode):
            sync_folder(handle)
        else:
            system.fsync(handle)
    finally:
        system.close(handle)


def sync_all(paths: Collection[Path]) -> dict[Path, Exception]:
    """Make files and folders durable; return the errors of those that cannot be synced, by path.

    Up to SYNCS_AT_ONCE are synced at the same time, so that they share a commit of the disk's
    journal. Links are not followed: a link is an error.
    """
    errors: dict[Path, Exception] = {}
    unsynced = SimpleQueue[Path]()
    for path in paths:
        unsynced.put(path)

    def sync_some() -> None:
        while True:
            try:
                path = unsynced.get_nowait()
            except Empty:
                return
            try:
                _sync_own(path)
            except Exception as error:
                errors[path] = error

    helpers: list[Thread] = []
    with suppress(RuntimeError):  # no more threads are available
        while len(helpers) < min(len(paths), SYNCS_AT_ONCE) - 1:
            helper = Thread(target=sync_some, name="syncs", daemon=True)
            helper.start()
            helpers.append(helper)
    sync_some()
    for helper in helpers:
        helper.join()
    return errors


def make_folder(folder: Path) -> None:
    """Create `folder` and its missing parents, durably.

    Raises NotADirectoryError if one of them is a file.
    """
    missing = []
    for path in (folder, *folder.parents):
        if entries.is_folder(path):
            break
        missing.append(path)
    for path in reversed(missing):
        if not entries.make_folder(path) and not entries.is_folder(path):
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(path))
        sync_folder(path.parent)


def write(
    path: Path | str, content: bytes, folder: int | None = None, *, durable: bool = True
) -> None:
    """Write `content` to the file `path`, as `replacing` does."""
    with replacing(path, folder, durable=durable) as file:
        file.write(content)


def probe(folder: Path | int) -> None:
    """Write and remove the file PROBE in a folder, a path or a handle, without a sync.

    Raises OSError if no file can be written there.
    """
    name, handle = (PROBE, folder) if isinstance(folder, int) else (folder / PROBE, None)
    write(name, b"can this be written?", handle, durable=False)
    entries.unlink(name, handle)


def attempt_write(path: Path, content: bytes) -> bool:
    """Write `content` to a file that nothing depends on; return False if that fails.

    The file is not synced.
    """
    try:
        write(path, content, durable=False)
    except OSError:
        return False
    return True


def copy(
    source: Path | str,
    target: Path | str,
    source_folder: int | None = None,
    step: Step = lambda: None,
    *,
    target_folder: int | None = None,
    follow: bool = False,
) -> str:
    """Copy the file `source` to `target`, as `replacing` does; return the SHA-256 of its bytes.

    The copy has the holes and, if the disk allows that, the times of `source`. Each path may be a
    name in an opened folder. `step` is called for each chunk. Raises InputError if `source` is not
    a regular file; a link to a regular file is accepted only if `follow`.
    """
    with (
        open_regular(source, source_folder, follow=follow) as reading,
        replacing(target, target_folder) as writing,
    ):
        return copy_into(reading, writing, step)


def copy_into(reading: BufferedReader, writing: BufferedWriter, step: Step = lambda: None) -> str:
    """Copy an opened file, up to its present size, into another; return the SHA-256 of its bytes.

    The copy has the holes and, if the disk allows that, the times of the file. `step` is called for
    each chunk.
    """
    sha256 = hashlib.sha256()
    status = system.fstat(reading.fileno())
    remaining = status.st_size  # it may grow in the meantime
    while remaining > 0 and (chunk := reading.read(min(CHUNK, remaining))):
        step()
        sha256.update(chunk)
        if chunk == bytes(len(chunk)):
            writing.seek(len(chunk), os.SEEK_CUR)  # keep holes, which take no space
        else:
            writing.write(chunk)
        remaining -= len(chunk)
    writing.truncate()
    with suppress(PermissionError):  # all files of a share may belong to another user
        system.utime(writing.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
    return sha256.hexdigest()


def digest(path: Path | str, folder: int | None = None, step: Step = lambda: None) -> str:
    """Return the SHA-256 of a regular file; raises InputError if it is not a regular file."""
    with open_regular(path, folder) as file:
        return digest_of(file, step)


def digest_of(file: BufferedReader, step: Step = lambda: None, *, most: int = sys.maxsize) -> str:
    """Return the SHA-256 of an opened file, from its current position on.

    At most `most` + 1 bytes are read: the additional byte gives a longer file another digest.
    """
    sha256 = hashlib.sha256()
    remaining = most + 1
    while remaining and (chunk := file.read(min(CHUNK, remaining))):
        step()
        sha256.update(chunk)
        remaining -= len(chunk)
    return sha256.hexdigest()


def seconds_unchanged(file: BufferedReader, name: str, folder: int) -> float | None:
    """Return the seconds since an opened file, called `name` in an opened folder, last changed.

    Both times are by the clock of the file's disk, which may be that of a server: the present time
    is read from a temporary file that is created in the folder. An mtime in the future is ignored.
    After a ctime in the future the result is None, because the clock was set back at an unknown
    time. For a file with several hard links the result is infinite: if this name is removed, the
    other names keep what a program writes late. Raises OSError if the folder cannot be written.
    """
    status = system.fstat(file.fileno())
    if status.st_nlink > 1:
        return math.inf
    temporary = f".{_digits(name)}.tmp"  # always the same name: leftovers are removed
    entries.unlink(temporary, folder)
    with _created(temporary, folder, durable=False) as probe:
        now = system.fstat(probe.fileno()).st_ctime_ns
    entries.unlink(temporary, folder)
    changed = status.st_ctime_ns
    if status.st_mtime_ns <= now:  # some disks have no ctime
        changed = max(changed, status.st_mtime_ns)
    return None if changed > now else (now - changed) / 1e9


def move(
    name: Path | str,
    to: Path | str,
    source: int | None = None,
    target: int | None = None,
    step: Step = lambda: None,
    *,
    durable: bool = True,
) -> None:
    """Move the file or folder `name` to the new name `to`, where it appears as a whole.

    It is renamed if that is possible, and replaces an older file or an empty folder. Otherwise it
    is copied, the copy is compared and renamed, and the original is removed: union file systems,
    bind mounts and quotas may refuse any rename (law 6). The names may be in the opened folders
    `source` and `target`. The folder of the new name is synced if the move is `durable`, that of
    the old name never: after a power cut the move is complete, undone, or can be repeated. Raises
    OSError (EIO) if the copy differs, InputError if a link or a device would have to be copied.
    """
    if not entries.rename(name, to, source, target):
        hidden = _moving_beside(to, target)
        try:
            _copy_compared(name, hidden, source, target, step)
            system.rename(hidden, to, src_dir_fd=target, dst_dir_fd=target)
        except BaseException:
            entries.attempt_removal(hidden, target)
            raise
        entries.remove(name, source)
    if durable:
        sync_folder(Path(to).parent if target is None else target)


def _hidden_beside(path: Path | str, owner: str = "") -> str:
    """Return an unused path beside `path` for a temporary file of this process (law 7).

    The name has the tag of `owner`, unless that is empty.
    """
    tag = _tag(owner) if owner else ""
    unique = unused_name()[len(tag) :]
    return str(Path(path).with_name(f".{this_process()}-{tag}{unique}.tmp"))


def _tag(owner: str) -> str:
    """Return the TAG digits, from a digest of `owner`, that mark its temporary files."""
    return _digits(owner)[:TAG]


def _digits(owner: str) -> str:
    """Return DIGITS digits for the name of a temporary file, always the same for an `owner`."""
    return hashlib.sha256(owner.encode(errors="surrogateescape")).hexdigest()[:DIGITS]


def _moving_beside(path: Path | str, folder: int | None) -> str:
    """Remove the copy that an earlier `move` to `path` left; return the path for a new copy."""
    name = f".{this_process()}-{_digits(Path(path).name)}.tmp"
    hidden = str(Path(path).with_name(name))
    entries.remove(hidden, folder)
    return hidden


def _copy_compared(
    name: Path | str, to: Path | str, source: int | None, target: int | None, step: Step
) -> None:
    """Copy a file, or a folder with its contents, durably, and read the copied files back.

    Raises OSError (EIO) if a copy differs, InputError for a link or a device.
    """
    if entries.is_own_folder(name, source):
        _copy_folder(name, to, source, target, step)
        return
    with open_regular(name, source) as reading, _created(to, target) as writing:
        copied = copy_into(reading, writing, step)
    if digest(to, target, step) != copied:
        raise OSError(errno.EIO, "the written file differs when read back", str(to))


def _copy_folder(
    name: Path | str, to: Path | str, source: int | None, target: int | None, step: Step
) -> None:
    system.mkdir(to, dir_fd=target)
    with entries.opened(name, source) as reading, entries.opened(to, target) as writing:
        for inner in entries.names(reading):
            _copy_compared(inner, inner, reading, writing, step)
        sync_folder(writing)


def move_unless_taken(
    name: Path | str,
    to: Path | str,
    source: int | None = None,
    target: int | None = None,
    step: Step = lambda: None,
) -> bool:
    """Move the file `name` to the new name `to`; return False if another entry has that name.

    A kill during an earlier move may have left the file under both names or, if these are on two
    mounts, a copy under the new name. Then the old name is removed, and the result is True. The
    names may be in the opened folders `source` and `target`. The folder of the new name is synced.
    """
    try:
        is_linked = entries.link(name, to, source, target)
    except FileExistsError:
        is_linked = False
    if not is_linked:
        if not entries.exists(to, target):  # a disk without links
            move(name, to, source, target, step)
            return True
        has_both = identity.has_both_names(name, to, source, target)
        if not has_both and not _is_copied(name, to, source, target):
            return False
    sync_folder(Path(to).parent if target is None else target)
    entries.unlink(name, source)
    return True


def _is_copied(name: Path | str, to: Path | str, source: int | None, target: int | None) -> bool:
    """Return whether two regular files have the same bytes and, up to rounding, the same mtime."""
    first, second = identity.look(name, source), identity.look(to, target)
    if first is None or second is None or not first.resembles(second):
        return False
    return digest(name, source) == digest(to, target)


def sweep(folder: int, *, ours: bool | None = None, owner: str = "") -> None:
    """Remove temporary files in an opened folder (law 7).

    `ours` selects the files of this process (True), all others (False), or all (None). An `owner`
    that is not empty restricts them to the files of that owner, in a folder that jobs share; the
    owner of a copy that `move` makes is the new name. Without an `owner`, the file of `probe` is
    removed whatever `ours` is. A process that is writing to a removed file fails and has to try
    again. Raises OSError if a file cannot be removed: call it again before you use the folder.
    """
    matches = filter(None, map(_HALF.fullmatch, entries.names(folder)))
    for half in matches:
        if owner and half["tag"] != _tag(owner):
            continue
        is_ours = half["process"] == this_process()
        if half[0] == PROBE or ours in (None, is_ours):
            entries.remove(half[0], folder)


def attempt_sweep(folder: Path, *, ours: bool | None, owner: str = "") -> bool:
    """Remove temporary files in a folder, selected as for `sweep`; return False if that fails."""
    try:
        with entries.opened(folder, follow=True) as handle:
            sweep(handle, ours=ours, owner=owner)
            return True
    except OSError:
        return False


def discard(folder: Path, trash: Path) -> None:
    """Remove `folder` and its contents, if it exists, after a rename into the folder `trash`.

    The rename makes the folder disappear as a whole; contents that cannot be removed stay in the
    trash. If the rename is refused, as between two mounts, the folder is removed in its place.
    Raises OSError if the folder stays. Nothing is synced: after a power cut the folder may be back.
    """
    if not entries.exists(folder):
        return
    make_folder(trash)
    doomed = trash / unused_name()
    if entries.rename(folder, doomed):
        entries.attempt_removal(doomed)
    else:
        entries.remove(folder)


def open_regular(
    path: Path | str, folder: int | None = None, *, follow: bool = False
) -> BufferedReader:
    """Open a regular file for reading, without waiting for a pipe; follow a link only if `follow`.

    `path` may be a name in an opened `folder`. Raises InputError if it is not a regular file.
    """
    refusal = f"{Path(path).name!r} is not a regular file; drop the file itself"
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        handle = system.open(path, flags, dir_fd=folder)
    except OSError as error:
        # links and sockets fail with these errors, but so does an unplugged disk (law 2)
        if error.errno in (errno.ELOOP, errno.ENXIO) and not entries.is_file(path, folder):
            raise InputError(refusal) from error
        raise
    try:
        if not stat.S_ISREG(system.fstat(handle).st_mode):
            raise InputError(refusal)
        return system.reader(handle)
    except BaseException:
        system.close(handle)
        raise


@contextmanager
def replacing(
    path: Path | str, folder: int | None = None, *, durable: bool = True
) -> Iterator[BufferedWriter]:
    """Open and yield a temporary file, which replaces `path` if the context ends without an error.

    After an error the temporary file is removed. If `durable`, its bytes are synced before it
    replaces `path`, and the folder of `path` afterwards. `path` may be a name in an opened
    `folder`, which the caller syncs.
    """
    temporary = _hidden_beside(path)
    try:
        with _created(temporary, folder, durable=durable) as file:
            yield file
        system.rename(temporary, path, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        entries.attempt_removal(temporary, folder)
        raise
    if durable and folder is None:
        sync_folder(Path(path).parent)


@contextmanager
def adding(name: str, folder: int, owner: str) -> Iterator[BufferedWriter]:
    """Open and yield a temporary file of `owner`; at the end, add it to an opened folder as `name`.

    The added file and its name are durable. If the context ends with an error, the file is removed.
    Raises FileExistsError at the end if another file has that name by then.
    """
    temporary = _hidden_beside(name, owner)
    try:
        with _created(temporary, folder) as file:
            yield file
        if not move_unless_taken(temporary, name, folder, folder):
            raise FileExistsError(errno.EEXIST, "File exists", name)
    except BaseException:
        entries.attempt_removal(temporary, folder)
        raise


@contextmanager
def _created(
    path: Path | str, folder: int | None, *, durable: bool = True
) -> Iterator[BufferedWriter]:
    """Create a file, and yield it opened for writing; sync its bytes in the end if `durable`."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with system.writer(system.open(path, flags, 0o666, dir_fd=folder)) as file:
        yield file
        file.flush()
        if durable:
            system.fsync(file.fileno())
