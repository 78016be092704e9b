"""The settings of one job: the `job` section of config.yaml, job.yaml, and a command's options."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from stylewatch_daemon.base.errors import InputError, SettingsError
from stylewatch_daemon.files.names import FINAL, safe, safe_path, shown
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import (
    STYLE_SIZE,
    STYLE_SIZES,
    Positive,
    Recipe,
    Share,
    Size,
    SomeSteps,
    Steps,
    Strict,
    Weight,
    size_as_text,
)

Start = Literal["content", "style", "style_color", "noise", "mixed", "picture"]
Side = Literal["content", "style"]
Color = Literal["style", "content", "luminance", "match"]

_DEEP_BITS, _DEEP_FORMATS = 16, ("png", "tiff")
"""Bits per channel that only these formats hold."""

_RECIPE_FIELDS = ("strength", "size", "preview", "stroke", "enlarge", "steps", "save_every")
"""Settings that have the same name in a recipe."""


def _check_name(name: str) -> str:
    if name != shown(name):
        raise ValueError("a name has no line breaks and no control characters")
    return name


Name = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_check_name)]
"""The name of a backend or a device; for a recipe it may be a path."""

# Sizes and weights of the styles

MOST_STYLES = 1000
"""Styles of a job that gives each a size or a weight of its own."""

_STYLE_RULE = f"{STYLE_SIZE}|[1-9][0-9]{{0,3}}%"
_STYLE_RULE_SCHEMA = {
    "anyOf": [
        {"type": "string", "pattern": f"^({_STYLE_RULE})$"},
        {"type": "integer", "minimum": 1},
    ]
}


def _check_style_size(value: object) -> object:
    """Return one rule as text, or several as a tuple."""
    if value is None:
        return None
    given = list(value) if isinstance(value, list | tuple) else [value]
    if len(given) > MOST_STYLES:
        raise ValueError(f"should have at most {MOST_STYLES} sizes")
    rules = tuple(size_as_text(rule) for rule in given)
    if not rules or not all(
        isinstance(rule, str) and re.fullmatch(_STYLE_RULE, rule) for rule in rules
    ):
        raise ValueError(
            f"should be {STYLE_SIZES} or 50% (of the recipe's), or a list of these, one for each "
            "style"
        )
    return rules if isinstance(value, list | tuple) else rules[0]


StyleSize = Annotated[
    str | tuple[str, ...] | None,
    BeforeValidator(_check_style_size),
    WithJsonSchema(
        {"anyOf": [_STYLE_RULE_SCHEMA, {"type": "array", "items": _STYLE_RULE_SCHEMA},
                   {"type": "null"}]}
    ),
]  # fmt: skip
"""`640`, `0.25mp`, `area` ... or `50%` of the recipe's size; a list has one for each style."""


@dataclass(frozen=True)
class StyleScale:
    """The size of one style image: its own `rule`, or a `scale` of the recipe's."""

    rule: str | None = None
    scale: float = 1.0


def _check_weights(weights: tuple[float, ...] | None) -> tuple[float, ...] | None:
    if weights is not None and not any(weights):
        raise ValueError("at least one of the weights should be more than 0")
    return weights


# Masks

_MOST_FEATHER_PERCENT, _MOST_FEATHER_PIXELS = 50, 10_000


def _check_feather(text: str) -> str:
    number, percent, rest = text.strip().partition("%")
    most = _MOST_FEATHER_PERCENT if percent else _MOST_FEATHER_PIXELS
    if rest or not number.strip().replace(".", "", 1).isdecimal() or float(number) > most:
        raise ValueError(
            f"should be pixels of the output, 0 to {_MOST_FEATHER_PIXELS}, "
            f"or 0% to {_MOST_FEATHER_PERCENT}% of its long side"
        )
    return text


Feather = Annotated[
    str,
    Field(coerce_numbers_to_str=True),
    AfterValidator(_check_feather),
    WithJsonSchema({"type": ["string", "number"]}),
]
"""`8`: pixels of the output; `1.5%`: of its long side."""


