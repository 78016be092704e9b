"""Files of jobs: their stages, frames and receipts in the outbox, and their inputs.

Others may write in an outbox and an inbox, too. So no link is followed there, and no path in a
receipt leads out of its folder. If the checksum of a file is known, the file is accepted only with
exactly these bytes.
"""

import errno
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, Self

from pydantic import BaseModel, ValidationError

from stylewatch_daemon.base.errors import InputError, OutputError
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.base.model import Input, Job, OutputFile, Role
from stylewatch_daemon.files import atomic, entries, safe_dirs, strangers
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.outbox.publish import CLIP_FOLDER, INPUTS, STAGES, STAGING
from stylewatch_daemon.outbox.staging import latest

STAGE = re.compile(r"([0-9]{4,})\.(?:png|jpg|webp|tiff)")
"""Pattern for the file name of a stage, which contains its step."""

MAX_BYTES = 64 << 20
"""Maximum number of bytes read of a receipt or of a table of losses."""


@dataclass(frozen=True)
class Spot:
    """A place for a file: `name` in the folder `root / folder`; no part of `folder` may be a link.

    `disk` is the mark of the disk with `root`, or empty if any disk will do.
    """

    root: Path
    folder: str
    name: str
    disk: str = ""

    @property
    def path(self) -> Path:
        """Path of the file; opening it by this path may follow a link."""
        return self.root / self.folder / self.name

    def open(self) -> BufferedReader:
        """Open the file for reading.

        Raises FileNotFoundError if it is no regular file, OutputError if a part of `folder` is a
        link, another OSError if it cannot be opened.
        """
        try:
            with safe_dirs.opened(self.root, self.folder) as handle:
                return atomic.open_regular(self.name, handle)
        except InputError as error:
            raise FileNotFoundError(errno.ENOENT, "not a regular file", self.path) from error


@dataclass(frozen=True)
class SourceFile:
    """A file of a job, and the spots where it may be.

    `size` is in bytes, or None if unknown. `sha256` is empty if unknown.
    """

    role: Role
    name: str
    spots: tuple[Spot, ...]
    sha256: str = ""
    size: int | None = None

    def find(self, guard: MountGuard, step: Step = lambda: None, *, reads: bool = True) -> Spot:
        """Return the first spot that has the file, unchanged.

        The file is compared by SHA-256 and size, as far as they are known; if `reads` is False, by
        size alone. Raises InputError if no spot has it, and OutputError if that is unknown, for
        example because the disk of a spot is missing (law 2). Also raises the errors of `step`.
        """
        problems = []
        for spot in self.spots:
            try:
                with guard.checked_inside(spot.root, spot.folder, disk=spot.disk):
                    if self._is_at(spot, step, reads=reads):
                        return spot
            except OSError as error:
                step()  # raises the error again if it came from `step`
                problems.append(f"{shown(spot.path)}: {error.strerror or error}")
        if problems:
            raise OutputError(f"{shown(self.name)} ({self.role}) cannot be read: {problems[0]}")
        folders = dict.fromkeys(shown(spot.path.parent) for spot in self.spots)
        raise InputError(
            f"{shown(self.name)} ({self.role}) is no longer as it was in "
            f"{' nor '.join(folders) or 'the outbox'}: put it there again, or drop the pair anew"
        )

    def _is_at(self, spot: Spot, step: Step, *, reads: bool) -> bool:
        """Return whether the file is at a spot; raises OSError if that is unknown."""
        try:
            file = spot.open()
        except (FileNotFoundError, NotADirectoryError, OutputError):  # a link leads elsewhere
            return False
        with file:
            if reads and self.sha256:
                return strangers.has_bytes(file, self.sha256, self.size or 0, step)
            return self.size is None or strangers.length_of(file) == self.size


def inputs(job: Job) -> tuple[SourceFile, ...]:
    """Return the inputs of a job, including its job.yaml."""
    return tuple(
        SourceFile(
            file.role,
            file.name,
            tuple(input_spots(job, file, file.source)),
            file.sha256,
            file.size,
        )
        for file in job.inputs
    )


