"""Retries: new runs of jobs that have ended, with the same or other settings.

A retry is a new job with copies of the old one's pictures. Nothing here uses the ledger;
`make_retry` runs in the lane of the outbox.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from stylewatch_daemon.base.errors import InputError, SettingsError, UsageError
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.base.model import MASK, End, Job, OutputFile, Role
from stylewatch_daemon.files import atomic, disks, entries, strangers
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.identity import look
from stylewatch_daemon.files.names import candidates, folded, is_name, shown
from stylewatch_daemon.ledger.claim import FILES, Claim, File, load, save
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.outbox import job_files
from stylewatch_daemon.outbox.job_files import SourceFile, Spot
from stylewatch_daemon.settings import config, yaml_lines
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.job import JobFile, JobSettings, is_file
from stylewatch_daemon.settings.sections import LARGEST_JOB_FILE, Limits
from stylewatch_painter.scene import scales

JOB_FILE = "job.yaml"

_STARTS = ("init", "start", "schedule.start", "done", "schedule.done")


def settings_for(
    job: Job,
    settings: Config,
    overrides: Mapping[str, Any],
    from_stage: int | None,
    guard: MountGuard | None = None,
) -> JobFile:
    """Return the new job's job.yaml, with all settings; UsageError lists every mistake."""
    asked = config.job_overrides(overrides)
    before = previous(job, settings, asked, guard)
    recipe = asked.get("recipe", before.recipe)
    if is_file(str(recipe)) and recipe != settings.job.recipe:
        raise UsageError(
            f"its recipe was the file {shown(recipe)}, and a job cannot name a file: put it into a "
            "folder under `recipes` in config.yaml, and use --set recipe=NAME"
        )
    base = settings.model_copy(update={"job": before})
    wanted = config.override(base, overrides).job
    if from_stage is not None:
        _check_start(job, asked)
        wanted = _continued(wanted, from_stage, settings.recipes)
    return before.model_copy(update=dict(wanted))


def _check_start(job: Job, asked: Mapping[str, Any]) -> None:
    """Raise UsageError if a retry cannot start from a stage."""
    if job.frames > 1:
        raise UsageError(
            f"{shown(job.title)} is a clip, which cannot continue from a stage: "
            "leave out --from-stage"
        )
    for key in _STARTS:
        if key in {**asked, **asked.get("set", {})}:
            raise UsageError(f"--from-stage sets the start: leave out --set {key}")


def _continued(job: JobSettings, stage: int, recipes: tuple[Path, ...]) -> JobSettings:
    """Return `job` with its stage of this number as start; UsageError if no step is left."""
    schedule = job.resolve(*recipes).schedule
    done = schedule.done + stage
    if done >= scales.most_steps(schedule):
        raise UsageError(
            f"--from-stage {stage}: no steps are left after it; "
            "ask for more steps, for example with --set steps=500"
        )
    start = {"init": "picture", "set": {"done": done}}
    return JobSettings.model_validate(config.merge_job(job.model_dump(), start))


def previous(
    job: Job, settings: Config, asked: Mapping[str, Any], guard: MountGuard | None = None
) -> JobFile:
    """Return the settings that a job was started with.

    A job that was refused or not started has those of its job.yaml as it is now, except the `asked`
    ones, which may be its mistakes. Raises UsageError and InputError if they cannot be used, and
    OutputError if they cannot be read now; `guard` knows which disks there were.
    """
    job_file = next((file for file in job_files.inputs(job) if file.role == "job"), None)
    if job.settings is not None and (job_file is None or job.end is not End.REFUSED):
        try:
            return JobFile.model_validate(job.settings)
        except ValidationError as error:
            raise UsageError(
                "its settings were recorded by another version and cannot be used: drop the "
                "pair again"
            ) from error
    if job_file is None:
        return JobFile.model_validate(settings.job.model_dump())
    corrected = replace(job_file, sha256="", size=None)  # the file may have been
    spot = corrected.find(guard or MountGuard())
    with spot.open() as file:
        content = file.read(LARGEST_JOB_FILE + 1)
    try:
        document = yaml_lines.parse_bytes(content, job_file.name, LARGEST_JOB_FILE)
        kept = {key: value for key, value in document.plain.items() if key not in asked}
        yaml_lines.check(JobFile, yaml_lines.Document(job_file.name, kept, document.lines))
    except SettingsError as error:  # not mistakes in config.yaml
        raise InputError(f"{error}\ncorrect {shown(spot.path)}, and retry again") from error
    defaults = settings.job.model_dump(exclude={"set"} if job.retry_of else None)
    return JobFile.model_validate(config.merge_job(defaults, kept))


