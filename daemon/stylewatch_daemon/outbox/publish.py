"""Publishing of complete files in the outbox, without overwriting the folders of others.

Files are created in `.staging`, on the outbox's own mount, and renamed into place.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from io import BufferedWriter
from pathlib import Path, PurePosixPath
from typing import Literal

from stylewatch_daemon.base.errors import InputError, OutputError, TakenError
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.base.model import OutputFile, is_id
from stylewatch_daemon.files import atomic, disks, entries, identity, safe_dirs, strangers
from stylewatch_daemon.files.names import CONTENT_SUFFIXES, candidates, first_free, folded

RECEIPT, LOSSES = "receipt.json", "losses.csv"
STAGES, INPUTS = "stages", "inputs"
"""Names of files and folders in the output folder of a job."""

STAGING = ".staging"
"""Folder of an outbox in which files are completed before they are published."""

_DOOMED = "trash"
"""Folder in `.staging` to which folders of jobs are moved before their files are removed."""

STAGED_CHECKPOINT = ".checkpoint.npz"
"""Name of the checkpoint of a job on a cluster, in the folder of its staged files."""

CLIP_FOLDER = ".clip"
"""Folder of painted frames and segments of a clip, in the folder of a job's staged files."""

REFUSED, CANCELED, REASON = "_refused", "_canceled", "reason.txt"

Sizes = Mapping[Path, int]
"""Paths of inputs of a job, each with the size in bytes that the input had when it was claimed."""


def stage(staging: Path, name: str, content: bytes) -> None:
    """Write the file `name` of a job into its folder `staging`; raises as `staging_file` does."""
    with staging_file(staging, name) as file:
        file.write(content)


@contextmanager
def staging_file(staging: Path, name: str) -> Iterator[BufferedWriter]:
    """Open the file `name` of a job in its folder `staging`; it appears once it is complete.

    The bytes are synced, but not the name: publishing the file or `keep_staged` syncs that. Raises
    OutputError if a link leads out of the folder, or if the folder is missing, for example because
    its disk is not mounted; OSError if the file cannot be written.
    """
    above, inner = _above(staging)
    path = PurePosixPath(inner, name)
    if not entries.is_folder(staging):  # only folders below it are created
        raise OutputError(f"{staging} is gone; is its disk still mounted?")
    with (
        safe_dirs.opened(above, str(path.parent), make=True) as folder,
        atomic.replacing(path.name, folder) as file,
    ):
        yield file


def keep_staged(staging: Path, folders: Iterable[str]) -> None:
    """Sync `folders` in `staging`, so that their files keep their names after a power cut.

    Raises OutputError if a link leads out of the folder, OSError if a folder cannot be synced.
    """
    above, inner = _above(staging)
    for folder in folders:
        with safe_dirs.opened(above, str(PurePosixPath(inner, folder))) as handle:
            atomic.sync_folder(handle)


def _above(staging: Path) -> tuple[Path, str]:
    """Return the folder above `.staging`, else above `staging`, and the path of `staging` in it."""
    above = staging.parent
    for folder in staging.parents:
        if folder.name == STAGING:
            above = folder.parent
            break
    return above, str(staging.relative_to(above))


def free_folder(
    root: Path, wanted: str, is_reserved: Callable[[str], bool] = lambda path: False
) -> str:
    """Return a path for a folder below `root`: `wanted`, or another if a file is in its way.

    A part of the path that is a file, or for whose path `is_reserved` returns True, becomes
    `part-2` and so on. The file may be ours, such as a picture of another job, so nobody should
    have to move it away.
    """

    def is_taken(path: str) -> bool:
        return is_reserved(path) or entries.is_file(root / path)

    folder = PurePosixPath()
    for part in PurePosixPath(wanted).parts:
        folder = PurePosixPath(first_free(candidates(str(folder / part)), is_taken))
    return str(folder)


