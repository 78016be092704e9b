"""The settings in force for one job: config.yaml's defaults, its job.yaml, the command line."""

from pathlib import Path
from typing import get_args

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import InputError, SettingsError
from stylewatch_daemon.files import atomic
from stylewatch_daemon.settings import yaml_lines
from stylewatch_daemon.settings.config import ServiceSettings, merge_job
from stylewatch_daemon.settings.job import RECIPES, JobFile, Side
from stylewatch_daemon.settings.sections import LARGEST_JOB_FILE
from stylewatch_painter.errors import RecipeError
from stylewatch_painter.validation import refusing


def resolve(settings: ServiceSettings, job_file: Path | None) -> JobFile:
    """Return the settings of the job with this job.yaml.

    Raises SettingsError, which lists every mistake in the file with its line.
    """
    document = yaml_lines.Document("the settings") if job_file is None else _read(job_file)
    yaml_lines.check(JobFile, document, {RECIPES: settings.recipes})
    with refusing(SettingsError, document.file_name):
        below = merge_job(settings.job.model_dump(), document.plain)
        merged = merge_job(below, settings.overrides)
        job = yaml_lines.check(JobFile, yaml_lines.Document(document.file_name, merged))
        try:
            job.resolve(*settings.recipes)
        except RecipeError as error:
            raise SettingsError(f"{document.file_name}: {error}") from error
    return job


def only_side(
    settings: ServiceSettings, job_file: Path | None, folder: int | None = None
) -> Side | None:
    """Return the `only` of the job with this job.yaml, or the default if it cannot be read.

    Mistakes in other settings are ignored here: the job is refused for them later. With a handle of
    its `folder` the file is opened there.
    """
    default = settings.job.only
    try:
        plain = {} if job_file is None else _read(job_file, folder).plain
    except (OSError, SettingsError) as error:
        if (shortage := shortages.shortage(error)) is not None:
            raise shortage from error
        plain = {}
    side = settings.overrides.get("only", plain.get("only", default))
    return side if side in (None, *get_args(Side)) else default


def _read(job_file: Path, folder: int | None = None) -> yaml_lines.Document:
    """Read a job.yaml, in `folder` if a handle is given; follow no links, open no pipes."""
    try:
        with atomic.open_regular(job_file if folder is None else job_file.name, folder) as file:
            content = file.read(LARGEST_JOB_FILE + 1)
    except InputError as error:
        raise SettingsError(str(error)) from error
    return yaml_lines.parse_bytes(content, job_file.name, LARGEST_JOB_FILE)
