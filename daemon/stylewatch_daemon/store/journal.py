"""A job that was taken, or is being taken: what of, from where, and how it stands.

What was taken from where is written beside the files before any of them is touched (`save`), and
never changes. How the job stands afterwards is the ledger's to know.
"""

import errno
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.model import AttemptEnd, JobState

FILE_NAME = "job.json"
FILES = "files"
"""The folder of a job's pictures."""

LONGEST = 16 << 20
"""Bytes of a record: thousands of pictures with the longest names."""

Role = str
"""Role of a file: `content`, `style`, `init`, `job`, or a mask: `content-mask`, and
`style-2-mask` of the second style."""

MASK = "-mask"
"""How the role of a mask ends: with whose mask it is, before."""

_ID = re.compile(r"\w[\w.-]{0,199}")

_SHORT_OF = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN})
"""Errors for want of something that this machine has too little of now."""

_ROLES = re.compile(r"content|style|init|job|(?:content|style-[0-9]+)-mask")

_BY_PHASE = {"claiming": JobState.CLAIMED, "waiting": JobState.QUEUED}
"""Phases of journals from before there was a ledger; the others are called as their states."""


def is_id(text: str) -> bool:
    """Return True if `text` can be the id of a job, and so the name of its folder."""
    return _ID.fullmatch(text) is not None


def is_role(text: object) -> bool:
    """Return True if `text` is the role of a file."""
    return isinstance(text, str) and _ROLES.fullmatch(text) is not None


@dataclass(frozen=True)
class File:
    """A file of a job: where it lay and how it looked there, and what it is called in files/.

    `own`: it belongs to this job alone. What does not, an album's style for one, stays. `stays`: it
    is too large to be of use, and is left where it lies: the job is refused without it.
    """

    role: Role
    name: str
    source: Path
    look: Look
    own: bool
    stays: bool = False


@dataclass(frozen=True)
class Attempt:
    """One try. It is written down before it begins, so an `ended` of None means it was cut off.

    `step` is the step that it began after, by the checkpoint; times are UTC, ISO 8601. `boot` is
    the kernel's id of the machine's start, `pid` the daemon's.
    """

    started: str
    step: int = 0
    backend: str = ""
    device: str = ""
    ended: str | None = None
    how: str = AttemptEnd.CUT_OFF
    """An AttemptEnd, as the ledger has it."""
    reason: str = ""
    boot: str = ""
    pid: int = 0
    together: int = 1
    """How many were painted at once, this one with them."""


@dataclass(frozen=True)
class Journal:
    """A job; `place` and `refused_as` are its folders in the outbox, once they are chosen.

    `folder` is its own folder in the `inbox`, `device` the number of the disk that this lay on;
    `reason` goes with the states of a bad end. With `retry_of` it paints a job of that name again,
    and all its files are copies; so they are of one that belongs to the `series` of that id. The
    series itself has its own id there, once its jobs are made. `needs` and `shape` are those of the
    ledger, and so are the `size` of its content, (width, height) in pixels, and the SHA-256 of its
    pictures, the `digests`, by their names. `changed` are the names of files that were copied, and
    whose originals stay in the inbox, as they changed afterwards.
    """

    id: str
    name: str
    inbox: Path
    outbox: Path
    after: str
    files: tuple[File, ...]
    folder: Path | None = None
    state: JobState = JobState.CLAIMED
    attempts: tuple[Attempt, ...] = ()
    place: str | None = None
    refused_as: str | None = None
    reason: str = ""
    retry_of: str = ""
    device: int | None = None
    series: str = ""
    needs: str = ""
    shape: str = ""
    size: tuple[int, int] | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    changed: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        """Name of the job in the outbox; its name in the inbox until it has one there."""
        return self.place or self.name

    @property
    def is_copy(self) -> bool:
        """True if no file of the job comes out of an inbox."""
        return bool(self.retry_of) or self.series not in ("", self.id)

    def moves(self, file: File) -> bool:
        """Return True if `file` leaves the inbox."""
        return self.archives(file) and not self.is_copy

    def archives(self, file: File) -> bool:
        """Return True if the claimed copy of `file` is the only one there is."""
        return file.own and self.after != "keep" and not file.stays