def stage(job: Job, step: int, listed: Iterable[OutputFile] = ()) -> SourceFile:
    """Return the stage of a job after `step`, as a picture to start from.

    `listed` are the job's files in the ledger: if the stage is among them, it must have the
    recorded bytes. Raises InputError if there is no such stage, naming the existing ones, and
    OSError if the folder of the stages cannot be read.
    """
    existing = stages(job)
    if step not in existing:
        steps = ", ".join(map(str, existing))
        raise InputError(
            f"{shown(job.title)} has no stage {step}; there are {steps}" if steps else
            f"{shown(job.title)} has no stages to start from: none was painted, or they were "
            "removed according to `retention.stages`; leave --from-stage out"
        )  # fmt: skip
    spot = existing[step]
    path = f"{spot.folder}/{spot.name}"
    record = {file.path: file for file in listed}.get(path)
    if record is None:
        return SourceFile("init", f"stage-{spot.name}", (spot,))
    return SourceFile("init", f"stage-{spot.name}", (spot,), record.sha256, record.size or None)


def stages(job: Job) -> dict[int, Spot]:
    """Return the existing stages of a job, by their steps, in order; raises as `_numbered` does."""
    return {} if job.place is None else _numbered(job, f"{job.place}/{STAGES}")


def frames(job: Job) -> dict[int, Spot]:
    """Return the painted frames of a clip that are not encoded yet, by frame number, in order.

    Raises as `_numbered` does.
    """
    return _numbered(job, f"{STAGING}/{latest(Path(job.outbox), job.id)}/{CLIP_FOLDER}")


def _numbered(job: Job, folder: str) -> dict[int, Spot]:
    """Return the pictures in a folder of the outbox whose names are numbers, by number, in order.

    The result is empty if the folder is missing. Raises OSError if the folder cannot be read, or is
    a link.
    """
    try:
        with safe_dirs.opened(Path(job.outbox), folder) as handle:
            matches = [STAGE.fullmatch(name) for name in entries.names(handle)]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    steps = sorted((int(match[1]), match[0]) for match in matches if match)
    return {step: Spot(Path(job.outbox), folder, name) for step, name in steps}


def input_spots(job: Job, file: Input, source: str) -> Iterator[Spot]:
    """Yield the spots where an input may be, the most likely spot first.

    `source` is the original path of the input, or empty to leave that spot out.
    """
    outbox = Path(job.outbox)
    inbox = Path(job.inbox)
    if file.published:
        folder, _, name = file.published.rpartition("/")
        yield Spot(outbox, folder, name, job.disk)
    else:  # an earlier version may have published it, without a record
        for place in (job.place and f"{job.place}/{INPUTS}", job.refused_as):
            if place is not None:
                yield Spot(outbox, place, file.name, job.disk)
    if source:
        path = Path(source)
        root = next((root for root in (inbox, outbox) if path.is_relative_to(root)), path.parent)
        yield Spot(root, str(path.parent.relative_to(root)), path.name)


def parse_receipt(file: IO[bytes]) -> Mapping[str, Any]:
    """Read the receipt in an opened file; return an empty mapping if it is damaged.

    It also counts as damaged if it is longer than MAX_BYTES, if a text in it is not valid Unicode,
    or if a number is larger than any float.
    """
    try:
        plain = json.loads(file.read(MAX_BYTES), parse_int=_parse_int)
        json.dumps(plain, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, OverflowError, RecursionError):
        return {}
    return plain if isinstance(plain, dict) else {}


def _parse_int(digits: str) -> int:
    float(number := int(digits))  # raises OverflowError
    return number


class _File(BaseModel):
    sha256: str
    file: str = ""
    """Path relative to the folder of the receipt."""
    name: str = ""
    """Name of an input."""


class Listing(BaseModel):
    """Files that a receipt lists; the listing of a damaged receipt is empty."""

    final: str = ""
    files: tuple[_File, ...] = ()
    stages: tuple[_File, ...] = ()
    inputs: tuple[_File, ...] = ()
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, receipt: Mapping[str, Any]) -> Self:
        """Return the listing of a receipt that was read by `parse_receipt`."""
        try:
            return cls.model_validate(receipt)
        except ValidationError:
            return cls()
