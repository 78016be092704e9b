"""Settings and pictures of retries: new runs of jobs that have ended."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stylewatch_daemon.base.errors import InputError, OutputError, SettingsError, UsageError
from stylewatch_daemon.base.model import MASK, End, Job, OutputFile
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.outbox import job_files
from stylewatch_daemon.outbox.job_files import SourceFile
from stylewatch_daemon.settings import config, paintable, yaml_lines
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.job import (
    JobFile,
    JobSettings,
    is_file,
    of_record,
)
from stylewatch_daemon.settings.paintable import Files
from stylewatch_daemon.settings.sections import LARGEST_JOB_FILE
from stylewatch_painter.errors import RecipeError, RecipesAwayError
from stylewatch_painter.plain_yaml import Document
from stylewatch_painter.recipes import book
from stylewatch_painter.scene import scales
from stylewatch_painter.size import Size

_START_FIELDS = ("start", "done")
"""Fields of a recipe that say from which picture and step a job starts."""


def settings_for(
    job: Job,
    settings: Config,
    overrides: Mapping[str, Any],
    from_stage: int | None,
    guard: MountGuard | None = None,
) -> JobFile:
    """Return the settings of a new run of `job`, with a value for each.

    They are the settings of the job, changed by `overrides` and, if `from_stage` is not None, to
    continue from that step. Raises UsageError, which lists every mistake, and raises as `previous`
    does.
    """
    asked = config.job_overrides(overrides)
    before = previous(job, settings, asked, guard)
    recipe = asked.get("recipe", before.recipe)
    if is_file(str(recipe)) and recipe != settings.job.recipe:
        raise UsageError(
            f"its recipe was the file {shown(recipe)}, and a job cannot name a file: put it into a "
            "folder under `recipes` in config.yaml, and ask for it by its name"
        )
    base = settings.model_copy(update={"job": before})
    wanted = config.override_again(base, overrides).job
    if from_stage is not None:
        _check_start(job, asked)
        wanted = _continued(job, wanted, from_stage, settings.recipes)
    return before.model_copy(update=dict(wanted))


def check_paints(
    job: Job,
    wanted: JobSettings,
    from_stage: int | None = None,
    without: Collection[int] = (),
    added: Collection[str] = (),
    recipes: Sequence[Path] | None = None,
) -> None:
    """Raise UsageError if a retry of `job` with the settings `wanted` would be refused for them.

    What depends on its recipe is left out without the folders with `recipes`.
    """
    recipe = None
    if recipes is not None:
        with suppress(RecipeError, RecipesAwayError):  # the new job waits, or is refused for it
            recipe = wanted.resolve(*recipes)
    if job.inputs:  # otherwise its pictures are not known
        paintable.check(wanted, recipe, files_of(job, from_stage, without, added))


def files_of(
    job: Job,
    from_stage: int | None = None,
    without: Collection[int] = (),
    added: Collection[str] = (),
) -> Files:
    """Return the names of the files of a retry of `job`; the arguments are those of a retry."""
    names = {file.role: shown(file.name) for file in job.inputs}
    return Files(
        content=names.get("content", ""),
        styles=sum(file.role == "style" for file in job.inputs) - len(without) + len(added),
        init=names.get("init", "") if from_stage is None else f"stage {from_stage}",
        masks={role: name for role, name in names.items() if role.endswith(MASK)},
        is_clip=any(file.frames > 1 for file in job.inputs),
    )


def _check_start(job: Job, asked: Mapping[str, Any]) -> None:
    """Raise UsageError if a retry of `job` with the settings `asked` cannot start from a stage."""
    if job.frames > 1:
        raise UsageError(f"{shown(job.title)} is a clip, which cannot continue from a stage")
    for key in (*asked, *dict(book.dotted(asked.get("set", {})))):
        if book.bare_name(key) in _START_FIELDS:
            raise UsageError(f"--from-stage sets the start: leave out --set {key}")


def _continued(job: Job, wanted: JobSettings, stage: int, recipes: tuple[Path, ...]) -> JobSettings:
    """Return the settings `wanted`, changed to start from the stage of the job at step `stage`.

    Raises UsageError if no step is left after the stage: a picture that is too small for some
    scales of the recipe has fewer steps. Raises OutputError if recipes cannot be read.
    """
    try:
        recipe = wanted.resolve(*recipes)
    except RecipesAwayError as error:
        raise OutputError(str(error)) from error
    role = "style" if wanted.only == "style" else "content"
    picture = job.input_as(role)
    size = Size(*picture.pixels) if picture is not None and picture.pixels else None
    done = recipe.schedule.done + stage
    if done >= scales.most_steps(recipe, size):
        raise UsageError(
            f"no steps are left after stage {stage}: ask for more steps, for example steps=500"
        )
    start = {"init": "picture", "set": {"done": done}}
    return JobSettings.model_validate(config.merge_job(wanted.model_dump(), start))


def previous(
    job: Job, settings: Config, asked: Mapping[str, Any], guard: MountGuard | None = None
) -> JobFile:
    """Return the settings of a job, on which those of a new run are based.

    These are the settings with which the job was started last. For a job that was not started, or
    was refused and has a job.yaml, they are those in `settings`, overridden by its job.yaml as it
    is now. Keys in `asked` are ignored there, because their values may be the mistakes. `guard`
    knows which disks the daemon used. Raises UsageError or InputError if the settings cannot be
    used, and OutputError if they cannot be read now.
    """
    job_file = next((file for file in job_files.inputs(job) if file.role == "job"), None)
    if job.settings is not None and (job_file is None or job.end is not End.REFUSED):
        try:
            return JobFile.model_validate(of_record(job.settings))
        except ValidationError as error:
            raise UsageError(
                "its settings were recorded by another version and cannot be used: drop the "
                "pair again"
            ) from error
    if job_file is None:
        return config.for_learner(JobFile.model_validate(settings.job.model_dump()), {})
    corrected = replace(job_file, sha256="", size=None)  # the user may have corrected the file
    spot = corrected.find(guard or MountGuard())
    with spot.open() as file:
        content = file.read(LARGEST_JOB_FILE + 1)
    try:
        document = config.parse_job_file(content, job_file.name)
        kept = {key: value for key, value in document.plain.items() if key not in asked}
        yaml_lines.check(JobFile, Document(job_file.name, kept, document.lines))
    except SettingsError as error:  # a SettingsError would blame config.yaml
        raise InputError(f"{error}\ncorrect {shown(spot.path)}, and retry again") from error
    defaults = settings.job.model_dump(exclude={"set"} if job.retry_of else None)
    return config.for_learner(JobFile.model_validate(config.merge_job(defaults, kept)), kept)


def needed(
    job: Job,
    from_stage: int | None,
    without: Collection[int] = (),
    listed: Iterable[OutputFile] = (),
) -> tuple[SourceFile, ...]:
    """Return the pictures for a retry and, as the last, the stage at step `from_stage`, if given.

    The stage replaces the init picture. The styles with the numbers `without`, from 1, are left
    out, with their masks. A stage that is `listed` in the ledger must have the recorded bytes.
    Raises InputError if the pictures are not known, or there is no such stage.
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
