"""Controls of a job's settings, for the form of a new job and for "Paint again with".

The settings are those of job.yaml, checked by the same model. Settings that may name a file are no
controls; recipe and backend go by their names only.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from stylewatch_daemon.base.errors import DaemonError, SettingsError, UsageError
from stylewatch_daemon.base.model import Job
from stylewatch_daemon.jobs import retries
from stylewatch_daemon.outbox.receipt import Receipt
from stylewatch_daemon.settings.config import Config, merge_job
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_painter.errors import RecipeError
from stylewatch_painter.recipes import book
from stylewatch_painter.validation import brief, mistakes
from stylewatch_plugins import registry

PRINT_FACTOR = 2
"""Size of a print, relative to the picture, that the form suggests."""

_BY_RECIPE = "by the recipe"
_SIZES = ("320", "640", "1280", "1920", "2560")


@dataclass(frozen=True)
class Control:
    """A control for the setting `name`: a choice of (value, label), or else a text field."""

    name: str
    label: str
    hint: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    suggestions: tuple[str, ...] = ()
    is_common: bool = False
    value: str = ""
    default: str = ""
    """The meaning of an empty control, as a label. A choice without it cannot be empty."""
    mistake: str = ""


def _same(*values: str) -> tuple[tuple[str, str], ...]:
    return tuple((value, value) for value in values)


_CONTROLS = (
    Control("recipe", "Recipe", is_common=True),
    Control("color", "Colors", is_common=True, choices=(
        ("style", "of the style image"), ("content", "of the photo"),
        ("luminance", "of the photo, and its lightness"),
        ("match", "of the photo, spread like the style"))),
    Control("strength", "Strength", "0 to 1", (), ("0.25", "0.5", "0.75", "1"), is_common=True),
    Control("size", "Size", "pixels, long side", (), _SIZES, is_common=True),
    Control("stroke", "Stroke size", "factor", (), ("0.5", "1", "2"), is_common=True),
    Control("style_weights", "Style weights", "one per style: 2, 1"),
    Control("style_size", "Size of the styles", "50%, or 640", (), ("50%", "100%", "200%")),
    Control("content_weight", "Content weight", "factor"),
    Control("style_weight", "Style weight", "factor"),
    Control("steps", "Steps", "at the final size"),
    Control("preview", "Preview size", "of a large print", (), _SIZES),
    Control("enlarge", "Enlarge small photos", choices=_same("yes", "no")),
    Control("schedule", "Schedule", choices=_same("source", "fast")),
    Control("seed", "Seed", "of the noise"),
    Control("format", "File format", choices=_same("png", "jpg", "webp", "tiff")),
    Control("backend", "Backend"),
)  # fmt: skip


class FormError(UsageError):
    """Mistakes in a form: sentences by the names of their controls."""

    def __init__(self, sentences: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in sentences.items()))
        self.sentences = sentences


def controls(
    settings: Config,
    base: JobSettings | None,
    fields: Mapping[str, str],
    sentences: Mapping[str, str],
) -> Iterator[Control]:
    """Yield the controls, filled in by `base`, and on top of it by `fields` that were sent.

    Without a `base` they are empty, for the defaults of the daemon. `sentences` are those of a
    FormError.
    """
    by_recipe = _by_recipe(settings, settings.job if base is None else base)
    for control in _CONTROLS:
        name = control.name
        known = _known(settings, name)
        choices = _same(*known) if known else control.choices
        before = "" if base is None else _as_text(getattr(base, name))
        value = fields.get(name, before)
        is_chosen = not choices or value in dict(choices)
        default = ""
        if base is None:
            text = _as_text(getattr(settings.job, name))
            default = by_recipe.get(name, _BY_RECIPE)
            if text:
                default = f"{dict(choices).get(text, text)} (default)"
        elif _is_optional(name) or not is_chosen:
            default = by_recipe.get(name, _BY_RECIPE) if _is_optional(name) else before
        yield replace(
            control,
            choices=choices,
            value=value,
            default=default,
            mistake=sentences.get(name, ""),
        )


def _by_recipe(settings: Config, job: JobSettings) -> Mapping[str, str]:
    """Return what the recipe has for settings that a job leaves to it, as `0.75 in best`."""
    try:
        recipe = book.find(job.recipe, *settings.recipes)
    except (RecipeError, OSError):  # the form says so
        return {}
    values = {
        "strength": recipe.objective.strength,
        "size": recipe.schedule.size,
        "stroke": recipe.schedule.stroke,
        "steps": recipe.schedule.steps,
    }
    return {name: f"{_as_text(value)} in {recipe.name}" for name, value in values.items()}


def read(
    fields: Mapping[str, str], settings: Config, base: JobSettings | None, styles: int
) -> tuple[JobSettings, Mapping[str, Any]]:
    """Return the settings of a job with so many `styles`, and those that differ from `base`.

    Without a `base`, the job has the defaults of the daemon. Fields that are missing change
    nothing; with a `base`, an empty one leaves its setting to the recipe. Raises FormError.
    """
    below = settings.job if base is None else base
    asked = dict(_typed(fields, is_empty_a_value=base is not None))
    sentences = dict(_unknown_names(asked, below, settings))
    if not styles and below.only != "content":
        sentences["style"] = "choose at least one style image"
    try:
        job, changed = _merged(below, {key: asked[key] for key in asked if key not in sentences})
    except ValidationError as error:
        refused = {
            str(mistake.where[0]) if mistake.where else "settings": mistake.sentence
            for mistake in mistakes(error, JobSettings)
        }
        raise FormError(refused | sentences) from None
    sentences = dict(_conflicts(job, settings, styles)) | sentences
    if sentences:
        raise FormError(sentences)
    return job, job.model_dump(mode="json", include=changed)


def _typed(fields: Mapping[str, str], *, is_empty_a_value: bool) -> Iterator[tuple[str, Any]]:
    """Yield the settings that a form has, not checked yet."""
    for name in (control.name for control in _CONTROLS if control.name in fields):
        values = re.split(r"[\s,]+", fields[name])
        if fields[name]:
            is_list = name == "style_weights" or (name == "style_size" and len(values) > 1)
            yield name, values if is_list else fields[name]
        elif is_empty_a_value and _is_optional(name):
            yield name, None


def _unknown_names(
    asked: Mapping[str, Any], below: JobSettings, settings: Config
) -> Iterator[tuple[str, str]]:
    """Yield a sentence for each setting that should be one of some names, and is not."""
    for name in ("recipe", "backend"):
        known = _known(settings, name)
        if asked.get(name, known[0]) not in known:
            yield name, f"should be one of {', '.join(known)}"
    if "recipe" not in asked and below.recipe not in (
        settings.job.recipe, *_known(settings, "recipe")
    ):  # fmt: skip
        yield "recipe", "the recipe of this job is not known here: choose another"


def _merged(below: JobSettings, asked: Mapping[str, Any]) -> tuple[JobSettings, set[str]]:
    """Put `asked` on top of the settings `below`; return the result, and what has changed.

    A value that stays as it was does not replace the same field in `set`.
    """
    wanted = JobSettings.model_validate({**below.model_dump(), **asked})
    changed = {name for name in asked if getattr(wanted, name) != getattr(below, name)}
    merged = merge_job(below.model_dump(), {name: asked[name] for name in changed})
    return JobSettings.model_validate(merged), changed


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


def base_of(job: Job, settings: Config) -> tuple[JobSettings, str]:
    """Return the settings that a job had; the defaults, and why, where they cannot be used."""
    try:
        return retries.previous(job, settings, {}), ""
    except DaemonError as error:
        return (
            settings.job,
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


def _known(settings: Config, name: str) -> tuple[str, ...]:
    """The names that a setting can have; empty for a setting that has no names."""
    if name == "recipe":
        return tuple(book.names(*settings.recipes))
    return tuple(registry.names()) if name == "backend" else ()


def _is_optional(name: str) -> bool:
    return JobSettings.model_fields[name].default is None


def _as_text(value: Any) -> str:
    """A setting as it is typed into a control."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.12g}"
    return ", ".join(map(_as_text, value)) if isinstance(value, tuple) else str(value)
