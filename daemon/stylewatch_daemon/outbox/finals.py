"""The finals folder of an inbox: the final pictures of its jobs, as links or copies.

Others may write there too: none of their files is replaced, and no link below the folder is
followed.
"""

from io import BufferedReader
from pathlib import Path, PurePosixPath

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.base.model import Job, OutputFile
from stylewatch_daemon.files import atomic, entries, identity, safe_dirs, strangers
from stylewatch_daemon.files.names import candidates
from stylewatch_daemon.outbox.publish import writing


def root_of(job: Job, path: Path) -> Path:
    """Return the finals folder in which `add` has put the file `path` of a job.

    The settings may name another one since, or none.
    """
    return path.parents[len(PurePosixPath(job.title).parts) - 1]


def add(finals: Path, job: Job, final: OutputFile, step: Step = lambda: None) -> OutputFile | None:
    """Link the picture `final` of `job` in the folder `finals` under the job's name, or copy it.

    If the name belongs to another file, it becomes `name-2` and so on; a file with the same bytes
    counts as added. Returns None if the picture in the outbox has changed, or was moved away.
    Raises OutputError.
    """
    path = PurePosixPath(final.path)
    wanted = PurePosixPath(f"{job.title}{path.suffix}")
    with writing(f"the finals folder {finals}"):
        if not entries.is_folder(Path(job.outbox, path.parent)):
            return None
        atomic.make_folder(finals)
        with (
            safe_dirs.opened(Path(job.outbox), str(path.parent)) as source,
            safe_dirs.opened(finals, str(wanted.parent), make=True) as target,
        ):
            if identity.look(path.name, source) is None:
                return None
            with atomic.open_regular(path.name, source) as picture:
                if not strangers.has_bytes(picture, final.sha256, final.size, step):
                    return None
                names = candidates(wanted.stem, wanted.suffix)
                name = next(
                    name for name in names if not strangers.is_taken(name, target, final, step)
                )
                if not entries.exists(name, target):
                    if entries.link(path.name, name, source, target):
                        _check_link(picture, name, target, final, step)
                    else:
                        _copy(picture, name, target, final, step)
            atomic.sweep(target)  # copies that a kill or an error interrupted
            atomic.sync_folder(target)
    return final._replace(path=str(finals / wanted.parent / name), part="finals")


def _check_link(
    picture: BufferedReader, name: str, folder: int, final: OutputFile, step: Step
) -> None:
    """Remove a new link if somebody replaced the picture before it was made; raises OutputError.

    On a union of disks each name of a file may have a number of its own.
    """
    is_same = identity.is_same_file(picture, name, folder)
    if not is_same and strangers.is_taken(name, folder, final, step):
        entries.unlink(name, folder)
        raise OutputError(f"the picture of {name} was replaced at this moment")


def _copy(picture: BufferedReader, name: str, folder: int, final: OutputFile, step: Step) -> None:
    """Copy an opened picture; raises OutputError if somebody has changed it since it was read."""
    picture.seek(0)
    with atomic.replacing(name, folder) as copy:
        if atomic.copy_into(picture, copy, strangers.in_time(final.size, step)) != final.sha256:
            raise OutputError(f"the picture of {name} changed at this moment")