class Outbox:
    """The outbox at `root`.

    Published files have the permissions of the umask, and the group of a setgid outbox. Others may
    write here too, so no link below `root` is followed. The folders in `reserved` belong to jobs,
    whether or not they exist. With the mark of a `disk`, folders are made on that disk alone,
    whatever is mounted at the moment (law 2). Methods raise OutputError if the outbox cannot be
    written; `tidy`, `drop_empty`, `has_receipt` and `made` raise OSError.
    """

    def __init__(self, root: Path, reserved: Collection[str] = (), disk: str = "") -> None:
        self.root = root
        self._reserved = reserved
        self._disk = disk

    def probe(self) -> None:
        """Test that the outbox can be written, without syncing; create it if it is missing."""
        with self._writing():
            atomic.make_folder(self.root)
            with self._staging() as staging:
                atomic.probe(staging)

    def sweep(self) -> list[str]:
        """Remove temporary files in the outbox; return the ids of jobs that have a staging folder.

        Temporary files are removed at the top of the outbox, in `.staging` and, if possible, in the
        folders of refused and canceled jobs. Remains of interrupted removals of folders are removed
        if possible, too. Raises OutputError if any other file cannot be removed now.
        """
        with self._writing():
            if not entries.is_folder(self.root / STAGING):
                return []
            with safe_dirs.opened(self.root) as root, entries.opened(STAGING, root) as staging:
                for folder in (root, staging):  # in a union of disks, `put` may use the first one
                    atomic.sweep(folder)
                for name in (REFUSED, CANCELED):  # `refuse`, which uses them, may be at work
                    atomic.attempt_sweep(self.root / name, ours=False)
                entries.attempt_removal(_DOOMED, staging)
                names = [name for name in entries.names(staging) if name != _DOOMED]
                return [name for name in names if is_id(name) and not name.startswith(".")]

    # -- folders of jobs

    def choose(self, name: str) -> str:
        """Return a free path in the outbox for a job: `name`, or `name-2` and so on.

        In the folder of another job, which has not ended, names that its files may get are taken,
        too. Nothing is created.
        """
        path = PurePosixPath(name)
        with self._writing():
            folder = free_folder(self.root, str(path.parent), self._is_for_file)
            return first_free(
                candidates(str(PurePosixPath(folder, path.name))),
                lambda place: (
                    place in self._reserved
                    or self._is_for_file(place)
                    or entries.is_taken(self.root / place)
                ),
            )

    def _is_for_file(self, place: str) -> bool:
        """Return whether a job with the folder above `place` may publish a file as `place`."""
        path = PurePosixPath(folded(place))
        is_own = path.name in (RECEIPT, LOSSES, STAGES, INPUTS)
        may_be_picture = path.suffix[1:] in {*CONTENT_SUFFIXES, "svg"}
        above = str(PurePosixPath(place).parent)
        return above in self._reserved and (is_own or may_be_picture)

    def make(self, place: str) -> bool:
        """Create the folder of a job; return False if an entry with that name exists."""
        path = PurePosixPath(place)
        with self._writing():
            atomic.make_folder(self.root)
            with self._shared(path.parent) as folder:
                is_made = entries.make_folder(path.name, folder)
                atomic.sync_folder(folder)
        return is_made

    def reopen(self, place: str) -> None:
        """Remove temporary files from the folder of a job, or create a missing folder."""
        with self._writing():
            atomic.make_folder(self.root)
            self.tidy(place)
            with self._shared(place):
                pass

    def tidy(self, place: str) -> None:
        """Remove temporary files, such as incomplete copies, from the folder of a job."""
        for folder in (place, f"{place}/{STAGES}", f"{place}/{INPUTS}"):
            if entries.is_folder(self.root / folder):
                with safe_dirs.opened(self.root, folder) as handle:
                    atomic.sweep(handle)

    def drop_empty(self, place: str) -> None:
        """Remove a folder if it is empty, and then its parents that have become empty.

        A parent may be a mount, which stays.
        """
        remove = entries.remove_empty
        for path in [PurePosixPath(place), *PurePosixPath(place).parents][:-1]:
            if entries.is_folder(self.root / path):
                with safe_dirs.opened(self.root, str(path.parent)) as folder:
                    if not remove(path.name, folder):
                        return
            remove = entries.attempt_folder_removal

    # -- staging

    def staging(self, job_id: str) -> Path:
        """Create the folder in which the files of a job are written; return its path.

        `job_id` may also be a path `JOB/NAME`, for the folder NAME in that of the job.
        """
        with self._writing():
            atomic.make_folder(self.root)
            with self._staging(job_id):
                return self.root / STAGING / job_id

    def staged(self, job_id: str) -> list[str]:
        """Return the paths of the complete files in a job's staging folder, except the receipt.

        The paths are relative to this folder, which is created if it is missing. `job_id` is as for
        `staging`.
        """
        with self._writing(), self._staging(job_id) as staging:
            return [*_paths_in(staging, "")]

    def has_receipt(self, folder: str) -> bool:
        """Return whether a folder of the outbox has a receipt, so that a job has ended there.

        A receipt in a staging folder means only that the attempt is done.
        """
        return entries.exists(self.root / folder / RECEIPT)

    def clear(self, job_id: str, *, durable: bool = False) -> None:
        """Remove a job's staging folder, and remains of an interrupted removal of it.

        With `JOB/NAME` for `job_id`, remove only the folder NAME in that of the job. Remains of
        other removals are removed as far as possible. The removal is synced if it is `durable`.
        """
        with self._writing():
            if not entries.exists(self.root / STAGING):
                return
            above = PurePosixPath(job_id).parent
            name = PurePosixPath(job_id).name
            doomed = job_id.replace("/", " ")  # a later try for this job finds it by this name
            with self._staging() as staging, self._staging(_DOOMED) as trash:
                for left in {*entries.names(trash)} - {doomed}:
                    entries.attempt_removal(left, trash)
                entries.remove(doomed, trash)
                if entries.exists(self.root / STAGING / job_id):
                    with safe_dirs.opened(self.root, f"{STAGING}/{above}") as folder:
                        if entries.rename(name, doomed, folder, trash):
                            entries.remove(doomed, trash)
                        else:
                            entries.remove(name, folder)  # a union of disks has another trash
                if durable:
                    atomic.sync_folder(staging)

    # -- publishing

    def put(self, name: str, content: bytes) -> None:
        """Write the file `name` at the top of the outbox, atomically but without syncing."""
        with self._writing(), self._staging() as staging, safe_dirs.opened(self.root) as root:
            atomic.sweep(staging, ours=True)
            atomic.write(name, content, staging, durable=False)
            atomic.move(name, name, staging, root, durable=False)

    def publish(
        self,
        staged_at: str,
        place: str,
        path: str,
        step: Step = lambda: None,
        *,
        is_first: bool = False,
    ) -> None:
        """Move the file `path` from the folder `staged_at` in `.staging` into the job's `place`.

        An older file is replaced. A file that is no longer staged was published before, and nothing
        is moved. The folder `place` is not created, because its disk may just have gone (law 2).
        `is_first` says that the job has not published this file before: then TakenError is raised
        if a file is there. Raises OutputError if `path` leads out of the folder.
        """
        if path.startswith("/") or ".." in path.split("/"):
            raise OutputError(f"a worker staged {path!r}, which is outside of its folder")
        inner = PurePosixPath(path).parent
        name = PurePosixPath(path).name
        with self._writing(), self._shared(f"{place}/{inner}", within=place) as target:
            staged = f"{STAGING}/{staged_at}/{inner}"
            # A worker runs ahead of its events, so a file that it staged again may already be
            # published.
            if entries.exists(self.root / staged / name) or not entries.exists(name, target):
                with safe_dirs.opened(self.root, staged) as source:
                    if not is_first:
                        atomic.move(name, name, source, target, step)
                        return
                    if atomic.move_unless_taken(name, name, source, target, step):
                        return
            if is_first:
                raise TakenError(f"{self.root / place} has a file {path} of somebody else")

    def archive(
        self,
        job_id: str,
        place: str,
        inputs: Sizes,
        step: Step = lambda: None,
        listed: Iterable[OutputFile] = (),
        part: Literal["inputs", "refused"] = "inputs",
    ) -> dict[str, OutputFile]:
        """Copy `inputs` into `place/inputs` or, with the part "refused", into `place` itself.

        Returns the records of the copies by the names of the inputs. Existing copies are not made
        again. A copy replaces only a file of the job, which is in `listed`. If the name belongs to
        a file of somebody else, the copy is named `name-2` and so on.
        """
        if not inputs:
            return {}
        folder = f"{place}/{INPUTS}" if part == "inputs" else place
        own = {file.path.removeprefix(f"{folder}/"): file for file in listed}
        with self._writing(), self._shared(folder, within=place) as target:
            copies = {
                path: self._add(path, inputs[path], job_id, target, step, own) for path in inputs
            }
        return {
            path.name: file._replace(path=f"{folder}/{file.path}", part=part)
            for path, file in copies.items()
        }

    def refuse(
        self, job_id: str, place: str, inputs: Sizes, reason: str, step: Step = lambda: None
    ) -> list[OutputFile] | None:
        """Publish the folder `place` with copies of `inputs` and, in reason.txt, the `reason`.

        The folder is prepared in staging and appears as a whole. If it was published before a kill,
        it stays. Returns the records of its files, or None if something else is at `place`.
        """
        text = f"{reason.strip()}\n".encode(errors="replace")
        path = PurePosixPath(place)
        with self._writing():
            if not entries.exists(self.root / place):
                atomic.make_folder(self.root)
                self.clear(job_id)
                with self._staging(f"{job_id}/{REFUSED}") as made:
                    for each, size in inputs.items():
                        self._add(each, size, job_id, made, step, {})
                    atomic.write(REASON, text, made)
                    atomic.sync_folder(made)
                with self._staging(job_id) as staging, self._shared(path.parent) as target:
                    atomic.sweep(target, owner=path.name)  # left by a kill, on another mount
                    atomic.move(REFUSED, path.name, staging, target, step)
            return self._refused(place, inputs, text, step)

    def _refused(
        self, place: str, inputs: Sizes, reason: bytes, step: Step
    ) -> list[OutputFile] | None:
        """Return the files of `place` if it has exactly this reason and all `inputs`, else None."""
        if not entries.is_folder(self.root / place):
            return None
        with safe_dirs.opened(self.root, place) as folder:
            if identity.look(REASON, folder) is None:
                return None
            with atomic.open_regular(REASON, folder) as file:
                if file.read(len(reason) + 1) != reason:
                    return None
            files = []
            for path, size in inputs.items():
                copied = _copied(path, size, folder, path.name, step)
                if copied is None:
                    return None
                files.append(OutputFile(f"{place}/{path.name}", "refused", *copied))
        digest = hashlib.sha256(reason).hexdigest()
        return [*files, OutputFile(f"{place}/{REASON}", "reason", digest, len(reason))]

    def _add(
        self,
        path: Path,
        size: int,
        job_id: str,
        folder: int,
        step: Step,
        own: Mapping[str, OutputFile],
    ) -> OutputFile:
        """Copy a file into an opened folder, where it appears as a whole; an existing copy stays.

        `own` has the files of the job there, by name; only these are replaced. Return the record of
        the copy, with its name as the path.
        """
        temporary = ".input"
        for name in candidates(path.stem, path.suffix):
            copied = _copied(path, size, folder, name, step)
            if copied is not None or not strangers.is_taken(name, folder, own.get(name), step):
                break
        if copied is None:
            with self._staging(job_id) as staging:
                atomic.sweep(staging)  # a kill may have left a half, which takes space
                with (
                    atomic.open_regular(path) as held,
                    atomic.replacing(temporary, staging) as copy,
                ):
                    sha256 = atomic.copy_into(held, copy, strangers.in_time(size, step))
                    copied = sha256, copy.tell()
                atomic.move(temporary, name, staging, folder, step)
        else:
            atomic.sync_folder(folder)  # a kill may have come before that
        return OutputFile(name, "", *copied)

    @contextmanager
    def _staging(self, path: str = "") -> Iterator[int]:
        """Open a folder in `.staging`, creating it if necessary; yield its handle.

        Only this user may access `.staging`.
        """
        with self.made(STAGING) as staging:
            entries.attempt_privacy(staging)
        with self.made(f"{STAGING}/{path}") as folder:
            yield folder

    def _shared(self, path: PurePosixPath | str, within: str = "") -> AbstractContextManager[int]:
        """Return a context that opens a folder outside of `.staging`; see `made`."""
        return self.made(str(path), within)

    def made(self, path: str, within: str = "") -> AbstractContextManager[int]:
        """Return a context that opens the folder `path` of the outbox and yields its handle.

        Missing folders are created, but only below `within`, a folder above `path`; by default,
        below the outbox.
        """
        check = self._check_disk
        return safe_dirs.opened(self.root, path, make=True, within=within, check=check)

    def _check_disk(self, root: int) -> None:
        if self._disk:
            disks.check_mark(root, self._disk)

    def _writing(self) -> AbstractContextManager[None]:
        return writing(f"the outbox {self.root}")