class MaskSettings(Strict):
    """The use of masks; without masks these settings have no effect."""

    feather: Feather = "0"
    outside: Literal["free", "keep"] = "free"
    """Outside of all regions: `free` has the content loss alone, `keep` is the content image."""

    def reach(self, long_side: int) -> float:
        """Return the width of soft edges as a share of the output's `long_side` (pixels)."""
        number, percent, _ = self.feather.partition("%")
        return float(number) / (100 if percent else long_side)


# Artifacts

Artifact = Literal["losses.png", "progress.webp", "progress.gif", "sheet.png"]

ARTIFACTS: tuple[Artifact, ...] = get_args(Artifact)
ARTIFACT_WORDS: dict[str, Artifact] = {
    "losses": "losses.png",
    "progress": "progress.webp",
    "gif": "progress.gif",
    "sheet": "sheet.png",
}
"""The short name of each file."""


Artifacts = Annotated[
    tuple[
        Annotated[
            Artifact,
            BeforeValidator(lambda name: ARTIFACT_WORDS.get(str(name), name)),
            WithJsonSchema({"enum": [*ARTIFACTS, *ARTIFACT_WORDS]}),
        ],
        ...,
    ],
    AfterValidator(lambda names: tuple(dict.fromkeys(names))),
]
"""Files drawn from a job's record, each once, in the order in which they are named."""

# Names in the outbox, as `{folder}/{stem}-{style}`

NAME_FIELDS = ("name", "folder", "content", "stem", "style", "recipe", "seed")
"""Fields that a pattern can have in braces."""

LONGEST_PATH = 2000
"""Bytes of a folder's path in the outbox; systems allow about 4,000 from the root on."""

_LONGEST_PATTERN, _MOST_PARTS = 500, 16
"""Characters of a pattern, and its parts between slashes."""

_FIELD = re.compile(r"\{(\w*)\}")
_BRACE = re.compile(r"\{[^{}]*\}?|\}")

FORMATS = {".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".webp": "webp", ".tif": "tiff",
           ".tiff": "tiff", ".mp4": "mp4", ".webm": "webm", ".mkv": "mkv"}  # fmt: skip
"""The formats of pictures and clips, by the extensions of their files."""


def _check_pattern(pattern: str) -> str:
    known = [f"{{{name}}}" for name in NAME_FIELDS]
    for field in _BRACE.findall(pattern):
        if field not in known:
            raise ValueError(f"{field} is unknown; the fields are {', '.join(known)}")
    if not pattern.strip():
        raise ValueError(f"a name is required, as {known[0]}")
    if len(pattern) > _LONGEST_PATTERN or pattern.count("/") >= _MOST_PARTS:
        raise ValueError(
            f"a name has at most {_LONGEST_PATTERN} characters and {_MOST_PARTS} parts between "
            "slashes"
        )
    return pattern


def _check_file_pattern(pattern: str) -> str:
    if "/" in pattern or "\\" in pattern:
        raise ValueError(
            "this names a file in the job's folder, and no folders: `name` names those, and "
            "`finals` of an inbox links the final images side by side"
        )
    extension = PurePosixPath(pattern).suffix
    if extension.lower() in FORMATS:
        raise ValueError(f"`format` sets the extension: leave {extension} out")
    return _check_pattern(pattern)


FolderPattern = Annotated[str, AfterValidator(_check_pattern)]
"""A pattern for a folder, with `/` between its parts."""

FilePattern = Annotated[str, AfterValidator(_check_file_pattern)]
"""A pattern for a file in it, without extension."""


def name_fields(
    name: str, main: Path, styles: Sequence[Path], *, recipe: str, seed: int
) -> dict[str, str]:
    """Return the values of the NAME_FIELDS for a job called `name` with the main image `main`."""
    parent = PurePosixPath(name).parent.as_posix()
    return {
        "name": name,
        "folder": "" if parent == "." else parent,
        "content": main.stem,
        "stem": main.stem,
        "style": styles[0].stem if styles else "",
        "recipe": Path(recipe).stem,
        "seed": str(seed),
    }


