"""Finished files into the outbox, so that nobody meets half a file or someone else's folder."""

import os
import secrets
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from os.path import lexists
from pathlib import Path, PurePosixPath

from stylewatch_daemon.errors import InputError, OutputError
from stylewatch_daemon.files import atomic, flat_layout, safe_dirs
from stylewatch_daemon.files.names import candidates
from stylewatch_daemon.files.permissions import OPEN, PRIVATE, Sharing

RECEIPT = "receipt.json"
STAGES = "stages"
STAGING = ".staging"
REFUSED = "_refused"
_HALF = f"{REFUSED}.half"
"""A folder for REFUSED that is not whole yet, in the staging folder."""

Remember = Callable[[str], object]
"""Told a folder's name before the folder is there: a job that is killed then finds it again."""


Run = Callable[[Callable[[atomic.Step], None]], None]
"""Has something done that may take long: now, or it raises until that is done."""


def at_once(work: Callable[[atomic.Step], None]) -> None:
    """Do it now."""
    work(lambda: None)


def _is_same(path: Path, folder: int) -> bool:
    """Whether an opened folder has the very file `path` under its name."""
    try:
        there = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return os.path.samestat(path.lstat(), there)


@dataclass(frozen=True)
class RefusedAs:
    """What a refused job is called, and `place`, the folder that was chosen before, if any."""

    name: str
    place: str | None
    remember: Callable[[str | None], object]


def stage(staging: Path, name: str, content: bytes) -> None:
    """Write the file `name` of a job into its folder `staging`.

    What others may have made of `.staging` meanwhile is looked at as well. Its bytes are synced,
    its name is not: that is for whoever publishes it, or for `keep_staged`. Raises OutputError
    where a link leads off, or the folder is gone, as its disk may be.
    """
    above, inner = _above(staging)
    path = PurePosixPath(inner, name)
    try:
        with safe_dirs.opened(above, inner):
            pass  # it is there: only what belongs below is made
    except FileNotFoundError as error:
        raise OutputError(f"{staging} is gone; is its disk still mounted?") from error
    with safe_dirs.opened(above, str(path.parent), lambda handle: None) as folder:
        safe_dirs.write(folder, path.name, content)


def keep_staged(staging: Path, names: Iterable[str]) -> None:
    """Make staged files last, before anything builds on them; raises as `stage` does."""
    above, inner = _above(staging)
    for place in {PurePosixPath(inner, name).parent for name in names}:
        with safe_dirs.opened(above, str(place)) as folder:
            safe_dirs.sync(folder)


def _above(staging: Path) -> tuple[Path, str]:
    """What lies above `.staging`, or above the folder `staging` itself; and the way from there."""
    above = next((one.parent for one in staging.parents if one.name == STAGING), staging.parent)
    return above, str(staging.relative_to(above))


