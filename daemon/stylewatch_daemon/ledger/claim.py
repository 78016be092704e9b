"""The claim of a job: its files and where they came from.

It is written beside the files before any of them is touched, and never changes. The ledger holds
the state of the job; one that is lost can be rebuilt from the claims.
"""

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.model import Input, Role, is_id, is_role
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.identity import Look

FILE_NAME = "claim.json"

FILES = "files"
"""The folder of a job's pictures."""

MAX_BYTES = 16 << 20
"""Largest claim that is read: thousands of pictures with the longest names."""


@dataclass(frozen=True)
class File:
    """A file of a job: its source, how it looked there, and its name in files/.

    `own`: it belongs to this job alone; other files, as an album's style, stay in the inbox.
    """

    role: Role
    name: str
    source: Path
    look: Look
    own: bool


@dataclass(frozen=True)
class Claim:
    """The files of the job `id`, and how they were claimed.

    `in_place`: the job is refused without moving its files, as one is too large.
    """

    id: str
    name: str
    inbox: Path
    outbox: Path
    after: str
    files: tuple[File, ...]
    folder: Path | None = None
    """The job's own folder in the inbox, which is removed when it is empty."""
    retry_of: str = ""
    device: int | None = None
    """Device of the inbox: if another one is there later, the inbox is not mounted."""
    in_place: bool = False

    @property
    def main(self) -> File:
        """The picture that identifies the job: its content, or the first style without one."""
        return next(
            file for role in ("content", "style") for file in self.files if file.role == role
        )

    @property
    def key(self) -> str:
        """Key of the pair in the inbox, as `Pair.key`."""
        return f"{self.main.source}\n{self.name}"

    @property
    def job_file(self) -> File | None:
        """The job.yaml, if there is one."""
        return next((file for file in self.files if file.role == "job"), None)

    @property
    def pictures(self) -> tuple[File, ...]:
        """All files but the job.yaml, the content first if there is one."""
        return tuple(file for file in self.files if file.role != "job")

    @property
    def is_copy(self) -> bool:
        """True if no file of the job comes out of an inbox."""
        return bool(self.retry_of)

    def leaves_inbox(self, file: File) -> bool:
        """Return True if `file` is moved out of the inbox."""
        return self.holds_only_copy(file) and not self.is_copy

    def holds_only_copy(self, file: File) -> bool:
        """Return True if the claimed copy of `file` is the only one there is."""
        return file.own and self.after != "keep" and not self.in_place

    @property
    def archived(self) -> int:
        """Bytes of the inputs that are archived at the end."""
        return sum(file.look.size for file in self.files if file.own and self.after == "archive")

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The files as the ledger lists them before they are inspected."""
        return tuple(
            Input(file.role, file.name, str(file.source), file.look.size) for file in self.files
        )


def save(claim: Claim, folder: Path) -> None:
    """Write `claim` into the job's `folder`."""
    # Names that are no UTF-8 hold lone surrogates, which only the ASCII form of JSON can carry.
    text = json.dumps(asdict(claim), default=str, ensure_ascii=True, indent=1)
    atomic.write(folder / FILE_NAME, text.encode("ascii"))


_CLAIM = TypeAdapter(Claim)


def load(folder: Path) -> Claim:
    """Read and check the claim in the folder of a job.

    Raises ValueError if it is damaged or missing, or names files that are not the job's; OSError
    if it cannot be read now.
    """
    try:
        claim = _CLAIM.validate_python(_read(folder))
        mistake = next(_mistakes(claim, folder), "")
    except OSError as error:
        if shortages.shortage(error) is not None:
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
    return claim


def _read(folder: Path) -> Any:
    for inner in ("", FILES):
        if not stat.S_ISDIR(os.lstat(f"{folder}/{inner}".rstrip("/")).st_mode):
            raise ValueError(f"{inner or 'the job'} is not a folder")
    return json.loads(atomic.read(folder / FILE_NAME, MAX_BYTES))


def _mistakes(claim: Claim, folder: Path) -> Iterator[str]:
    """Yield the contradictions of a claim.

    Files are read, moved and removed by it, so it must lead to no others.
    """
    inbox, outbox = str(claim.inbox), str(claim.outbox)
    names = [file.name for file in claim.files]
    with os.scandir(f"{folder}/{FILES}") as entries:
        odd = {entry.name for entry in entries if not entry.is_file(follow_symlinks=False)}
    checks = [
        (claim.id == folder.name and is_id(claim.id), "it belongs to another job", claim.id),
        (claim.after in ("archive", "keep", "delete"), "after", claim.after),
        (len({*names}) == len(names), "two of its files have the same name", ""),
        (any(file.role in ("content", "style") for file in claim.files), "it has no picture", ""),
        (inbox[:1] == outbox[:1] == "/", "its inbox and its outbox must be absolute", ""),
        (claim.folder is None or _lies_in(claim.folder, inbox), "not in the inbox", claim.folder),
        ("\0" not in "".join((claim.name, inbox, outbox, *names)), "a name has a null byte", ""),
    ]
    for file in claim.files:
        is_name = file.name not in ("", ".", "..") and "/" not in file.name
        in_place = not file.own or claim.is_copy or _lies_in(file.source, inbox)
        checks += [
            (is_name and is_role(file.role), "no job has such a file", file.name),
            (file.name not in odd, "it is not a regular file", file.name),
            (in_place, "it is not in the inbox", file.source),
        ]
    yield from (f"{what}: {value}" for is_right, what, value in checks if not is_right)


def _lies_in(path: Path, inbox: str) -> bool:
    text = f"{path}/"
    return text.startswith(f"{inbox}/") and text != f"{inbox}/" and "/../" not in text
