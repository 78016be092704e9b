"""The settings in force for one job: config.yaml's defaults, its job.yaml, the command line."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import InputError, SettingsError
from stylewatch_daemon.files import atomic
from stylewatch_daemon.settings import yaml_lines
from stylewatch_daemon.settings.config import ServiceSettings, merge_job
from stylewatch_daemon.settings.job import JobSettings, Side
from stylewatch_daemon.settings.sections import LARGEST_JOB_FILE
from stylewatch_painter.errors import RecipeError
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Recipe
from stylewatch_painter.scene import scales
from stylewatch_painter.validation import mistakes, refusing

_MOST_CACHED = 256
"""Different job.yaml texts whose settings are cached."""


@dataclass(frozen=True)
class SettingsResolver:
    """Resolves the settings of jobs; job files with the same text are checked once."""

    settings: ServiceSettings
    _cache: dict[bytes, JobSettings] = field(default_factory=dict)

    def resolve(self, job_file: Path | None) -> JobSettings:
        """Return the settings of the job with this job.yaml.

        Raises SettingsError, which lists every mistake in the file with its line.
        """
        text = b"" if job_file is None else _read_start(job_file)
        job = self._cache.get(text)
        if job is None:
            where = "the settings" if job_file is None else job_file.name
            plain = read_job_file(job_file, recipes=self.settings.recipes)
            job = merge_settings(self.settings, plain, where)
            if len(self._cache) >= _MOST_CACHED:
                self._cache.clear()
            self._cache[text] = job
        try:
            job.resolve(*self.settings.recipes)  # the recipe's file may have changed
        except RecipeError as error:
            raise SettingsError(f"the settings: {error}") from error
        return job


def read_job_file(
    job_file: Path | None, folder: int | None = None, recipes: tuple[Path, ...] | None = None
) -> Mapping[str, Any]:
    """Read a job.yaml, in `folder` if a handle is given; raises SettingsError as `resolve` does.

    With the folders `recipes`, an unknown recipe is a mistake too.
    """
    if job_file is None:
        return {}
    document, wrong = _parse(job_file, folder), list[str]()
    try:
        yaml_lines.check(JobSettings, document)
    except SettingsError as error:
        wrong += str(error).splitlines()
    if reason := _wrong_recipe(document.plain.get("recipe"), recipes):
        wrong.append(f"{job_file.name} line {document.line(('recipe',))}: recipe: {reason}")
    if wrong:
        raise SettingsError("\n".join(wrong))
    return document.plain


def _wrong_recipe(recipe: object, folders: tuple[Path, ...] | None) -> str:
    """Explain why a job cannot have this recipe; empty if it can, or that is not known here."""
    if not isinstance(recipe, str):
        return ""
    if str(Path(recipe)).endswith((".yaml", ".yml")):
        # Whoever can drop a file could read any file of the daemon's, error by error.
        return (
            "a job names a recipe, not a file; put the file into one of the folders under "
            "`recipes` in config.yaml"
        )
    try:
        if folders is not None:
            book.find(recipe, *folders)
    except RecipeError as error:
        return str(error)
    return ""


def _parse(job_file: Path, folder: int | None) -> yaml_lines.Document:
    start = _read_start(job_file, folder)
    return yaml_lines.parse_bytes(start, job_file.name, LARGEST_JOB_FILE)


def _read_start(job_file: Path, folder: int | None = None) -> bytes:
    """Read as much of a job.yaml as is allowed, and a byte more; follow no link, open no pipe."""
    try:
        with atomic.open_regular(job_file if folder is None else job_file.name, folder) as file:
            return file.read(LARGEST_JOB_FILE + 1)
    except InputError as error:
        raise SettingsError(str(error)) from error


def merge_settings(
    settings: ServiceSettings, plain: Mapping[str, Any], where: str = "the settings"
) -> JobSettings:
    """Return the settings of a job with `plain` in its job.yaml; raises SettingsError."""
    with refusing(SettingsError, where):
        try:
            merged = _merge(settings, plain)
            merged.resolve(*settings.recipes)
        except ValidationError as error:
            reasons = "; ".join(map(str, mistakes(error, JobSettings)))
            raise SettingsError(f"{where}: {reasons}") from error
        except RecipeError as error:
            raise SettingsError(f"{where}: {error}") from error
    return merged


def _merge(settings: ServiceSettings, plain: Mapping[str, Any]) -> JobSettings:
    merged = JobSettings.model_validate(merge_job(settings.job.model_dump(), plain))
    return JobSettings.model_validate(merge_job(merged.model_dump(), settings.overrides))


def queue_columns(settings: ServiceSettings, job_file: Path | None) -> tuple[int, str]:
    """Return the job's `priority` and `needs` for the queue.

    Jobs with equal `needs` depend on the same backend, device and recipe. A job.yaml with a
    mistake, which `resolve` reports, counts as absent.
    """
    job = _resolve_leniently(settings, lambda: read_job_file(job_file))
    return job.priority, json.dumps([job.backend, job.device, job.recipe, job.set])


def only_side(
    settings: ServiceSettings, job_file: Path | None, folder: int | None = None
) -> Side | None:
    """Return the `only` of the job with this job.yaml, or the default if it cannot be read.

    Mistakes in other settings do not matter: the job is refused for them. With a handle of its
    `folder` the file is opened there.
    """

    def read() -> Mapping[str, Any]:
        plain = {} if job_file is None else _parse(job_file, folder).plain
        return {"only": plain["only"]} if "only" in plain else {}

    return _resolve_leniently(settings, read).only


def _resolve_leniently(
    settings: ServiceSettings, read: Callable[[], Mapping[str, Any]]
) -> JobSettings:
    """Return the settings of a job whose job.yaml is `read`; where that fails, the defaults."""
    try:
        with refusing(SettingsError, "the settings", ValidationError):
            return _merge(settings, read())
    except (OSError, SettingsError, ValidationError) as error:
        if (shortage := shortages.shortage(error)) is not None:
            raise shortage from error
        return settings.job


def size_limit(job: JobSettings, recipe: Recipe, content: tuple[int, int]) -> tuple[str, ...]:
    """Return a sentence if the output is smaller than `job` asks for, as its `content` is.

    There is none where the job says whether pictures are enlarged.
    """
    schedule = recipe.schedule
    final = scales.final_size(schedule, content)
    asked = scales.final_size(schedule.model_copy(update={"enlarge": True}), content)
    is_free = job.size is None or job.enlarge is not None or job.only == "style"
    if is_free or asked == final:
        return ()
    own, small, large = (f"{width}x{height}" for width, height in (content, final, asked))
    return (
        f"size {job.size}: the photograph has {own} pixels and is not enlarged, so the output has "
        f"{small}; enlarge: yes (--enlarge) makes it {large}",
    )
