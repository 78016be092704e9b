"""The claim of a job: its files and their sources.

It is written beside the files before any of them is touched, and never changes. The ledger holds
the state of the job. A lost ledger can be rebuilt from the claims. Jobs with the same photograph
are claimed together, as a group, and each has files of its own afterwards (law 5).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.base.model import Input, Role, is_id, is_role
from stylewatch_daemon.files import atomic, entries
from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.files.names import is_name, shown
from stylewatch_painter.validation import sentence_of

FILE_NAME = "claim.json"

FILES = "files"
"""Name of the folder with a job's claimed files, beside the claim."""

ORIGINALS = "originals"
"""Name of a file beside the claim, which exists while the inbox may have the job's own folder, or
originals that are held for the job. It contains the marks of the disks of these originals: while
its disk is away, an original only seems to be gone (law 2)."""

MAX_BYTES = 16 << 20
"""Maximum size of a claim in bytes, enough for thousands of pictures with the longest names."""


@dataclass(frozen=True)
class File:
    """A file of a job: its `source`, its look at the source, and its `name` in the folder FILES.

    `own` is True if it belongs to this job alone. Files that jobs share, such as an album's style,
    stay in the inbox.
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
    group: str = ""
    """Id of the first job of the group; empty for a job alone."""
    ledger: str = ""
    """Id of the ledger of the job; folders for held files in the inbox are named after it."""
    left_out: tuple[tuple[Path, Look], ...] = ()
    """Files that are left out because of this job, such as the clip of a live photo."""
    near: tuple[str, ...] | None = None
    """Paths in the inbox of the other entries that concern the job, such as a text in its folder,
    when it was claimed. A new entry that arrives before the files are moved may be a part of the
    job. None if unknown: in claims of an earlier version, or if there are very many entries."""
    finals: tuple[Path, ...] | None = None
    """The finals folder of the inbox; empty if it has none. When the job ends, the settings may no
    longer have the inbox. None, in claims of earlier versions and of some retries, stands for the
    folder that the settings name at the end."""
    disks: tuple[tuple[Path, str], ...] = ()
    """The inbox and the mount points in it, each with the identity of its disk when the files were
    found; empty in claims of earlier versions."""

    @property
    def main(self) -> File:
        """The picture that identifies the job: its content, or its first style if it has none."""
        return (self._all("content") or self._all("style"))[0]

    @property
    def job_file(self) -> File | None:
        """The job.yaml; None if there is none."""
        files = self._all("job")
        return files[0] if files else None

    @property
    def why_left_out(self) -> str:
        """Reason why the files in `left_out` are not painted."""
        return f"it was left out when {shown(self.main.source.name)} was claimed"

    def disk_of(self, path: Path) -> str:
        """Return the identity of the disk of a file in the inbox; empty if it is not known."""
        disks = dict(self.disks)
        return next((disks[folder] for folder in path.parents if folder in disks), "")

    def file_from(self, source: Path) -> File:
        """Return the first file whose source is `source`; raises KeyError if there is none."""
        return {file.source: file for file in reversed(self.files)}[source]

    def _all(self, role: str) -> list[File]:
        return [file for file in self.files if file.role == role]

    @property
    def pictures(self) -> tuple[File, ...]:
        """All files except the job.yaml, the content first if there is one."""
        return tuple(file for file in self.files if file.role != "job")

    @property
    def is_copy(self) -> bool:
        """True if the job is a retry, which has copies of all its files."""
        return bool(self.retry_of)

    def leaves_inbox(self, file: File) -> bool:
        """Return whether `file` is moved out of the inbox."""
        return file.own and self.after != "keep" and not self.is_copy

    @property
    def published(self) -> tuple[File, ...]:
        """The files that may be archived with an output, and that are published with a refusal.

        A content and its mask count even if they are not the job's own: in claims of an earlier
        version, jobs with different styles share them.
        """
        return tuple(file for file in self.files if file.own or file.role.startswith("content"))

    def stays_elsewhere(self, file: File) -> bool:
        """Return whether `file` is a copy whose original stays in the inbox or the style library.

        That is not so for files of a retry from uploads or from an earlier job, because these may
        be deleted (law 1). With `after: keep` a job.yaml always counts as such a copy, even that of
        a retry.
        """
        if file not in self.published:
            return True
        is_in_inbox = not self.is_copy or self.inbox in file.source.parents
        return self.after == "keep" and (file.role == "job" or is_in_inbox)

    def is_archived(self, file: File) -> bool:
        """Return whether `file` is archived with the output of the job."""
        return self.after != "delete" and not self.stays_elsewhere(file)

    @property
    def archived(self) -> int:
        """Number of bytes of the files that are archived at the end."""
        return sum(file.look.size for file in self.files if self.is_archived(file))

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The files as the ledger lists them before they are inspected."""
        return tuple(
            Input(file.role, file.name, str(file.source), file.look.size) for file in self.files
        )


