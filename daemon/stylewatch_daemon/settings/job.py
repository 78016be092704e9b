"""The settings of one job: the `job` section of config.yaml, job.yaml, and a command's options."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    StrictBool,
    Tag,
    ValidationInfo,
    field_validator,
)

from stylewatch_daemon.base.errors import InputError, SettingsError
from stylewatch_daemon.files.names import FINAL, safe, safe_path, shown
from stylewatch_daemon.settings import yaml_lines
from stylewatch_daemon.settings.paths import from_base
from stylewatch_painter import installed
from stylewatch_painter.errors import RecipeError
from stylewatch_painter.fields import (
    STYLE_SIZE,
    STYLE_SIZES,
    Positive,
    Share,
    SizeRule,
    SomeSteps,
    Steps,
    Strict,
    Stroke,
    Weight,
    written_as,
)
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Recipe
from stylewatch_painter.validation import MisfitError
from stylewatch_plugins.learning import LEARNERS

Start = Literal["content", "style", "style_color", "noise", "mixed", "picture"]
Side = Literal["content", "style"]
Color = Literal["style", "content", "luminance", "match"]
PictureFormat = Literal["png", "jpg", "webp", "tiff"]
ClipFormat = Literal["mp4", "webm", "mkv"]

STARTS = tuple(start for start in get_args(Start) if start != "picture")
"""The values of `init` that name no picture."""

LEARNED = "learned"
"""The backend for jobs with `learn: true`."""

RECIPES = "recipes"
"""Key of the recipe folders in the validation context of a job.yaml."""

MOST_STYLES = 1000
"""Maximum number of styles of a job that sets a size or a weight for each."""

RECIPE_FIELDS = ("strength", "size", "preview", "stroke", "enlarge", "steps", "save_every")
"""Settings with the same name as a field of a recipe."""

MEASURES_ONLY = "steps: 0 only measures, and is for `stylewatch render`: ask for some"
"""Sentence about a job that has no steps to paint."""

_OF_FIELDS: Mapping[str, str] = {
    **{f"schedule.{name}": name for name in RECIPE_FIELDS},
    "schedule.style_size": "style_size",
    "schedule.start": "init",
    "objective.strength": "strength",
}
"""Settings by the field of the recipe that each of them sets."""

OF_RECIPE = (*RECIPE_FIELDS, "recipe", "schedule", "set", "only", "init", "style_size",
             "content_weight", "style_weight")  # fmt: skip
"""Settings on which the recipe of a job depends."""


def _check_name(name: str) -> str:
    if name != shown(name):
        raise ValueError("a name has no line breaks and no control characters")
    return name


Name = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_check_name)]
"""Name of a backend, a device or a recipe; for a recipe it may also be the path of a file."""


def setting_of(field: str) -> str:
    """Return the setting that sets the `field` of the recipe, named as in `set`; "" if none does.

    The result for `schedule.start`, and for `start`, is `init`.
    """
    return _OF_FIELDS.get(book.full_name(field), "")


def with_own_names(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain settings in which no field in `set` could be a setting of its own.

    So every reader finds it under one name. These stay in `set`: null, which removes something from
    the recipe, while a setting that is null leaves the recipe as it is; and a field that is there
    under another name, too, so that the check of `set` finds both.
    """
    fields = plain.get("set")
    if not isinstance(fields, Mapping):  # nothing, or a mistake
        return dict(plain)
    left = dict(book.dotted(fields))
    named = [setting_of(field) for field in left]
    moved = {
        field: name
        for field, name in zip(left, named, strict=True)
        if name and left[field] is not None and plain.get(name) is None and named.count(name) == 1
    }
    own = {name: left.pop(field) for field, name in moved.items()}
    return {**plain, **own, "set": left}