@contextmanager
def writing(folder: str) -> Iterator[None]:
    """Translate an OSError or InputError in the context into an OutputError.

    Its text says that `folder`, a description, cannot be written. An OutputError is not changed.
    """
    try:
        yield
    except OutputError:
        raise
    except InputError as error:  # someone has replaced a file by a link
        raise OutputError(f"{folder}: {error}") from error
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written ({error.strerror or error}); "
            "waiting jobs start once it can be"
        ) from error


def _copied(path: Path, size: int, folder: int, name: str, step: Step) -> tuple[str, int] | None:
    """Return (SHA-256, size in bytes) of the file `path` if an opened folder has its copy `name`.

    Otherwise return None. Raises TimeoutError if reading takes too long for a file of the claimed
    `size` (law 11).
    """
    status = identity.look(name, folder)
    with atomic.open_regular(path) as file:
        length = strangers.length_of(file)
        if status is None or status.size != length:
            return None
        sha256 = atomic.digest_of(file, strangers.in_time(size, step), most=length)
    copy = OutputFile(name, "", sha256, length)
    return None if strangers.is_taken(name, folder, copy, step) else (sha256, length)


def _paths_in(folder: int, above: str) -> Iterator[str]:
    """Yield the paths of the complete files in an opened folder and below it, except the receipt.

    `above` is the folder's own path with a `/` at the end, or empty for the first folder. Entries
    whose names begin with a dot are left out, because they are not complete.
    """
    for name in entries.names(folder):
        path = f"{above}{name}"
        if name.startswith(".") or path == RECEIPT:
            continue
        if entries.is_file(name, folder):
            yield path
        elif entries.is_folder(name, folder):
            with entries.opened(name, folder) as inside:
                yield from _paths_in(inside, f"{path}/")
