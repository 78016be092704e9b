"""Receipt, losses and pictures of a job, read from its outbox.

A picture is called `final`, `stage-50`, `frame-7` (of a running clip), `input-0`, or by the name of
one of the ARTIFACTS. Other people may write into the outbox: no link is followed there, an input
with a known SHA-256 is accepted only with exactly these bytes, and nothing is read without limits
of bytes, seconds and threads (law 11).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from stylewatch_daemon.artifacts.request import file_name
from stylewatch_daemon.base.errors import DaemonError, OutputError
from stylewatch_daemon.base.model import Input, Job
from stylewatch_daemon.client import operations
from stylewatch_daemon.files import atomic, strangers
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.identity import Identity, Version, identity, version
from stylewatch_daemon.files.names import candidates, first_free, is_name, safe, shown
from stylewatch_daemon.files.system import system
from stylewatch_daemon.ledger.ledger import reading
from stylewatch_daemon.ledger.state_dir import LEDGER, StateDir
from stylewatch_daemon.outbox import job_files
from stylewatch_daemon.outbox.job_files import Spot
from stylewatch_daemon.outbox.publish import INPUTS, LOSSES, RECEIPT, STAGES
from stylewatch_daemon.settings.sections import LARGEST_PICTURE
from stylewatch_daemon.views import readers

ARTIFACTS = {
    "animation": ("progress.webp", "progress.gif"),
    "sheet": ("sheet.png",),
    "curve": ("losses.svg", "losses.png"),  # earlier versions drew losses.png
    "losses": (LOSSES,),
    "receipt": (RECEIPT,),
}
"""Possible names of further files in a job's folder, by the word that requests them."""

MAX_DIGESTS = 4096
"""Maximum number of files whose digests are cached."""

MAX_LOSSES = 16 << 20
"""Maximum size in bytes of a table of losses."""

_NUMBERED = re.compile(r"(stage|frame|input)-([0-9]{1,9})")

_Result = TypeVar("_Result")

_Key = tuple[Identity, Version]

