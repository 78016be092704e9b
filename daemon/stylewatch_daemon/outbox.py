"""Finished files into the outbox, so that nobody meets half a file or someone else's folder."""

import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os.path import lexists
from pathlib import Path, PurePosixPath

from stylewatch_daemon import durable
from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.names import candidates

RECEIPT = "receipt.json"
REFUSED = "_refused"

Remember = Callable[[str], object]
"""Told a folder's name before the folder is there: a job that is killed then finds it again."""


@dataclass(frozen=True)
class RefusedAs:
    """What a refused job is called, and `place`, the folder that was chosen before, if any."""

    name: str
    place: str | None
    remember: Remember


class Outbox:
    """The outbox `root`. Files are made in `.staging` on its own mount, and renamed into place.

    Methods raise OutputError where it cannot be written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def probe(self) -> None:
        """Find out whether it can be written, before anything depends on it."""
        with self._writing():
            durable.make_folder(self.root / ".staging")
            mark = self.root / ".staging" / f"probe-{secrets.token_hex(8)}"
            try:
                durable.write(mark, b"can this be written?")
                there = mark.rename(self.root / f".{mark.name}")
                there.unlink()
            finally:
                mark.unlink(missing_ok=True)

    def staging(self, job_id: str) -> Path:
        """The folder in which the files of a job are made."""
        with self._writing():
            durable.make_folder(self.root / ".staging" / job_id)
        return self.root / ".staging" / job_id

    def reserve(self, name: str, remember: Remember) -> Path:
        """Make the folder `name`, or `name-2` ... where that is taken; its path."""
        with self._writing():
            while True:
                place = self._free(name)
                remember(place)
                folder = self.root / place
                durable.make_folder(folder.parent)
                with suppress(FileExistsError):  # someone was quicker
                    folder.mkdir()
                    durable.sync_folder(folder.parent)
                    return folder

    def again(self, place: str) -> Path:
        """The folder that was reserved before."""
        with self._writing():
            durable.make_folder(self.root / place)
        return self.root / place

    def publish(self, job_id: str, folder: Path, path: str) -> Path:
        """Rename the staged file `path` into the job's `folder`, replacing an older one."""
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise OutputError(f"a worker staged {path!r}, which lies outside of its folder")
        with self._writing():
            target = folder / path
            durable.make_folder(target.parent)
            try:
                durable.move(self.staging(job_id) / path, target)
            except FileNotFoundError:
                # A worker runs ahead of its events: what it staged anew is published already.
                if not target.exists():
                    raise
        return target

    def staged(self, job_id: str) -> Iterator[str]:
        """The finished files that wait in a job's staging folder, all but the receipt."""
        staging = self.staging(job_id)
        for path in sorted(staging.rglob("*")):
            name = path.relative_to(staging).as_posix()
            if path.is_file() and not path.name.startswith(".") and name != RECEIPT:
                yield name

    def has_receipt(self, job_id: str) -> bool:
        """Whether the job's receipt is made, and not published yet."""
        return (self.root / ".staging" / job_id / RECEIPT).is_file()

    def archive(self, job_id: str, folder: Path, inputs: Iterable[Path]) -> None:
        """Put copies of `inputs` under `folder/inputs`."""
        with self._writing():
            durable.make_folder(self.staging(job_id) / "inputs")
            for path in inputs:
                durable.copy(path, self.staging(job_id) / "inputs" / path.name)
                self.publish(job_id, folder, f"inputs/{path.name}")

    def refuse(
        self, job_id: str, inputs: Iterable[Path], reason: str, refused_as: "RefusedAs"
    ) -> Path:
        """Put copies of `inputs`, and `reason.txt`, into a folder under `_refused`; its path.

        The folder comes as a whole, and only once however often this is begun.
        """
        made = self.root / ".staging" / job_id / REFUSED
        with self._writing():
            if refused_as.place is None:
                self.clear(job_id)
                durable.make_folder(made)
                for path in inputs:
                    durable.copy(path, made / path.name)
                durable.write(made / "reason.txt", f"{reason.strip()}\n".encode(errors="replace"))
            elif not made.exists():
                return self.root / refused_as.place
            place = self._free(f"{REFUSED}/{refused_as.name}")
            refused_as.remember(place)
            durable.make_folder((self.root / place).parent)
            durable.rename_folder(made, self.root / place)
        return self.root / place

    def clear(self, job_id: str) -> None:
        """Remove the job's staging folder."""
        staging = self.root / ".staging" / job_id
        with self._writing():
            if staging.exists():
                durable.discard(staging, self.root / ".staging" / "trash")

    def drop_empty(self, place: str) -> None:
        """Remove a reserved folder that nothing came into, and those around it."""
        with suppress(OSError):
            for folder in [self.root / place, *(self.root / place).parents]:
                if folder == self.root:
                    break
                folder.rmdir()

    def _free(self, name: str) -> str:
        """`name`, or `name-2` ... where that is taken; raises OutputError where it leads out."""
        place = next(one for one in candidates(name) if not lexists(self.root / one))
        if not (self.root / place).resolve().is_relative_to(self.root.resolve()):
            raise OutputError(f"{name} leads out of the outbox {self.root}; remove the link there")
        return place

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OutputError:
            raise
        except OSError as error:
            raise OutputError(
                f"the outbox {self.root} cannot be written ({error.strerror or error}); "
                "what waits is painted once it can be"
            ) from error
