"""Receipt, losses and pictures of a job, read from its outbox.

A picture is called `final`, `stage-50`, `frame-7` (of a running clip), `input-0`, or by the name of
one of the ARTIFACTS. Other people may write into the outbox: no link is followed there, an input
with a known SHA-256 is accepted only with exactly these bytes, and nothing is read without limits
of bytes, seconds and threads (law 11).
"""

import errno
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any

from stylewatch_daemon.artifacts.request import file_name
from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.base.model import Input, Job
from stylewatch_daemon.files import atomic, strangers
from stylewatch_daemon.files.identity import Identity, Version, identity, version
from stylewatch_daemon.files.names import candidates, is_name, safe, shown
from stylewatch_daemon.files.system import system
from stylewatch_daemon.ledger.ledger import reading
from stylewatch_daemon.ledger.state_dir import LEDGER
from stylewatch_daemon.outbox import job_files
from stylewatch_daemon.outbox.job_files import LOSSES, Spot
from stylewatch_daemon.outbox.publish import RECEIPT
from stylewatch_daemon.settings.sections import LARGEST_PICTURE
from stylewatch_daemon.views import readers

ARTIFACTS = {
    "animation": ("progress.webp", "progress.gif"),
    "sheet": ("sheet.png",),
    "curve": ("losses.svg", "losses.png"),  # the latter by earlier versions
}
"""Possible file names of artifacts in a job's folder, by artifact."""

MAX_DIGESTS = 4096
"""Maximum number of files whose digests are cached."""

MAX_LOSSES = 16 << 20
"""Maximum size in bytes of a table of losses."""

_NUMBERED = re.compile(r"(stage|frame|input)-([0-9]{1,9})")

_Key = tuple[Identity, Version]

_digests: dict[_Key, str] = {}
"""Cache of SHA-256 by the identity and the version of a file: a page shows dozens of pictures.

A file that cannot be read in time has none, which is an empty text.
"""


@dataclass(frozen=True)
class PictureFile:
    """An opened picture of `size` bytes; the caller closes `file`."""

    spot: Spot
    file: BufferedReader
    sha256: str
    size: int

    @property
    def suffix(self) -> str:
        """Suffix of the file's name, in lower case."""
        return PurePosixPath(self.spot.name).suffix.lower()


def digest(file: BufferedReader) -> str:
    """Return the SHA-256 of an opened file, whose position stays at the start.

    Raises TimeoutError if reading takes too long.
    """
    status = system.fstat(file.fileno())
    key = identity(status), version(file)
    if key not in _digests:
        try:
            in_time = strangers.in_time(status.st_size, lambda: None)
            sha256 = atomic.digest_of(file, in_time, most=status.st_size)
        except TimeoutError:
            sha256 = ""
        if len(_digests) >= MAX_DIGESTS:
            _digests.clear()
        _digests[key] = sha256
        file.seek(0)
    if not (sha256 := _digests[key]):
        raise TimeoutError("it cannot be read in time")
    return sha256


def read_receipt(job: Job) -> Mapping[str, Any]:
    """Return the receipt of a job; empty if it is missing or damaged, or cannot be read now."""

    def work() -> Mapping[str, Any]:
        with _opened(job, RECEIPT, job_files.MAX_BYTES) as file:
            return job_files.parse_receipt(file)

    with suppress(OSError):
        return readers.read(job.id, job.outbox, work)
    return {}


def read_losses(job: Job) -> str:
    """Return the losses.csv of a job as far as it is written; empty if it cannot be read now."""

    def work() -> str:
        with _opened(job, LOSSES, MAX_LOSSES) as file:
            return file.read(MAX_LOSSES).decode("ascii")

    with suppress(OSError, UnicodeDecodeError):
        return readers.read(job.id, job.outbox, work)
    return ""


def stages(job: Job) -> Mapping[int, Spot]:
    """Return the stages of a job that can be seen now, by their steps, in order."""
    return _listed(job, job_files.stages)


def frames(job: Job) -> Mapping[int, Spot]:
    """Return the painted frames of a clip that can be seen now, as `job_files.frames` does."""
    return _listed(job, job_files.frames)


def _listed(job: Job, find: Callable[[Job], Mapping[int, Spot]]) -> Mapping[int, Spot]:
    with suppress(OSError):
        return readers.read(job.id, job.outbox, partial(find, job))
    return {}


