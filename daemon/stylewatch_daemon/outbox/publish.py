"""Publishing finished files in the outbox: nobody sees half a file or loses a folder of their own.

Files are made in `.staging`, on the outbox's own mount, and renamed into place.
"""

import os
import secrets
import shutil
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from io import BufferedWriter
from os.path import lexists
from pathlib import Path, PurePosixPath

from stylewatch_daemon.errors import InputError, OutputError
from stylewatch_daemon.files import atomic, flat_layout, safe_dirs
from stylewatch_daemon.files.names import candidates
from stylewatch_daemon.files.permissions import OPEN, PRIVATE, Sharing

RECEIPT = "receipt.json"
STAGES = "stages"
STAGING = ".staging"

STAGED_CHECKPOINT = ".checkpoint.npz"
"""The checkpoint of a job on a cluster, below its staged files."""

CLIP_FOLDER = ".clip"
"""Folder, below a job's staged files, of painted frames and segments of a clip."""

REFUSED, REASON = "_refused", "reason.txt"
_INCOMPLETE = f"{REFUSED}.half"
"""A folder for REFUSED that is not complete yet, in the staging folder."""

Remember = Callable[[str], object]
"""Called with a folder's name before the folder is made: after a kill the job finds it again."""


def stage(staging: Path, name: str, content: bytes) -> None:
    """Write the file `name` of a job into its folder `staging`; raises as `staging_file` does."""
    with staging_file(staging, name) as file:
        file.write(content)


@contextmanager
def staging_file(staging: Path, name: str) -> Iterator[BufferedWriter]:
    """Open the file `name` of a job in its folder `staging`; it is there once all is written.

    The bytes are synced, the name is not: publishing it does that, or `keep_staged`. Raises
    OutputError where a link leads out of the folder, or the folder is gone, as its disk may be.
    """
    above, inner = _above(staging)
    path = PurePosixPath(inner, name)
    try:
        with safe_dirs.opened(above, inner):
            pass  # it is there: only folders below it are made
    except FileNotFoundError as error:
        raise OutputError(f"{staging} is gone; is its disk still mounted?") from error
    with (
        safe_dirs.opened(above, str(path.parent), lambda handle: None) as folder,
        atomic.replacing(path.name, folder) as file,
    ):
        yield file


def keep_staged(staging: Path, names: Iterable[str]) -> None:
    """Sync the names of staged files, before anything depends on them; raises as `stage` does."""
    above, inner = _above(staging)
    for place in {PurePosixPath(inner, name).parent for name in names}:
        with safe_dirs.opened(above, str(place)) as folder:
            atomic.sync_folder(folder)


def _above(staging: Path) -> tuple[Path, str]:
    """Return the folder above `.staging`, or above `staging` itself, and the path from there."""
    folders = (folder.parent for folder in staging.parents if folder.name == STAGING)
    above = next(folders, staging.parent)
    return above, str(staging.relative_to(above))


def reason_text(reason: str) -> bytes:
    """Return the content of REASON."""
    return f"{reason.strip()}\n".encode(errors="replace")


