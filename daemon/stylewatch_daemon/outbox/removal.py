"""Removing published files: those of deleted jobs, and stages and inputs that are kept no longer.

The ledger lists each published file with its digest. Only a file that still has these bytes is
removed: one that was changed since belongs to whoever changed it.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

from stylewatch_daemon.base.errors import InputError, OutputError
from stylewatch_daemon.base.model import OutputFile
from stylewatch_daemon.files import atomic, safe_dirs
from stylewatch_daemon.outbox.publish import Outbox


@dataclass(frozen=True)
class Removed:
    """Files that are `gone`, by this or before, and those that were `kept`, as others changed them.

    Neither belongs to its job any longer.
    """

    gone: tuple[OutputFile, ...]
    kept: tuple[OutputFile, ...]


def remove(outbox: Path, files: Iterable[OutputFile], step: atomic.Step = lambda: None) -> Removed:
    """Remove the `files` that have not changed, and the folders in `outbox` that are empty then.

    Raises OutputError, after all others were tried, if a file could not be read or removed, or if a
    link leads to it: its job must not be forgotten.
    """
    if not outbox.is_dir():  # a mount that comes back, perhaps
        raise OutputError(f"the outbox {outbox} is not there")
    gone: list[OutputFile] = []
    kept: list[OutputFile] = []
    errors: list[OutputError] = []
    for file in files:
        try:
            is_gone = _remove(outbox, file, step)
        except OSError as error:
            step()  # raises again what was caught, if that came from it
            errors.append(
                OutputError(f"{outbox / file.path} cannot be removed: {error.strerror or error}")
            )
        else:
            (gone if is_gone else kept).append(file)
    for folder in {str(PurePosixPath(file.path).parent) for file in gone}:
        if not folder.startswith("/"):  # a folder of finals stays
            Outbox(outbox).drop_empty(folder)
    if errors:
        raise errors[0]
    return Removed(tuple(gone), tuple(kept))


def cutoff(days: int) -> str:
    """Return the time, as the ledger has it, before which a job ended more than `days` ago."""
    return (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")


def _remove(outbox: Path, file: OutputFile, step: atomic.Step) -> bool:
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
    except InputError:  # something else has its name
        return False
    return True
