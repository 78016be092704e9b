"""The finals folder of an inbox: the final pictures of its jobs, as links or copies.

Others may write there too: none of their files is replaced, and no link below the folder is
followed.
"""

import os
from contextlib import suppress
from pathlib import Path, PurePosixPath

from stylewatch_daemon.base.errors import InputError, OutputError
from stylewatch_daemon.base.model import Job, OutputFile
from stylewatch_daemon.base.mover import Step
from stylewatch_daemon.files import atomic, safe_dirs
from stylewatch_daemon.files.names import candidates


def add(finals: Path, job: Job, final: OutputFile, step: Step = lambda: None) -> OutputFile | None:
    """Link the picture `final` of `job` in the folder `finals` under the job's name, or copy it.

    If the name belongs to another file, it becomes `name-2` and so on; a file with the same bytes
    counts as added. Returns None if the picture in the outbox has changed. Raises OutputError.
    """
    path = PurePosixPath(final.path)
    wanted = PurePosixPath(f"{job.title}{path.suffix}")
    names = (f"{stem}{wanted.suffix}" for stem in candidates(wanted.stem))
    try:
        atomic.make_folder(finals)
        with (
            safe_dirs.opened(Path(job.outbox), str(path.parent)) as source,
            safe_dirs.opened(finals, str(wanted.parent), make=True) as target,
        ):
            safe_dirs.sweep(target)  # copies that a kill interrupted
            if not _is(final, path.name, source, step):
                return None
            for name in names:
                if not safe_dirs.exists(name, target):
                    if not _link(path.name, source, name, target):
                        atomic.copy(path.name, name, source, step, target_folder=target)
                    break
                if _is(final, name, target, step):
                    break
            atomic.sync_folder(target)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"the finals folder {finals} cannot be written ({error.strerror or error})"
        ) from error
    return final._replace(path=str(finals / wanted.parent / name), part="finals")


def _is(final: OutputFile, name: str, folder: int, step: Step) -> bool:
    """Return whether the file `name` in an opened folder has the bytes of `final`."""
    with suppress(InputError, PermissionError, FileNotFoundError):
        return atomic.digest(name, folder, step) == final.sha256
    return False


def _link(name: str, source: int, to: str, target: int) -> bool:
    """Link a file into another opened folder as `to`; return False if that is not possible."""
    try:
        os.link(name, to, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except FileExistsError:
        raise  # someone has just taken the name
    except OSError:  # another mount, or a file system without links
        return False
    return True
