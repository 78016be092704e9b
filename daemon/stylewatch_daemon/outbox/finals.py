"""The finals folder of an inbox: the final pictures of its jobs side by side, as links or copies.

Others may write there too: nothing of theirs is replaced, and no link below the folder is followed.
"""

import os
from contextlib import suppress
from pathlib import Path, PurePosixPath

from stylewatch_daemon.base.errors import InputError, OutputError
from stylewatch_daemon.base.model import Job, OutputFile
from stylewatch_daemon.files import atomic, safe_dirs
from stylewatch_daemon.files.names import candidates
from stylewatch_daemon.files.permissions import Sharing


def add(
    finals: Path, job: Job, final: OutputFile, sharing: Sharing, step: atomic.Step = lambda: None
) -> OutputFile | None:
    """Link the picture `final` of `job` in the folder `finals` under the job's name, or copy it.

    If that name belongs to another file, it becomes `name-2` ...; a file with the same bytes counts
    as added. Returns None if the picture in the outbox is no longer as it was. Raises OutputError.
    """
    path = PurePosixPath(final.path)
    wanted = PurePosixPath(f"{job.title}{path.suffix}")
    names = (f"{stem}{wanted.suffix}" for stem in candidates(wanted.stem))
    temporary = f".{job.id}.tmp"
    try:
        atomic.make_folder(finals)
        with (
            safe_dirs.opened(Path(job.outbox), str(path.parent)) as source,
            safe_dirs.opened(finals, str(wanted.parent), sharing.folder) as target,
        ):
            _remove(target, temporary)
            _link_or_copy(path.name, source, target, temporary, step)
            name = ""
            if _is(final, temporary, target, step):
                sharing.file(target, temporary)
                name = next(
                    name
                    for name in names
                    if _give_name(target, temporary, name) or _is(final, name, target, step)
                )
            _remove(target, temporary)
            atomic.sync_folder(target)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"the finals folder {finals} cannot be written ({error.strerror or error})"
        ) from error
    return final._replace(path=str(finals / wanted.parent / name), part="finals") if name else None


def _link_or_copy(name: str, source: int, target: int, temporary: str, step: atomic.Step) -> None:
    """Link or copy a file into another opened folder, if it is there and regular.

    A copy has the name `temporary` from the beginning, so that the next call removes what a kill
    left of it.
    """
    with suppress(OSError):  # another mount, or a file system without links
        os.link(name, temporary, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with (
        suppress(InputError, FileNotFoundError),
        atomic.open_regular(name, source) as reading,
        os.fdopen(os.open(temporary, flags, 0o666, dir_fd=target), "wb") as writing,
    ):
        while chunk := reading.read(atomic.CHUNK):
            step()
            writing.write(chunk)
        writing.flush()
        os.fsync(writing.fileno())


def _is(final: OutputFile, name: str, folder: int, step: atomic.Step) -> bool:
    """Return whether the file `name` in an opened folder has the bytes of `final`."""
    with suppress(InputError, PermissionError, FileNotFoundError):
        return atomic.digest(name, folder, step) == final.sha256
    return False


def _give_name(folder: int, temporary: str, name: str) -> bool:
    """Let a file have `name` in its folder; return False if something else has that name."""
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except FileExistsError:
        return False
    except OSError:  # no links there: a file that gets the name in this very moment is replaced
        with suppress(FileNotFoundError):
            os.stat(name, dir_fd=folder, follow_symlinks=False)
            return False
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    return True


def _remove(folder: int, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