class Outbox:
    """The outbox at `root`.

    What is published has the permissions of `sharing`. Others may write here too, so no link below
    `root` is followed. `is_reserved` tells whether a folder belongs to a job, there or not.
    `check_copy` is called before an input is copied because it cannot be linked; it may raise
    OutputError. Methods raise OutputError where the outbox cannot be written.
    """

    def __init__(
        self,
        root: Path,
        sharing: Sharing = OPEN,
        *,
        is_reserved: Callable[[str], bool] = lambda place: False,
        check_copy: Callable[[Path], object] = lambda path: None,
    ) -> None:
        self.root, self._sharing = root, sharing
        self._is_reserved, self._check_copy = is_reserved, check_copy

    def probe(self) -> None:
        """Check that the outbox can be written, before anything depends on it; syncs nothing."""
        mark = f"probe-{secrets.token_hex(8)}"
        with self._writing():
            if not self.root.exists():
                atomic.make_folder(self.root)
                with safe_dirs.opened(self.root) as root:
                    self._sharing.folder(root)
            with self._staging() as staging, safe_dirs.opened(self.root) as root:
                atomic.write(mark, b"can this be written?", staging, durable=False)
                os.rename(mark, f".{mark}", src_dir_fd=staging, dst_dir_fd=root)
                os.unlink(f".{mark}", dir_fd=root)

    # -- folders of jobs

    def choose(self, name: str) -> str:
        """Return `name`, or `name-2` ... where it is taken; OutputError where it leads out."""
        free = (place for place in candidates(name) if not any(map(lexists, self._paths(place))))
        place = next(place for place in free if not self._is_reserved(place))
        root = os.path.realpath(self.root)
        for path in self._paths(place):
            if os.path.commonpath([root, os.path.realpath(path)]) != root:
                raise OutputError(
                    f"{name} leads out of the outbox {self.root}; remove the link there"
                )
        return place

    def reserve(self, name: str, remember: Remember, chosen: str | None = None) -> Path:
        """Make the folder `chosen`; else choose one, remember it, and make that. Return its path.

        Where someone else has made the folder meanwhile, another one is chosen.
        """
        with self._writing():
            while True:
                if (place := chosen or self.choose(name)) != chosen:
                    remember(place)
                above, own = PurePosixPath(place).parent, PurePosixPath(place).name
                atomic.make_folder(self.root)
                with self._shared(above) as folder, suppress(FileExistsError):
                    os.mkdir(own, dir_fd=folder)
                    atomic.sync_folder(folder)
                    return self.reopen(place)
                chosen = None

    def reopen(self, place: str) -> Path:
        """Return the path of a folder that was reserved before, made again if it is gone."""
        with self._writing():
            atomic.make_folder(self.root)
            with self._shared(PurePosixPath(place)):
                return self.root / place

    def drop_empty(self, place: str) -> None:
        """Remove a reserved folder if it is empty, and then those around it."""
        with suppress(OSError):
            for path in [PurePosixPath(place), *PurePosixPath(place).parents][:-1]:
                with safe_dirs.opened(self.root, str(path.parent)) as folder:
                    os.rmdir(path.name, dir_fd=folder)

    def drop_stages(self, folder: Path, kept: Container[str]) -> None:
        """Remove the stages in `folder` except `kept`: those of attempts that started over."""
        with (
            suppress(OSError),
            safe_dirs.opened(self.root, f"{self._place(folder)}/{STAGES}") as stages,
            os.scandir(stages) as entries,
        ):
            for name in [entry.name for entry in entries]:
                if PurePosixPath(name).stem.isdecimal() and f"{STAGES}/{name}" not in kept:
                    os.unlink(name, dir_fd=stages)

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

    def receipt(self, staged_at: str) -> bytes:
        """Return the receipt in the staging folder `staged_at`."""
        with (
            self._writing(),
            safe_dirs.opened(self.root, f"{STAGING}/{staged_at}") as staging,
            atomic.open_regular(RECEIPT, staging) as file,
        ):
            return file.read()

    def clear(self, job_id: str) -> None:
        """Remove the job's staging folder."""
        if not lexists(f"{self.root}/{STAGING}/{job_id}"):
            return
        with self._writing(), self._staging() as staging, self._staging("trash") as trash:
            safe_dirs.discard(staging, job_id, trash)

    def empty_trash(self) -> None:
        """Remove what a kill left of staging folders that were being removed."""
        with (
            suppress(OSError, RecursionError),
            safe_dirs.opened(self.root, f"{STAGING}/trash") as trash,
            os.scandir(trash) as entries,
        ):
            for name in [entry.name for entry in entries]:
                shutil.rmtree(name, ignore_errors=True, dir_fd=trash)

    def can_link(self, path: Path) -> bool:
        """Return whether the file `path` can be linked here, and need not be copied."""
        mark = f"probe-{secrets.token_hex(8)}"
        with suppress(OSError), self._staging() as staging:
            os.link(path, mark, dst_dir_fd=staging, follow_symlinks=False)
            os.unlink(mark, dir_fd=staging)
            return True
        return False

    # -- publishing

    def publish(self, staged_at: str, folder: Path, path: str) -> Path:
        """Rename the staged file `path` into the job's `folder`, replacing an older one."""
        if path.startswith("/") or ".." in path.split("/"):
            raise OutputError(f"a worker staged {path!r}, which is outside of its folder")
        (inner, name), published = os.path.split(path), folder / path
        with self._writing(), self._shared(f"{self._place(folder)}/{inner}") as target:
            try:
                with safe_dirs.opened(self.root, f"{STAGING}/{staged_at}/{inner}") as source:
                    self._sharing.file(source, name)
                    safe_dirs.move(source, name, target)
            except FileNotFoundError:
                # A worker runs ahead of its events: what it staged again is published already.
                if not published.exists():
                    raise
        return published

    def archive(
        self, job_id: str, folder: Path, inputs: Sequence[Path], step: atomic.Step = lambda: None
    ) -> dict[str, str]:
        """Link or copy `inputs` into `folder/inputs`, and return their SHA-256 by name."""
        if not inputs:
            return {}
        place, made, digests = f"{self._place(folder)}/inputs", ".input", {}
        with self._writing(), self._staging(job_id) as staging, self._shared(place) as target:
            for path in inputs:
                is_there = False
                with suppress(OSError):
                    status = os.stat(path.name, dir_fd=target, follow_symlinks=False)
                    is_there = os.path.samestat(path.lstat(), status)
                if not is_there:
                    self._link_or_copy(path, staging, made, step)
                    os.rename(made, path.name, src_dir_fd=staging, dst_dir_fd=target)
                digests[path.name] = atomic.digest(path.name, target, step)
            atomic.sync_folder(target)
        return digests

    def finish(self, staged_at: str, folder: Path) -> list[Path]:
        """Publish the picture of a flat job, then the receipt in `staged_at`; return their paths.

        What is published already is left as it is. Raises OutputError, too, where the picture's
        name belongs to a file of somebody else.
        """
        place, paths = self._place(folder), []
        for file, painting in flat_layout.paintings(place):
            if not (folder / file).is_file():
                continue
            picture = PurePosixPath(painting)
            with (
                self._writing(),
                safe_dirs.opened(self.root, place) as source,
                self._shared(picture.parent) as target,
            ):
                if lexists(self.root / picture):
                    raise OutputError(
                        f"{picture}, which was not there before, is where an output belongs in "
                        f"{self.root}: move it elsewhere"
                    )
                safe_dirs.move(source, file, target, picture.name)
            paths.append(self.root / picture)
        return [*paths, self.publish(staged_at, folder, RECEIPT)]

    # -- refused jobs, in three steps: stage the folder, choose its place, publish it

    def has_refused(self, job_id: str) -> bool:
        """Return whether the folder of a refused job is staged, and not published yet."""
        return (self.root / STAGING / job_id / REFUSED).exists()

    def stage_refused(
        self,
        job_id: str,
        inputs: Iterable[Path],
        reason: str,
        step: atomic.Step = lambda: None,
    ) -> None:
        """Stage a folder with links or copies of `inputs`, and `reason.txt`; it appears whole."""
        with self._writing():
            atomic.make_folder(self.root)
            self.clear(job_id)
            with self._staging(job_id) as staging:
                with self._staging(f"{job_id}/{_INCOMPLETE}") as made:
                    for path in inputs:
                        self._link_or_copy(path, made, path.name, step)
                    atomic.write(REASON, reason_text(reason), made)
                    self._sharing.file(made, REASON)
                    self._sharing.folder(made)
                    atomic.sync_folder(made)
                os.rename(_INCOMPLETE, REFUSED, src_dir_fd=staging, dst_dir_fd=staging)

    def choose_refused(self, name: str) -> str:
        """Return the place for the refused job `name`."""
        with self._writing():
            return self.choose(f"{REFUSED}/{flat_layout.called(name)}")

    def publish_refused(self, job_id: str, place: str) -> Path:
        """Move the staged folder of a refused job to `place`, and return its path there."""
        path = PurePosixPath(place)
        with (
            self._writing(),
            self._staging(job_id) as staging,
            self._shared(path.parent) as target,
        ):
            safe_dirs.move(staging, REFUSED, target, path.name)
            atomic.sync_folder(staging)  # its absence there shows that this was done
        return self.root / place

    def _link_or_copy(self, path: Path, folder: int, name: str, step: atomic.Step) -> None:
        """Link or copy the file `path` into a folder below `.staging`."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)  # it was cut off
        if not safe_dirs.link(path, folder, name):
            self._check_copy(path)
            atomic.copy(path, name, step=step, target_folder=folder)
        self._sharing.file(folder, name)

    def _place(self, folder: Path) -> str:
        return str(folder).removeprefix(f"{self.root}/")

    def _paths(self, place: str) -> Iterator[str]:
        """Yield all paths that a job needs for itself, if its folder is `place`."""
        yield f"{self.root}/{place}"
        if not flat_layout.is_flat(place):
            yield f"{self.root}/{flat_layout.folder(place)}"  # of a flat job with this name
        for _, painting in flat_layout.paintings(place):
            yield f"{self.root}/{painting}"

    @contextmanager
    def _staging(self, path: str = "") -> Iterator[int]:
        """Open a folder in `.staging`, made if needed; only we may use `.staging`."""
        with (
            safe_dirs.opened(self.root, STAGING, lambda handle: None) as staging,
            suppress(OSError),
        ):
            PRIVATE.folder(staging)  # some network file systems know no modes
        with safe_dirs.opened(self.root, f"{STAGING}/{path}", lambda handle: None) as folder:
            yield folder

    def _shared(self, path: PurePosixPath | str) -> AbstractContextManager[int]:
        """Open a folder that people see, made if needed."""
        return safe_dirs.opened(self.root, str(path), self._sharing.folder)

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
