"""Guides: where a painting is held to which region of its styles, and how much each counts."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from stylewatch_painter.algorithm.regions import planes, shares
from stylewatch_painter.algorithm.scales import Size
from stylewatch_painter.algorithm.statistics import Sums
from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.algorithm.tiled_network import View, Weights, as_whole
from stylewatch_painter.recipes.recipe import LayerName


@dataclass(frozen=True, eq=False)
class Guides:
    """The regions of a painting; without any all of it is held to all of each style.

    `weights` are those of its mask at one size. `parts` (S, R): what the terms of each of S styles
    count in each region, beside the style's own weight: the region's part of the picture, so that
    each pixel is pulled as much as if there were no regions.
    """

    weights: Weights = field(default_factory=dict)
    parts: Tensor | None = None

    @classmethod
    def of(cls, task: Task, view: View, size: Size, styles: int) -> "Guides":
        """The guides of `task` painted at `size`, which is held to so many `styles`."""
        if task.content_mask is None:
            return cls()
        area = planes(task.content_mask).mean((1, 2))
        each = torch.ones(styles, len(area))
        if styles == len(task.styles):
            weights = torch.tensor([style.weight for style in task.styles])
            each = torch.from_numpy(shares(task)).float() / (weights / weights.sum()).view(-1, 1)
        return cls(view.weights(task.content_mask, size), (each * area).to(view.network.device))

    def sums(self, layer: LayerName, found: tuple[Sums, ...]) -> tuple[Sums, ...]:
        """Those of each region at a layer, as if the region were all of the picture."""
        return as_whole(found, self.weights.get(layer))

    def value(self, style: int, regions: Sequence[Tensor]) -> Tensor:
        """The term (B,) of a style, from its values in each region."""
        if self.parts is None:
            return regions[0]
        return (torch.stack(list(regions), dim=1) * self.parts[style]).sum(1)