def of_record(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings in a ledger or a receipt by their own names; see `with_own_names`.

    Earlier versions also recorded fields in `set` that were settings, or in `set` twice: `set` took
    precedence, and in it the last.
    """
    fields = plain.get("set")
    if not isinstance(fields, Mapping):  # a mistake
        return dict(plain)
    values = dict(book.dotted(fields))
    last = {book.full_name(name): name for name in values}
    named = {setting_of(name) for name in values}
    kept = {key: value for key, value in plain.items() if key not in named}
    return with_own_names({**kept, "set": {name: values[name] for name in last.values()}})


def not_for_clips(clip: str, **settings: object) -> str:
    """Return a sentence if one of `settings`, which are not for clips, is set; otherwise "".

    `clip` is the name of the clip's file.
    """
    for name, value in settings.items():
        if value:
            return f"{name} is for pictures, and {clip} is a clip"
    return ""


def is_file(recipe: str) -> bool:
    """Return whether `recipe` is the path of a file, not a name."""
    return recipe.endswith((".yaml", ".yml"))


def _recipe_from_base(recipe: str, info: ValidationInfo) -> str:
    return str(from_base(Path(recipe), info)) if is_file(recipe) else recipe


# The picture

_PIXELS = r"[0-9]{1,4}(\.[0-9]+)?|\.[0-9]+|10000"
_WIDEST_REACH = 0.5
_PERCENT = r"([0-4]?[0-9](\.[0-9]+)?|\.[0-9]+|50) ?%"
Feather = Annotated[
    str,
    *written_as(
        f"{_PIXELS}|{_PERCENT}",
        "pixels of the output, 0 to 10000, or 0% to 50% of its long side",
    ),
]
"""Width of soft edges: `8` is in pixels of the output, `1.5%` is of its long side."""


class Section(Strict):
    """Base class of the settings of a job and of the sections of config.yaml."""

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_booleans(cls, value: object, info: ValidationInfo) -> object:
        """Refuse a boolean for a number, because YAML reads a plain `no` as False, which is 0."""
        if isinstance(value, bool) and info.field_name is not None:
            types = {*_types(cls.model_fields[info.field_name].annotation)}
            if bool not in types and types & {int, float}:
                raise ValueError("should be a number")
        if isinstance(value, Mapping) and any(isinstance(one, bool) for one in value.values()):
            types = {*_types(cls.model_fields[info.field_name or ""].annotation)}
            if float in types:
                raise ValueError("should have a number for each name")
        return value


def _types(annotation: object) -> Iterator[type]:
    """Yield the types in an annotation."""
    if isinstance(annotation, type):
        yield annotation
    for part in get_args(annotation):
        yield from _types(part)


class MaskSettings(Section):
    """Settings of masks; they have no effect without masks."""

    feather: Feather = "0"
    outside: Literal["free", "keep"] = "free"

    def reach(self, long_side: int) -> float:
        """Return the width of soft edges as a share of the output's `long_side` (pixels).

        Raises SettingsError if it is more than half of that side, as no percentage can be.
        """
        number, percent, _ = self.feather.partition("%")
        reach = float(number) / (100 if percent else long_side)
        if reach > _WIDEST_REACH:
            raise SettingsError(
                f"mask.feather: {number} pixels are more than half of the output's long side, "
                f"which has {long_side}: ask for fewer, or for at most 50%"
            )
        return reach


# The styles


@dataclass(frozen=True)
class StyleScale:
    """Size of one style image: its own `rule` or, if that is None, `scale` times the recipe's."""

    rule: str | None = None
    scale: float = 1.0


def _one_for_each(values: object) -> object:
    """Return a list for values in a text, such as `1, 2`, or a number; other values as they are."""
    if isinstance(values, str):
        return re.split(r"\s*,\s*|\s+", values.strip())
    return [values] if isinstance(values, int | float) else values


def _several_sizes(size: object) -> object:
    """Return a list of sizes that are written as text, such as `640, 50%`; one size as it is."""
    sizes = _one_for_each(size) if isinstance(size, str) else size
    return size if isinstance(sizes, list) and len(sizes) == 1 else sizes


_StyleRule = Annotated[
    str,
    *written_as(f"{STYLE_SIZE}|[1-9][0-9]{{0,3}}%", f"{STYLE_SIZES} or 50% (of the recipe's)"),
]
_StyleRules = Annotated[tuple[_StyleRule, ...], Field(min_length=1, max_length=MOST_STYLES)]
_StyleSize = Annotated[
    Annotated[_StyleRule, Tag("one")] | Annotated[_StyleRules, Tag("several")],
    Discriminator(lambda size: "several" if isinstance(size, list | tuple) else "one"),
    BeforeValidator(_several_sizes),
]
"""Size of the styles: `640`, `0.25mp`, `area` and so on, or `50%` of the recipe's; a list has one
for each."""


def _check_weights(weights: tuple[float, ...]) -> tuple[float, ...]:
    if not any(weights):
        raise ValueError("at least one of the weights should be more than 0")
    return weights


def _check_one_each(name: str, values: tuple[object, ...], what: str, count: int) -> None:
    if len(values) != count:
        raise SettingsError(
            f"{name} has {len(values)} {what} for {count} style pictures: give one for each"
        )


# The output

CLIP_FORMATS: tuple[str, ...] = get_args(ClipFormat)
FORMATS = {
    **{f".{name}": name for name in (*get_args(PictureFormat), *CLIP_FORMATS)},
    ".jpeg": "jpg",
    ".tif": "tiff",
}
"""Formats of pictures and clips by file extension."""

_DEEP_BITS, _DEEP_FORMATS = 16, ("png", "tiff")
"""Number of bits per channel that only these formats support."""

ARTIFACTS = ("losses.svg", "progress.webp", "progress.gif", "sheet.png")
ARTIFACT_WORDS = dict(zip(("losses", "progress", "gif", "sheet"), ARTIFACTS, strict=True))
"""Artifact files by their short names."""

_EARLIER = {"losses.png": "losses.svg"}
"""Current names of artifact files, by their names in earlier versions. Receipts and ledgers may
still have the earlier names."""

_Artifact = Literal["losses", "progress", "gif", "sheet",
                    "losses.svg", "progress.webp", "progress.gif", "sheet.png",
                    "losses.png"]  # fmt: skip
Artifacts = Annotated[
    tuple[_Artifact, ...],
    AfterValidator(
        lambda names: tuple(dict.fromkeys((ARTIFACT_WORDS | _EARLIER).get(n, n) for n in names))
    ),
]
"""Files drawn from a job's record, each once, in the order in which they are named."""

# Names in the outbox, such as `{folder}/{content}-{style}`

NAME_FIELDS = ("name", "folder", "content", "style", "recipe", "seed")
"""Fields that a pattern can contain in braces."""

LONGEST_PATH = 2000
"""Maximum bytes of a folder's path in the outbox; systems allow about 4,000 from the root."""

_LONGEST_PATTERN, _MOST_PARTS = 500, 16
"""Maximum number of characters of a pattern, and of its parts between slashes."""

_FIELD = re.compile(r"\{(\w*)\}")
_BRACE = re.compile(r"\{[^{}]*\}?|\}")


def _check_pattern(pattern: str) -> str:
    known = [f"{{{name}}}" for name in NAME_FIELDS]
    for name in _BRACE.findall(pattern):
        if name not in known:
            raise ValueError(f"{name} is unknown; the fields are {', '.join(known)}")
    if not pattern.strip():
        raise ValueError(f"a name is required, such as {known[0]}")
    if len(pattern) > _LONGEST_PATTERN or pattern.count("/") >= _MOST_PARTS:
        raise ValueError(
            f"a name has at most {_LONGEST_PATTERN} characters and {_MOST_PARTS} parts between "
            "slashes"
        )
    return pattern


def _check_file_pattern(pattern: str) -> str:
    if "/" in pattern or "\\" in pattern:
        raise ValueError(
            "this names a file in the job's folder, not a folder: `name` names folders, and "
            "`finals` of an inbox links the final images side by side"
        )
    extension = PurePosixPath(pattern).suffix
    if extension.lower() in FORMATS:
        raise ValueError(f"`format` sets the extension: leave {extension} out")
    return _check_pattern(pattern)


def name_fields(
    name: str, main: Path, styles: Sequence[Path], *, recipe: str, seed: int
) -> dict[str, str]:
    """Return the values of the NAME_FIELDS for a job called `name` with the main image `main`."""
    parent = PurePosixPath(name).parent.as_posix()
    return {
        "name": name,
        "folder": "" if parent == "." else parent,
        "content": main.stem,
        "style": styles[0].stem if styles else "",
        "recipe": Path(recipe).stem,
        "seed": str(seed),
    }


def fill_folder(pattern: str, fields: Mapping[str, str]) -> str:
    """Return `pattern` with the values of `fields`, as a safe path relative to the outbox.

    Empty parts are dropped; if nothing is left, the job's name is used. Raises InputError if the
    path is longer than LONGEST_PATH bytes.
    """
    path = safe_path(_fill(pattern, fields) or fields["name"])
    if len(path.encode()) > LONGEST_PATH:
        raise InputError(
            f"its folder in the outbox would have a path of {len(path.encode())} bytes; the limit "
            f"is {LONGEST_PATH}: shorten `name`, or the names of its parent folders"
        )
    return path


def fill_file(pattern: str, fields: Mapping[str, str]) -> str:
    """Return a file name without extension for `pattern` and `fields`, made safe.

    For example, `a/b` becomes `a_b`. An empty name becomes FINAL.
    """
    return safe(_fill(pattern, fields) or FINAL)


def _fill(pattern: str, fields: Mapping[str, str]) -> str:
    return _FIELD.sub(lambda field: fields[field[1]], pattern).strip(" /")


class ClipSettings(Section):
    """Settings of the output of a job whose content is a clip."""

    format: ClipFormat = "mp4"


# The job


class JobSettings(Section):
    """Settings of a job, as in job.yaml; DESCRIBED has a row for each by its dotted name.

    None stands for the recipe's value, for equal `style_weights`, and for the backend's best
    `device`; without `only`, both sides act.
    """

    # The picture
    size: SizeRule | None = None
    strength: Share | None = None
    stroke: Stroke | None = None
    color: Color = "style"
    mask: MaskSettings = MaskSettings()
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    enlarge: bool | None = None
    preview: SizeRule | None = None
    content_weight: Positive | None = None
    only: Side | None = None
    init: Start | None = None
    steps: Steps | None = None

    # The styles
    style_weight: Positive | None = None
    style_weights: (
        Annotated[
            tuple[Weight, ...],
            BeforeValidator(_one_for_each),
            Field(max_length=MOST_STYLES),
            AfterValidator(_check_weights),
        ]
        | None
    ) = None
    style_size: _StyleSize | None = None

    # The output
    format: PictureFormat = "png"
    quality: Annotated[int, Field(ge=1, le=100)] = 92
    depth: Literal[8, 16] = 8
    metadata: Literal["none", "safe", "all"] = "safe"
    clip: ClipSettings = ClipSettings()
    name: Annotated[str, AfterValidator(_check_pattern)] = "{name}"
    final: Annotated[str, AfterValidator(_check_file_pattern)] = FINAL
    artifacts: Artifacts = ()
    save_every: SomeSteps | None = None

    # How it is painted
    recipe: Annotated[Name, AfterValidator(_recipe_from_base)] = "best"
    schedule: Literal["source", "fast"] = "source"
    set: dict[str, Any] = Field(default={})
    backend: Name = "torch"
    device: Name | None = None
    learn: StrictBool = False
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0

    @field_validator("depth")
    @classmethod
    def _check_depth(cls, depth: int, info: ValidationInfo) -> int:
        picture = info.data.get("format")
        if depth == _DEEP_BITS and picture not in (None, *_DEEP_FORMATS):
            raise MisfitError(
                f"{depth} is for {' and '.join(_DEEP_FORMATS)}, and format is {picture}: "
                "set depth: 8, or another format",
                "format",
            )
        return depth

    @field_validator("recipe", "set", "backend", "device", "name", "final")
    @classmethod
    def _check_storable(cls, value: object) -> object:
        """Refuse values that JSON or UTF-8 cannot represent, which the ledger could not store."""
        try:
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError):
            raise ValueError(
                "this cannot be stored; it takes text in Unicode, finite numbers, and lists and "
                "mappings of them"
            ) from None
        return value

    @field_validator("set")
    @classmethod
    def _flatten(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Give fields of a recipe their dotted names, so that later settings can replace them."""
        return dict(book.dotted(fields))

    @field_validator("set")
    @classmethod
    def _refuse_second_names(cls, fields: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """Refuse a field under two names, because nobody can see which value counts."""
        first: dict[str, str] = {}
        for name in fields:
            setting = setting_of(name)
            if setting and info.data.get(setting) is not None:
                raise MisfitError(
                    f"{name} in `set` is the setting {setting}, which is given, too: leave one of "
                    "them out",
                    setting,
                )
            other = first.setdefault(book.full_name(name), name)
            if other != name:
                raise MisfitError(f"{name} is the same as {other}: leave one of them out", "set")
        return fields

    @cached_property
    def text(self) -> str:
        """All settings as JSON."""
        return self.model_dump_json()

    def needs(self, styles: Iterable[str]) -> str:
        """Return as JSON what a job needs to run; jobs with equal needs are blocked together.

        The needs are the backend, the device, the recipe and `set`. If the backend learns styles,
        they include `styles`, the digests of the job's styles.
        """
        needs: list[object] = [self.backend, self.device, self.recipe, self.set]
        is_learner = any(entry.name == self.backend for entry in installed.entries(LEARNERS))
        return json.dumps([*needs, *styles] if is_learner else needs)

    @property
    def common_style_size(self) -> str | None:
        """Size rule that all styles share, which sets a field of the recipe.

        None if no size is set, if the sizes differ, or if they are percentages.
        """
        size = self.style_size
        rules = {size} if isinstance(size, str) else set(size or ())
        return rules.pop() if len(rules) == 1 and "%" not in "".join(rules) else None

    def style_shares(self, count: int) -> tuple[float, ...]:
        """Return the weight of each of `count` styles, 1 each if none is set.

        Raises SettingsError if the number of weights differs from the number of styles.
        """
        if self.style_weights is None or not count:
            return (1.0,) * count
        _check_one_each("style_weights", self.style_weights, "numbers", count)
        return self.style_weights

    def style_scales(self, count: int) -> tuple[StyleScale, ...]:
        """Return the size of each of `count` styles; a default `StyleScale` has the recipe's size.

        Raises SettingsError if the number of sizes differs from the number of styles.
        """
        sizes = self.style_size
        if isinstance(sizes, tuple) and count:
            _check_one_each("style_size", sizes, "sizes", count)
        if sizes is None or self.common_style_size is not None:
            return (StyleScale(),) * count
        rules = (sizes,) * count if isinstance(sizes, str) else sizes[:count]
        return tuple(
            StyleScale(scale=float(rule[:-1]) / 100)
            if rule.endswith("%")
            else StyleScale(rule=rule)
            for rule in rules
        )

    def resolve(self, *folders: Path) -> Recipe:
        """Return the recipe, found in `folders` or a package, with the changes of these settings.

        Raises RecipeError if there is none or a change is invalid, and RecipesAwayError if recipes
        cannot be read now.
        """
        recipe = book.find(self.recipe, *folders)
        if self.schedule == "fast":
            recipe = book.fast(recipe, *folders)
        changed = book.change(recipe, self._recipe_changes())
        return book.weigh(changed, self.content_weight, self.style_weight)

    def with_whole_recipe(self, recipe: Recipe, file: Path) -> "JobSettings":
        """Return these settings with `recipe`, which already contains their changes, as the recipe.

        `file` is the YAML file that contains `recipe`. On the result, `resolve` returns `recipe`
        unchanged, because the settings that would change it again are reset. `only` stays, because
        it says which pictures the job has; it would also change the start and `keep_detail`, so the
        result sets both to the values in `recipe`.
        """
        schedule = recipe.schedule
        changes = {name: JobSettings.model_fields[name].default for name in OF_RECIPE}
        as_it_is: dict[str, Any] = {
            **changes,
            "recipe": str(file),
            "only": self.only,
            "init": schedule.start,
            "set": {"keep_detail": schedule.keep_detail},
            # without a size, a remark would say that none was asked for
            "size": self.size and schedule.size,
            # sizes for each style do not change the recipe, and a common one is in it already
            "style_size": self.style_size,
        }
        return self.model_copy(update=as_it_is)

    def _recipe_changes(self) -> Mapping[str, Any]:
        """Return the values that these settings give to fields of the recipe, by dotted names."""
        fields = {name: getattr(self, name) for name in RECIPE_FIELDS}
        changes = {name: value for name, value in fields.items() if value is not None}
        if self.only is not None:
            # Start from noise, and without the content's detail, which each scale would add again.
            changes[f"objective.{'style' if self.only == 'content' else 'content'}"] = None
            changes["keep_detail"] = 0.0
            if "noise_ratio" not in map(book.bare_name, self.set):
                changes["start"] = "noise"
        rule = self.common_style_size
        if rule is not None:
            changes["style_size"] = rule
        if self.init is not None:
            changes["start"] = self.init
        return {**changes, **self.set}


class JobFile(JobSettings):
    """The settings in a job.yaml, and the pictures' original names, from `submit` or the page."""

    file_names: Annotated[dict[str, str], Field(max_length=MOST_STYLES)] = Field(default={})

    @field_validator("recipe")
    @classmethod
    def _check_recipe(cls, recipe: str, info: ValidationInfo) -> str:
        """Refuse a recipe that is a file, that is invalid, or that cannot be found.

        The name is looked up in the recipe folders of the validation context, then in packages.
        Without these folders in the context, every recipe is accepted. Raises RecipesAwayError if
        recipes cannot be read now.
        """
        folders = (info.context or {}).get(RECIPES)
        if folders is None:  # checked with config.yaml, which may name a file
            return recipe
        if "/" in recipe or is_file(recipe):
            # Otherwise people who drop files could read any file of the daemon, error by error.
            raise ValueError(
                "a job must name a recipe, not a file; put the file into one of the folders under "
                "`recipes` in config.yaml"
            )
        try:
            book.find(recipe, *folders)
        except RecipeError as error:
            raise ValueError(str(error)) from error
        return recipe


# What people read about the settings


@dataclass(frozen=True)
class Described:
    """Texts about a setting for `--help`, the form, the API and the docs (law 26)."""

    text: str
    """A phrase in Markdown, with links from the folder docs."""
    option: str | None = None
    """Placeholder of the value on a command line; empty for choices and flags; None: no option."""
    label: str = ""
    """Label of the control in the form of the page; empty: the form does not have it."""
    is_common: bool = False
    """True if `--help` and the form list it among the first."""
    words: Mapping[str, str] = field(default_factory=dict)
    """The choices in the words of the form, if these differ."""
    empty: str = "by the recipe"
    """Placeholder of an empty control in the form, for a setting whose default is null."""
    is_timeless: bool = False
    """True if the time of a job hardly depends on it: estimates of time do not compare it."""
    spares_frames: bool = False
    """True if no frame of a clip depends on it: after a change, the clip continues where it was."""

    @property
    def sentence(self) -> str:
        """The text as a sentence without links."""
        plain = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", self.text)
        return f"{plain[0].upper()}{plain[1:]}."


DESCRIBED: Mapping[str, Described] = {
    "recipe": Described(
        "how to paint: a name that `stylewatch recipes` lists; for `render`, `try` and in"
        " `config.yaml` also a path that ends in `.yaml`",
        "NAME", "Recipe", is_common=True),
    "size": Described(
        "pixels: `640` the long side, `512-short` the short side, `640x480` a box, `x400` rows,"
        " `400x` columns; `0.25mp` an area",
        "SIZE", "Size (pixels)", is_common=True),
    "stroke": Described(
        "[size of the strokes](large-pictures.md#the-size-of-strokes), 0.0625 to 16; 2 is twice the"
        " usual size", "X", "Stroke size (factor)", is_common=True),
    "strength": Described(
        "[how strongly](painting.md#strength) the style acts, 0 to 1",
        "X", "Strength (0 to 1)", is_common=True, is_timeless=True),
    "color": Described(
        "[which colors](painting.md#color) the output has: `style`, `content`, `luminance`,"
        " `match`",
        "", "Colors", is_common=True,
        words={"style": "of the style image", "content": "of the photograph",
               "luminance": "of the photograph, and its lightness",
               "match": "a palette of the photograph"}, is_timeless=True),
    "style_weights": Described(
        "a number for each style image, such as `[2, 1]`; `null`: all equal",
        None, "Style weights (one per style: 2, 1)", empty="all equal", is_timeless=True),
    "style_size": Described(
        "the [size of the styles](painting.md#size-of-a-style), or a list with an entry for each",
        None, "Size of the styles (50%, or 640)"),
    "steps": Described(
        "steps at the final size; with `render`, 0 only measures the losses",
        "N", "Steps (at the final size)"),
    "save_every": Described("steps between two stages", "N", is_timeless=True),
    "enlarge": Described(
        "whether pictures smaller than the size are enlarged", "", "Enlarge small photographs"),
    "preview": Described(
        "a size: the output is first made at this size, and"
        " [scaled up from there](large-pictures.md#prints)", "SIZE", "Preview size (of a print)"),
    "seed": Described(
        "seed of the noise; the same seed gives the same output", "N", "Seed (of the noise)",
        is_timeless=True),
    "init": Described(
        "the starting picture: `content`, `style`, `style_color`, `noise`, `mixed`, or a picture:"
        " its file on a command line, `picture` for one that was dropped", "START"),
    "only": Described("[one side alone](painting.md#one-side-alone): `content` or `style`", ""),
    "content_weight": Described(
        "factor of the recipe's weights of the [content](painting.md#strength)", "X",
        is_timeless=True),
    "style_weight": Described(
        "factor of the recipe's weights of the [style](painting.md#strength)", "X",
        is_timeless=True),
    "mask.feather": Described(
        "width of [soft edges](regions.md#soft-edges-and-the-area-outside): pixels of the output,"
        " or `3%` of its long side", is_timeless=True),
    "mask.outside": Described(
        "outside of all regions: `free` has the content loss alone, `keep` is the photograph"
        " itself", is_timeless=True),
    "schedule": Described(
        "`source`: the schedule of the recipe's source; `fast`: our own fast one", ""),
    "backend": Described("the backend: a name that `stylewatch doctor` lists", "NAME"),
    "device": Described(
        "the device: a name that `stylewatch doctor` lists; by default the backend's best",
        "NAME", spares_frames=True),
    "learn": Described(
        "whether [`learned`](backends.md#in-an-album) paints it, and first learns its style from "
        "the photographs that wait"),
    "format": Described(
        "of stages and final picture: `png`, `jpg`, `webp`, `tiff`", None, "File format",
        is_timeless=True, spares_frames=True),
    "quality": Described("1 to 100, of `jpg`, `webp` and clips",
        is_timeless=True, spares_frames=True),
    "depth": Described("[bits per channel](pictures.md#output): 8, or 16 in `png` and `tiff`",
        is_timeless=True, spares_frames=True),
    "metadata": Described(
        "the photograph's [metadata](pictures.md#metadata) to copy: `none`, `safe`, `all`",
        is_timeless=True, spares_frames=True),
    "clip.format": Described(
        "of a painted [clip](clips.md): `mp4` (H.264), `webm` (VP9), or the lossless `mkv` (FFV1)",
        is_timeless=True),
    "artifacts": Described(
        "[files](files.md#artifacts) to draw into the job's folder: `losses`, `progress`, `gif`,"
        " `sheet`", is_timeless=True, spares_frames=True),
    "name": Described(
        "the job's folder in the outbox, with"
        " [placeholders](folders.md#names-of-jobs-and-outputs)",
        is_timeless=True, spares_frames=True),
    "final": Described("the name of the final picture, without the extension",
        is_timeless=True, spares_frames=True),
    "file_names": Described(
        "in a `job.yaml` only: the original names of the pictures, such as `{content.jpg:"
        " sea.jpg}`, which `submit` and the [page](web.md) write, and the page shows"),
    "priority": Described(
        "-1000 to 1000; within an inbox the highest runs first, and equal priorities run in the"
        " order of arrival", is_timeless=True, spares_frames=True),
    "set": Described(
        "single [fields of the recipe](recipe-reference.md#your-own), by their dotted names; a"
        " field that is a setting, too, such as `steps`, is given once, under either name"),
}  # fmt: skip
"""The settings by their dotted names, in the order in which people read them."""


def fields_with(flag: Literal["is_timeless", "spares_frames"]) -> set[str]:
    """Return the fields of JobSettings that have `flag` in DESCRIBED, or whose parts have it."""
    return {name.partition(".")[0] for name, row in DESCRIBED.items() if getattr(row, flag)}


_SIZES = ("size", "preview", "style_size")
"""Settings that take text, or a number of pixels in any form of YAML."""


def choices_of(name: str) -> tuple[str, ...]:
    """Return the words that the setting `name` takes; empty if it takes other values."""
    annotation = JobSettings.model_fields[name].annotation
    is_union = get_origin(annotation) in (Union, UnionType)
    words: list[str] = []
    for part in get_args(annotation) if is_union else (annotation,):
        if part is bool:
            words += ["yes", "no"]
        elif get_origin(part) is Literal:
            words += map(str, get_args(part))
        elif part is not NoneType:
            return ()
    return tuple(words)


def is_share(name: str) -> bool:
    """Return whether the setting `name` takes a share, a number from 0 to 1."""
    annotation = JobSettings.model_fields[name].annotation
    return Share in (annotation, *get_args(annotation))


def given(name: str, text: str) -> Any:
    """Return the value of a text for the setting `name`: the text itself, or parsed as YAML.

    Text for a setting with numbers or a boolean is YAML; raises SettingsError if it is not valid.
    Text for a size becomes an integer if it is one in YAML.
    """
    types = {*_types(JobSettings.model_fields[name].annotation)}
    if types & {int, float, bool}:
        return yaml_lines.value(text)
    if name in _SIZES:
        try:
            number = yaml_lines.value(text)
        except SettingsError:
            return text
        return number if isinstance(number, int) else text
    return text
