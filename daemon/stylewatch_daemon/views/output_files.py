"""Receipt, losses and pictures of a job, read from its outbox.

A picture is called `final`, `stage-50`, `frame-7` (of a running clip), `input-0`, or by the name of
one of the ARTIFACTS. Other people may write into the outbox: no link is followed there, and an
input with a known SHA-256 is accepted only with exactly these bytes.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any

from stylewatch_daemon.artifacts.request import file_name
from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.base.model import Input, Job
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.names import candidates, is_name, safe, shown
from stylewatch_daemon.outbox import job_files
from stylewatch_daemon.outbox.publish import RECEIPT

ARTIFACTS = {
    "animation": ("progress.webp", "progress.gif"),
    "sheet": ("sheet.png",),
    "curve": ("losses.png",),
}
"""Possible file names of artifacts in a job's folder, by artifact."""

MAX_DIGESTS = 4096
"""Maximum number of files whose digests are cached."""

_NUMBERED = re.compile(r"(stage|frame|input)-([0-9]{1,9})")

_digests: dict[tuple[int, int, int, int], str] = {}
"""Cache of SHA-256 by device, inode, size and mtime of a file: a page shows dozens of pictures."""


@dataclass(frozen=True)
class PictureFile:
    """An opened picture of `size` bytes; the caller closes `file`."""

    spot: job_files.Spot
    file: BufferedReader
    sha256: str
    size: int

    @property
    def suffix(self) -> str:
        """Suffix of the file's name, in lower case."""
        return PurePosixPath(self.spot.name).suffix.lower()


def digest(file: BufferedReader) -> str:
    """Return the SHA-256 of an opened file, whose position stays at the start."""
    status = os.fstat(file.fileno())
    version = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    sha256 = _digests.get(version)
    if sha256 is None:
        sha256 = atomic.digest_of(file)
        file.seek(0)
        if len(_digests) >= MAX_DIGESTS:
            _digests.clear()
        _digests[version] = sha256
    return sha256


def read_receipt(job: Job) -> Mapping[str, Any]:
    """Return the receipt of a job; empty if it is missing or damaged."""
    with suppress(OSError, OutputError), _opened(job, RECEIPT) as file:
        return job_files.parse_receipt(file)
    return {}


def read_losses(job: Job) -> str:
    """Return the losses.csv of a job as far as it is written; empty if it cannot be read."""
    with suppress(OSError, OutputError, UnicodeDecodeError), _opened(job, job_files.LOSSES) as file:
        return file.read(job_files.MAX_BYTES).decode("ascii")
    return ""


def _opened(job: Job, name: str) -> BufferedReader:
    """Open a file in the output folder of a job; raises OSError or OutputError."""
    if job.place is None:
        raise FileNotFoundError(name)
    return job_files.Spot(Path(job.outbox), job.place, name).open()


def find(job: Job, state: Path, what: str) -> PictureFile | None:
    """Open the picture `what` of a job; None if there is none. `state` is the state folder."""
    wanted = input_digest(job, what)
    for spot in _spots(job, state, what):
        with suppress(OSError, OutputError):
            file = spot.open()
            sha256 = digest(file)
            if wanted in ("", sha256):
                return PictureFile(spot, file, sha256, os.fstat(file.fileno()).st_size)
            file.close()
    return None


def input_digest(job: Job, what: str) -> str:
    """Return the SHA-256 that the ledger has for the input `what`; empty if there is none."""
    file = _input(job, what)
    return "" if file is None else file.sha256


def original_name(job: Job, file: Input) -> str:
    """Return the name under which an input of a job was dropped or uploaded."""
    names = (job.settings or {}).get("file_names")
    name = names.get(file.name) if isinstance(names, Mapping) else None
    return shown(PurePosixPath(str(name or file.source or file.name)).name)


def all_files(job: Job, state: Path) -> Iterator[tuple[str, BufferedReader]]:
    """Open the files of a job one by one, each with its path in a download.

    The caller closes them. Inputs have their original names; if several files have the same name,
    all but the first are renamed.
    """
    taken = set[str]()
    inputs = {f"input-{number}": file for number, file in enumerate(job.inputs)}
    for what in ("final", *(f"stage-{step}" for step in job_files.stages(job)), *inputs):
        if picture := find(job, state, what):
            name = picture.spot.name
            if what in inputs:
                name = f"inputs/{original_name(job, inputs[what])}"
            elif what != "final":
                name = f"stages/{name}"
            yield unused(name, taken), picture.file
    final = str(read_receipt(job).get("final", ""))
    artifacts = (name for what in ARTIFACTS for name in _artifact_files(what, final))
    for name in (*artifacts, job_files.LOSSES, RECEIPT):
        with suppress(OSError, OutputError):
            yield unused(name, taken), _opened(job, name)


def unused(name: str, taken: set[str]) -> str:
    """Return a path like `name` that is not in `taken`, and add it there."""
    path = PurePosixPath(name)
    names = (str(path.with_name(safe(stem) + path.suffix)) for stem in candidates(path.stem))
    taken.add(free := next(name for name in names if name not in taken))
    return free


def _input(job: Job, what: str) -> Input | None:
    """Return the input that `what` names, if any."""
    numbered = _NUMBERED.fullmatch(what)
    if numbered and numbered[1] == "input" and int(numbered[2]) < len(job.inputs):
        return job.inputs[int(numbered[2])]
    return None


def _spots(job: Job, state: Path, what: str) -> Iterator[job_files.Spot]:
    """Yield the places where the picture may be."""
    numbered, file = _NUMBERED.fullmatch(what), _input(job, what)
    if file is not None and is_name(file.name):
        is_known = file.sha256 and Path(file.source).is_relative_to(job.inbox)
        # while the job has not ended
        yield job_files.Spot(state, f"jobs/{job.id}/files", file.name)
        yield from job_files.input_spots(job, file.name, file.source if is_known else "")
    elif numbered:
        spots = {"stage": job_files.stages, "frame": job_files.frames}
        if numbered[1] in spots and (spot := spots[numbered[1]](job).get(int(numbered[2]))):
            yield spot
    elif job.place is not None:
        final = str(read_receipt(job).get("final", ""))
        names = [final] if what == "final" else _artifact_files(what, final)
        for name in filter(is_name, names):
            yield job_files.Spot(Path(job.outbox), job.place, name)


def _artifact_files(what: str, final: str) -> list[str]:
    """Return the possible file names of an artifact; none is that of the `final` picture."""
    return [file_name(artifact, final) for artifact in ARTIFACTS.get(what, ())]