def save(claim: Claim, folder: Path, *, durable: bool = True) -> None:
    """Write `claim` into the job's `folder`; unless `durable`, the caller syncs file and folder."""
    # Names that are not UTF-8 contain lone surrogates, which only ASCII JSON can represent.
    text = json.dumps(asdict(claim), default=str, ensure_ascii=True, indent=1)
    atomic.write(folder / FILE_NAME, text.encode("ascii"), durable=durable)


def hold(folder: Path, disks: Mapping[Path, str]) -> None:
    """Record in a job's `folder`, as ORIGINALS, that the inbox may still have files of the job.

    These are originals that are held for the job, or the job's own folder in the inbox. `disks` are
    the marks of the disks on which originals are held, by a folder on each disk.
    """
    marks = {str(path): mark for path, mark in disks.items()}
    atomic.write(folder / ORIGINALS, json.dumps(marks, ensure_ascii=True).encode("ascii"))


def held_on(folder: Path) -> Mapping[Path, str]:
    """Return the marks of the disks on which originals of a job are held, by a folder on each.

    The result is empty if no original is held. Raises OutputError if the file that `hold` wrote is
    damaged, OSError if it cannot be read.
    """
    if not is_held(folder):
        return {}
    try:
        marks = _MARKS.validate_json(atomic.read(folder / ORIGINALS, MAX_BYTES))
    except ValueError as error:
        raise OutputError(f"{folder / ORIGINALS} is damaged: {error}") from error
    return {Path(path): mark for path, mark in marks.items()}


def is_held(folder: Path) -> bool:
    """Return whether the inbox may still have a job's own folder, or files held for the job.

    `folder` is the folder of the job in the state folder.
    """
    return entries.exists(folder / ORIGINALS)


_CLAIM = TypeAdapter(Claim)
_MARKS = TypeAdapter(dict[str, str])


def load(folder: Path) -> Claim:
    """Read and check the claim in the folder of a job.

    The claim determines which files are read, moved and removed, so it must lead to the job's files
    alone. Raises ValueError if it is damaged or missing, or leads to further files; OSError if it
    cannot be read now.
    """
    try:
        if not (entries.is_own_folder(folder) and entries.exists(folder / FILE_NAME)):
            raise ValueError("it is missing")
        claim = _CLAIM.validate_python(json.loads(atomic.read(folder / FILE_NAME, MAX_BYTES)))
        _check(claim, folder.name)
        if entries.exists(folder / FILES) and not entries.is_own_folder(folder / FILES):
            raise ValueError("its files are not in a folder of its own")
        names = entries.names(folder / FILES)
        if not all(entries.is_file(folder / FILES / name) for name in names):
            raise ValueError("its files are not regular files")
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False, include_input=False)
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{FILE_NAME} is damaged: {where}: {sentence_of(first)}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{FILE_NAME} is damaged: {error}") from error
    return claim


def _check(claim: Claim, job_id: str) -> None:
    """Raise ValueError if the claim belongs to another job, or leads to files of other jobs."""
    names = [file.name for file in claim.files]
    sources = (file.source for file in claim.files)
    paths = [claim.inbox, claim.outbox, *(claim.finals or ()), *sources]
    own = [file.source for file in claim.files if file.own]
    if claim.folder is not None:
        paths.append(claim.folder)
        own.append(claim.folder)
    mistakes = {
        "it belongs to another job": claim.id != job_id,
        f"after is {claim.after}": claim.after not in ("archive", "keep", "delete"),
        "it has no picture": not any(file.role in ("content", "style") for file in claim.files),
        "no folder has such an id": not all(
            is_id(each) for each in (claim.group, claim.ledger) if each
        ),
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
