"""The settings of one job: the `job` section of config.yaml, job.yaml, and a command's options."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from stylewatch_painter import recipe_book
from stylewatch_painter.recipe import Positive, Recipe, Share, Size, Strict, StyleSize

Start = Literal["content", "style", "noise", "mixed", "picture"]


class JobSettings(Strict):
    """What may be said of a job. What is None is left to the recipe."""

    backend: str = "torch"
    device: str | None = None
    recipe: str = "best"
    schedule: Literal["source", "fast"] = "source"
    strength: Share | None = None
    size: Size | None = None
    style_size: StyleSize | None = None
    fit: Literal["within", "stretch"] | None = None
    enlarge: bool | None = None
    steps: Annotated[int, Field(ge=0)] | None = None
    save_every: PositiveInt | None = None
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    init: Start | None = None
    noise_ratio: Share | None = None
    from_step: Annotated[int, Field(ge=0)] = 0
    """So many steps of the recipe the picture to start from has behind it: they are left out."""
    style_weights: tuple[Positive, ...] | None = None
    format: Literal["png", "jpg", "webp", "tiff"] = "png"
    quality: Annotated[int, Field(ge=1, le=100)] = 92
    name: str = "{name}"
    """The outbox folder: {name} the pair's own, {folder}, {content}, {style}, {recipe}, {seed}."""
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    """Among the jobs of one inbox: higher ones come first."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Single fields of the recipe, dotted: `objective.tv.weight: 0.1`."""

    def resolve(self, *folders: Path) -> Recipe:
        """The recipe as this job wants it; raises RecipeError."""
        recipe = recipe_book.find(self.recipe, *folders)
        if self.schedule == "fast":
            recipe = recipe_book.fast(recipe, *folders)
        return recipe_book.change(recipe, self._changes())

    def _changes(self) -> Mapping[str, Any]:
        """The settings that are fields of a recipe, by their dotted names."""
        same = ("strength", "size", "style_size", "fit", "enlarge", "steps", "save_every",
                "noise_ratio")  # fmt: skip
        changes = {key: getattr(self, key) for key in same if getattr(self, key) is not None}
        if self.init is not None:
            changes["start"] = self.init
        return {**changes, **self.set}
