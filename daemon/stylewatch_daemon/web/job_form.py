"""The settings and styles in the forms of a new job and of "Paint again with".

The forms have settings of job.yaml, which are checked by the same model. Settings that may name a
file are left out; a recipe can be given only by its name.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError

from stylewatch_daemon.base.errors import DaemonError, InputError, SettingsError, UsageError
from stylewatch_daemon.base.model import Job
from stylewatch_daemon.client import operations, retries
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.outbox.receipt import Receipt
from stylewatch_daemon.settings import paintable
from stylewatch_daemon.settings.config import Config, for_learner, merge_job
from stylewatch_daemon.settings.job import (
    DESCRIBED,
    Described,
    JobFile,
    JobSettings,
    choices_of,
    given,
    is_share,
)
from stylewatch_daemon.settings.paintable import Files
from stylewatch_daemon.settings.style_library import caption_of, default_styles
from stylewatch_daemon.views import estimate
from stylewatch_daemon.views.formatting import as_text
from stylewatch_daemon.web.forms import Form
from stylewatch_daemon.web.http import Context
from stylewatch_daemon.web.pictures import Image
from stylewatch_painter.errors import RecipeError, RecipesAwayError
from stylewatch_painter.recipes import book
from stylewatch_painter.validation import brief, mistakes, nearest

PRINT_FACTOR = 2
"""Factor by which the print that a form suggests is larger than the picture."""

COMMON_RECIPES = ("best", "gram", "devos")
"""The recipes that the form shows first."""

NAMES = tuple(name for name, described in DESCRIBED.items() if described.label)
"""Names of the settings that have a control in the form."""

MAX_LIBRARY, MAX_SOURCE = 1_000, 300
"""Maximum numbers of library styles in a form, and of characters of a style's source."""

NO_MISTAKES: Mapping[str, str] = {}
"""The mistakes of a form that has not been sent yet."""

Style = tuple[str, Image, str]
"""A style to choose: the value of its checkbox, its preview, and its source."""


@dataclass(frozen=True)
class Control:
    """The control of the setting `name`, with its `choices`, each a value and its word.

    `empty` says what the control means while it is empty. If `is_share`, the control has a slider.
    """

    name: str
    described: Described
    choices: tuple[tuple[str, str], ...]
    empty: str
    is_share: bool


def _control(name: str) -> Control:
    described = DESCRIBED[name]
    default = JobSettings.model_fields[name].default
    empty = described.empty if default is None else f"{as_text(default)} by default"
    choices = [(value, described.words.get(value, value)) for value in choices_of(name)]
    if choices and default is None:
        choices.insert(0, ("", empty))
    return Control(name, described, tuple(choices), empty, is_share(name))


CONTROLS = tuple(map(_control, NAMES))

PLACES = (*NAMES, "name", "style", "settings")
"""Names of the places for mistakes on the page."""


class FormError(UsageError):
    """Mistakes in a form: `sentences` has a sentence by the name of each wrong control."""

    def __init__(self, sentences: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in sentences.items()))
        self.sentences = sentences

    @property
    def by_place(self) -> Mapping[str, str]:
        """The sentences by the places for them on the page.

        Those about settings without a control are in the place `settings`, with their names.
        """
        by_place = {name: text for name, text in self.sentences.items() if name in PLACES}
        others = [f"{name}: {text}" for name, text in self.sentences.items() if name not in PLACES]
        if others:
            by_place["settings"] = "; ".join([*filter(None, [by_place.get("settings")]), *others])
        return by_place


# Filling in a form


def view(
    site: Context,
    base: JobSettings,
    form: Form,
    mistakes: Mapping[str, str],
    suggested: Mapping[str, str] = NO_MISTAKES,
    job: Job | None = None,
) -> dict[str, Any]:
    """Return the values of the form of a job.

    The controls show the settings of `base`, unless the setting is in `suggested` or in `form`.
    `job` is the job that is painted again, None in the form of a new one. If the controls do not
    show `base`, the estimate of the time is None, and the browser requests it.
    """
    try:
        library = tuple(_library(site))
    except OSError:
        library = ()
    try:
        defaults = default_styles(site.settings.pairing)
    except SettingsError:  # the health page and a form without a style say why
        defaults = {}
    texts = {name: _as_text(getattr(base, name)) for name in NAMES}
    time: str | None = None
    if not (suggested or form.fields):
        parts = site.state, base, site.settings.recipes
        time = estimate.in_words(*parts) if job is None else estimate.of_job(*parts, job)
    return {
        "controls": CONTROLS,
        "texts": {**texts, **suggested, **form.fields},
        "recipes": dict(_recipes(site.settings)),
        "common": COMMON_RECIPES,
        "library": library,
        "defaults": [shown(name) for name in defaults],
        "chosen": form.values.get("library", ()),
        "mistakes": mistakes,
        "estimate": time,
    }