_digests: dict[_Key, str] = {}
"""Cache of SHA-256 by the identity and the version of a file: a page shows dozens of pictures.

For a file that cannot be read in time, an empty text is cached.
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

    Raises TimeoutError if reading takes too long, OSError if it fails.
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
    sha256 = _digests[key]
    if not sha256:
        raise TimeoutError("it cannot be read in time")
    return sha256


class JobFiles:
    """The files of a job, each of which exists, is absent, or is unknown now.

    For an absent file methods return None or an empty value. For an unknown file they raise
    OutputError, with the reason: a disk is away, does not answer, or fails (law 2). `state` is the
    state folder.
    """

    def __init__(self, job: Job, state: Path) -> None:
        self.job = job
        self._state = state
        self.unknown = ""
        """Reason of the first call of `attempt` that found a file unknown; empty if none did."""

    def attempt(self, read: Callable[[], _Result]) -> _Result | None:
        """Return the result of `read`; None, with the reason in `unknown`, if a file is unknown."""
        try:
            return read()
        except OutputError as error:
            self.unknown = self.unknown or str(error)
            return None

    @cached_property
    def receipt(self) -> Mapping[str, Any]:
        """The receipt; empty if it is absent or damaged."""
        return self._content(RECEIPT, job_files.MAX_BYTES, job_files.parse_receipt) or {}

    def losses(self) -> str:
        """Return the text of losses.csv; empty if it is absent, or larger than MAX_LOSSES."""
        content = self._content(LOSSES, MAX_LOSSES, BufferedReader.read) or b""
        return content.decode("ascii", errors="replace")

    @cached_property
    def stages(self) -> Mapping[int, Spot]:
        """The stages by their steps, in order."""
        return self._listed(job_files.stages)

    def frames(self) -> Mapping[int, Spot]:
        """Return the painted frames of a running clip, by their numbers."""
        return self._listed(job_files.frames)

    def find(self, what: str) -> PictureFile | None:
        """Open the picture `what`, and return it; None if it is absent.

        The caller closes its `file`.
        """
        return readers.read(self.job.id, self.job.outbox, partial(self._find, what), _close)

    def look(self, what: str) -> PictureFile | None:
        """Return the record of the picture `what`, with its file closed; None if it is absent."""
        picture = self.find(what)
        _close(picture)
        return picture

    def all(self) -> Iterator[tuple[str, BufferedReader]]:
        """Open the files one by one; yield the path of each in a download, and the opened file.

        The caller closes them. Inputs have their original names; if several files have the same
        name, all but the first are renamed.
        """
        taken = set[str]()
        inputs = {f"input-{number}": file for number, file in enumerate(self.job.inputs)}
        stages = (f"stage-{step}" for step in self.stages)
        for what in ("final", *stages, *inputs, *ARTIFACTS):
            picture = self.find(what)
            if picture:
                name = picture.spot.name
                if what in inputs:
                    name = f"{INPUTS}/{original_name(self.job, inputs[what])}"
                elif what.startswith("stage-"):
                    name = f"{STAGES}/{name}"
                yield unused(name, taken), picture.file

    def _first(
        self, spots: Sequence[Spot], use: Callable[[Spot], _Result | None]
    ) -> _Result | None:
        """Return the first result of `use` for one of `spots` that is not empty, or None.

        If all results are empty, `use` is called again for all spots while their disks are known to
        be there: only then are their files certainly absent (law 2).
        """

        def sure() -> _Result | None:
            result = _first_of(spots, use)
            if result:
                return result
            with ExitStack() as disks:
                for spot in spots:
                    checked = self._guard.checked_inside(spot.root, spot.folder, disk=spot.disk)
                    disks.enter_context(checked)
                return _first_of(spots, use)

        return readers.read(self.job.id, self.job.outbox, sure)

    @cached_property
    def _guard(self) -> MountGuard:
        return operations.disks_of(self._state, Path(self.job.outbox))

    def _placed(self, name: str) -> list[Spot]:
        """Return a list of the spot of a file in the output folder; empty if there is no folder."""
        root = Path(self.job.outbox)
        place = self.job.place
        return [] if place is None else [Spot(root, place, name, self.job.disk)]

    def _listed(self, find: Callable[[Job], Mapping[int, Spot]]) -> Mapping[int, Spot]:
        def use(spot: Spot) -> Mapping[int, Spot]:
            try:
                return find(self.job)
            except OutputError:  # a link leads elsewhere
                return {}

        return self._first(self._placed(""), use) or {}

    def _content(
        self, name: str, most: int, parse: Callable[[BufferedReader], _Result]
    ) -> _Result | None:
        """Return the result of `parse` for a file in the output folder.

        Returns None if the file is absent, or has more than `most` bytes.
        """

        def use(spot: Spot) -> _Result | None:
            file = _open(spot)
            if file is None:
                return None
            with file:
                return parse(file) if strangers.length_of(file) <= most else None

        return self._first(self._placed(name), use)

    def _find(self, what: str) -> PictureFile | None:
        return self._first([*self._spots(what)], partial(self._picture, what))

    def _picture(self, what: str, spot: Spot) -> PictureFile | None:
        """Open the file at a spot; return None if it is too large, or not the picture `what`.

        Raises OSError if it cannot be read.
        """
        record = _input(self.job, what)
        file = _open(spot)
        if file is None:
            return None
        try:
            size = strangers.length_of(file)
            if record is not None and record.size:
                may_be_read = size == record.size
            else:
                may_be_read = size <= LARGEST_PICTURE or size == self._recorded_size(spot)
            if may_be_read:
                sha256 = digest(file)
                if record is None or record.sha256 in ("", sha256):
                    return PictureFile(spot, file, sha256, size)
        except BaseException:
            file.close()
            raise
        file.close()
        return None

    def _recorded_size(self, spot: Spot) -> int:
        """Return the size in bytes that the ledger has for a published file; -1 if it has none."""
        with reading(self._state / LEDGER) as ledger:
            sizes = {file.path: file.size for file in ledger.files(self.job.id)}
        return sizes.get(f"{spot.folder}/{spot.name}", -1)

    def _spots(self, what: str) -> Iterator[Spot]:
        """Yield the spots where the picture `what` may be, in the order in which to try them."""
        job = self.job
        numbered = _NUMBERED.fullmatch(what)
        file = _input(self.job, what)
        if file is not None and is_name(file.name):
            is_known = file.sha256 and Path(file.source).is_relative_to(job.inbox)
            # the inputs are in the state folder while the job has not ended
            claimed = StateDir(self._state).files(job.id).relative_to(self._state)
            yield Spot(self._state, str(claimed), file.name)
            yield from job_files.input_spots(job, file, file.source if is_known else "")
        elif numbered:
            spots = {"stage": lambda: self.stages, "frame": self.frames}
            if numbered[1] in spots and (spot := spots[numbered[1]]().get(int(numbered[2]))):
                yield spot
        else:
            final = str(self.receipt.get("final", ""))
            names = [file_name(artifact, final) for artifact in ARTIFACTS.get(what, ())]
            for name in filter(is_name, [final] if what == "final" else names):
                yield from self._placed(name)


def _first_of(spots: Iterable[Spot], use: Callable[[Spot], _Result | None]) -> _Result | None:
    """Return the first result of `use` for one of `spots` that is not empty, or None.

    Raises OutputError if there is no result, but a spot could not be read.
    """
    problem: OutputError | None = None
    for spot in spots:
        try:
            result = use(spot)
            if result:
                return result
        except DaemonError:
            raise
        except OSError as error:
            what = shown(spot.name or spot.folder)
            problem = problem or OutputError(f"{what} cannot be read: {error.strerror or error}")
    if problem is not None:
        raise problem
    return None


def _open(spot: Spot) -> BufferedReader | None:
    """Open the file at a spot; return None if it is not there, or if a link leads elsewhere."""
    try:
        return spot.open()
    except (FileNotFoundError, NotADirectoryError, OutputError):
        return None


def _close(picture: PictureFile | None) -> None:
    if picture is not None:
        picture.file.close()


def input_digest(job: Job, what: str) -> str:
    """Return the SHA-256 that the ledger has for the input `what`; empty if there is none."""
    file = _input(job, what)
    return "" if file is None else file.sha256


def original_name(job: Job, file: Input) -> str:
    """Return the name under which an input of a job was dropped or uploaded, safe to print."""
    names = (job.settings or {}).get("file_names")
    name = names.get(file.name) if isinstance(names, Mapping) else None
    return shown(PurePosixPath(str(name or file.source or file.name)).name)


def unused(name: str, taken: set[str]) -> str:
    """Return the path `name`, with a number if it is in `taken`, and add it to `taken`."""
    path = PurePosixPath(name)
    names = (str(path.with_name(safe(stem) + path.suffix)) for stem in candidates(path.stem))
    free = first_free(names, lambda name: name in taken)
    taken.add(free)
    return free


def _input(job: Job, what: str) -> Input | None:
    """Return the input that `what` names, such as `input-0`; None if it names no input."""
    numbered = _NUMBERED.fullmatch(what)
    if numbered and numbered[1] == "input" and int(numbered[2]) < len(job.inputs):
        return job.inputs[int(numbered[2])]
    return None
