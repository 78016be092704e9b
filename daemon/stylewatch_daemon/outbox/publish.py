"""Publishing finished files in the outbox: nobody sees half a file or loses a folder of their own.

Files are made in `.staging`, on the outbox's own mount, and renamed into place.
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
from stylewatch_daemon.files import atomic, safe_dirs
from stylewatch_daemon.files.names import candidates

RECEIPT = "receipt.json"
STAGES = "stages"
STAGING = ".staging"

STAGED_CHECKPOINT = ".checkpoint.npz"
"""The checkpoint of a job on a cluster, below its staged files."""

CLIP_FOLDER = ".clip"
"""Folder, below a job's staged files, of painted frames and segments of a clip."""

REFUSED, CANCELED, REASON = "_refused", "_canceled", "reason.txt"

_PROBE = ".probe"


def stage(staging: Path, name: str, content: bytes) -> None:
    """Write the file `name` of a job into its folder `staging`; raises as `staging_file` does."""
    with staging_file(staging, name) as file:
        file.write(content)


@contextmanager
def staging_file(staging: Path, name: str) -> Iterator[BufferedWriter]:
    """Open the file `name` of a job in its folder `staging`; it is there once all is written.

    The bytes are synced, the name is not: publishing it does that, or `keep_staged`. Raises
    OutputError if a link leads out of the folder, or the folder is gone, as its disk may be.
    """
    above, inner = _above(staging)
    path = PurePosixPath(inner, name)
    try:
        with safe_dirs.opened(above, inner):
            pass  # it is there: only folders below it are made
    except FileNotFoundError as error:
        raise OutputError(f"{staging} is gone; is its disk still mounted?") from error
    with (
        safe_dirs.opened(above, str(path.parent), make=True) as folder,
        atomic.replacing(path.name, folder) as file,
    ):
        yield file


def keep_staged(staging: Path, names: Iterable[str]) -> None:
    """Sync the names of staged files, before anything depends on them; raises as `stage` does."""
    above, inner = _above(staging)
    for folder in {str(PurePosixPath(inner, name).parent) for name in names}:
        with safe_dirs.opened(above, folder) as handle:
            atomic.sync_folder(handle)


def _above(staging: Path) -> tuple[Path, str]:
    """Return the folder above `.staging`, or above `staging` itself, and the path from there."""
    folders = (folder.parent for folder in staging.parents if folder.name == STAGING)
    above = next(folders, staging.parent)
    return above, str(staging.relative_to(above))


