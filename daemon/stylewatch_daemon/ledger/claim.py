"""The claim of a job: its files and their sources.

It is written beside the files before any of them is touched, and never changes. The ledger holds
the state of the job; a lost ledger can be rebuilt from the claims.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from stat import S_ISREG

from pydantic import TypeAdapter, ValidationError

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.model import Input, Role, is_role
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.files.names import is_name

FILE_NAME = "claim.json"

FILES = "files"
"""Name of the folder with a job's pictures."""

MAX_BYTES = 16 << 20
"""Maximum size of a claim in bytes, enough for thousands of pictures with the longest names."""


@dataclass(frozen=True)
class File:
    """A file of a job: its source, its look there, and its name in files/.

    `own` is True if it belongs to this job alone; other files, such as an album's style, stay in
    the inbox.
    """

    role: Role
    name: str
    source: Path
    look: Look
    own: bool


@dataclass(frozen=True)
class Claim:
    """The files of the job `id`, and how they were claimed."""

    id: str
    name: str
    inbox: Path
    outbox: Path
    after: str
    files: tuple[File, ...]
    folder: Path | None = None
    """The job's own folder in the inbox, which is removed once it is empty."""
    retry_of: str = ""

    @property
    def main(self) -> File:
        """The picture that identifies the job: its content, or else its first style."""
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
        """All files except the job.yaml, the content first if there is one."""
        return tuple(file for file in self.files if file.role != "job")

    @property
    def is_copy(self) -> bool:
        """True if no file of the job comes from an inbox."""
        return bool(self.retry_of)

    def leaves_inbox(self, file: File) -> bool:
        """Return whether `file` is moved out of the inbox."""
        return file.own and self.after != "keep" and not self.is_copy

    @property
    def published(self) -> tuple[File, ...]:
        """The files that are archived, or published with a refusal.

        They include a content, and its mask, that jobs with other styles share: these files leave
        the inbox with the last of the jobs.
        """
        return tuple(file for file in self.files if file.own or file.role.startswith("content"))

    @property
    def archived(self) -> int:
        """Number of bytes of the inputs that are archived at the end."""
        return sum(file.look.size for file in self.published if self.after == "archive")

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The files as the ledger lists them before they are inspected."""
        return tuple(
            Input(file.role, file.name, str(file.source), file.look.size) for file in self.files
        )


def save(claim: Claim, folder: Path) -> None:
    """Write `claim` into the job's `folder`."""
    # Names that are not UTF-8 contain lone surrogates, which only ASCII JSON can represent.
    text = json.dumps(asdict(claim), default=str, ensure_ascii=True, indent=1)
    atomic.write(folder / FILE_NAME, text.encode("ascii"))


_CLAIM = TypeAdapter(Claim)


def load(folder: Path) -> Claim:
    """Read and check the claim in the folder of a job.

    The claim determines which files are read, moved and removed, so it must not lead to any others.
    Raises ValueError if it is damaged or missing, or names files that are not the job's; OSError if
    it cannot be read now.
    """
    try:
        claim = _CLAIM.validate_python(json.loads(atomic.read(folder / FILE_NAME, MAX_BYTES)))
        _check(claim, folder.name)
        files = folder / FILES
        if files.is_symlink() or not all(S_ISREG(path.lstat().st_mode) for path in files.iterdir()):
            raise ValueError("its files are not regular files")
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


def _check(claim: Claim, job_id: str) -> None:
    """Raise ValueError if the claim belongs to another job, or leads to files of others."""
    names = [file.name for file in claim.files]
    paths = [claim.inbox, claim.outbox, *(file.source for file in claim.files)]
    own = [file.source for file in claim.files if file.own]
    if claim.folder is not None:
        paths.append(claim.folder)
        own.append(claim.folder)
    mistakes = {
        "it belongs to another job": claim.id != job_id,
        f"after is {claim.after}": claim.after not in ("archive", "keep", "delete"),
        "it has no picture": not any(file.role in ("content", "style") for file in claim.files),
        "no file has such a role": not all(is_role(file.role) for file in claim.files),
        "no file has such a name": not all(is_name(name) for name in names),
        "two of its files have the same name": len({*names}) < len(names),
        "it must be an absolute path": not all(_is_absolute(path) for path in paths),
        "it is not in the inbox": not claim.is_copy
        and not all(claim.inbox in path.parents for path in own),
    }
    for mistake, is_made in mistakes.items():
        if is_made:
            raise ValueError(mistake)


def _is_absolute(path: Path) -> bool:
    return path.is_absolute() and ".." not in path.parts and "\0" not in str(path)
