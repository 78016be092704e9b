"""What holds for one job: config.yaml's defaults, its job.yaml, the command line, in that order."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stylewatch_daemon import yaml_lines
from stylewatch_daemon.config import job_over
from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.service_settings import ServiceSettings
from stylewatch_daemon.settings import JobSettings
from stylewatch_painter.errors import RecipeError

LONGEST = 100_000
"""Bytes of a job.yaml."""


def settle(settings: ServiceSettings, job_file: Path | None) -> JobSettings:
    """The settings of the job with this `job_file`.

    Raises SettingsError: it tells every mistake in the file with its line.
    """
    plain: Mapping[str, Any] = {}
    where = "the settings"
    if job_file is not None:
        where = job_file.name
        plain = _read(job_file)
    merged = JobSettings.model_validate(job_over(settings.job, plain))
    try:
        merged = JobSettings.model_validate(job_over(merged, settings.overrides))
        merged.resolve(*settings.recipe_folders)
    except (RecipeError, ValidationError) as error:
        raise SettingsError(f"{where}: {error}") from error
    return merged


def _read(job_file: Path) -> Mapping[str, Any]:
    if job_file.stat().st_size > LONGEST:
        raise SettingsError(f"{job_file.name} is longer than {LONGEST} bytes: that is no settings")
    document = yaml_lines.read(job_file)
    yaml_lines.check(JobSettings, document)
    return document.plain
