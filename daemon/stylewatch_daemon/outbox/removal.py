"""Removal of published files: those of deleted jobs, and expired stages and inputs.

The ledger lists each published file with its digest. A file is removed only if it still has these
bytes; a changed file belongs to the person who changed it.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

from stylewatch_daemon.base.errors import InputError, OutputError
from stylewatch_daemon.base.model import OutputFile
from stylewatch_daemon.base.mover import Step
from stylewatch_daemon.files import atomic, safe_dirs
from stylewatch_daemon.outbox.publish import Outbox


@dataclass(frozen=True)
class Removed:
    """Files that are `gone`, now or before, and files `kept` because others changed them.

    Neither belongs to its job any longer.
    """

    gone: tuple[OutputFile, ...]
    kept: tuple[OutputFile, ...]


def remove(outbox: Path, files: Iterable[OutputFile], step: Step = lambda: None) -> Removed:
    """Remove the unchanged `files`, and folders in `outbox` that become empty.

    Raises OutputError, after all other files were tried, if a file could not be read or removed, or
    if a link leads to it: then its job must not be forgotten.
    """
    if not outbox.is_dir():  # its disk may be mounted later
        raise OutputError(f"the outbox {outbox} is not there")
    gone: list[OutputFile] = []
    kept: list[OutputFile] = []
    errors: list[OutputError] = []
    for file in files:
        try:
            is_gone = _remove(outbox, file, step)
        except OSError as error:
            step()  # raises the error again if it came from `step`
            errors.append(
                OutputError(f"{outbox / file.path} cannot be removed: {error.strerror or error}")
            )
        else:
            (gone if is_gone else kept).append(file)
    for folder in {str(PurePosixPath(file.path).parent) for file in gone}:
        if not folder.startswith("/"):  # a finals folder stays
            Outbox(outbox).drop_empty(folder)
    if errors:
        raise errors[0]
    return Removed(tuple(gone), tuple(kept))


def cutoff(days: int) -> str:
    """Return the time, in the ledger's form, before which a job ended more than `days` ago."""
    return (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")


def _remove(outbox: Path, file: OutputFile, step: Step) -> bool:
    """Remove a file if it has not changed; return whether it is gone now."""
    path = PurePosixPath(file.path)
    root, folder = (Path(path.parent), "") if path.is_absolute() else (outbox, str(path.parent))
    try:
        with safe_dirs.opened(root, folder) as handle:
            if atomic.digest(path.name, handle, step) != file.sha256:
                return False
            os.unlink(path.name, dir_fd=handle)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except InputError:  # it is no longer a regular file
        return False
    return True
