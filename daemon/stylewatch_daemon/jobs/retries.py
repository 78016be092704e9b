"""Retries: new runs of jobs that have ended, with the same or other settings.

A retry is a new job with copies of the old job's pictures. Nothing here uses the ledger;
`make_retry` runs in the lane of the outbox.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from stylewatch_daemon.base.errors import InputError
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.base.model import Job, Role
from stylewatch_daemon.files import atomic, disks, entries, strangers
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.identity import look
from stylewatch_daemon.files.names import candidates, first_free, is_name, shown, take_name
from stylewatch_daemon.ledger.claim import FILES, Claim, File, load, save
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.outbox.job_files import SourceFile, Spot
from stylewatch_daemon.settings.sections import InboxSettings, LimitSettings

JOB_FILE = "job.yaml"


def uploaded(state: StateDir, new_id: str, names: Sequence[str]) -> tuple[SourceFile, ...]:
    """Return the styles that the page received for the retry `new_id`; raises InputError."""
    folder = state.uploads / new_id
    if not all(map(is_name, names)):
        raise InputError("a received picture has an invalid name")
    return tuple(SourceFile("style", name, (Spot(folder, "", name),)) for name in names)


def stem_of(job: Job) -> str:
    """Return the name on which the names of all retries of `job` are based."""
    return re.sub(r"-[0-9]+$", "", job.name) if job.retry_of else job.name


def free_name(job: Job, taken: Collection[str]) -> str:
    """Return the name for a retry of `job`: the first free one of `candidates(stem_of(job))`.

    `taken` are the names in the ledger. A name that exists in the outbox is not free either. Raises
    OSError if that is unknown.
    """
    outbox = Path(job.outbox)
    return first_free(
        candidates(stem_of(job)),
        lambda name: name in taken or entries.is_taken(outbox / name),
    )


def make_retry(
    state: StateDir,
    job: Job,
    new_id: str,
    name: str,
    settings: Mapping[str, Any],
    files: Sequence[SourceFile],
    inbox: InboxSettings,
    finals: tuple[Path, ...] | None,
    limits: LimitSettings,
    guard: MountGuard,
    step: Step,
) -> Claim:
    """Create the job `new_id` in the state folder, to run `job` again as `name`; return its claim.

    The new job gets copies of `files`, and a job.yaml with all `settings`. `inbox` are the settings
    of the inbox of `job`, and `finals` is as in Claim. If a kill interrupts a call, another call
    completes the job. Raises InputError if the job cannot be created, for example because a file is
    too large or has changed; OSError if it cannot be created now.
    """
    folder = state.jobs / new_id
    claim_folder = state.retry(new_id)
    outbox = Path(job.outbox)
    uploads = state.uploads / new_id
    if entries.exists(folder):  # created before a kill, which may have come before the sync
        atomic.sync_folder(state.jobs)
        return load(folder)
    atomic.discard(claim_folder, state.trash)  # left over from an interrupted call
    _check_room(state, files, limits)
    atomic.make_folder(claim_folder / FILES)
    copies = _copy_all(files, (outbox, uploads), claim_folder / FILES, limits, guard, step)
    copies.append(_write_job_file(settings, claim_folder / FILES))
    claim = Claim(
        id=new_id,
        name=name,
        inbox=inbox.path,
        outbox=outbox,
        after=inbox.after,
        files=tuple(copies),
        retry_of=job.title,
        finals=finals,
    )
    save(claim, claim_folder)
    atomic.move(claim_folder, folder)
    return claim


def abandon(state: StateDir, new_id: str) -> None:
    """Remove the uploads of a retry that is given up, and the copies made for it (law 7).

    Raises OSError if a file stays: then the request for the retry has to wait.
    """
    atomic.discard(state.retry(new_id), state.trash)
    entries.remove(state.uploads / new_id)


def _check_room(state: StateDir, files: Iterable[SourceFile], limits: LimitSettings) -> None:
    """Raise InputError if a file is too large, FullError if the disk lacks space for all files."""
    total = 0
    for file in files:
        size = file.size or 0
        if size > limits.largest(file.role):
            raise InputError(f"{shown(file.name)} is {disks.amount(size)}: too large to copy")
        total += size
    disks.check([(state.root, total)], limits.free_bytes)


def _copy_all(
    files: Iterable[SourceFile],
    job_folders: Collection[Path],
    folder: Path,
    limits: LimitSettings,
    guard: MountGuard,
    step: Step,
) -> list[File]:
    """Copy `files` into `folder`, each with a unique name; return the records of the copies.

    The retry owns, and archives, copies of files from `job_folders`. It does not own copies of
    files from an inbox, because the originals stay there.
    """
    copies: list[File] = []
    taken = {JOB_FILE}
    for file in files:
        source = file.find(guard, step)
        path = Path(file.name)
        name = take_name(candidates(path.stem, path.suffix), taken)
        _copy(file, source, folder / name, limits, step)
        copies.append(_file(file.role, folder / name, source.path, own=source.root in job_folders))
    return copies


def _copy(file: SourceFile, source: Spot, target: Path, limits: LimitSettings, step: Step) -> None:
    with source.open() as reading, atomic.replacing(target) as writing:
        length = strangers.length_of(reading)
        if length > limits.largest(file.role):
            raise InputError(f"{shown(file.name)} is {disks.amount(length)}: too large to copy")
        sha256 = atomic.copy_into(reading, writing, strangers.in_time(length, step))
        is_same = sha256 == file.sha256 if file.sha256 else file.size in (None, length)
        if not is_same:
            raise InputError(f"{shown(file.name)} changed while it was being copied")


def _write_job_file(settings: Mapping[str, Any], folder: Path) -> File:
    """Write the job.yaml of a new job into `folder`; return its record."""
    path = folder / JOB_FILE
    text = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
    atomic.write(path, text.encode())
    return _file("job", path, path, own=True)


def _file(role: Role, path: Path, source: Path, *, own: bool) -> File:
    file_look = look(path)
    if file_look is None:
        raise InputError(f"{shown(path.name)} is gone")
    return File(role, path.name, source, file_look, own)
