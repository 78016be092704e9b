"""Publishing of complete files in the outbox, without overwriting the folders of others.

Files are created in `.staging`, on the outbox's own mount, and renamed into place.
"""

import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from io import BufferedWriter
from os.path import lexists
from pathlib import Path, PurePosixPath

from stylewatch_daemon.base.errors import InputError, OutputError
from stylewatch_daemon.base.model import OutputFile
from stylewatch_daemon.base.mover import Step
from stylewatch_daemon.files import atomic, safe_dirs
from stylewatch_daemon.files.names import candidates

RECEIPT = "receipt.json"
STAGES = "stages"
STAGING = ".staging"

STAGED_CHECKPOINT = ".checkpoint.npz"
"""Name of the checkpoint of a job on a cluster, in the folder of its staged files."""

CLIP_FOLDER = ".clip"
"""Folder of painted frames and segments of a clip, in the folder of a job's staged files."""

REFUSED, CANCELED, REASON = "_refused", "_canceled", "reason.txt"

_PROBE = ".probe"


def stage(staging: Path, name: str, content: bytes) -> None:
    """Write the file `name` of a job into its folder `staging`; raises as `staging_file` does."""
    with staging_file(staging, name) as file:
        file.write(content)


@contextmanager
def staging_file(staging: Path, name: str) -> Iterator[BufferedWriter]:
    """Open the file `name` of a job in its folder `staging`; it appears once it is complete.

    The bytes are synced but the name is not; publishing the file or `keep_staged` does that. Raises
    OutputError if a link leads out of the folder, or if the folder is missing, for example because
    its disk is not mounted.
    """
    above, inner = _above(staging)
    path = PurePosixPath(inner, name)
    try:
        with safe_dirs.opened(above, inner):
            pass  # it exists: only folders below it are created
    except FileNotFoundError as error:
        raise OutputError(f"{staging} is gone; is its disk still mounted?") from error
    with (
        safe_dirs.opened(above, str(path.parent), make=True) as folder,
        atomic.replacing(path.name, folder) as file,
    ):
        yield file


def keep_staged(staging: Path, folders: Iterable[str]) -> None:
    """Sync folders in `staging`, so that their files keep their names; raises as `stage` does."""
    above, inner = _above(staging)
    for folder in folders:
        with safe_dirs.opened(above, str(PurePosixPath(inner, folder))) as handle:
            atomic.sync_folder(handle)


def _above(staging: Path) -> tuple[Path, str]:
    """Return the folder above `.staging`, or above `staging` itself, and the relative path."""
    folders = (folder.parent for folder in staging.parents if folder.name == STAGING)
    above = next(folders, staging.parent)
    return above, str(staging.relative_to(above))


