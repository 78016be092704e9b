"""Canvas: the pictures of a task in the size and units of the network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stylewatch_painter.algorithm import scales
from stylewatch_painter.algorithm.lbfgs import Lbfgs
from stylewatch_painter.algorithm.optimizers import (
    Adam,
    Bounds,
    OnPyramid,
    Optimizer,
    Rmsprop,
    Sgd,
)
from stylewatch_painter.algorithm.scales import Level, Size
from stylewatch_painter.algorithm.task import (
    UNLIMITED,
    MemoryPlan,
    Settings,
    Style,
    Task,
    check_masks,
)
from stylewatch_painter.errors import PictureError, RecipeError
from stylewatch_painter.images.color import with_matched_chroma
from stylewatch_painter.images.resize import resize, resize_plane
from stylewatch_painter.network.vgg19 import Mean
from stylewatch_painter.recipes import recipe
from stylewatch_painter.stage import Pixels

_KEPT = 2
"""Number of content sizes in memory: the current and the final one."""


@dataclass(frozen=True, eq=False)
class Canvas:
    """The pictures of a task in network units: RGB x range / 255 - mean, (1, 3, height, width).

    Tensors are float32 on `device`. Pictures in and out are float32 arrays (height, width, 3), RGB,
    0..255.
    """

    task: Task
    mean: Mean
    device: torch.device
    memory_plan: MemoryPlan = UNLIMITED
    _contents: dict[Size, Tensor] = field(init=False, default_factory=dict)

    def content(self, size: Size) -> Tensor | None:
        """The content (1, 3, height, width) at `size`; cached, so it must not be modified."""
        if self.task.content is None:
            return None
        if size not in self._contents:
            while len(self._contents) >= _KEPT:
                self._contents.pop(next(iter(self._contents)))
            self._contents[size] = self.units(self._resized(self.task.content, size))
        return self._contents[size]

    def style(self, style: Style, level: Level) -> Tensor:
        """A style picture (1, 3, height, width) at `level`.

        Raises PictureError if it is too small for the network.
        """
        size = self.task.style_size(style, level.scale)
        scales.check_side(self.task.recipe, size, f"the style picture {style.name}")
        return self.units(self._resized(style.picture, size))

    def prior(self, size: Size) -> tuple[Tensor, Tensor] | None:
        """The colors (1, 3, height, width), 0..1, of the task's prior, and its trust; or None.

        The trust (1, 1, height, width) is 0..1.
        """
        prior = self.task.prior
        if prior is None:
            return None
        trust = torch.from_numpy(resize_plane(prior.trust, size))
        colors = self.colors(self.units(self._resized(prior.picture, size)))
        return colors, trust.to(self.device).view(1, 1, size[1], size[0])

    def free_content(self) -> None:
        """Free the content pictures; they are computed again if they are needed."""
        self._contents.clear()

    def new_optimizer(self, level: Level) -> Optimizer:
        """A new optimizer for pictures at `level`, with bounds if the schedule has them."""
        schedule, final = self.task.recipe.schedule, self.task.final
        larger = final[0] * final[1] / (level.size[0] * level.size[1])
        settings = self.memory_plan.optimizer(schedule.optimizer, larger)
        if isinstance(settings, recipe.Rmsprop) and level.size == final:
            rate = settings.final_rate or settings.rate
            settings = settings.model_copy(update={"rate": rate})
        if isinstance(settings, recipe.Lbfgs) and level.is_coarse:  # there it makes colored specks
            settings = settings.model_copy(update={"fourier_diagonals": False})
        low, high = (torch.full_like(self._mean, x * self._range) - self._mean for x in (0, 255))
        return optimizer(settings, (low, high) if schedule.keep_range else None)

    def start(self, size: Size) -> Tensor:
        """The initial picture (1, 3, height, width) at `size`.

        Raises RecipeError if its source is missing.
        """
        schedule = self.task.recipe.schedule
        match schedule.start:
            case "noise":
                return self._noise(size) * schedule.noise_scale
            case "mixed":
                ratio, noise = schedule.noise_ratio, self._noise(size) * schedule.noise_scale
                return ratio * noise + (1 - ratio) * self._content_to_start_from(size)
            case "content":
                return self._content_to_start_from(size)
            case "style" | "style_color":
                return self._style_to_start_from(size)
            case "picture":
                if self.task.init is None:
                    raise RecipeError("start: picture needs a picture to start from (init)")
                return self.units(self._resized(self.task.init, size))

    def enlarged(self, u: Tensor, size: Size, share: float | None = None) -> Tensor:
        """Enlarge u to `size`.

        A share of the content's own fine detail is added, by default the task's: with 1 the change
        from the content so far is enlarged and added to the content. With a prior the change from
        the start is enlarged.
        """
        small = (u.shape[-1], u.shape[-2])
        if small == size:
            return u
        if self.task.prior is not None:
            return self.start(size) + self._scaled_up(u - self.start(small), size)
        if share is None:
            share = self.task.detail_share(size)
        if share:
            here, there = self.content(small), self.content(size)
            if here is not None and there is not None:
                return share * there + self._scaled_up(u - share * here, size)
        return self._scaled_up(u, size)

    def units(self, pixels: Pixels) -> Tensor:
        """Convert a picture to network units."""
        return self._tensor(pixels) * self._range - self._mean

    def colors(self, u: Tensor) -> Tensor:
        """Convert network units to colors of 0..1; differentiable."""
        return (u + self._mean) / (255 * self._range)

    def pixels(self, u: Tensor) -> Pixels:
        """Convert network units to a picture, neither clipped nor rounded."""
        x = ((u + self._mean) / self._range).squeeze(0)
        pixels: Pixels = x.permute(1, 2, 0).contiguous().cpu().numpy()
        return pixels

    def finished(self, u: Tensor) -> Pixels:
        """The picture to show of u, at the final size.

        A smaller u gets all of the content's fine detail if the painting starts from the content.
        """
        task = self.task
        share = 1.0 if task.recipe.schedule.start == "content" else None
        pixels = self.pixels(self.enlarged(u, task.final, share))
        if not task.recipe.schedule.match_chroma or task.content is None or not task.styles:
            return pixels
        content = self._resized(task.content, task.final)
        styles = [self._resized(style.picture, task.style_size(style)) for style in task.styles]
        return with_matched_chroma(pixels, content, styles)

    @property
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
        """The first style, or the mean color of all with the finest detail of the content."""
        start = self.task.recipe.schedule.start
        if not self.task.styles:
            raise RecipeError(f"start: {start} needs a style picture, and there is none")
        if start == "style":
            return self.units(self._resized(self.task.styles[0].picture, size))
        means = [style.picture.mean((0, 1)) for style in self.task.styles]
        weights = [style.weight for style in self.task.styles]
        color = np.average(means, axis=0, weights=weights).astype(np.float32)
        flat, content = self.units(np.tile(color, (size[1], size[0], 1))), self.content(size)
        return flat if content is None else flat + finest_detail(content)

    def _resized(self, pixels: Pixels, size: Size) -> Pixels:
        schedule = self.task.recipe.schedule
        return resize(pixels, size, schedule.resample, eight_bit=schedule.eight_bit)

    def _scaled_up(self, u: Tensor, size: Size) -> Tensor:
        """Enlarge u as floats: differences and values out of range are kept.

        A bicubic filter leaves mirror images of fine detail above the small picture's highest
        frequency. The few steps of a print would amplify them into a weave of lines. The many steps
        before it do not, and there Lanczos's filter, which overshoots more, leaves colored specks.
        """
        planes = np.ascontiguousarray(u.squeeze(0).cpu().numpy().transpose(1, 2, 0))
        is_print = size[0] > self.task.first[0]
        return self._tensor(resize(planes, size, "lanczos" if is_print else "bicubic"))

    def _noise(self, size: Size) -> Tensor:
        """Standard normal noise, drawn on the CPU: the same for a seed on every device."""
        generator = np.random.Generator(np.random.PCG64(self.task.seed))
        noise = generator.standard_normal((size[1], size[0], 3)).astype(np.float32)
        return self._tensor(noise)

    def _tensor(self, planes: Pixels) -> Tensor:
        """Convert planes (height, width, 3) to (1, 3, height, width), as they are."""
        x = np.array(planes.transpose(2, 0, 1), order="C")
        return torch.from_numpy(x).to(self.device).unsqueeze(0)


def finest_detail(picture: Tensor) -> Tensor:
    """The finest level of a Laplacian pyramid (Burt and Adelson 1983) of (B, 3, height, width)."""
    size = picture.shape[-2:]
    half = [max(1, side // 2) for side in size]
    small = functional.interpolate(picture, half, mode="bilinear", align_corners=False)
    return picture - functional.interpolate(small, size, mode="bilinear", align_corners=False)


def check_pictures(task: Task) -> None:
    """Raise PictureError if pictures are missing, too small, or masks do not match."""
    check_masks(task)
    scales.check_side(task.recipe, task.final, "the painting")
    scales.check_side(task.recipe, task.first, "its first size, by preview and stroke,")
    objective = task.recipe.objective
    if task.final_terms.neighbors is not None and (task.content is None or not task.styles):
        missing = "content" if task.content is None else "style"
        raise PictureError(
            f"recipe {task.recipe.name} matches a content with a style, and there is no {missing}: "
            "give both, or choose another recipe"
        )
    if objective.transport is not None:  # which paints either side alone
        return
    if task.content is None and (objective.style is None or not objective.style.layers):
        raise PictureError(f"recipe {task.recipe.name} paints content only, and there is none")
    if not task.styles and (objective.content is None or not objective.content.layers):
        raise PictureError(f"recipe {task.recipe.name} paints style only, and there is none")


_OPTIMIZERS: Mapping[str, Callable[[Any, Bounds | None], Optimizer]] = {
    "adam": Adam,
    "sgd": Sgd,
    "rmsprop": Rmsprop,
    "lbfgs": Lbfgs,
}


def optimizer(settings: Settings, bounds: Bounds | None = None) -> Optimizer:
    """A new optimizer for the settings of a recipe; with `bounds` it clamps pictures."""
    levels = settings.pyramid if isinstance(settings, recipe.Adam | recipe.Rmsprop) else 0
    if levels:
        return OnPyramid(_OPTIMIZERS[settings.kind](settings, None), levels, bounds)
    return _OPTIMIZERS[settings.kind](settings, bounds)
