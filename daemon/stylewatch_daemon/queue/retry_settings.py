"""The settings of a job that is painted again: those that it had, and what is asked now."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from stylewatch_daemon.errors import UsageError
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.outbox import job_files
from stylewatch_daemon.settings import config, yaml_lines
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.resolve import LONGEST
from stylewatch_daemon.store.ledger import Entry
from stylewatch_daemon.store.ledger_writer import LAST
from stylewatch_painter.algorithm import scales

_STARTS = ("job.init", "job.set.start", "job.set.schedule.start", "job.from_step")


def check_at_end(entry: Entry) -> None:
    """Raise UsageError where the job is not at its end."""
    if entry.state not in LAST:
        name = shown(entry.place or entry.name)
        raise UsageError(
            f"{name} is not at its end yet, and is painted again after that: "
            "`stylewatch cancel` ends it, `stylewatch finish` takes its picture as it is"
        )


def wanted(
    entry: Entry, settings: Config, overrides: dict[str, Any], from_stage: int | None
) -> Mapping[str, Any]:
    """All settings of the new job, as its job.yaml has them; UsageError tells every mistake."""
    asked = config.job_overrides(overrides)
    had = _had(entry, settings, asked)
    recipe = asked.get("recipe", had.recipe)
    by_file = str(recipe).endswith((".yaml", ".yml"))
    if by_file and recipe != settings.job.recipe:
        raise UsageError(
            f"its recipe was the file {shown(recipe)}, and a job names no file: put it into a "
            "folder under `recipes` in config.yaml, and say --set recipe=NAME"
        )
    if from_stage is not None:
        _check_start(overrides)
        overrides |= {"job.init": "picture", "job.from_step": had.from_step + from_stage}
    below = settings.model_copy(update={"job": had.model_copy(update={"sweep": {}})})
    job = config.override(below, overrides).job.model_copy(update={"sweep": had.sweep})
    if from_stage is not None:
        _check_left(from_stage, job, scales.most_steps(job.resolve(*settings.recipes).schedule))
    # A file for a recipe is the daemon's own settings' to name, and they do.
    return job.model_dump(mode="json", exclude={"recipe"} if by_file else None)


def _check_left(from_stage: int, job: JobSettings, most: int) -> None:
    if job.from_step >= most:
        raise UsageError(
            f"--from-stage {from_stage}: after it there is nothing to do; "
            "ask for more steps, as with --set steps=500"
        )


def _check_start(overrides: Mapping[str, Any]) -> None:
    for key in _STARTS:
        if key in overrides:
            raise UsageError(f"--from-stage says where to start: leave out --set {key[4:]}")


def _had(entry: Entry, settings: Config, asked: Mapping[str, Any]) -> JobSettings:
    """The settings of a job as it was begun; else by its job.yaml, but for what is `asked` now."""
    if entry.settings is not None:
        try:
            return JobSettings.from_record(entry.settings)
        except ValidationError as error:
            raise UsageError(
                "its settings are of a stylewatch that had others: drop the pair again"
            ) from error
    job_file = next((one for one in job_files.inputs(entry) if one.role == "job"), None)
    if job_file is None:
        return settings.job
    with job_file.find().open() as file:
        text = file.read(LONGEST).decode("utf-8-sig", errors="replace")
    document = yaml_lines.parse(text, job_file.name)
    kept = {key: value for key, value in document.plain.items() if key not in asked}
    yaml_lines.check(JobSettings, yaml_lines.Document(job_file.name, kept, document.lines))
    return JobSettings.model_validate(config.merge_job(settings.job, kept))
