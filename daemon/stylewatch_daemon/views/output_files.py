"""Read the receipt, the losses and the pictures of a job.

A picture is called `final`, `stage-50`, `frame-7` (of a running clip), `input-0`, `animation`,
`sheet` or `curve`. Other people may write into the outbox: no link is followed there, and an input
whose SHA-256 is known counts only with exactly these bytes.
"""

import os
import re
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any

from stylewatch_daemon.artifacts.request import file_name
from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.base.model import Input, Job
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.names import candidates, safe, shown
from stylewatch_daemon.outbox.job_files import (
    LOSSES,
    MAX_BYTES,
    Spot,
    frames,
    input_spots,
    is_name,
    parse_receipt,
    stages,
)
from stylewatch_daemon.outbox.publish import RECEIPT

ARTIFACTS = {
    "animation": ("progress.webp", "progress.gif"),
    "sheet": ("sheet.png",),
    "curve": ("losses.png",),
}
"""Artifacts that may lie in a job's folder, by the name that they have here."""

_NUMBERED = re.compile(r"(stage|frame|input)-([0-9]{1,9})")


class Cache:
    """The latest `size` results, by their keys; safe for threads."""

    def __init__(self, size: int) -> None:
        self._size, self._lock = size, Lock()
        self._known: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the cached result for `key`, or that of `make()`, which is cached."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        made = make()
        with self._lock:
            self._known[key] = made
            if len(self._known) > self._size:
                self._known.popitem(last=False)
        return made


_digests, _receipts = Cache(4096), Cache(256)


@dataclass(frozen=True)
class PictureFile:
    """An opened picture; the caller closes `file`."""

    spot: Spot
    file: BufferedReader
    sha256: str


def file_version(file: BufferedReader) -> tuple[int, int, int, int]:
    """Device, inode, size in bytes and mtime (ns) of an opened file: the same as long as it is."""
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def digest(file: BufferedReader) -> str:
    """SHA-256 of an opened file, which is read only once; its position stays at the start."""

    def hashed() -> str:
        sha256 = atomic.digest_of(file)
        file.seek(0)
        return sha256

    known: str = _digests.get(file_version(file), hashed)
    return known


def read_receipt(job: Job) -> Mapping[str, Any]:
    """Read the receipt of a job; empty where there is none, or it is damaged."""
    with suppress(OSError, OutputError):
        if job.place is not None:
            with Spot(Path(job.outbox), job.place, RECEIPT).open() as file:
                plain: Mapping[str, Any] = _receipts.get(
                    file_version(file), lambda: parse_receipt(file)
                )
                return plain
    return {}


def read_losses(job: Job) -> str:
    """Read the losses.csv of a job as far as it goes; empty where there is none."""
    with suppress(OSError, OutputError, UnicodeDecodeError):
        if job.place is not None:
            with Spot(Path(job.outbox), job.place, LOSSES).open() as file:
                return file.read(MAX_BYTES).decode("ascii")
    return ""


def find(job: Job, state: Path, what: str) -> PictureFile | None:
    """Open the picture `what` of a job; None where there is none. `state` is the state folder."""
    wanted = input_digest(job, what)
    for spot in _spots(job, state, what):
        with suppress(OSError, OutputError):
            file = spot.open()
            sha256 = digest(file)
            if wanted in ("", sha256):
                return PictureFile(spot, file, sha256)
            file.close()
    return None


def input_digest(job: Job, what: str) -> str:
    """SHA-256 of the input `what` by the ledger; empty for other pictures, or where unknown."""
    numbered = _NUMBERED.fullmatch(what)
    if numbered is None or numbered[1] != "input" or int(numbered[2]) >= len(job.inputs):
        return ""
    return job.inputs[int(numbered[2])].sha256


def original_name(job: Job, file: Input) -> str:
    """Name under which an input of a job was dropped or uploaded."""
    names = (job.settings or {}).get("file_names")
    name = names.get(file.name) if isinstance(names, Mapping) else None
    return shown(PurePosixPath(str(name or file.source or file.name)).name)


def all_files(job: Job, state: Path) -> Iterator[tuple[str, BufferedReader]]:
    """Open the files of a job one by one, each with its path in a download; the caller closes it.

    Inputs have their original names. Of several files with one name all but the first get another.
    """
    taken = set[str]()
    whats = ["final", *(f"stage-{step}" for step in stages(job))]
    for what in (*whats, *(f"input-{number}" for number in range(len(job.inputs)))):
        picture = find(job, state, what)
        if picture is None:
            continue
        name = picture.spot.name
        if what.startswith("input-"):
            name = f"inputs/{original_name(job, job.inputs[int(what[6:])])}"
        elif what != "final":
            name = f"stages/{name}"
        yield _free(name, taken), picture.file
    artifacts = (name for what in ARTIFACTS for name in _artifact_files(job, what))
    for name in (*artifacts, LOSSES, RECEIPT):
        with suppress(OSError, OutputError):
            yield _free(name, taken), Spot(Path(job.outbox), str(job.place), name).open()


def _free(name: str, taken: set[str]) -> str:
    """Return a path that is not in `taken`, and add it there."""
    path = PurePosixPath(name)
    names = (str(path.with_name(safe(stem) + path.suffix)) for stem in candidates(path.stem))
    taken.add(free := next(name for name in names if name not in taken))
    return free


def _spots(job: Job, state: Path, what: str) -> Iterator[Spot]:
    """Places where the picture may lie."""
    numbered = _NUMBERED.fullmatch(what)
    if numbered and numbered[1] != "input":
        spots = stages(job) if numbered[1] == "stage" else frames(job)
        spot = spots.get(int(numbered[2]))
        if spot is not None:
            yield spot
    elif numbered:
        yield from _input_spots(job, state, int(numbered[2]))
    elif job.place is not None:
        root = Path(job.outbox)
        if what == "final":
            final = read_receipt(job).get("final")
            if isinstance(final, str) and is_name(final):
                yield Spot(root, job.place, final)
        else:
            yield from (Spot(root, job.place, name) for name in _artifact_files(job, what))


def _artifact_files(job: Job, what: str) -> Iterator[str]:
    """File names of artifacts; where the final picture has the usual name, they have others."""
    final = str(read_receipt(job).get("final"))
    yield from (file_name(artifact, final) for artifact in ARTIFACTS.get(what, ()))


def _input_spots(job: Job, state: Path, number: int) -> Iterator[Spot]:
    """In the state folder while the job is open, in the archive, among refusals, in the inbox."""
    if number >= len(job.inputs) or not is_name(job.inputs[number].name):
        return
    file = job.inputs[number]
    is_known = file.sha256 and Path(file.source).is_relative_to(job.inbox)
    yield Spot(state, f"jobs/{job.id}/files", file.name)
    yield from input_spots(job, file.name, file.source if is_known else "")
