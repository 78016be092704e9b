"""The record of a claimed job: its files and where they came from.

It is written beside the files before any of them is touched (`save`), and never changes. The
ledger holds the state of the job.
"""

import errno
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
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
"""Suffix of the role of a mask, after the role of its picture."""

CONTENT_MASK = f"content{MASK}"

_ID = re.compile(r"\w[\w.-]{0,199}")

_SHORT_OF = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN})
"""Errors of a temporary shortage on this machine."""

_ROLES = re.compile(r"content|style|init|job|(?:content|style-[0-9]+)-mask")


def new_id() -> str:
    """Return an id for a job; later ids sort after earlier ones."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{secrets.token_hex(3)}"


def is_id(text: str) -> bool:
    """Return True if `text` can be the id of a job, and so the name of its folder."""
    return _ID.fullmatch(text) is not None


def is_role(text: object) -> bool:
    """Return True if `text` is the role of a file."""
    return isinstance(text, str) and _ROLES.fullmatch(text) is not None


@dataclass(frozen=True)
class File:
    """A file of a job: its source, how it looked there, and its name in files/.

    `own`: it belongs to this job alone; other files, as an album's style, stay in the inbox.
    `stays`: it is too large to be used, and stays there too: the job is refused without it.
    """

    role: Role
    name: str
    source: Path
    look: Look
    own: bool
    stays: bool = False


@dataclass(frozen=True)
class Attempt:
    """An attempt at a job, recorded before it begins: an `ended` of None means it was cut off.

    It began after `step`, by the checkpoint; times are UTC, ISO 8601; `pid` is the daemon's.
    """

    started: str
    step: int = 0
    backend: str = ""
    device: str = ""
    ended: str | None = None
    how: str = AttemptEnd.CUT_OFF
    """An AttemptEnd, as the ledger has it."""
    reason: str = ""
    pid: int = 0
    together: int = 1
    """Number of jobs in its batch."""


@dataclass(frozen=True)
class Journal:
    """A job; `place` and `refused_as` are its folders in the outbox, once they are chosen.

    `folder` is its own folder in the `inbox`, `device` the number of the disk of the inbox;
    `reason` belongs to a bad end. `retry_of` names the job that this one runs again, and `series`
    is the id of its series, which is the job's own id for the series itself, once its jobs are
    made: in both cases all files are copies. From the ledger come `needs`, `shape`, the `size` of
    the content, (width, height) in pixels, its number of `frames`, and the SHA-256 `digests` of the
    pictures, by their names. `changed` are the names of copied files whose originals stay in the
    inbox, as they changed afterwards.
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
    frames: int = 1
    digests: Mapping[str, str] = field(default_factory=dict)
    changed: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        """Name of the job in the outbox; its name in the inbox until it has one there."""
        return self.place or self.name

    @property
    def archived(self) -> int:
        """Bytes of the inputs that are archived."""
        return sum(file.look.size for file in self.files if file.own and self.after == "archive")

    @property
    def is_copy(self) -> bool:
        """True if no file of the job comes out of an inbox."""
        return bool(self.retry_of) or self.series not in ("", self.id)

    def moves(self, file: File) -> bool:
        """Return True if `file` leaves the inbox."""
        return self.holds_only_copy(file) and not self.is_copy

    def holds_only_copy(self, file: File) -> bool:
        """Return True if the claimed copy of `file` is the only one there is."""
        return file.own and self.after != "keep" and not file.stays


_WRITTEN = ("id", "name", "inbox", "outbox", "after", "files", "folder", "retry_of", "device",
            "series")  # fmt: skip


def save(journal: Journal, folder: Path) -> None:
    """Write the record of the claim into the job's `folder`."""
    plain = {key: value for key, value in asdict(journal).items() if key in _WRITTEN}
    # Names that are no UTF-8 hold lone surrogates, which only the ASCII form of JSON can carry.
    text = json.dumps(plain, default=str, ensure_ascii=True, indent=1)
    atomic.write(folder / FILE_NAME, text.encode("ascii"))


_JOURNAL = TypeAdapter(Journal)


def load(folder: Path) -> Journal:
    """Read and check the record in the folder of a job.

    Raises ValueError where it is damaged or missing, or names files that are not the job's;
    OSError where it cannot be read now.
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


def _read(folder: Path) -> Any:
    for inner in ("", FILES):
        if not stat.S_ISDIR(os.lstat(f"{folder}/{inner}".rstrip("/")).st_mode):
            raise ValueError(f"{inner or 'what should hold it'} is not a folder")
    return json.loads(atomic.read(folder / FILE_NAME, LONGEST))


def _mistakes(job: Journal, folder: Path) -> Iterator[str]:
    """Yield the contradictions of a record, which no job can have.

    Files are read, moved and removed by it, so it must lead to no others. This is done for every
    job that is begun: as texts, paths are compared twenty times as fast.
    """
    inbox, outbox = str(job.inbox), str(job.outbox)
    names = [file.name for file in job.files]
    with os.scandir(f"{folder}/{FILES}") as entries:
        odd = {entry.name for entry in entries if not entry.is_file(follow_symlinks=False)}
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
