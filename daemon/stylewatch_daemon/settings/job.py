"""The settings of one job: the `job` section of config.yaml, job.yaml, and a command's options."""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from stylewatch_daemon.files.names import FINAL, shown
from stylewatch_daemon.settings import artifacts, patterns, style_sizes
from stylewatch_daemon.settings.masks import MaskSettings
from stylewatch_daemon.settings.sweep import Sweep
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import (
    MOST_STEPS,
    Positive,
    Recipe,
    Share,
    SideLength,
    Size,
    SomeSteps,
    Steps,
    Strict,
    Weight,
)

Start = Literal["content", "style", "noise", "mixed", "picture"]
Side = Literal["content", "style"]
Color = Literal["style", "content", "luminance", "match"]
Space = Literal["linear", "srgb", "oklab"]

REMEMBERED = 256
"""Recipes as jobs want them that are not worked out again."""

_resolved: dict[tuple[object, ...], Recipe] = {}
"""By all that makes them; to work one out takes as long as thirty commits."""

DEEPEST = 16
DEEP = ("png", "tiff")
"""Formats that hold DEEPEST bits a channel."""


def _some(weights: tuple[float, ...] | None) -> tuple[float, ...] | None:
    if weights is not None and not any(weights):
        raise ValueError("one of the weights at least should be more than 0")
    return weights


def _has_no_control_characters(name: str) -> str:
    if name != shown(name):
        raise ValueError("a name has no line breaks and no control characters")
    return name


Name = Annotated[
    str, Field(min_length=1, max_length=4096), AfterValidator(_has_no_control_characters)
]
"""The name of a backend or a device; for a recipe it may be a path."""


class StageSettings(Strict):
    """What may be said of the stages of a job; the final picture is always whole."""

    size: SideLength | None = 2048
    """Pixels of the long side, at most; None: as large as the painting."""


class JobSettings(Strict):
    """What may be said of a job. What is None is left to the recipe."""

    backend: Name = "torch"
    device: Name | None = None
    recipe: Name = "best"
    schedule: Literal["source", "fast"] = "source"
    strength: Share | None = None
    size: Size | None = None
    preview: Size | None = None
    stroke: Positive | None = None
    style_size: style_sizes.Asked = None
    fit: Literal["within", "stretch"] | None = None
    enlarge: bool | None = None
    steps: Steps | None = None
    save_every: SomeSteps | None = None
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    init: Start | None = None
    noise_ratio: Share | None = None
    from_step: Annotated[int, Field(ge=0, le=100 * MOST_STEPS)] = 0
    """So many steps of the recipe the picture to start from has behind it: they are left out."""
    style_weights: Annotated[
        Annotated[tuple[Weight, ...], Field(max_length=style_sizes.MOST_STYLES)] | None,
        AfterValidator(_some),
    ] = None
    only: Side | None = None
    """One side alone: the content as its layers keep it, or a texture like the style."""
    sweep: Sweep = Field(default_factory=dict)
    """Fields of the job with several values each: it becomes a series, a job for each of them."""
    mask: MaskSettings = MaskSettings()
    format: Literal["png", "jpg", "webp", "tiff"] = "png"
    quality: Annotated[int, Field(ge=1, le=100)] = 92
    depth: Literal[8, 16] = 8
    metadata: Literal["none", "safe", "all"] = "safe"
    stages: StageSettings = StageSettings()
    color: Color = "style"
    color_space: Space = "oklab"
    name: patterns.Folder = "{name}"
    """The outbox folder: {name} the pair's own, {folder}, {content}, {style}, {recipe}, {seed}."""
    final: patterns.File = FINAL
    """The last picture in it, without its ending; places as in `name`."""
    flat: bool = False
    """The last picture is called as `name` says, and the folder lies elsewhere."""
    keep: artifacts.Keep = ()
    """What is drawn of it beside the painting: losses, progress, gif, sheet."""
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    """Among the jobs of one inbox: higher ones come first."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Single fields of the recipe, dotted: `objective.tv.weight: 0.1`."""

    @model_validator(mode="after")
    def _depth_fits(self) -> "JobSettings":
        if self.depth == DEEPEST and self.format not in DEEP:
            raise ValueError(
                f"depth: {self.depth} is for {' and '.join(DEEP)}, and format is {self.format}: "
                "say depth: 8, or another format"
            )
        return self

    @model_validator(mode="after")
    def _called_by_one(self) -> "JobSettings":
        if self.flat:
            patterns.check_ending(self.name)
        if self.flat and self.final != FINAL:
            raise ValueError(
                f"flat: a painting is called as `name` has it, and final is {self.final!r}: "
                f"leave one of them out, or say final: {FINAL}"
            )
        return self

    @model_validator(mode="after")
    def _can_be_recorded(self) -> "JobSettings":
        """Refuse what JSON or UTF-8 cannot hold: recording the job would fail."""
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
        """All of them, as JSON."""
        return self.model_dump_json()

    def resolve(self, *folders: Path) -> Recipe:
        """The recipe as this job wants it; raises RecipeError."""
        changes = self._changes()
        told = (self.recipe, self.schedule, repr(changes), book.seen(self.recipe, *folders))
        if told not in _resolved:
            recipe = book.find(self.recipe, *folders)
            if self.schedule == "fast":
                recipe = book.fast(recipe, *folders)
            if len(_resolved) >= REMEMBERED:
                _resolved.clear()
            _resolved[told] = book.change(recipe, changes)
        return _resolved[told]

    def _changes(self) -> Mapping[str, Any]:
        """The settings that are fields of a recipe, by their dotted names."""
        same = ("strength", "size", "preview", "stroke", "fit", "enlarge", "steps", "save_every",
                "noise_ratio")  # fmt: skip
        changes = {key: getattr(self, key) for key in same if getattr(self, key) is not None}
        changes |= self._of_one_side()
        if (rule := style_sizes.of_all(self.style_size)) is not None:
            changes["style_size"] = rule
        if self.init is not None:
            changes["start"] = self.init
        return {**changes, **self.set}

    def _of_one_side(self) -> Mapping[str, Any]:
        """What follows from `only`: the other side goes, and it starts from noise.

        The content's detail would come back at each size otherwise, whatever the layers keep.
        """
        if self.only is None:
            return {}
        other = "style" if self.only == "content" else "content"
        start = {"start": "noise"} if self.noise_ratio is None else {}
        return {f"objective.{other}": None, "keep_detail": 0.0, **start}


_SECTIONS = frozenset(
    name for name, field in JobSettings.model_fields.items() if isinstance(field.default, Strict)
)


def is_of_job(key: str) -> bool:
    """Whether `key`, as `strength` or `mask.feather`, is a setting of a job, not of its recipe."""
    return key in JobSettings.model_fields or key.partition(".")[0] in _SECTIONS
