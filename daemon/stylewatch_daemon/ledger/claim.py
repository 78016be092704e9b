"""The claim of a job: its files and where they came from.

It is written beside the files before any of them is touched, and never changes. The ledger holds
the state of the job; one that is lost can be rebuilt from the claims.
"""

import json
import os
import stat
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, TypeAdapter, ValidationError

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.model import Input, Role, is_role
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.identity import Look

FILE_NAME = "claim.json"

FILES = "files"
"""The folder of a job's pictures."""

MAX_BYTES = 16 << 20
"""Largest claim that is read: thousands of pictures with the longest names."""


def _that(is_right: Callable[[Any], bool], mistake: str) -> AfterValidator:
    def checked(value: Any) -> Any:
        if not is_right(value):
            raise ValueError(f"{mistake}: {value}")
        return value

    return AfterValidator(checked)


def _is_name(text: str) -> bool:
    return text not in ("", ".", "..") and not {"/", "\0"}.intersection(text)


def _is_absolute(path: Path) -> bool:
    return path.is_absolute() and ".." not in path.parts and "\0" not in str(path)


Absolute = Annotated[Path, _that(_is_absolute, "it must be an absolute path")]


@dataclass(frozen=True)
class File:
    """A file of a job: its source, how it looked there, and its name in files/.

    `own`: it belongs to this job alone; other files, as an album's style, stay in the inbox.
    """

    role: Annotated[Role, _that(is_role, "no file has such a role")]
    name: Annotated[str, _that(_is_name, "no file has such a name")]
    source: Absolute
    look: Look
    own: bool


@dataclass(frozen=True)
class Claim:
    """The files of the job `id`, and how they were claimed.

    `in_place`: the job is refused without moving its files, as one is too large.
    """

    id: str
    name: str
    inbox: Absolute
    outbox: Absolute
    after: Annotated[str, _that(("archive", "keep", "delete").__contains__, "after")]
    files: tuple[File, ...]
    folder: Absolute | None = None
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

    Files are read, moved and removed by it, so it may lead to no others. Raises ValueError if it is
    damaged or missing, or names files that are not the job's; OSError if it cannot be read now.
    """
    try:
        for inner in (folder, folder / FILES):
            if not stat.S_ISDIR(inner.lstat().st_mode):
                raise ValueError(f"{inner.name} is not a folder")
        claim = _CLAIM.validate_python(json.loads(atomic.read(folder / FILE_NAME, MAX_BYTES)))
        _check(claim, folder)
    except OSError as error:
        if shortages.shortage(error) is not None:
            raise
        raise ValueError(f"{FILE_NAME} cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False, include_input=False)
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{FILE_NAME} is damaged: {where}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{FILE_NAME} is damaged: {error}") from error
    return claim


def _check(claim: Claim, folder: Path) -> None:
    """Raise ValueError if parts of a claim contradict each other or the folder."""
    names = [file.name for file in claim.files]
    with os.scandir(folder / FILES) as entries:
        odd = {entry.name for entry in entries if not entry.is_file(follow_symlinks=False)}
    own = [claim.folder, *(file.source for file in claim.files if file.own)]
    apart = [str(path) for path in own if path and claim.inbox not in path.parents]
    checks = {
        f"it belongs to another job: {claim.id}": claim.id == folder.name,
        "two of its files have the same name": len({*names}) == len(names),
        "it has no picture": any(file.role in ("content", "style") for file in claim.files),
        f"it is not a regular file: {', '.join(odd)}": odd.isdisjoint(names),
        f"it is not in the inbox: {', '.join(apart)}": claim.is_copy or not apart,
    }
    for mistake, is_right in checks.items():
        if not is_right:
            raise ValueError(mistake)