_WRITTEN = ("id", "name", "inbox", "outbox", "after", "files", "folder", "retry_of", "device",
            "series")  # fmt: skip


def save(journal: Journal, folder: Path) -> None:
    """Write what `journal` tells of the claim into the job's `folder`."""
    plain = {key: value for key, value in asdict(journal).items() if key in _WRITTEN}
    # Names that are no UTF-8 hold lone surrogates, which only the ASCII form of JSON can carry.
    text = json.dumps(plain, default=str, ensure_ascii=True, indent=1)
    atomic.write(folder / FILE_NAME, text.encode("ascii"))


_JOURNAL = TypeAdapter(Journal)


def load(folder: Path) -> Journal:
    """Read the record in the folder of a job, and check all that it says.

    Raises ValueError where it is damaged or missing, or names files that are none of the job's;
    OSError where it cannot be read now. A record from before there was a ledger holds the job's
    state as well.
    """
    try:
        job = _JOURNAL.validate_python(_read(folder))
        mistake = next(_mistakes(job, folder), "")
    except OSError as error:
        if error.errno in _SHORT_OF:
            raise
        raise ValueError(f"{FILE_NAME} cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False, include_input=False)
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{FILE_NAME} is damaged: {where}: {first['msg']}") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{FILE_NAME} is damaged: {error}") from error
    if mistake:
        raise ValueError(f"{FILE_NAME} is damaged: {mistake}")
    return job


def _read(folder: Path) -> dict[str, Any]:
    """The record as plain values, and as this version writes it."""
    for inner in ("", FILES):
        if not stat.S_ISDIR(os.lstat(f"{folder}/{inner}".rstrip("/")).st_mode):
            raise ValueError(f"{inner or 'what should hold it'} is not a folder")
    plain: dict[str, Any] = json.loads(atomic.read(folder / FILE_NAME, LONGEST))
    if "inbox" not in plain:  # as in the oldest records
        plain["inbox"] = str(Path(plain["files"][0]["source"]).parent)
    phase = plain.pop("phase", "claiming")
    return {**plain, "state": _BY_PHASE.get(phase, phase)}


def _mistakes(job: Journal, folder: Path) -> Iterator[str]:
    """Yield the contradictions of a record, which no job can have.

    Files are read, moved and removed by it, so it must lead to no others. This is done for every
    job that is begun: as texts, paths are compared twenty times as fast.
    """
    inbox, outbox = str(job.inbox), str(job.outbox)
    names = [file.name for file in job.files]
    with os.scandir(f"{folder}/{FILES}") as entries:
        odd = {one.name for one in entries if not one.is_file(follow_symlinks=False)}
    checks = [
        (job.id == folder.name and is_id(job.id), "it is the record of another job", job.id),
        (job.after in ("archive", "keep", "delete"), "after", job.after),
        (len({*names}) == len(names), "two of its files have the same name", ""),
        (any(file.role in ("content", "style") for file in job.files), "it has no picture", ""),
        (inbox[:1] == outbox[:1] == "/", "its inbox and its outbox must be absolute", ""),
        (job.folder is None or _lies_in(job.folder, inbox), "it is not in the inbox", job.folder),
        ("\0" not in "".join((job.name, inbox, outbox, *names)), "a name has a null byte", ""),
    ]
    for file in job.files:
        is_name = file.name not in ("", ".", "..") and "/" not in file.name
        in_place = not file.own or job.is_copy or _lies_in(file.source, inbox)
        checks += [
            (is_name and is_role(file.role), "no job has such a file", file.name),
            (file.name not in odd, "it is not a regular file", file.name),
            (in_place, "it is not in the inbox", file.source),
        ]
    yield from (f"{what}: {value}" for is_right, what, value in checks if not is_right)


def _lies_in(path: Path, inbox: str) -> bool:
    text = f"{path}/"
    return text.startswith(f"{inbox}/") and text != f"{inbox}/" and "/../" not in text
