"""Removal of published files: of deleted jobs, of attempts that started over, and expired files.

The ledger lists each published file with its digest. A file is removed only if it still has the
bytes with this digest; a changed file belongs to the person who changed it.
"""

import errno
from collections.abc import Callable, Collection, Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from stylewatch_daemon.base.errors import InputError, OutputError
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.base.model import OutputFile
from stylewatch_daemon.files import atomic, entries, identity, safe_dirs, strangers
from stylewatch_daemon.outbox.publish import RECEIPT, Outbox


class Removed(NamedTuple):
    """Files that are `gone`, removed now or earlier, and files that are `left` to other people.

    Somebody has changed the `left` files, or another job was painted into their folder.
    """

    gone: list[OutputFile]
    left: list[OutputFile]


def remove(
    root: Path,
    files: Iterable[OutputFile],
    step: Step = lambda: None,
    *,
    place: str | None = None,
    listed: Iterable[OutputFile] = (),
    ends: Callable[[], bool] = lambda: False,
) -> Removed:
    """Remove the unchanged `files`, durably, and the folders below `root` that become empty.

    Files in the folder `place` stay if it has a receipt that is not `listed`: another job was
    painted into that folder, perhaps from the same pictures with the same bytes.

    `root` is the outbox or, for files with absolute paths, their finals folder. `ends` is called
    before each file; once it returns True, no further file is touched. The caller checks the disks
    before and after (law 2). Raises OutputError if `root` is missing and, after all other files
    were tried, if a file could not be read or removed or is behind a link. Then the caller must not
    forget the job.
    """
    if not entries.is_folder(root):
        raise OutputError(f"the folder {root} is not there")
    removed = Removed([], [])
    errors: list[OutputError] = []
    is_displaced = place is not None and _has_another_receipt(root, place, listed, step)
    for file in files:
        if ends():
            break
        if is_displaced and file.path.startswith(f"{place}/"):
            removed.left.append(file)
            continue
        try:
            is_gone = _remove(root, file, step)
            (removed.gone if is_gone else removed.left).append(file)
        except OSError as error:
            step()  # raises the error again if it came from `step`
            reason = f"{root / file.path} cannot be removed: {error.strerror or error}"
            errors.append(OutputError(reason))
    _tidy(root, {PurePosixPath(file.path).parent for file in removed.gone})
    if errors:
        raise errors[0]
    return removed


def _has_another_receipt(root: Path, place: str, listed: Iterable[OutputFile], step: Step) -> bool:
    """Return whether the folder `place` of an outbox has another receipt than the `listed` one."""
    record = {file.path: file for file in listed}.get(f"{place}/{RECEIPT}")
    try:
        with safe_dirs.opened(root, place) as folder:
            return strangers.is_taken(RECEIPT, folder, record, step)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _tidy(root: Path, folders: Collection[PurePosixPath]) -> None:
    """Sync the removals in `folders`, which the ledger is about to forget; remove empty ones."""
    for folder in sorted(folders):
        if entries.is_folder(root / folder):
            atomic.sync_folder(root / folder)
        inside = folder.relative_to(root) if folder.is_absolute() else folder
        Outbox(root).drop_empty(str(inside))  # a finals folder itself stays


def _remove(root: Path, file: OutputFile, step: Step) -> bool:
    """Remove a file if it has not changed; return whether it is gone now.

    Its bytes are read through a handle, and its name must still lead to the same file then (law 1).
    Raises OSError if it does not, or if anything about the file is unknown.
    """
    path = root / file.path
    name = path.name
    try:
        with (
            safe_dirs.opened(root, str(path.parent.relative_to(root))) as handle,
            atomic.open_regular(name, handle) as opened,
        ):
            version = identity.version(opened)
            if not strangers.has_bytes(opened, file.sha256, file.size, step):
                return False
            is_same = identity.is_same_file(opened, name, handle)
            if not is_same or identity.version(opened) != version:
                raise OSError(errno.EBUSY, "it changed at this moment")
            entries.unlink(name, handle)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except InputError:  # it is no longer a regular file
        return False
    return True