class Outbox:
    """The outbox at `root`.

    What is published has the permissions of the umask, and the group of a setgid outbox. Others may
    write here too, so no link below `root` is followed. `is_reserved` tells whether a folder
    belongs to a job, there or not. Methods raise OutputError if the outbox cannot be written.
    """

    def __init__(
        self,
        root: Path,
        is_reserved: Callable[[str], bool] = lambda place: False,
    ) -> None:
        self.root, self._is_reserved = root, is_reserved

    def probe(self) -> None:
        """Check that the outbox can be written, before anything depends on it; syncs nothing."""
        with self._writing():
            atomic.make_folder(self.root)
            with self._staging() as staging:
                atomic.write(_PROBE, b"can this be written?", staging, durable=False)
                with suppress(FileNotFoundError):  # another stylewatch probes as well
                    os.unlink(_PROBE, dir_fd=staging)

    def sweep(self) -> None:
        """Remove what a kill left of probes, and of folders that were being removed."""
        with suppress(OSError, RecursionError), safe_dirs.opened(self.root, STAGING) as staging:
            safe_dirs.sweep(staging)
            shutil.rmtree("trash", ignore_errors=True, dir_fd=staging)

    # -- folders of jobs

    def choose(self, name: str) -> str:
        """Return `name`, or `name-2` ... if it is taken."""
        return next(place for place in candidates(name) if not self._is_taken(place))

    def _is_taken(self, place: str) -> bool:
        return lexists(f"{self.root}/{place}") or self._is_reserved(place)

    def reserve(
        self, name: str, remember: Callable[[str], object], chosen: str | None = None
    ) -> Path:
        """Make the folder `chosen`; else choose one, remember it, and make that. Return its path.

        If someone else has made the folder meanwhile, another one is chosen. `remember` is called
        with the place before the folder is made: after a kill the job finds it again.
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
        """Return the path of a folder that was reserved before, made again if it is gone."""
        with self._writing():
            atomic.make_folder(self.root)
            with self._shared(place):
                return self.root / place

    def drop_empty(self, place: str) -> None:
        """Remove a folder if it is empty, and then those around it."""
        with suppress(OSError):
            for path in [PurePosixPath(place), *PurePosixPath(place).parents][:-1]:
                with safe_dirs.opened(self.root, str(path.parent)) as folder:
                    os.rmdir(path.name, dir_fd=folder)

    # -- staging

    def staging(self, job_id: str) -> Path:
        """Return the folder in which the files of a job are made, after making it."""
        with self._writing():
            atomic.make_folder(self.root)
            with self._staging(job_id):
                return self.root / STAGING / job_id

    def staged(self, job_id: str) -> list[str]:
        """Return the paths of the finished files in a job's staging folder, except the receipt."""
        staging = self.staging(job_id)
        files = sorted(path for path in staging.rglob("*") if path.is_file())
        paths = [path.relative_to(staging).as_posix() for path in files]
        return [path for path in paths if path != RECEIPT and "/." not in f"/{path}"]

    def has_receipt(self, staged_at: str) -> bool:
        """Return whether the staging folder `staged_at` has a receipt, so it is not published."""
        return lexists(f"{self.root}/{STAGING}/{staged_at}/{RECEIPT}")

    def clear(self, job_id: str) -> None:
        """Remove the job's staging folder."""
        if not lexists(f"{self.root}/{STAGING}/{job_id}"):
            return
        with self._writing(), self._staging() as staging, self._staging("trash") as trash:
            safe_dirs.discard(staging, job_id, trash)

    # -- publishing

    def put(self, name: str, content: bytes) -> None:
        """Write the file `name` at the top of the outbox, all at once; nothing is synced."""
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
                # A worker runs ahead of its events: what it staged again is published already.
                if not published.exists():
                    raise
        return published

    def archive(
        self, job_id: str, folder: Path, inputs: Sequence[Path], step: atomic.Step = lambda: None
    ) -> list[OutputFile]:
        """Copy `inputs` into `folder/inputs`; what is there already is not copied again."""
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
        step: atomic.Step = lambda: None,
    ) -> list[OutputFile] | None:
        """Publish the folder `place` with copies of `inputs` and the reason.

        It is made in staging and appears whole. If it is there already, as it was published before
        a kill, it stays. Returns its files; None if something else is at `place`.
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

    def _is_refusal(
        self, place: str, inputs: Iterable[Path], reason: bytes, step: atomic.Step
    ) -> bool:
        """Return whether the folder `place` has exactly this reason and all `inputs`."""
        with suppress(OSError, InputError), safe_dirs.opened(self.root, place) as folder:
            with atomic.open_regular(REASON, folder) as file:
                is_same = file.read(len(reason) + 1) == reason
            return is_same and all(_is_there(path, folder, step) for path in inputs)
        step()  # raises again what was suppressed
        return False

    def _add(self, inputs: Iterable[Path], job_id: str, folder: int, step: atomic.Step) -> None:
        """Copy `inputs` into an opened folder if they are not there; each appears whole."""
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
        """Open a folder in `.staging`, made if needed; only we may use `.staging`."""
        with (
            safe_dirs.opened(self.root, STAGING, make=True) as staging,
            suppress(OSError),
        ):
            status = os.fstat(staging)  # the group is handed on to what is published
            if (private := 0o700 | status.st_mode & stat.S_ISGID) != stat.S_IMODE(status.st_mode):
                os.fchmod(staging, private)  # some network file systems know no modes
        with safe_dirs.opened(self.root, f"{STAGING}/{path}", make=True) as folder:
            yield folder

    def _shared(self, path: PurePosixPath | str) -> AbstractContextManager[int]:
        """Open a folder that people see, made if needed."""
        return safe_dirs.opened(self.root, str(path), make=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OutputError:
            raise
        except InputError as error:  # somebody put a link in a file's place
            raise OutputError(f"{self.root}: {error}") from error
        except OSError as error:
            raise OutputError(
                f"the outbox {self.root} cannot be written ({error.strerror or error}); "
                "waiting jobs start once it can be"
            ) from error


def _is_there(path: Path, folder: int, step: atomic.Step) -> bool:
    """Return whether an opened folder has a copy of the file `path` under its name."""
    with suppress(FileNotFoundError, InputError), atomic.open_regular(path.name, folder) as file:
        is_as_long = os.fstat(file.fileno()).st_size == path.lstat().st_size
        return is_as_long and atomic.digest_of(file, step) == atomic.digest(path, step=step)
    return False


def _records(
    folder: int, place: str, part: str, names: Iterable[str], step: atomic.Step
) -> list[OutputFile]:
    """Return the records of the files `names` in an opened folder, which is at `place`.

    Files that somebody has removed meanwhile are left out.
    """
    records = []
    for name in names:
        with suppress(FileNotFoundError), atomic.open_regular(name, folder) as file:
            size = os.fstat(file.fileno()).st_size
            digest = atomic.digest_of(file, step)
            records.append(OutputFile(f"{place}/{name}", part, digest, size))
    return records
