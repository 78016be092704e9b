"""The finals folder of an inbox: the final pictures of its jobs, as links or copies.

Others may write there too: none of their files is replaced, and no link below the folder is
followed.
"""

from collections.abc import Callable, Iterable
from enum import StrEnum
from io import BufferedReader
from pathlib import Path, PurePosixPath

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.base.model import Job, OutputFile
from stylewatch_daemon.files import atomic, entries, identity, safe_dirs, strangers
from stylewatch_daemon.files.names import candidates, first_free
from stylewatch_daemon.outbox.publish import free_folder, writing


def root_of(job: Job, path: Path) -> Path:
    """Return the finals folder that contains `path`, the path of a link of a job.

    This is the part of the path above the title of the job. The settings may name another folder
    now.
    """
    return path.parents[len(PurePosixPath(job.title).parts) - 1]


def sweep(finals: Path) -> None:
    """Try to remove interrupted copies of other processes directly in a finals folder."""
    atomic.attempt_sweep(finals, ours=False)


def tidy(finals: Path, job: Job) -> None:
    """Try to remove interrupted copies of a job, which are not made again, from a finals folder."""
    atomic.attempt_sweep(finals / PurePosixPath(job.title).parent, ours=None, owner=job.id)


class Linking(StrEnum):
    """Result of an attempt to put a picture into a finals folder."""

    DONE = "done"
    TAKEN = "another file has its name by now"
    GONE = "the picture in the outbox has changed, or was moved away"


def chosen(finals: Path, job: Job, listed: Iterable[OutputFile]) -> OutputFile | None:
    """Return the record of the file in `finals` that was chosen for a job; None if there is none.

    `listed` are the files of the job in the ledger.
    """
    links = (file for file in listed if file.part == "finals")
    for file in links:
        if root_of(job, Path(file.path)) == finals:
            return file
    return None


def choose(
    finals: Path,
    job: Job,
    final: OutputFile,
    is_reserved: Callable[[str], bool] = lambda path: False,
) -> OutputFile:
    """Return the record of the picture `final` of `job`, with a free path in the folder `finals`.

    The name is that of the job, or `name-2` and so on. Paths for which `is_reserved` returns True
    are taken by other jobs. The folder of the path is created if it is missing, with a numbered
    name if a file has its name. The caller must list the record in the ledger before `add` makes
    the file: the file then belongs to the job, whatever bytes it has. Raises OutputError.
    """
    wanted = PurePosixPath(f"{job.title}{PurePosixPath(final.path).suffix}")
    with writing(f"the finals folder {finals}"):
        atomic.make_folder(finals)
        above = free_folder(
            finals, str(wanted.parent), lambda path: is_reserved(str(finals / path))
        )
        with safe_dirs.opened(finals, above, make=True) as folder:
            names = candidates(wanted.stem, wanted.suffix)

            def is_taken(name: str) -> bool:
                path = finals / above / name
                return is_reserved(str(path)) or entries.is_taken(name, folder)

            name = first_free(names, is_taken)
    return final._replace(path=str(finals / above / name), part="finals")


def add(
    finals: Path, job: Job, final: OutputFile, chosen: OutputFile, step: Step = lambda: None
) -> Linking:
    """Link the picture `final` of `job` in `finals`, with the `chosen` name, or copy it.

    Returns DONE if the link or copy is there, also from before a kill, or else the reason why it is
    not. Raises OutputError, also if somebody gives another file the name, or replaces the picture,
    at this moment.
    """
    wanted = Path(chosen.path)
    with (
        writing(f"the finals folder {finals}"),
        safe_dirs.opened(finals, str(wanted.parent.relative_to(finals)), make=True) as folder,
    ):
        atomic.sweep(folder, owner=job.id)  # copies that a kill or an error interrupted
        if strangers.is_taken(wanted.name, folder, final, step):
            return Linking.TAKEN
        is_there = entries.exists(wanted.name, folder)
        if not (is_there or _is_added(job, final, wanted.name, folder, step)):
            return Linking.GONE
        atomic.sync_folder(folder)
    return Linking.DONE


def _is_added(job: Job, final: OutputFile, name: str, folder: int, step: Step) -> bool:
    """Link or copy a picture into an opened folder; return False if the outbox no longer has it.

    A picture with other bytes counts as another picture.
    """
    path = PurePosixPath(final.path)
    if not entries.is_folder(Path(job.outbox, path.parent)):
        return False
    with safe_dirs.opened(Path(job.outbox), str(path.parent)) as source:
        if identity.look(path.name, source) is None:
            return False
        with atomic.open_regular(path.name, source) as picture:
            if not strangers.has_bytes(picture, final.sha256, final.size, step):
                return False
            if entries.link(path.name, name, source, folder):
                _check_link(picture, name, folder, final, step)
            else:
                _copy(picture, name, folder, final, job.id, step)
    return True


def _check_link(
    picture: BufferedReader, name: str, folder: int, final: OutputFile, step: Step
) -> None:
    """Remove a new link and raise OutputError if somebody replaced the picture meanwhile.

    The link counts as right if it leads to the opened `picture` or to the same bytes: on a union of
    disks each name of a file may have an inode number of its own.
    """
    is_same = identity.is_same_file(picture, name, folder)
    if not is_same and strangers.is_taken(name, folder, final, step):
        entries.unlink(name, folder)
        raise OutputError(f"the picture of {name} was replaced at this moment")


def _copy(
    picture: BufferedReader, name: str, folder: int, final: OutputFile, owner: str, step: Step
) -> None:
    """Copy an opened picture; raises OutputError if somebody has changed it since it was read."""
    picture.seek(0)
    with atomic.adding(name, folder, owner) as copy:
        if atomic.copy_into(picture, copy, strangers.in_time(final.size, step)) != final.sha256:
            raise OutputError(f"the picture of {name} changed at this moment")
