"""Task: one painting to be made, as plain values and float32 arrays."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stylewatch_painter.algorithm import scales
from stylewatch_painter.algorithm.scales import Level, Size
from stylewatch_painter.errors import PictureError
from stylewatch_painter.recipes import recipe
from stylewatch_painter.recipes.recipe import Recipe, Schedule
from stylewatch_painter.stage import Checkpoint, Pixels, Plane, Regions

LEAST_PAIRS = 3
"""Under so many pairs of vectors L-BFGS is no better than Adam, which needs none."""
_BESIDE = 10  # vectors of the picture's size that L-BFGS works with beside its pairs

_ADAM = recipe.Adam(kind="adam", rate=2.5, beta1=0.8, epsilon=1e-20)
"""For the few steps at a final size. In large pictures the slope by one value is far below 1e-8,
Adam's usual epsilon, beside which it would hardly move."""

Settings = recipe.Adam | recipe.Sgd | recipe.Lbfgs


@dataclass(frozen=True)
class Room:
    """What a painting has room for.

    `tile`: the picture is looked at in tiles of so many pixels a side; None: in one piece.
    `history`: at the final size L-BFGS remembers so many pairs of vectors; None: as many as the
    recipe says. `keeps_content`: the maps of the content are kept, not worked out at each step.
    """

    tile: int | None = None
    history: int | None = None
    keeps_content: bool = True

    def optimizer(self, settings: Settings, larger: float = 1.0) -> Settings:
        """What there is room for in place of `settings`, where the final size is `larger`.

        It is so many times the area of this one. At smaller sizes there is room for more pairs.
        """
        if self.history is None or not isinstance(settings, recipe.Lbfgs):
            return settings
        pairs = int(((2 * self.history + _BESIDE) * larger - _BESIDE) // 2)
        if pairs >= settings.history:
            return settings
        if pairs < LEAST_PAIRS:
            return _ADAM
        return settings.model_copy(update={"history": pairs})


AMPLE = Room()
"""Room for all of it."""


@dataclass(frozen=True, eq=False)
class Style:
    """A picture whose manner is wanted.

    `picture` is float32 (height, width, 3), RGB 0..255, in its own size. `weight` is its share
    beside the other styles. `size` is the rule for the size it is looked at, where that is another
    one than the recipe's `style_size`; `scale` is its size relative to what the rule would give it.
    `mask` says where in the picture to look, for each region of the painting: of the picture's
    shape, in any size. `digest` tells picture and mask from all others, as the SHA-256 of their
    files does: where there is one, what a backend works out of them may be kept for the next task.
    `size_of_file` is (width, height) of the picture in its file, where `picture` has fewer pixels:
    sizes and shapes go by it.
    """

    picture: Pixels
    name: str = "style-1"
    weight: float = 1.0
    scale: float = 1.0
    size: str | None = None
    mask: Regions | None = None
    digest: str | None = None
    size_of_file: Size | None = None

    @property
    def own(self) -> Size:
        """(width, height) of the picture, as its file has it."""
        return self.size_of_file or size_of(self.picture)


@dataclass(frozen=True, eq=False)
class Task:
    """One painting to be made.

    `content` and `init` are float32 (height, width, 3), RGB 0..255, in their own sizes: the
    painter brings them to the size that the recipe asks for. A missing `content` leaves that
    side of the objective out, no `styles` the other. `alpha` (of the content) is float32 (height,
    width), 0..1. Where one was decoded with fewer pixels than its file has, `content_size` and
    `init_size` are those of the files: sizes and shapes go by them.

    `content_mask`, of the content's shape in any size, says where the painting is held to styles:
    region r of it to region r of each style. All masks of a task have the same R regions; a style
    without one serves every region with all of it, a painting without one is one region. Outside
    of the regions only the content holds.
    """

    recipe: Recipe
    content: Pixels | None
    styles: tuple[Style, ...]
    init: Pixels | None = None
    alpha: Plane | None = None
    content_mask: Regions | None = None
    seed: int = 0
    resume: Checkpoint | None = None
    content_size: Size | None = None
    init_size: Size | None = None

    @property
    def final(self) -> Size:
        """The size, (width, height) in pixels, that it is painted at.

        Without a content the next best picture gives the shape; a style only where the recipe's
        size leaves it open, and not how large it may be: a texture is made anew. Raises
        PictureError: there is no picture at all.
        """
        return scales.final_size(*self._shape)

    @property
    def first(self) -> Size:
        """The size, (width, height) in pixels, that styles and sums over positions are measured by.

        It is the final one, or what a print begins with (see `prints`). Raises PictureError.
        """
        return scales.first_size(*self._shape)

    def style_size(self, style: Style, level_scale: float = 1.0) -> Size:
        """The size that `style` is looked at, beside a painting `level_scale` times `first`."""
        schedule = self.recipe.schedule
        if style.size is not None:
            schedule = schedule.model_copy(update={"style_size": style.size})
        at_first = scales.style_size(schedule, style.own, self.first, style.scale)
        return scales.times(at_first, level_scale)

    def grain(self, style: Style, level_scale: float) -> float:
        """The scale at which shallow layers look at `style`, beside a painting at `level_scale`.

        It is the same, but where a print is so large that `style` would have to be enlarged.
        """
        return scales.grain(style.own, self.style_size(style), level_scale)

    def style_scale(self, style: Style) -> float:
        """How many times as large as the painting, by its sides, `style` is to be looked at.

        As the recipe and the style's own scale have it; where its size is said otherwise, or the
        painting is a texture of any size, as it comes out.
        """
        if style.size is None and (self.content is not None or self.init is not None):
            schedule = self.recipe.schedule
            return style.scale * schedule.style_scale * schedule.stroke
        return math.sqrt(math.prod(self.style_size(style)) / math.prod(self.first))

    def levels(self) -> tuple[Level, ...]:
        """The sizes on the way, the final one last."""
        styles = [self.style_size(style) for style in self.styles]
        way = scales.levels(self.recipe, self.first, styles)
        return scales.after((*way, *scales.upward(*self._shape)), self.recipe.schedule.done)

    @property
    def _shape(self) -> tuple[Schedule, Size]:
        """The schedule as it sizes this painting, and the size of the picture that shapes it."""
        schedule = self.recipe.schedule
        guides = ((self.content, self.content_size), (self.init, self.init_size))
        for guide, size in guides:
            if guide is not None:
                return schedule, size or size_of(guide)
        for style in self.styles:
            return scales.of_texture(schedule), style.own
        raise PictureError("there is neither a content nor a style picture: give at least one")


def size_of(pixels: Pixels) -> Size:
    """(width, height) of a picture (height, width, 3)."""
    return pixels.shape[1], pixels.shape[0]


def shares(task: Task) -> NDArray[np.float64]:
    """How much each region of the painting is held to each style, (styles, R).

    Over the styles that show something of a region their weights add up to one; a style that
    shows nothing of it has no share in it.
    """
    weights = [style.weight * _shown(style.mask, _count(task)) for style in task.styles]
    given = np.array(weights, dtype=np.float64).reshape(len(task.styles), _count(task))
    whole = given.sum(axis=0)
    return np.asarray(given / np.where(whole > 0, whole, 1))


def check_masks(task: Task) -> None:
    """Raise PictureError where masks have other regions, or one of the painting has no style."""
    named = [(f"the mask of {style.name}", style.mask) for style in task.styles]
    if task.content_mask is not None and not task.content_mask.any():
        raise PictureError("the mask of the content is black all over: make some of it white")
    for name, mask in named:
        if mask is not None and _regions(mask) != _count(task):
            raise PictureError(
                f"{name} has {_regions(mask)} regions and the painting {_count(task)}: "
                "give all masks of a painting the same ones"
            )
    wanted = _shown(task.content_mask, _count(task))
    lacking = np.flatnonzero(wanted & (shares(task).sum(axis=0) == 0))
    if task.styles and lacking.size:
        raise PictureError(
            f"no style shows anything for region {lacking[0] + 1} of {_count(task)}: "
            "give one a mask with that region, or no mask"
        )


def _count(task: Task) -> int:
    return 1 if task.content_mask is None else _regions(task.content_mask)


def _regions(mask: Regions) -> int:
    return int(np.atleast_3d(mask).shape[2])


def _shown(mask: Regions | None, count: int) -> NDArray[np.bool_]:
    """Which regions there is something of, (R,); without a mask, of all."""
    if mask is None:
        return np.ones(count, dtype=np.bool_)
    return np.asarray(np.atleast_3d(mask).any(axis=(0, 1)))