class Outbox:
    """The outbox at `root`.

    Published files have the permissions of the umask, and the group of a setgid outbox. Others may
    write here too, so no link below `root` is followed. `is_reserved` returns whether a folder
    belongs to a job, whether or not it exists. Methods raise OutputError if the outbox cannot be
    written.
    """

    def __init__(
        self,
        root: Path,
        is_reserved: Callable[[str], bool] = lambda place: False,
    ) -> None:
        self.root, self._is_reserved = root, is_reserved

    def probe(self) -> None:
        """Check that the outbox can be written before anything depends on it; sync nothing."""
        with self._writing():
            atomic.make_folder(self.root)
            with self._staging() as staging:
                atomic.write(_PROBE, b"can this be written?", staging, durable=False)
                with suppress(FileNotFoundError):  # another stylewatch is probing too
                    os.unlink(_PROBE, dir_fd=staging)

    def sweep(self) -> None:
        """Remove what probes and interrupted removals of folders have left in the outbox."""
        with suppress(OSError, RecursionError), safe_dirs.opened(self.root, STAGING) as staging:
            safe_dirs.sweep(staging)
            shutil.rmtree("trash", ignore_errors=True, dir_fd=staging)

    # -- folders of jobs

    def choose(self, name: str) -> str:
        """Return `name`, or `name-2` and so on if it is taken."""
        return next(place for place in candidates(name) if not self._is_taken(place))

    def _is_taken(self, place: str) -> bool:
        return lexists(f"{self.root}/{place}") or self._is_reserved(place)

    def reserve(
        self, name: str, remember: Callable[[str], object], chosen: str | None = None
    ) -> Path:
        """Create the folder `chosen`, or choose, remember and create one. Return its path.

        If someone else has created the folder in the meantime, another one is chosen. `remember` is
        called with the place before the folder is created, so that the job finds it again after a
        kill.
        """
        with self._writing():
            while True:
                if (place := chosen or self.choose(name)) != chosen:
                    remember(place)
                path = PurePosixPath(place)
                atomic.make_folder(self.root)
                with self._shared(path.parent) as folder, suppress(FileExistsError):
                    os.mkdir(path.name, dir_fd=folder)
                    atomic.sync_folder(folder)
                    return self.reopen(place)
                chosen = None

    def reopen(self, place: str) -> Path:
        """Return the path of a folder that was reserved before, created again if it is missing."""
        with self._writing():
            atomic.make_folder(self.root)
            with self._shared(place):
                return self.root / place

    def drop_empty(self, place: str) -> None:
        """Remove a folder if it is empty, and then its parents that have become empty."""
        with suppress(OSError):
            for path in [PurePosixPath(place), *PurePosixPath(place).parents][:-1]:
                with safe_dirs.opened(self.root, str(path.parent)) as folder:
                    os.rmdir(path.name, dir_fd=folder)

    # -- staging

    def staging(self, job_id: str) -> Path:
        """Create the folder in which the files of a job are written, and return its path."""
        with self._writing():
            atomic.make_folder(self.root)
            with self._staging(job_id):
                return self.root / STAGING / job_id

    def staged(self, job_id: str) -> list[str]:
        """Return the paths of the complete files in a job's staging folder, except the receipt."""
        staging = self.staging(job_id)
        files = sorted(path for path in staging.rglob("*") if path.is_file())
        paths = [path.relative_to(staging).as_posix() for path in files]
        return [path for path in paths if path != RECEIPT and "/." not in f"/{path}"]

    def has_receipt(self, staged_at: str) -> bool:
        """Return whether the staging folder `staged_at` holds an unpublished receipt."""
        return lexists(f"{self.root}/{STAGING}/{staged_at}/{RECEIPT}")

    def clear(self, job_id: str) -> None:
        """Remove the job's staging folder."""
        if not lexists(f"{self.root}/{STAGING}/{job_id}"):
            return
        with self._writing(), self._staging() as staging, self._staging("trash") as trash:
            safe_dirs.discard(staging, job_id, trash)

    # -- publishing

    def put(self, name: str, content: bytes) -> None:
        """Write the file `name` at the top of the outbox, atomically but without syncing."""
        with self._writing(), self._staging() as staging, safe_dirs.opened(self.root) as root:
            atomic.write(name, content, staging, durable=False)
            os.rename(name, name, src_dir_fd=staging, dst_dir_fd=root)

    def publish(self, staged_at: str, folder: Path, path: str) -> Path:
        """Rename the staged file `path` into the job's `folder`, replacing an older one."""
        if path.startswith("/") or ".." in path.split("/"):
            raise OutputError(f"a worker staged {path!r}, which is outside of its folder")
        (inner, name), published = os.path.split(path), folder / path
        with self._writing(), self._shared(f"{self._place(folder)}/{inner}") as target:
            try:
                with safe_dirs.opened(self.root, f"{STAGING}/{staged_at}/{inner}") as source:
                    safe_dirs.move(source, name, target)
            except FileNotFoundError:
                # A worker runs ahead of its events, so a file that it staged again may already be
                # published.
                if not published.exists():
                    raise
        return published

    def archive(
        self, job_id: str, folder: Path, inputs: Sequence[Path], step: Step = lambda: None
    ) -> list[OutputFile]:
        """Copy `inputs` into `folder/inputs`; existing copies are not made again."""
        if not inputs:
            return []
        place = f"{self._place(folder)}/inputs"
        with self._writing(), self._shared(place) as target:
            self._add(inputs, job_id, target, step)
            return _records(target, place, "inputs", [path.name for path in inputs], step)

    def refuse(
        self,
        job_id: str,
        place: str,
        inputs: Sequence[Path],
        reason: str,
        step: Step = lambda: None,
    ) -> list[OutputFile] | None:
        """Publish the folder `place` with copies of `inputs` and the reason.

        It is prepared in staging and appears as a whole. If it exists already, because it was
        published before a kill, it stays. Returns its files, or None if something else is at
        `place`.
        """
        text, path = f"{reason.strip()}\n".encode(errors="replace"), PurePosixPath(place)
        with self._writing():
            if lexists(self.root / place):
                if not self._is_refusal(place, inputs, text, step):
                    return None
            else:
                atomic.make_folder(self.root)
                self.clear(job_id)
                with self._staging(f"{job_id}/{REFUSED}") as made:
                    self._add(inputs, job_id, made, step)
                    atomic.write(REASON, text, made)
                    atomic.sync_folder(made)
                with self._staging(job_id) as staging, self._shared(path.parent) as target:
                    safe_dirs.move(staging, REFUSED, target, path.name)
            with safe_dirs.opened(self.root, place) as folder:
                files = _records(folder, place, "refused", [path.name for path in inputs], step)
                return files + _records(folder, place, "reason", [REASON], step)

    def _is_refusal(self, place: str, inputs: Iterable[Path], reason: bytes, step: Step) -> bool:
        """Return whether the folder `place` has exactly this reason and all `inputs`."""
        with suppress(OSError, InputError), safe_dirs.opened(self.root, place) as folder:
            with atomic.open_regular(REASON, folder) as file:
                is_same = file.read(len(reason) + 1) == reason
            return is_same and all(_is_there(path, folder, step) for path in inputs)
        step()  # raises a suppressed error again
        return False

    def _add(self, inputs: Iterable[Path], job_id: str, folder: int, step: Step) -> None:
        """Copy `inputs` into an opened folder if they are not there; each appears as a whole."""
        made = ".input"
        for path in inputs:
            if not _is_there(path, folder, step):
                with self._staging(job_id) as staging:
                    atomic.copy(path, made, step=step, target_folder=staging)
                    os.rename(made, path.name, src_dir_fd=staging, dst_dir_fd=folder)
            atomic.sync_folder(folder)

    def _place(self, folder: Path) -> str:
        return str(folder).removeprefix(f"{self.root}/")

    @contextmanager
    def _staging(self, path: str = "") -> Iterator[int]:
        """Open a folder in `.staging`, which only this user may access; create it if necessary."""
        with (
            safe_dirs.opened(self.root, STAGING, make=True) as staging,
            suppress(OSError),
        ):
            status = os.fstat(staging)  # published files inherit the group
            if (private := 0o700 | status.st_mode & stat.S_ISGID) != stat.S_IMODE(status.st_mode):
                os.fchmod(staging, private)  # some network file systems do not support modes
        with safe_dirs.opened(self.root, f"{STAGING}/{path}", make=True) as folder:
            yield folder

    def _shared(self, path: PurePosixPath | str) -> AbstractContextManager[int]:
        """Open a folder that people see, creating it if necessary."""
        return safe_dirs.opened(self.root, str(path), make=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OutputError:
            raise
        except InputError as error:  # someone has replaced a file by a link
            raise OutputError(f"{self.root}: {error}") from error
        except OSError as error:
            raise OutputError(
                f"the outbox {self.root} cannot be written ({error.strerror or error}); "
                "waiting jobs start once it can be"
            ) from error


def _is_there(path: Path, folder: int, step: Step) -> bool:
    """Return whether an opened folder has a copy of the file `path` under its name."""
    with suppress(FileNotFoundError, InputError), atomic.open_regular(path.name, folder) as file:
        is_as_long = os.fstat(file.fileno()).st_size == path.lstat().st_size
        return is_as_long and atomic.digest_of(file, step) == atomic.digest(path, step=step)
    return False


def _records(
    folder: int, place: str, part: str, names: Iterable[str], step: Step
) -> list[OutputFile]:
    """Return the records of the files `names` in an opened folder, which is at `place`.

    Files that someone has removed in the meantime are left out.
    """
    records = []
    for name in names:
        with suppress(FileNotFoundError), atomic.open_regular(name, folder) as file:
            size = os.fstat(file.fileno()).st_size
            digest = atomic.digest_of(file, step)
            records.append(OutputFile(f"{place}/{name}", part, digest, size))
    return records
