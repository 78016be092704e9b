"""The settings and styles in the forms of a new job and of "Paint again with".

Settings are those of job.yaml, checked by the same model. Settings that may name a file are not
among them; a recipe goes by its name only.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError

from stylewatch_daemon.base.errors import DaemonError, InputError, SettingsError, UsageError
from stylewatch_daemon.base.model import Job
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.jobs import retries
from stylewatch_daemon.outbox.receipt import Receipt
from stylewatch_daemon.settings.config import Config, merge_job
from stylewatch_daemon.settings.job import JobFile, JobSettings
from stylewatch_daemon.settings.style_library import find_styles
from stylewatch_daemon.web.forms import Form
from stylewatch_daemon.web.http import Context
from stylewatch_daemon.web.pictures import Image
from stylewatch_painter.errors import RecipeError
from stylewatch_painter.recipes import book
from stylewatch_painter.validation import brief, mistakes

PRINT_FACTOR = 2
"""Size of a print, relative to the picture, that the form suggests."""

COMMON_RECIPES = ("best", "gram", "devos")
"""The recipes that the form shows first."""

NAMES = ("recipe", "size", "stroke", "strength", "color", "style_weights", "style_size", "steps",
         "enlarge", "seed", "format", "preview")  # fmt: skip
"""Settings that a form can have; `preview` only that of a print."""

MAX_LIBRARY, MAX_SOURCE = 200, 300
"""Styles of the library that a form shows, and characters of a source."""

NO_MISTAKES: Mapping[str, str] = {}
"""The mistakes of a form that was not sent yet."""

Style = tuple[str, Image, str]
"""A style to choose: the value of its box, its preview, and where it comes from."""


class FormError(UsageError):
    """Mistakes in a form: sentences by the names of their controls."""

    def __init__(self, sentences: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in sentences.items()))
        self.sentences = sentences


# Filled in


def view(
    here: Context,
    base: JobSettings,
    form: Form,
    mistakes: Mapping[str, str],
    suggested: Mapping[str, str] = NO_MISTAKES,
) -> dict[str, Any]:
    """Return the values of the form of a job.

    Its controls have the settings of `base`, unless others are `suggested`, or in `form`.
    """
    library: tuple[Style, ...] = ()
    with suppress(OSError):
        library = tuple(_library(here.settings.pairing.styles))
    texts = {name: _as_text(getattr(base, name)) for name in NAMES}
    return {
        "texts": {**texts, **suggested, **form.fields},
        "recipes": dict(_recipes(here.settings)),
        "common": COMMON_RECIPES,
        "library": library,
        "chosen": form.values.get("library", ()),
        "mistakes": mistakes,
    }


def _recipes(settings: Config) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield the known recipes, the common ones first, each with its values of some settings.

    A recipe with mistakes has none.
    """
    for name in dict.fromkeys([*COMMON_RECIPES, *book.names(*settings.recipes)]):
        defaults = {}
        with suppress(RecipeError, OSError):  # the form says so once this recipe is chosen
            recipe = book.find(name, *settings.recipes)
            defaults["strength"] = _as_text(recipe.objective.strength)
            for key in ("size", "stroke", "steps"):
                defaults[key] = _as_text(getattr(recipe.schedule, key))
        yield name, defaults


def _library(folder: Path) -> Iterator[Style]:
    styles = find_styles(folder, "all")
    named = [name for name in styles if name == shown(name)]  # no address can have another name
    for name in named[:MAX_LIBRARY]:
        source = b""
        with suppress(OSError, InputError), atomic.open_regular(folder / f"{name}.txt") as file:
            source = file.read(4 * MAX_SOURCE)
        with suppress(OSError):
            src = f"/library/small/{quote(name)}?v={styles[name].stat().st_mtime_ns}"
            text = " ".join(source.decode(errors="replace").split())[:MAX_SOURCE]
            yield name, Image(src, ""), shown(text)


