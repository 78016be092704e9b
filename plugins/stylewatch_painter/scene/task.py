"""Task: the pictures and settings of one painting, as plain values and float32 arrays.

This module does not need torch.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.resize import resize_plane
from stylewatch_painter.images.weighted import Weighted
from stylewatch_painter.losses.loss import Side
from stylewatch_painter.recipes import earlier
from stylewatch_painter.recipes.recipe import Recipe, Schedule, Terms
from stylewatch_painter.scene import scales
from stylewatch_painter.scene.scales import Level, PlannedScale
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Checkpoint, Pixels, Plane, Regions
from stylewatch_painter.vgg import LayerName, pools_before

_ALL_STYLE = 0.8
"""Strength from which blended targets contain nothing of the content. Above it, content weights
still decrease."""

_SHALLOW = 3
"""Minimum number of pools before a layer whose features span a whole brush stroke."""


@dataclass(frozen=True, eq=False)
class Style:
    """A style picture.

    `picture` is float32 (height, width, 3), RGB 0..255, in its own size. `weight` is relative to
    the weights of the other styles. `size` replaces the recipe's `style_size`; `scale` multiplies
    the recipe's `style_scale`. `mask` marks the part to use for each region of the painting; it has
    the picture's shape, in any size. `size_of_file` is the size of the file if `picture` was
    decoded at a smaller one; sizes and shapes are derived from it. `sha256` (hex) is the digest of
    the file, by which backends recognize a style, or empty if there is no file.
    """

    picture: Pixels
    name: str = "style-1"
    weight: float = 1.0
    scale: float = 1.0
    size: str | None = None
    mask: Regions | None = None
    size_of_file: Size | None = None
    sha256: str = ""

    @property
    def file_size(self) -> Size:
        """The size of the picture in its file."""
        return self.size_of_file or Size.of(self.picture)

    def shown(self, region: int | None = None) -> Weighted:
        """Return the picture, weighted by the part to use for `region`.

        Without a `region`, the part is the union over all regions. It is the whole picture if there
        is no mask or if the mask is empty there. Measurements of a style, such as its colors, use
        this part.
        """
        if self.mask is None:
            return Weighted(self.picture)
        regions = np.atleast_3d(self.mask)
        # not the sum: a pixel that serves several regions is in each of them
        weights = regions.max(axis=2) if region is None else regions[..., region]
        return Weighted(self.picture, weights)


@dataclass(frozen=True)
class StyleView:
    """The size at which `layers` see a style; `scale` is relative to `Task.first`."""

    size: Size
    scale: float
    layers: tuple[LayerName, ...]


@dataclass(frozen=True, eq=False)
class Prior:
    """The previous painted frames of a clip, warped along the optical flow to this frame.

    `picture` is float32 (height, width, 3), RGB 0..255. `trust` is float32 (height, width), 0..1.
    Where it is 0, nothing is known about the pixel, and `picture` has a likely color, because
    resizing mixes it into its neighbors. `unit` is the total loss by which `objective.temporal` is
    multiplied.
    """

    picture: Pixels
    trust: Plane
    unit: float


@dataclass(frozen=True, eq=False)
class Task:
    """One painting to be made.

    `content` and `init` are float32 (height, width, 3), RGB 0..255, in their own sizes; they are
    resized to the recipe's size. Without `content` there is no content loss, without `styles` no
    style loss. `content_size` and `init_size` are the sizes of the files if the pictures were
    decoded smaller; sizes and shapes are derived from them.

    `content_mask`, which has the content's shape in any size, divides the painting: region r
    follows region r of each style. All masks of a task have the same number R of regions. A style
    without a mask serves every region, and a painting without a mask is a single region. No style
    acts outside of the regions: the content loss remains, and hypercolumns follow those of the
    content. In a frame of a clip, some or all regions may be empty. `prior` adds the temporal loss.
    `is_frame` is True for every frame of a clip, also for a frame without a prior, because all
    frames of a clip have the same memory plan.
    """

    recipe: Recipe
    content: Pixels | None
    styles: tuple[Style, ...]
    init: Pixels | None = None
    content_mask: Regions | None = None
    seed: int = 0
    resume: Checkpoint | None = None
    content_size: Size | None = None
    init_size: Size | None = None
    prior: Prior | None = None
    is_frame: bool = False

    def __post_init__(self) -> None:
        used = tuple(style for style in self.styles if style.weight > 0)
        if used:  # a style without weight is as if it were absent
            object.__setattr__(self, "styles", used)

    @property
    def final(self) -> Size:
        """The size of the output.

        The content determines the shape; without it, the initial picture. Without both, the first
        style determines the shape if the recipe's size leaves it open. A style does not limit the
        size. Raises PictureError if there are no pictures.
        """
        return scales.final_size(*self._shape)

    @property
    def first(self) -> Size:
        """The reference size for styles and for sums over positions.

        It is the final size, or the size from which a painting is upscaled. Raises PictureError as
        `final` does.
        """
        return scales.first_size(*self._shape)

    def style_size(self, style: Style, level_scale: float = 1.0) -> Size:
        """Return the size of `style` for a painting at `level_scale` times `first`."""
        schedule = self.recipe.schedule
        if style.size is not None:
            schedule = schedule.model_copy(update={"style_size": style.size})
        at_first = scales.style_size(schedule, style.file_size, self.first, style.scale)
        return at_first.times(level_scale)

    def style_weight(self, style: Style) -> float:
        """Return the weight of `style` as a share of the weights of all styles, 0..1.

        If the painting has regions, the result is the largest share of the style in a region.
        """
        if self.content_mask is not None:
            return float(self.region_style_weights()[self.styles.index(style)].max())
        return style.weight / sum(other.weight for other in self.styles)

    def terms(self, level: Level) -> Terms:
        """Return the terms of the objective at `level` for which the pictures are given.

        A frame with a prior already has its strokes. Losses that only place strokes are left out
        for it, unless only they compare the frame with the styles, or only they read layers.
        """
        at_level = self.recipe.objective.at(coarse=level.is_coarse)
        terms = at_level.where(
            lambda loss: loss.is_possible(self.sides) and loss.holds_at(level.size.long)
        )
        if self.prior is not None:
            without_strokes = terms.where(lambda loss: not loss.finds_strokes)
            if "style" in without_strokes.compared or not {"style"} & terms.compared:
                return without_strokes if without_strokes.layers else terms
        return terms

    @property
    def sides(self) -> frozenset[Side]:
        """The pictures that losses can compare the output with."""
        content: set[Side] = set() if self.content is None else {"content"}
        return frozenset(content | {"style"} if self.styles else content)

    @property
    def final_terms(self) -> Terms:
        """The terms of the objective at the final size."""
        return self.terms(self.levels()[-1])

    def style_views(
        self, style: Style, level_scale: float, layers: Iterable[LayerName]
    ) -> list[StyleView]:
        """Return the sizes, at scales up to `level_scale`, at which Gram matrices see `style`.

        Shallow layers see the style at most in the size of its file, or in its size at scale 1 if
        that is larger, because an enlarged picture has no fine texture. Deep layers see it
        enlarged, because its strokes would be too small otherwise.
        """
        file_scale = style.file_size.relative_to(self.style_size(style))
        closest = min(level_scale, max(1.0, file_scale))
        layers_by_scale: dict[float, list[LayerName]] = {}
        for layer in layers:
            is_shallow = pools_before(layer) < _SHALLOW
            layers_by_scale.setdefault(closest if is_shallow else level_scale, []).append(layer)
        return [
            StyleView(self.style_size(style, scale), scale, tuple(layers_by_scale[scale]))
            for scale in layers_by_scale
        ]

    def regions(self, size: Size) -> list[Plane]:
        """Return the planes (height, width) of the painting's regions, resized to `size`.

        The list is empty if the painting has no mask.
        """
        if self.content_mask is None:
            return []
        planes = np.moveaxis(np.atleast_3d(self.content_mask), 2, 0)
        return [resize_plane(plane, size) for plane in planes]

    def region_style_weights(self) -> NDArray[np.float64]:
        """Return the weight of each style in each region of the painting, float64 (styles, R).

        A style contributes to a region if it has no mask, or if its mask is not empty for that
        region; otherwise its weight there is 0. The weights in a region add up to 1, or to 0 if no
        style contributes.
        """
        count = region_count(self.content_mask)
        weights = [style.weight * _is_used(style.mask, count) for style in self.styles]
        by_region = np.array(weights, dtype=np.float64).reshape(len(self.styles), count)
        totals = by_region.sum(axis=0)
        return np.asarray(by_region / np.where(totals > 0, totals, 1))

    def style_scale(self, style: Style) -> float:
        """Return the ratio of the sides of `style`, as losses see it, to those of the painting."""
        return self.style_size(style).relative_to(self.first)

    def scales(self) -> tuple[PlannedScale, ...]:
        """Return each scale of the recipe, with the reason if it is not painted."""
        least = min((self._least_scale(style) for style in self.styles), default=0.0)
        return scales.planned(self.recipe, self.first, least)

    def levels(self) -> tuple[Level, ...]:
        """Return the sizes, coarse to fine, the final one last.

        Sizes that the schedule's `done` steps complete are left out, and a started size has fewer
        steps. If all sizes are complete, the final one remains, with 0 steps.
        """
        coarse = scales.levels(self.recipe, self.first, self.scales())
        if self.content is None or not self.styles:  # coarse terms need both pictures
            coarse = tuple(replace(level, is_coarse=False) for level in coarse)
        return scales.remaining((*coarse, *scales.upward(*self._shape)), self.recipe.schedule.done)

    def _least_scale(self, style: Style) -> float:
        """Return the minimum scale at which no feature map of `style` is empty."""
        objective = self.recipe.objective
        shortest = scales.least_side(objective.network, objective.layers)
        return (shortest - 0.5) / self.style_size(style).short  # sides are rounded

    def at(self, level: Level) -> "Task":
        """Return the task with only the styles that are large enough for `level`; all if none is.

        Without content and initial picture the first style determines the shape. If that style is
        too small, no style is left out.
        """
        large = [style for style in self.styles if level.scale >= self._least_scale(style)]
        if len(large) in (0, len(self.styles)):
            return self
        if self.content is None and self.init is None and self.styles[0] not in large:
            return self
        return replace(self, styles=tuple(large))

    def left_out(self) -> dict[str, list[Level]]:
        """Return the levels at which a style is left out as too small, by the name of the style."""
        left: dict[str, list[Level]] = {}
        for level in self.levels():
            names = {style.name for style in self.at(level).styles}
            for style in self.styles:
                if style.name not in names:
                    left.setdefault(style.name, []).append(level)
        return left

    @property
    def is_photograph(self) -> bool:
        """True if the painting equals the content.

        It does if it starts from the content, has no prior, and `blend` has strength 0.
        """
        starts = self.recipe.schedule.start == "content" and self.prior is None
        return starts and bool(self.styles) and self.style_mix == 0

    @property
    def style_mix(self) -> float:
        """Share of the style in targets that are mixed from style and content, 0..1.

        It is 1 with `strength_by: weight`, and also without a content or without styles.
        """
        objective = self.recipe.objective
        if objective.strength_by == "weight" or self.content is None or not self.styles:
            return 1.0
        return min(1.0, objective.strength / _ALL_STYLE)

    def detail_share(self, size: Size) -> float:
        """Return the share of the content's fine detail that enlarging to `size` adds."""
        schedule = self.recipe.schedule
        share = schedule.keep_detail
        if schedule.final_detail is not None and size.width >= self.first.width:
            share = schedule.final_detail
        return 1 - self.style_mix * (1 - share)

    @property
    def styled_share(self) -> float:
        """Share of the painting that is covered by regions, 0..1; 1 without a mask."""
        if self.content_mask is None:
            return 1.0
        return float(np.atleast_3d(self.content_mask).sum(axis=2).clip(0, 1).mean())

    @property
    def content_factor(self) -> float:
        """Factor by which the strength multiplies the content weights."""
        objective = self.recipe.objective
        if objective.strength_by == "blend":
            return 2 * (1 - objective.strength)
        return 16 ** (0.5 - objective.strength)

    @property
    def _shape(self) -> tuple[Schedule, Size]:
        """The schedule, and the size of the picture that determines the painting's shape.

        For a painting from styles alone, the schedule is that `of_texture`.
        """
        schedule = self.recipe.schedule
        if self.content is not None:
            return schedule, self.content_size or Size.of(self.content)
        if self.init is not None:
            return schedule, self.init_size or Size.of(self.init)
        if self.styles:
            return scales.of_texture(schedule), self.styles[0].file_size
        raise PictureError("there is neither a content nor a style picture: give at least one")