class Outbox:
    """The outbox `root`. Files are made in `.staging` on its own mount, and renamed into place.

    What is published has the permissions of `sharing`. Others may write here too: no link below
    `root` is followed. A folder that is said to be `reserved` is somebody's, there or not. Before
    an input is copied, as it cannot be linked, `check_copy` is called; it may raise OutputError.
    Methods raise OutputError where it cannot be written.
    """

    def __init__(
        self,
        root: Path,
        sharing: Sharing = OPEN,
        check_copy: Callable[[Path], object] = lambda path: None,
    ) -> None:
        self.root, self._sharing, self._check_copy = root, sharing, check_copy
        self.reserved: Callable[[str], bool] = lambda place: False

    def probe(self) -> None:
        """Find out whether it can be written, before anything depends on it; nothing is synced."""
        mark = f"probe-{secrets.token_hex(8)}"
        with self._writing():
            if not self.root.exists():
                atomic.make_folder(self.root)
                with safe_dirs.opened(self.root) as root:
                    self._sharing.folder(root)
            with self._staging() as staging, safe_dirs.opened(self.root) as root:
                safe_dirs.write(staging, mark, b"can this be written?", lasting=False)
                os.rename(mark, f".{mark}", src_dir_fd=staging, dst_dir_fd=root)
                os.unlink(f".{mark}", dir_fd=root)

    def staging(self, job_id: str) -> Path:
        """The folder in which the files of a job are made."""
        with self._writing():
            atomic.make_folder(self.root)
            with self._staging(job_id):
                return self.root / STAGING / job_id

    def reserve(self, name: str, remember: Remember, chosen: str | None = None) -> Path:
        """Make the folder that was `chosen`, or else choose and remember one; its path."""
        with self._writing():
            while True:
                if (place := chosen or self.choose(name)) != chosen:
                    remember(place)
                above, own = PurePosixPath(place).parent, PurePosixPath(place).name
                atomic.make_folder(self.root)
                with self._shared(above) as folder, suppress(FileExistsError):
                    os.mkdir(own, dir_fd=folder)  # unless someone was quicker
                    safe_dirs.sync(folder)
                    return self.again(place)
                chosen = None

    def again(self, place: str) -> Path:
        """The folder that was reserved before."""
        with self._writing():
            atomic.make_folder(self.root)
            with self._shared(PurePosixPath(place)):
                return self.root / place

    def publish(self, job_id: str, folder: Path, path: str) -> Path:
        """Rename the staged file `path` into the job's `folder`, replacing an older one."""
        if path.startswith("/") or ".." in path.split("/"):
            raise OutputError(f"a worker staged {path!r}, which lies outside of its folder")
        (inner, name), published = os.path.split(path), folder / path
        place = f"{self._place(folder)}/{inner}"
        with self._writing(), self._shared(place) as target:
            try:
                with safe_dirs.opened(self.root, f"{STAGING}/{job_id}/{inner}") as source:
                    self._sharing.file(source, name)
                    safe_dirs.move(source, name, target)
            except FileNotFoundError:
                # A worker runs ahead of its events: what it staged anew is published already.
                if not published.exists():
                    raise
        return published

    def staged(self, job_id: str) -> Iterator[str]:
        """The finished files that wait in a job's staging folder, all but the receipt."""
        staging = self.staging(job_id)
        for path in sorted(staging.rglob("*")):
            inner = path.relative_to(staging)
            hidden = any(part.startswith(".") for part in inner.parts)
            if path.is_file() and not hidden and inner.as_posix() != RECEIPT:
                yield inner.as_posix()

    def has_receipt(self, job_id: str) -> bool:
        """Whether the job's receipt is made, and not published yet."""
        return lexists(f"{self.root}/{STAGING}/{job_id}/{RECEIPT}")

    def receipt(self, staged_at: str) -> bytes:
        """The receipt that lies in the staging folder `staged_at`."""
        with (
            self._writing(),
            safe_dirs.opened(self.root, f"{STAGING}/{staged_at}") as staging,
            atomic.open_regular(RECEIPT, staging) as file,
        ):
            return file.read()

    def finish(self, staged_at: str, folder: Path) -> Iterator[Path]:
        """Publish what comes at a job's end, the receipt last; what people are to be told of.

        That is: the painting of a flat job, and the receipt, which lies in the staging folder
        `staged_at`. What is published already is left as it is. Raises OutputError, too, where a
        file of others has the painting's name.
        """
        place = self._place(folder)
        for file, painting in flat_layout.paintings(place):
            if (folder / file).is_file():
                yield self._move(place, file, PurePosixPath(painting))
        yield self.publish(staged_at, folder, RECEIPT)

    def _move(self, place: str, file: str, painting: PurePosixPath) -> Path:
        """Move a file of the job's folder to where nothing may be yet."""
        with (
            self._writing(),
            safe_dirs.opened(self.root, place) as source,
            self._shared(painting.parent) as target,
        ):
            if lexists(self.root / painting):
                raise OutputError(
                    f"{painting}, which was not there before, lies where a painting belongs in "
                    f"{self.root}: move it elsewhere"
                )
            safe_dirs.move(source, file, target, painting.name)
        return self.root / painting

    def archive(
        self, job_id: str, folder: Path, inputs: Sequence[Path], step: atomic.Step = lambda: None
    ) -> dict[str, str]:
        """Put `inputs` under `folder/inputs`, linked or copied; the SHA-256 of each by its name."""
        if not inputs:
            return {}
        place, made, digests = f"{self._place(folder)}/inputs", ".input", {}
        with self._writing(), self._staging(job_id) as staging, self._shared(place) as target:
            for path in inputs:
                if not _is_same(path, target):
                    self._bring(path, staging, made, step)
                    os.rename(made, path.name, src_dir_fd=staging, dst_dir_fd=target)
                digests[path.name] = atomic.digest(path.name, target)
            safe_dirs.sync(target)
        return digests

    def can_link(self, path: Path) -> bool:
        """Whether the file `path` can come here without being copied."""
        mark = f"probe-{secrets.token_hex(8)}"
        with suppress(OSError), self._staging() as staging:
            os.link(path, mark, dst_dir_fd=staging, follow_symlinks=False)
            os.unlink(mark, dir_fd=staging)
            return True
        return False

    def _bring(self, path: Path, folder: int, name: str, step: atomic.Step = lambda: None) -> None:
        """Link or copy the file `path` into a folder of the staging folder."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)  # it was cut off
        if not safe_dirs.link(path, folder, name):
            self._check_copy(path)
            safe_dirs.copy(path, folder, name, step)
        self._sharing.file(folder, name)

    def refuse(
        self,
        job_id: str,
        inputs: Iterable[Path],
        reason: str,
        refused_as: "RefusedAs",
        run: Run = at_once,
    ) -> Path:
        """Put `inputs` and `reason.txt` into a folder under `_refused`; its path.

        Inputs are linked or copied; `run` does that, and may raise where it is not done yet. The
        folder comes as a whole, and only once however often this is begun.
        """
        with self._writing():
            atomic.make_folder(self.root)
            if refused_as.place is None:
                run(partial(self._lay_out, job_id, inputs, reason))
            elif not (self.root / STAGING / job_id / REFUSED).exists():
                if (self.root / refused_as.place).exists():
                    return self.root / refused_as.place
                run(partial(self._lay_out, job_id, inputs, reason))
                refused_as.remember(None)  # it was laid out on another disk, that is gone
            place = PurePosixPath(self.choose(f"{REFUSED}/{flat_layout.called(refused_as.name)}"))
            refused_as.remember(str(place))
            with self._staging(job_id) as made, self._shared(place.parent) as target:
                safe_dirs.move(made, REFUSED, target, place.name)
                safe_dirs.sync(made)  # that it is not there tells that this was done
        return self.root / place

    def _lay_out(self, job_id: str, inputs: Iterable[Path], reason: str, step: atomic.Step) -> None:
        """Make the folder of a refused job, in the staging folder; it is there once it is whole."""
        self.clear(job_id)
        said = f"{reason.strip()}\n".encode(errors="replace")
        with self._writing(), self._staging(job_id) as staging:
            with self._staging(f"{job_id}/{_HALF}") as made:
                for path in inputs:
                    self._bring(path, made, path.name, step)
                safe_dirs.write(made, "reason.txt", said)
                self._sharing.file(made, "reason.txt")
                self._sharing.folder(made)
                safe_dirs.sync(made)
            os.rename(_HALF, REFUSED, src_dir_fd=staging, dst_dir_fd=staging)

    def clear(self, job_id: str) -> None:
        """Remove the job's staging folder."""
        if not lexists(f"{self.root}/{STAGING}/{job_id}"):
            return
        with self._writing(), self._staging() as staging, self._staging("trash") as trash:
            safe_dirs.discard(staging, job_id, trash)

    def drop_stages(self, folder: Path, kept: Container[str]) -> None:
        """Remove the stages in `folder` but `kept`: those of a painting that was begun anew."""
        with (
            suppress(OSError),
            safe_dirs.opened(self.root, f"{self._place(folder)}/{STAGES}") as stages,
            os.scandir(stages) as there,
        ):
            for name in [one.name for one in there if PurePosixPath(one.name).stem.isdecimal()]:
                if f"{STAGES}/{name}" not in kept:
                    os.unlink(name, dir_fd=stages)

    def drop_empty(self, place: str) -> None:
        """Remove a reserved folder that nothing came into, and those around it."""
        with suppress(OSError):
            for one in [PurePosixPath(place), *PurePosixPath(place).parents][:-1]:
                with safe_dirs.opened(self.root, str(one.parent)) as folder:
                    os.rmdir(one.name, dir_fd=folder)

    def choose(self, name: str) -> str:
        """`name`, or `name-2` ... where that is taken; raises OutputError where it leads out."""
        names = (one for one in candidates(name) if not any(map(lexists, self._paths(one))))
        place = next(one for one in names if not self.reserved(one))
        root = os.path.realpath(self.root)
        for path in self._paths(place):
            if os.path.commonpath([root, os.path.realpath(path)]) != root:
                raise OutputError(
                    f"{name} leads out of the outbox {self.root}; remove the link there"
                )
        return place

    def _place(self, folder: Path) -> str:
        return str(folder).removeprefix(f"{self.root}/")

    def _paths(self, place: str) -> Iterator[str]:
        """All that a job whose folder is `place` needs to have for itself."""
        yield f"{self.root}/{place}"
        if not flat_layout.is_flat(place):
            yield f"{self.root}/{flat_layout.folder(place)}"  # of a flat job with this name
        for _, painting in flat_layout.paintings(place):
            yield f"{self.root}/{painting}"

    @contextmanager
    def _staging(self, path: str = "") -> Iterator[int]:
        """A folder in `.staging`, opened, made if need be; `.staging` is for us alone."""
        with (
            safe_dirs.opened(self.root, STAGING, lambda handle: None) as staging,
            suppress(OSError),
        ):
            PRIVATE.folder(staging)  # some network file systems know no modes
        with safe_dirs.opened(self.root, f"{STAGING}/{path}", lambda handle: None) as folder:
            yield folder

    def _shared(self, path: PurePosixPath | str) -> AbstractContextManager[int]:
        """A folder that people see, opened, made if need be."""
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
                "what waits is painted once it can be"
            ) from error
