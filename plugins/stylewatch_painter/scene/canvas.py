"""Canvas: the pictures of a task in the size and units of the network."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from stylewatch_painter.errors import PictureError, RecipeError
from stylewatch_painter.images.color import BRIGHTNESS, with_matched_chroma
from stylewatch_painter.images.grain import with_grain_of
from stylewatch_painter.images.ink import Ink, drawn
from stylewatch_painter.images.resize import resize
from stylewatch_painter.images.weighted import Weighted
from stylewatch_painter.losses.loss import Side
from stylewatch_painter.network.vgg19 import Mean
from stylewatch_painter.resample import finest_detail, width_height
from stylewatch_painter.scene import scales
from stylewatch_painter.scene.scales import Level
from stylewatch_painter.scene.task import Style, Task, check_masks, mean_color
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Pixels, Plane

_WHOLE = 0.5
"""Minimum `Task.style_mix` at which the styles alone determine the grain and the ink of the
output."""

_KEPT = 2
"""Maximum number of sizes in which the content is cached."""


@dataclass(frozen=True, eq=False)
class _Region:
    """A region of the output, with the parts of style pictures that it follows.

    `shares` (height, width) at the final size is the share of the region in each pixel, reduced if
    the strength is low.
    """

    parts: list[tuple[Style, Weighted]]
    shares: Plane


@dataclass(frozen=True, eq=False)
class Canvas:
    """The pictures of a task in network units: RGB x range / 255 - mean, (1, 3, height, width).

    Tensors are float32 on `device`. Pictures in and out are float32 arrays (height, width, 3), RGB,
    0..255.
    """

    task: Task
    mean: Mean
    device: torch.device
    _contents: dict[Size, Tensor] = field(init=False, default_factory=dict)

    def content(self, size: Size) -> Tensor | None:
        """Return the content (1, 3, height, width) at `size`; None if the task has none.

        The tensor is cached: do not modify it.
        """
        if self.task.content is None:
            return None
        if size not in self._contents:
            while len(self._contents) >= _KEPT:
                self._contents.pop(next(iter(self._contents)))
            self._contents[size] = self.resized(self.task.content, size)
        return self._contents[size]

    def style(self, style: Style, size: Size) -> Tensor:
        """Return a style picture (1, 3, height, width) at `size`.

        Raises PictureError if it is too small for the network.
        """
        scales.check_side(self.task.recipe, size, f"the style picture {style.name}")
        return self.resized(style.picture, size)

    def seen_at(self, level: Level) -> Task:
        """Return the task with only the styles that are large enough for `level`; see `Task.at`."""
        return self.task.at(level)

    def resized(self, pixels: Pixels, size: Size) -> Tensor:
        """Return a picture at `size` in network units, (1, 3, height, width).

        The recipe's filter resizes it.
        """
        return self.units(self._resized(pixels, size))

    def free_content(self) -> None:
        """Drop the cached content pictures; they are computed again when needed."""
        self._contents.clear()

    @property
    def range(self) -> tuple[Tensor, Tensor]:
        """The lowest and the highest color in network units, (1, 3, 1, 1) each."""
        low, high = (torch.full_like(self._mean, x * self._range) - self._mean for x in (0, 255))
        return low, high

    def start(self, size: Size) -> Tensor:
        """Return the initial picture (1, 3, height, width) at `size`.

        Raises RecipeError if the picture that it is made from is missing.
        """
        schedule = self.task.recipe.schedule
        match schedule.start:
            case "noise":
                return self._noise(size) * schedule.noise_scale
            case "mixed":
                ratio = schedule.noise_ratio
                noise = self._noise(size) * schedule.noise_scale
                return ratio * noise + (1 - ratio) * self._content_to_start_from(size)
            case "content":
                return self._content_to_start_from(size)
            case "style" | "style_color":
                return self._style_to_start_from(size)
            case "picture":
                if self.task.init is None:
                    raise RecipeError("start: picture needs a picture to start from (init)")
                return self.resized(self.task.init, size)

    def enlarged(self, u: Tensor, size: Size, share: float | None = None) -> Tensor:
        """Return u (1, 3, height, width) enlarged to `size`; u itself if it has that size.

        With a `share` of 1, the difference from the content is enlarged and added to the content at
        `size`, so that all of the content's fine detail is kept. A smaller share keeps a part of
        the detail. The default is `Task.detail_share`. If the task has a prior, the initial picture
        takes the place of the content, with a share of 1. If the painting equals the content, the
        result is the content at `size`.
        """
        small = width_height(u)
        if small == size:
            return u
        if self.task.is_photograph:  # u is a smaller copy of the content
            return self._content_to_start_from(size)
        if self.task.prior is not None:
            return self.start(size) + self._scaled_up(u - self.start(small), size)
        if share is None:
            share = self.task.detail_share(size)
        if share:
            small_content = self.content(small)
            large_content = self.content(size)
            if small_content is not None and large_content is not None:
                return share * large_content + self._scaled_up(u - share * small_content, size)
        return self._scaled_up(u, size)

    def units(self, pixels: Pixels) -> Tensor:
        """Return a picture in network units, (1, 3, height, width)."""
        return self._tensor(pixels) * self._range - self._mean

    def colors(self, u: Tensor) -> Tensor:
        """Convert u (1, 3, height, width) to colors, 0..1, of the same shape; differentiable."""
        return (u + self._mean) / (255 * self._range)

    def brightness(self, u: Tensor) -> Tensor:
        """Return the brightness (height, width), 0..1, of u (1, 3, height, width).

        The result is on the CPU, because not every device can average it in windows of unequal
        size.
        """
        weights = u.new_tensor(BRIGHTNESS)
        weighted = torch.einsum("chw,c->hw", u[0], weights)  # without a copy of all colors
        return ((weighted + self._mean.flatten() @ weights) / (255 * self._range)).cpu()

    def pixels(self, u: Tensor) -> Pixels:
        """Return u (1, 3, height, width) as a picture, neither clipped nor rounded."""
        x = ((u + self._mean) / self._range).squeeze(0)
        pixels: Pixels = x.permute(1, 2, 0).contiguous().cpu().numpy()
        return pixels

    def painting(self, u: Tensor) -> Pixels:
        """Return u as a picture at the final size, without the corrections of `finished`.

        If the painting starts from the content, a smaller u gets all of the content's fine detail.
        """
        share = 1.0 if self.task.recipe.schedule.start == "content" else None
        return self.pixels(self.enlarged(u, self.task.final, share))

    def finished(self, painting: Pixels) -> Pixels:
        """Return a `painting` at the final size with the corrections that the schedule asks for.

        With `match_chroma`, a content and styles, the content's chroma, matched to the styles,
        replaces the chroma of the painting. With `match_grain`, regions get no more grain of color
        than their styles have. With `one_ink`, regions whose styles are drawn in one ink get only
        the colors of these styles. Masks limit each style to the part that they show.
        """
        task = self.task
        schedule = task.recipe.schedule
        pixels = painting
        if schedule.match_chroma and task.content is not None and task.styles:
            content = self._resized(task.content, task.final)
            used = (style for style in task.styles if style.weight > 0)
            styles = [self._as_painted(style, style.shown()) for style in used]
            pixels = with_matched_chroma(pixels, content, styles)
        regions = self._regions() if schedule.match_grain or schedule.one_ink else []
        if schedule.match_grain:
            painted = [
                ([self._as_painted(style, part) for style, part in each.parts], each.shares)
                for each in regions
            ]
            pixels = with_grain_of(pixels, painted)
        if schedule.one_ink:
            inks = [(Ink.of([part for _, part in each.parts]), each.shares) for each in regions]
            pixels = drawn(pixels, inks)
        return pixels

    def _as_painted(self, style: Style, part: Weighted) -> Weighted:
        """Return a part of a style picture in the size in which it is painted."""
        return Weighted(self._resized(part.pixels, self.task.style_size(style)), part.weights)

    def _regions(self) -> list[_Region]:
        """Return the regions of the painting that have styles; none if `Task.style_mix` is 0.

        Regions that follow the same parts of the same styles are joined: a frame of a clip has
        separate regions for new and old pixels, which look alike.
        """
        task = self.task
        strength = np.float32(min(1.0, task.style_mix / _WHOLE))
        if strength == 0:
            return []
        regions: dict[tuple[tuple[str, bytes], ...], _Region] = {}
        masks = self._masks()
        over: Plane = np.maximum(sum(masks), np.float32(1))  # regions may overlap
        for number, weights in enumerate(task.region_style_weights().T):
            acting = zip(task.styles, weights, strict=True)
            parts = [(style, style.shown(number)) for style, weight in acting if weight > 0]
            shares: Plane = strength * masks[number] / over
            if parts and shares.any():
                key = tuple((style.name, _digest(part.weights)) for style, part in parts)
                if key in regions:
                    shares = np.minimum(regions[key].shares + shares, 1)
                regions[key] = _Region(parts, shares)
        return [*regions.values()]

    def _masks(self) -> list[Plane]:
        """Return the share (height, width) of each region in each pixel of the final size.

        Without a mask there is one region, with a share of 1 everywhere.
        """
        final = self.task.final
        return self.task.regions(final) or [np.ones(final.shape, np.float32)]

    @cached_property  # a copy from the host could not be captured in a CUDA graph
    def _mean(self) -> Tensor:
        return torch.tensor(self.mean, device=self.device).view(1, 3, 1, 1)

    @property
    def _range(self) -> float:
        return self.task.recipe.objective.network.pixel_range / 255.0

    def _content_to_start_from(self, size: Size) -> Tensor:
        content = self.content(size)
        if content is None:
            start = self.task.recipe.schedule.start
            raise RecipeError(f"start: {start} needs a content picture, and there is none")
        return content.clone()

    def _style_to_start_from(self, size: Size) -> Tensor:
        """Return the first style for `start: style`, or else the mean color of the styles.

        The content's finest detail is added to the mean color if there is a content. Raises
        RecipeError without styles.
        """
        start = self.task.recipe.schedule.start
        if not self.task.styles:
            raise RecipeError(f"start: {start} needs a style picture, and there is none")
        if start == "style":
            return self.resized(self.task.styles[0].picture, size)
        color = np.tile(mean_color(self.task.styles), (*size.shape, 1))
        flat = self.units(color)
        content = self.content(size)
        return flat if content is None else flat + finest_detail(content)

    def _resized(self, pixels: Pixels, size: Size) -> Pixels:
        schedule = self.task.recipe.schedule
        return resize(pixels, size, schedule.resample, eight_bit=schedule.eight_bit)

    def _scaled_up(self, u: Tensor, size: Size) -> Tensor:
        """Return u enlarged to `size` in floats; differences and values out of range remain.

        A bicubic filter leaves aliases of fine detail above the highest frequency of the small
        picture. The few steps of a print would amplify them to a weave of lines, so prints use
        Lanczos's filter. At the coarser scales many steps remove the aliases, and Lanczos's filter,
        which overshoots more, would leave colored specks.
        """
        planes = np.ascontiguousarray(u.squeeze(0).cpu().numpy().transpose(1, 2, 0))
        is_print = size.width > self.task.first.width
        return self._tensor(resize(planes, size, "lanczos" if is_print else "bicubic"))

    def _noise(self, size: Size) -> Tensor:
        """Return standard normal noise (1, 3, height, width), equal on every device for a seed."""
        generator = np.random.Generator(np.random.PCG64(self.task.seed))
        noise = generator.standard_normal((*size.shape, 3)).astype(np.float32)
        return self._tensor(noise)

    def _tensor(self, planes: Pixels) -> Tensor:
        """Convert planes (height, width, 3) to a tensor (1, 3, height, width); keep the values."""
        x = np.array(planes.transpose(2, 0, 1), order="C")
        return torch.from_numpy(x).to(self.device).unsqueeze(0)


def _digest(weights: Plane | None) -> bytes:
    """Return the SHA-256 of weights; empty without weights."""
    return b"" if weights is None else hashlib.sha256(weights.tobytes()).digest()


def check_pictures(task: Task) -> None:
    """Raise PictureError if `task` cannot be painted with its pictures.

    This is the case if a picture is missing that every loss needs, if a picture is too small for
    the network, if masks do not fit (see `check_masks`), if two styles have the same name, or if no
    loss uses the styles at the final size.
    """
    check_masks(task)
    for name, count in Counter(style.name for style in task.styles).items():
        if count > 1:  # the terms of a style are kept by its name
            raise PictureError(f"{count} styles have the name {name}: give each its own")
    last = task.levels()[-1]
    for style in task.styles:
        size = task.style_size(style, last.scale)
        scales.check_side(task.recipe, size, f"the style picture {style.name}")
    scales.check_side(task.recipe, task.final, "the painting")
    scales.check_side(task.recipe, task.first, "its first size, by preview and stroke,")
    if not task.final_terms.layers:
        missing: set[Side] = {"content", "style"}
        names = " and ".join(sorted(missing - task.sides))
        raise PictureError(
            f"recipe {task.recipe.name} has no loss without a {names} picture, and there is none: "
            "give one, or choose another recipe"
        )
    _check_styles_act(task)


def _check_styles_act(task: Task) -> None:
    """Raise PictureError if losses use the styles only at sizes below the final one."""
    fine = task.recipe.objective.fine
    if "style" in task.sides & fine.compared and "style" not in task.final_terms.compared:
        ends = [name for name, loss in fine.losses.items()
                if not loss.holds_at(task.final.long) and "style" in loss.compared]  # fmt: skip
        raise PictureError(
            f"recipe {task.recipe.name} compares with no style at {task.final} pixels, as "
            f"{ends[0]}.largest ends below: raise it, or ask for a smaller size"
        )
