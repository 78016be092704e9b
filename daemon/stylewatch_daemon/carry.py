"""Carries the files of a claim out of an inbox, over mounts, and back if need be."""

from contextlib import suppress
from errno import EXDEV
from os.path import lexists
from pathlib import Path

from stylewatch_daemon import durable
from stylewatch_daemon.errors import InputError
from stylewatch_daemon.journal import File, Journal
from stylewatch_daemon.names import candidates, shown
from stylewatch_daemon.scan import look


def bring(file: File, target: Path, *, moves: bool) -> None:
    """Bring `file` to `target`, whose folder is to be synced then.

    Raises InputError where it is not what it was, OSError.
    """
    changed = InputError(f"{shown(file.source.name)} changed while it was being taken")
    try:
        if moves:
            file.source.rename(target)
            if look(target) != file.look:
                raise changed
            durable.sync_file(target)
            return
    except OSError as error:
        if error.errno != EXDEV:
            raise
    if look(file.source) != file.look:
        raise changed
    read = durable.copy(file.source, target)
    if durable.digest(target) != read or look(file.source) != file.look:
        target.unlink()
        raise changed


def remove_originals(journal: Journal, files: Path) -> bool:
    """Remove the originals that were copied to `files`; whether all is gone that should be."""
    for file in journal.files:
        copied = journal.moves(file) and (files / file.name).exists()
        if copied and look(file.source) == file.look:
            try:
                file.source.unlink()
                durable.sync_folder(file.source.parent)
            except OSError:  # a folder that may not be written: then they stay, and are remembered
                return False
    if journal.folder is not None:
        with suppress(OSError):  # something else lies in it, or it is gone
            journal.folder.rmdir()
    return True


def put_back(journal: Journal, files: Path) -> None:
    """Put each of the job's own files back whose original is not there; they are in `files`.

    Into no folder made for it: one that is gone may be a mount, that would come back and lie over
    the file. Raises OSError.
    """
    for file in journal.files:
        held = files / file.name
        if not journal.moves(file) or not lexists(held) or look(file.source) == file.look:
            continue
        seen = look(held)
        was_copied = seen is not None and seen.inode != file.look.inode
        if not (was_copied and lexists(file.source)):  # else a copy of what was changed since
            durable.move(held, _free(file.source))


def has_no_way_back(journal: Journal, state: Path) -> bool:
    """Whether a folder that files came from is gone, and the inbox around it is the one it was.

    The inbox of a journal that does not tell its device lay on that of the `state` folder, as
    nothing that was copied needs a way back.
    """
    try:
        next(journal.inbox.iterdir(), None)
        device = journal.inbox.stat().st_dev
        known = state.stat().st_dev if journal.device is None else journal.device
    except OSError:
        return False
    moved = (file.source.parent for file in journal.files if journal.moves(file))
    return device == known and not all(folder.is_dir() for folder in moved)


def _free(path: Path) -> Path:
    """`path`, or a name like it that nothing has taken."""
    names = (path.with_stem(stem) for stem in candidates(path.stem))
    return next(one for one in names if not lexists(one))