def mean_color(styles: Sequence[Style]) -> Pixels:
    """Return the weighted mean color of `styles` as a picture (1, 1, 3), float32, 0..255.

    The mean of a style is over the part that its mask shows, or over the whole picture if there is
    no mask or the mask is empty.
    """
    means = map(_mean_color, styles)
    weights = [style.weight for style in styles]
    return np.average([*means], axis=0, weights=weights).astype(np.float32).reshape(1, 1, 3)


def _mean_color(style: Style) -> NDArray[np.float64]:
    part = style.shown()
    weights = np.ones(style.picture.shape[:2], np.float32) if part.plane is None else part.plane
    total = np.einsum("hwc,hw->c", style.picture, weights, dtype=np.float64)
    return np.asarray(total / part.total)


def check_masks(task: Task) -> None:
    """Raise PictureError if masks differ in their number of regions, or if a region has no style.

    Empty regions of the content need no style.
    """
    count = region_count(task.content_mask)
    for style in task.styles:
        if style.mask is not None and region_count(style.mask) != count:
            raise PictureError(
                f"the mask of {style.name} has {region_count(style.mask)} regions and the painting "
                f"{count}: give all masks of a painting the same ones"
            )
    has_no_style = task.region_style_weights().sum(axis=0) == 0
    missing = np.flatnonzero(_is_used(task.content_mask, count) & has_no_style)
    if task.styles and missing.size:
        nothing = "no style whose weight is above 0 shows anything"
        if task.content_mask is None:
            raise PictureError(f"{nothing}: it is wholly transparent, or its mask is empty")
        raise PictureError(
            f"{nothing} for region {missing[0] + 1} of {count}: "
            "give one a mask with that region, or no mask"
        )