def _recipes(settings: Config) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield the names of the recipes, the common ones first, each with its values of some settings.

    A recipe that cannot be read has no values. While a folder of recipes is away, only those of
    packages are listed: a form is checked when it is sent.
    """
    try:
        names = book.names(*settings.recipes)
    except RecipesAwayError:
        names = book.names()
    for name in dict.fromkeys([*COMMON_RECIPES, *names]):
        defaults = {}
        with suppress(RecipeError, OSError):  # reported when a form with this recipe is sent
            recipe = book.find(name, *settings.recipes)
            defaults["strength"] = _as_text(recipe.objective.strength)
            for key in ("size", "stroke", "steps"):
                defaults[key] = _as_text(getattr(recipe.schedule, key))
        yield name, defaults


def _library(site: Context) -> Iterator[Style]:
    folder = site.settings.pairing.styles
    styles = site.styles()
    named = [name for name in styles if name == shown(name)]  # other names fit no address
    for name in named[:MAX_LIBRARY]:
        try:
            with atomic.open_regular(folder / f"{name}.txt") as file:
                source = file.read(4 * MAX_SOURCE)
        except (OSError, InputError):
            source = caption_of(name, styles[name]).encode()
        try:
            version = styles[name].stat().st_mtime_ns
        except OSError:  # the style has just been removed
            continue
        text = " ".join(source.decode(errors="replace").split())[:MAX_SOURCE]
        yield name, Image(f"/library/small/{quote(name)}?v={version}", ""), shown(text)


def base_of_new(site: Context) -> JobSettings:
    """Return the settings of a new job as they are without a form."""
    return for_learner(site.settings.job, {})


def base_of(site: Context, job: Job) -> tuple[JobFile, str]:
    """Return the settings of a job; if they cannot be used, the defaults and the reason."""
    try:
        return retries.previous(job, site.settings, {}, operations.disks_of(site.state)), ""
    except DaemonError as error:
        return (
            JobFile.model_validate(site.settings.job.model_dump()),
            f"the settings of the job cannot be used, so the form has the defaults: {error}",
        )


def print_fields(base: JobSettings, receipt: Receipt) -> dict[str, str]:
    """Return the fields of a form that makes a print, PRINT_FACTOR times as large as a picture.

    `base` has the settings of the picture, and `receipt` is its receipt.
    """
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
    """Return the value of a setting as a person types it into a control; empty for None."""
    return "" if value is None else as_text(value)


# Reading a form


def read(
    fields: Mapping[str, str],
    settings: Config,
    base: JobSettings,
    files: Files,
    others: Collection[str],
) -> tuple[JobSettings, Mapping[str, Any]]:
    """Return the settings of a job, and the settings that the form changes in `base`.

    `files` are those of the job. Missing fields change nothing; an empty field gives
    its setting the default. Raises FormError, also for a field that is neither a setting nor one of
    `others`.
    """
    changes = dict(_changes(fields, base))
    names = (*NAMES, *others)
    try:
        recipes = book.names(*settings.recipes)
    except RecipesAwayError as error:
        raise FormError({"recipe": str(error)}) from error
    unknown = sorted(fields.keys() - {*names})
    sentences = {shown(name): nearest(name, names, "field") for name in unknown}
    if changes.get("recipe", recipes[0]) not in recipes:
        sentences["recipe"] = book.unknown(changes["recipe"], recipes)
        del changes["recipe"]
    elif "recipe" not in changes and base.recipe not in (settings.job.recipe, *recipes):
        sentences["recipe"] = "the recipe of this job is not known here: choose another"
    if not files.styles and base.only != "content":
        sentences["style"] = "choose at least one style image"
    base_fields = base.model_dump(include=set(JobSettings.model_fields))
    try:
        job = JobSettings.model_validate(merge_job(base_fields, changes))
    except ValidationError as error:
        refused = {
            str(mistake.where[0]) if mistake.where else "settings": mistake.sentence
            for mistake in mistakes(error, JobSettings)
        }
        raise FormError(refused | sentences) from None
    sentences = dict(_conflicts(job, settings, files)) | sentences
    if "style" in sentences:
        sentences.pop("only", None)  # it says the same
    if sentences:
        raise FormError(sentences)
    return job, job.model_dump(mode="json", include=set(changes))


def _changes(fields: Mapping[str, str], base: JobSettings) -> Iterator[tuple[str, Any]]:
    """Yield the settings of the form that differ from `base`, without checking them.

    An empty field gives its setting the default, except `recipe`: there it stands for a recipe of
    `base` that the form does not list.
    """
    for name in (name for name in NAMES if name in fields):
        text = fields[name]
        if text == _as_text(getattr(base, name)):
            continue
        if text:
            try:
                yield name, given(name, text)
            except SettingsError:  # no YAML, and so no number either, as its check says
                yield name, text
        elif name != "recipe":
            yield name, JobSettings.model_fields[name].default


def _conflicts(job: JobSettings, settings: Config, files: Files) -> Iterator[tuple[str, str]]:
    """Yield a sentence for each setting that conflicts with the recipe or the files."""
    recipe = None
    try:
        recipe = job.resolve(*settings.recipes)
    except (RecipeError, OSError) as error:
        yield "settings", brief(str(error))
    for name, sentence in paintable.conflicts(job, recipe, files):
        yield name, sentence.removeprefix(f"{name}: ")