def fill_folder(pattern: str, fields: Mapping[str, str]) -> str:
    """Fill in a folder's path, made safe; empty parts are dropped, and an empty path is the name.

    Raises InputError where the path is too long.
    """
    path = safe_path(_fill(pattern, fields) or fields["name"])
    if len(path.encode()) > LONGEST_PATH:
        raise InputError(
            f"its folder in the outbox would have a path of {len(path.encode())} bytes; the limit "
            f"is {LONGEST_PATH}: shorten `name`, or the names of its parent folders"
        )
    return path


def fill_file(pattern: str, fields: Mapping[str, str]) -> str:
    """Fill in a file's name without extension, made safe: `a/b` becomes `a_b`."""
    return safe(_fill(pattern, fields) or FINAL)


def _fill(pattern: str, fields: Mapping[str, str]) -> str:
    return _FIELD.sub(lambda field: fields[field[1]], pattern).strip(" /")


# The job


class ClipSettings(Strict):
    """The output of a job whose content is a clip."""

    format: Literal["mp4", "webm", "mkv"] = "mp4"
    """`mp4`: H.264, which every browser plays; `webm`: VP9; `mkv`: FFV1, lossless."""
    """Paint each frame twice: what comes into view takes over what it becomes later."""


class JobSettings(Strict):
    """Settings of a job; None leaves a setting to the recipe."""

    backend: Name = "torch"
    device: Name | None = None
    recipe: Name = "best"
    schedule: Literal["source", "fast"] = "source"
    strength: Share | None = None
    content_weight: Positive | None = None
    """Factor of the recipe's weights of the content; likewise `style_weight`."""
    style_weight: Positive | None = None
    size: Size | None = None
    preview: Size | None = None
    stroke: Positive | None = None
    style_size: StyleSize = None
    enlarge: bool | None = None
    steps: Steps | None = None
    save_every: SomeSteps | None = None
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    init: Start | None = None
    style_weights: Annotated[
        Annotated[tuple[Weight, ...], Field(max_length=MOST_STYLES)] | None,
        AfterValidator(_check_weights),
    ] = None
    only: Side | None = None
    """One side alone: the content reconstructed from its layers, or a texture of the style."""
    mask: MaskSettings = MaskSettings()
    format: Literal["png", "jpg", "webp", "tiff"] = "png"
    quality: Annotated[int, Field(ge=1, le=100)] = 92
    depth: Literal[8, 16] = 8
    metadata: Literal["none", "safe", "all"] = "safe"
    clip: ClipSettings = ClipSettings()
    color: Color = "style"
    name: FolderPattern = "{name}"
    """The outbox folder: {name} the pair's own, {folder}, {content}, {style}, {recipe}, {seed}."""
    final: FilePattern = FINAL
    """The final image in it, without extension; fields as in `name`."""
    artifacts: Artifacts = ()
    """Files drawn from the job's record: losses, progress, gif, sheet."""
    file_names: Annotated[dict[str, str], Field(max_length=MOST_STYLES)] = Field(
        default_factory=dict
    )
    """Original names of the images, by their names in the job's folder, for the page."""
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    """Order among the jobs of one inbox: higher ones come first."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Single fields of the recipe, dotted: `objective.tv.weight: 0.1`."""

    @model_validator(mode="after")
    def _check_combinations(self) -> "JobSettings":
        if self.depth == _DEEP_BITS and self.format not in _DEEP_FORMATS:
            raise ValueError(
                f"depth: {self.depth} is for {' and '.join(_DEEP_FORMATS)}, and format is "
                f"{self.format}: set depth: 8, or another format"
            )
        return self

    @model_validator(mode="after")
    def _check_storable(self) -> "JobSettings":
        """Refuse values that JSON or UTF-8 cannot hold: recording the job would fail."""
        for key, value in self.model_dump().items():
            try:
                json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
            except UnicodeEncodeError as error:
                code = ord(error.object[error.start])
                raise ValueError(f"{key}: the character U+{code:04X} cannot be stored") from None
            except (TypeError, ValueError, RecursionError):
                raise ValueError(
                    f"{key}: this cannot be stored; it takes text, finite numbers, and lists and "
                    "mappings of them"
                ) from None
        return self

    @cached_property
    def text(self) -> str:
        """All settings as JSON."""
        return self.model_dump_json()

    def resolve(self, *folders: Path) -> Recipe:
        """Return the recipe with this job's changes; raises RecipeError."""
        return _resolve(
            self.recipe,
            self.schedule,
            json.dumps(self._recipe_changes()),
            (self.content_weight, self.style_weight),
            folders,
            book.files_key(self.recipe, *folders),
        )

    def _recipe_changes(self) -> Mapping[str, Any]:
        """Return the settings that are fields of a recipe, by their dotted names."""
        fields = {name: getattr(self, name) for name in _RECIPE_FIELDS}
        changes = {name: value for name, value in fields.items() if value is not None}
        if self.only is not None:
            # From noise, and without the content's detail, which each scale would add again.
            changes[f"objective.{'style' if self.only == 'content' else 'content'}"] = None
            changes["keep_detail"] = 0.0
            if not {"noise_ratio", "schedule.noise_ratio"} & self.set.keys():
                changes["start"] = "noise"
        if (rule := self._common_style_size) is not None:
            changes["style_size"] = rule
        if self.init is not None:
            changes["start"] = self.init
        return {**changes, **self.set}

    def with_resolved(self, recipe: Recipe, file: Path) -> "JobSettings":
        """Return settings that resolve to `recipe`, which has the changes of these already.

        `file` is the recipe file that `recipe` was written to.
        """
        applied = (*_RECIPE_FIELDS, "content_weight", "style_weight", "schedule")
        update = {name: JobSettings.model_fields[name].default for name in applied}
        # `only` by itself would change the start and the detail kept
        update |= {"init": recipe.schedule.start, "recipe": str(file)}
        update["set"] = {"keep_detail": recipe.schedule.keep_detail}
        return self.model_copy(update=update)

    @property
    def _common_style_size(self) -> str | None:
        """The rule for all styles alike, which is a field of the recipe; None: there is none."""
        size = self.style_size
        rules = {size} if isinstance(size, str) else set(size or ())
        return rules.pop() if len(rules) == 1 and "%" not in "".join(rules) else None

    def style_shares(self, count: int) -> tuple[float, ...]:
        """Return the weight of each of `count` styles, 1 each where none is set.

        Raises SettingsError where there are more or fewer weights than styles.
        """
        weights = self.style_weights
        if weights is None or not count:
            return (1.0,) * count
        if len(weights) != count:
            raise SettingsError(
                f"style_weights has {len(weights)} numbers for {count} style pictures: "
                "give one for each"
            )
        return weights

    def style_scales(self, count: int) -> tuple[StyleScale, ...]:
        """Return the size of each of `count` styles, as far as it is not the recipe's.

        Raises SettingsError where there are more or fewer sizes than styles.
        """
        sizes = self.style_size
        if isinstance(sizes, tuple) and count and len(sizes) != count:
            raise SettingsError(
                f"style_size has {len(sizes)} sizes for {count} style pictures: give one for each, "
                "or one for all"
            )
        if sizes is None or self._common_style_size is not None:
            return (StyleScale(),) * count
        rules = (sizes,) * count if isinstance(sizes, str) else sizes[:count]
        return tuple(
            StyleScale(scale=float(rule[:-1]) / 100)
            if rule.endswith("%")
            else StyleScale(rule=rule)
            for rule in rules
        )


@lru_cache(maxsize=256)
def _resolve(
    name: str,
    schedule: str,
    changes: str,
    weights: tuple[float | None, float | None],
    folders: tuple[Path, ...],
    _seen: object,
) -> Recipe:
    """Resolve a recipe with `changes` (JSON); cached, as it takes as long as thirty commits.

    `_seen` differs once a recipe file has changed.
    """
    recipe = book.find(name, *folders)
    if schedule == "fast":
        recipe = book.fast(recipe, *folders)
    return book.weigh(book.change(recipe, json.loads(changes)), *weights)


def as_text(value: Any) -> str:
    """Write a value as people do: `0.5`, `yes`, `0.75,0.25`."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ",".join(map(as_text, value))
    if isinstance(value, Mapping):
        return ",".join(f"{key}:{as_text(inner)}" for key, inner in value.items())
    return str(value)