def region_count(mask: Regions | None) -> int:
    """Return the number of regions of a mask; 1 without a mask."""
    return 1 if mask is None else int(np.atleast_3d(mask).shape[2])


def _is_used(mask: Regions | None, count: int) -> NDArray[np.bool_]:
    """Return flags (count,) of the regions that are not empty; all are True without a mask."""
    if mask is None:
        return np.ones(count, dtype=np.bool_)
    return np.asarray(np.atleast_3d(mask).any(axis=(0, 1)))


def fingerprint(task: Task) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Return the SHA-256 by which a checkpoint recognizes its task, uint8 (32,).

    It covers the recipe, the seed, the weights and sizes of the styles, the prior, and all pictures
    and masks as they were decoded. The sizes of the pictures' files are not included.
    """
    digest = hashlib.sha256(earlier.identity(task.recipe).encode())
    styles = ((style.weight, style.scale, style.size) for style in task.styles)
    digest.update(json.dumps([task.seed, *styles]).encode())
    digest.update(b"left out" if task.left_out() else b"")  # earlier versions had fewer sizes then
    if task.recipe.schedule.initial_steps and any(s.why_not == "styles" for s in task.scales()):
        digest.update(b"initial")  # earlier versions had other steps then
    pictures = [task.content, task.init, *(style.picture for style in task.styles)]
    masks = [task.content_mask, *(style.mask for style in task.styles)]
    if task.prior is not None:
        digest.update(str(task.prior.unit).encode())
        masks += [task.prior.picture, task.prior.trust]
    for picture in (*pictures, *masks):
        digest.update(b"none" if picture is None else str(picture.shape).encode())
        digest.update(b"" if picture is None else np.ascontiguousarray(picture).data)
    return np.frombuffer(digest.digest(), dtype=np.uint8)