def needed(
    job: Job,
    from_stage: int | None,
    without: Collection[int] = (),
    listed: Iterable[OutputFile] = (),
) -> tuple[SourceFile, ...]:
    """Return the pictures for a retry, including the stage to start from, if given.

    The styles with the numbers `without`, from 1, are left out, with their masks. A stage that is
    `listed` in the ledger must have the recorded bytes. Raises InputError if the pictures are not
    known, or there is no such stage.
    """
    start = () if from_stage is None else (job_files.stage(job, from_stage, listed),)
    replaced = {"job", *(file.role for file in start)}
    files = [file for file in job_files.inputs(job) if file.role not in replaced]
    numbers = range(1, 1 + sum(file.role == "style" for file in files))
    kept = [number for number in numbers if number not in without]
    masks = {f"style-{old}{MASK}": f"style-{new}{MASK}" for new, old in enumerate(kept, 1)}
    number = iter(numbers)
    left = [file for file in files if file.role != "style" or next(number) in kept]
    renumbered = [
        replace(file, role=masks.get(file.role, file.role))
        for file in left
        if file.role in masks or not file.role.startswith("style-")
    ]
    return (*renumbered, *start)


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
    """Return the name of a retry of `job`: that of the job with the next free number.

    `taken` are names in the ledger; what is in the outbox does not count as free either.
    """
    outbox = Path(job.outbox)
    return next(
        candidate
        for candidate in candidates(stem_of(job))
        if candidate not in taken and not entries.exists(outbox / candidate)
    )


def make_retry(
    state: StateDir,
    job: Job,
    new_id: str,
    name: str,
    settings: Mapping[str, Any],
    files: Sequence[SourceFile],
    after: str,
    limits: Limits,
    guard: MountGuard,
    step: Step,
) -> Claim:
    """Create the job `new_id` in the state folder, to run `job` again as `name`; return its claim.

    The new job gets copies of `files`, and a job.yaml with all `settings`. After a kill at any
    moment this can be repeated without doing anything twice. Raises InputError if it cannot be
    done, OSError if it cannot be done now.
    """
    folder, claim_folder = state.jobs / new_id, state.claims / new_id
    inbox, outbox, uploads = Path(job.inbox), Path(job.outbox), state.uploads / new_id
    if entries.exists(folder):  # created before a kill
        return load(folder)
    entries.remove(claim_folder)  # left over from an interrupted call
    _check_room(state, files, limits)
    atomic.make_folder(claim_folder / FILES)
    copies = _copy_all(files, (outbox, uploads), claim_folder / FILES, limits, guard, step)
    copies.append(_write_job_file(settings, claim_folder / FILES))
    claim = Claim(
        id=new_id,
        name=name,
        inbox=inbox,
        outbox=outbox,
        after=after,
        files=tuple(copies),
        retry_of=job.title,
    )
    # The claim comes last: after a kill, recovery drops a folder without one.
    save(claim, claim_folder)
    atomic.move(claim_folder, folder)
    return claim


def abandon(state: StateDir, new_id: str) -> None:
    """Remove the uploads of a retry that is not made, and what tries to make it have left (law 7).

    Raises OSError if something stays: then its request has to wait.
    """
    entries.remove(state.claims / new_id)
    entries.remove(state.uploads / new_id)


def _check_room(state: StateDir, files: Iterable[SourceFile], limits: Limits) -> None:
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
    own: Collection[Path],
    folder: Path,
    limits: Limits,
    guard: MountGuard,
    step: Step,
) -> list[File]:
    """Copy `files` into `folder`, each with a unique name.

    The job archives those from the folders `own`; a file that was left in an inbox stays there.
    """
    copies: list[File] = []
    taken = {JOB_FILE}
    for file in files:
        source, named = file.find(guard, step), Path(file.name)
        names = candidates(named.stem, named.suffix)
        name = next(name for name in names if folded(name) not in taken)
        taken.add(folded(name))
        _copy(file, source, folder / name, limits, step)
        copies.append(_file(file.role, folder / name, source.path, own=source.root in own))
    return copies


def _copy(file: SourceFile, source: Spot, target: Path, limits: Limits, step: Step) -> None:
    with source.open() as reading, atomic.replacing(target) as writing:
        length = strangers.length_of(reading)
        if length > limits.largest(file.role):
            raise InputError(f"{shown(file.name)} is {disks.amount(length)}: too large to copy")
        sha256 = atomic.copy_into(reading, writing, strangers.in_time(length, step))
        is_same = sha256 == file.sha256 if file.sha256 else file.size in (None, length)
        if not is_same:
            raise InputError(f"{shown(file.name)} changed while it was being copied")


def _write_job_file(settings: Mapping[str, Any], folder: Path) -> File:
    """Write the job.yaml of a new job into `folder`."""
    path = folder / JOB_FILE
    text = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
    atomic.write(path, text.encode())
    return _file("job", path, path, own=True)


def _file(role: Role, path: Path, source: Path, *, own: bool) -> File:
    seen = look(path)
    if seen is None:
        raise InputError(f"{shown(path.name)} is gone")
    return File(role, path.name, source, seen, own)