def base_of(job: Job, settings: Config) -> tuple[JobFile, str]:
    """Return the settings that a job had; the defaults, and why, where they cannot be used."""
    try:
        return retries.previous(job, settings, {}), ""
    except DaemonError as error:
        return (
            JobFile.model_validate(settings.job.model_dump()),
            f"the settings of the job cannot be used, so the form has the defaults: {error}",
        )


def print_fields(base: JobSettings, receipt: Receipt) -> dict[str, str]:
    """Return fields that make a larger print of a picture."""
    schedule = receipt.recipe.get("schedule")
    is_box = isinstance(schedule, Mapping) and schedule.get("fit") == "stretch"

    def size(factor: int) -> str:
        width, height = (factor * side for side in receipt.size)
        return f"{width}x{height}" if is_box else str(max(width, height))

    fields = {"preview": _as_text(base.preview) or size(1), "size": size(PRINT_FACTOR)}
    photo = next((record.size for record in receipt.inputs if record.role == "content"), (0, 0))
    if max(photo) < PRINT_FACTOR * max(receipt.size):
        fields["enlarge"] = "yes"
    return fields


def _as_text(value: Any) -> str:
    """A setting as it is typed into a control."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.12g}"
    return ", ".join(map(_as_text, value)) if isinstance(value, tuple) else str(value)


# Read


def read(
    fields: Mapping[str, str],
    settings: Config,
    base: JobSettings,
    styles: int,
    others: Collection[str],
) -> tuple[JobSettings, Mapping[str, Any]]:
    """Return the settings of a job with so many `styles`, and those that differ from `base`.

    Fields that are missing change nothing; an empty one leaves its setting to the recipe. Raises
    FormError, also for a field that is neither a setting nor one of `others`.
    """
    asked = dict(_changes(fields, base))
    sentences = dict.fromkeys(sorted(fields.keys() - {*NAMES, *others}), "there is no such field")
    known = book.names(*settings.recipes)
    if asked.get("recipe", known[0]) not in known:
        sentences["recipe"] = f"should be one of {', '.join(known)}"
        del asked["recipe"]
    elif "recipe" not in asked and base.recipe not in (settings.job.recipe, *known):
        sentences["recipe"] = "the recipe of this job is not known here: choose another"
    if not styles and base.only != "content":
        sentences["style"] = "choose at least one style image"
    before = base.model_dump(include=set(JobSettings.model_fields))
    try:
        job = JobSettings.model_validate(merge_job(before, asked))
    except ValidationError as error:
        refused = {
            str(mistake.where[0]) if mistake.where else "settings": mistake.sentence
            for mistake in mistakes(error, JobSettings)
        }
        raise FormError(refused | sentences) from None
    sentences = dict(_conflicts(job, settings, styles)) | sentences
    if sentences:
        raise FormError(sentences)
    return job, job.model_dump(mode="json", include=set(asked))


def _changes(fields: Mapping[str, str], base: JobSettings) -> Iterator[tuple[str, Any]]:
    """Yield the settings of the form that differ from `base`, not checked yet."""
    for name in (name for name in NAMES if name in fields):
        text = fields[name]
        values = re.split(r"[\s,]+", text)
        if text == _as_text(getattr(base, name)):
            continue
        if text:
            is_list = name == "style_weights" or (name == "style_size" and len(values) > 1)
            yield name, values if is_list else text
        elif JobSettings.model_fields[name].default is None:
            yield name, None


def _conflicts(job: JobSettings, settings: Config, styles: int) -> Iterator[tuple[str, str]]:
    """Yield a sentence for each setting that fits neither the recipe nor the styles."""
    try:
        job.resolve(*settings.recipes)
    except (RecipeError, OSError) as error:
        yield "settings", brief(str(error))
    for name, check in (("style_weights", job.style_shares), ("style_size", job.style_scales)):
        try:
            check(styles)
        except SettingsError as error:
            yield name, str(error)
