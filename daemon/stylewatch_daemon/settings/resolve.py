"""What holds for one job: config.yaml's defaults, its job.yaml, the command line, in that order."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stylewatch_daemon.errors import InputError, SettingsError
from stylewatch_daemon.files import atomic, shortages
from stylewatch_daemon.settings import yaml_lines
from stylewatch_daemon.settings.batching import shape_of
from stylewatch_daemon.settings.config import job_over
from stylewatch_daemon.settings.job import JobSettings, Side
from stylewatch_daemon.settings.service import ServiceSettings
from stylewatch_painter.errors import RecipeError
from stylewatch_painter.validation import mistakes, refusing

LONGEST = 100_000
"""Bytes of a job.yaml."""


REMEMBERED = 256
"""Files with different words that are not read again."""


def settle(settings: ServiceSettings, job_file: Path | None) -> JobSettings:
    """The settings of the job with this `job_file`.

    Raises SettingsError: it tells every mistake in the file with its line.
    """
    return checked(settings, said(job_file), "the settings" if job_file is None else job_file.name)


@dataclass(frozen=True)
class Settler:
    """Settles jobs by `settings`; what many of them say in the same words is read once."""

    settings: ServiceSettings
    _known: dict[bytes, JobSettings] = field(default_factory=dict)

    def settle(self, job_file: Path | None) -> JobSettings:
        """The settings of the job with this `job_file`; raises as the function `settle`."""
        text = b"" if job_file is None else _start(job_file)
        if text not in self._known:
            found = settle(self.settings, job_file)
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[text] = found
        found = self._known[text]
        try:
            found.resolve(*self.settings.recipe_folders)  # its recipe may be another one by now
        except RecipeError as error:
            raise SettingsError(f"the settings: {error}") from error
        return found


def said(job_file: Path | None) -> Mapping[str, Any]:
    """What a job.yaml says, or there being none; raises SettingsError as `settle` does."""
    return {} if job_file is None else _read(job_file)


def checked(
    settings: ServiceSettings, plain: Mapping[str, Any], where: str = "the settings"
) -> JobSettings:
    """The settings of a job that says `plain`; raises SettingsError for what it cannot say."""
    with refusing(SettingsError, where):
        try:
            merged = JobSettings.model_validate(job_over(settings.job, plain))
            merged = JobSettings.model_validate(job_over(merged, settings.overrides))
            merged.resolve(*settings.recipe_folders)
        except ValidationError as error:
            told = "; ".join(str(mistake) for mistake in mistakes(error, JobSettings))
            raise SettingsError(f"{where}: {told}") from error
        except RecipeError as error:
            raise SettingsError(f"{where}: {error}") from error
    return merged


def wishes(
    settings: ServiceSettings, job_file: Path | None, sizes: Sequence[tuple[int, int]] = ()
) -> dict[str, Any]:
    """The job's `priority`, its `needs` and its `shape`.

    `needs` are alike where jobs depend on the same things outside, a `shape` where they can be
    painted at once; `sizes` are those of its pictures, if they are known, the content's first.
    Where the job.yaml has a mistake, which `settle` reports, they are those of `settings`.
    """
    merged = _merged(settings, job_file)
    needs = [merged.backend, merged.device, merged.recipe, merged.set]
    try:
        with refusing(RecipeError, "the settings"):
            shape = (
                ""
                if merged.sweep
                else shape_of(merged, merged.resolve(*settings.recipe_folders), sizes)
            )
    except RecipeError:
        shape = ""
    return {"priority": merged.priority, "needs": json.dumps(needs), "shape": shape}


def only_side(
    settings: ServiceSettings, job_file: Path | None, folder: int | None = None
) -> Side | None:
    """The one side that a job with this `job_file` is for, as far as that can be told.

    The file is opened in `folder`, where a handle of that is given.
    """
    return _merged(settings, job_file, folder).only


def _merged(
    settings: ServiceSettings, job_file: Path | None, folder: int | None = None
) -> JobSettings:
    """What holds for a job; where its job.yaml has a mistake, what holds for all."""
    merged = settings.job
    try:
        with refusing(SettingsError, "the settings", ValidationError):
            for plain in (_read(job_file, folder) if job_file else {}, settings.overrides):
                merged = JobSettings.model_validate(job_over(merged, plain))
    except (OSError, SettingsError, ValidationError) as error:
        if (shortage := shortages.shortage(error)) is not None:
            raise shortage from error
        return settings.job
    return merged


def _start(job_file: Path, folder: int | None = None) -> bytes:
    """The first bytes of a job.yaml; no link is followed and no pipe waited for."""
    try:
        place = job_file if folder is None else job_file.name
        with atomic.open_regular(place, folder) as file:
            return file.read(LONGEST + 1)
    except InputError as error:
        raise SettingsError(str(error)) from error


def _read(job_file: Path, folder: int | None = None) -> Mapping[str, Any]:
    document = yaml_lines.parse_bytes(_start(job_file, folder), job_file.name, LONGEST)
    asked = yaml_lines.check(JobSettings, document)
    for where, recipe in (
        (("recipe",), asked.recipe),
        *((("sweep", "recipe"), recipe) for recipe in asked.sweep.get("recipe", ())),
    ):
        if str(Path(str(recipe))).endswith((".yaml", ".yml")):
            # whoever can drop a picture could read any file of the daemon's, error by error
            raise SettingsError(
                f"{job_file.name} line {document.line(where)}: recipe: a job names a recipe, not "
                "a file; put the file into one of the folders under `recipes` in config.yaml"
            )
    return document.plain