def _opened(job: Job, name: str, most: int) -> BufferedReader:
    """Open a file of at most `most` bytes in the output folder of a job; raises OSError."""
    if job.place is None:
        raise FileNotFoundError(name)
    file = Spot(Path(job.outbox), job.place, name).open()
    if strangers.length_of(file) > most:
        file.close()
        raise OSError(errno.EFBIG, "the file is too long")
    return file


def find(job: Job, state: Path, what: str) -> PictureFile | None:
    """Open the picture `what` of a job; None if there is none. `state` is the state folder.

    Raises OutputError if that is unknown, because a file cannot be read now.
    """
    return readers.read(job.id, job.outbox, partial(_find, job, state, what), _close)


def _close(picture: PictureFile | None) -> None:
    if picture is not None:
        picture.file.close()


def _find(job: Job, state: Path, what: str) -> PictureFile | None:
    problem = ""
    for spot in _spots(job, state, what):
        try:
            picture = _opened_picture(job, state, what, spot)
        except (FileNotFoundError, NotADirectoryError, OutputError):  # a link leads elsewhere
            continue
        except OSError as error:
            problem = problem or f"{shown(spot.name)} cannot be read: {error.strerror or error}"
            continue
        if picture is not None:
            return picture
    if problem:
        raise OutputError(problem)
    return None


def _opened_picture(job: Job, state: Path, what: str, spot: Spot) -> PictureFile | None:
    """Open the file at a spot if it is the picture `what`; raises OSError."""
    file, wanted = spot.open(), _input(job, what)
    try:
        size = strangers.length_of(file)
        if wanted is not None and wanted.size:
            may_be_read = size == wanted.size
        else:
            may_be_read = size <= LARGEST_PICTURE or size == _recorded_size(job, state, spot)
        if may_be_read:
            sha256 = digest(file)
            if wanted is None or wanted.sha256 in ("", sha256):
                return PictureFile(spot, file, sha256, size)
    except BaseException:
        file.close()
        raise
    file.close()
    return None


def _recorded_size(job: Job, state: Path, spot: Spot) -> int:
    """Return the size of a published file by the ledger; -1 if it has none."""
    with reading(state / LEDGER) as ledger:
        sizes = {file.path: file.size for file in ledger.files(job.id)}
    return sizes.get(f"{spot.folder}/{spot.name}", -1)


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
    for what in ("final", *(f"stage-{step}" for step in stages(job)), *inputs):
        if picture := find(job, state, what):
            name = picture.spot.name
            if what in inputs:
                name = f"inputs/{original_name(job, inputs[what])}"
            elif what != "final":
                name = f"stages/{name}"
            yield unused(name, taken), picture.file
    final = str(read_receipt(job).get("final", ""))
    artifacts = (name for what in ARTIFACTS for name in _artifact_files(what, final))
    for name in (*artifacts, LOSSES, RECEIPT):
        opened = partial(_opened, job, name, LARGEST_PICTURE)
        with suppress(OSError):
            file = readers.read(job.id, job.outbox, opened, BufferedReader.close)
            yield unused(name, taken), file


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


def _spots(job: Job, state: Path, what: str) -> Iterator[Spot]:
    """Yield the places where the picture may be."""
    numbered, file = _NUMBERED.fullmatch(what), _input(job, what)
    if file is not None and is_name(file.name):
        is_known = file.sha256 and Path(file.source).is_relative_to(job.inbox)
        # while the job has not ended
        yield Spot(state, f"jobs/{job.id}/files", file.name)
        yield from job_files.input_spots(job, file, file.source if is_known else "")
    elif numbered:
        spots = {"stage": stages, "frame": frames}
        if numbered[1] in spots and (spot := spots[numbered[1]](job).get(int(numbered[2]))):
            yield spot
    elif job.place is not None:
        final = str(read_receipt(job).get("final", ""))
        names = [final] if what == "final" else _artifact_files(what, final)
        for name in filter(is_name, names):
            yield Spot(Path(job.outbox), job.place, name)


def _artifact_files(what: str, final: str) -> list[str]:
    """Return the possible file names of an artifact; none is that of the `final` picture."""
    return [file_name(artifact, final) for artifact in ARTIFACTS.get(what, ())]
