"""What of feature maps adds up over their positions, so that it can be gathered part by part."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stylewatch_painter.recipes.recipe import LayerName

_BLOCK = 256  # positions: their products are summed and rounded to few bits, all else in float32
_MOST_BLOCKS = 64
_LEAST = 1e-12  # weight of a region that nothing is of


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over the positions of a layer's maps, each position counting by its weight.

    `products` (B, N, N) float32 are those of maps with one another, `values` (B, N) float32, where
    they were asked for, those of each map by itself, `count` that of the weights.
    """

    products: Tensor
    values: Tensor | None
    count: float

    def __add__(self, other: "Sums") -> "Sums":
        """The sums over the positions of both."""
        values = None
        if self.values is not None and other.values is not None:
            values = self.values + other.values
        return Sums(self.products + other.products, values, self.count + other.count)

    def as_of(self, count: float) -> "Sums":
        """What they would be if all of a map of so many positions were alike."""
        factor = count / max(self.count, _LEAST)
        values = None if self.values is None else self.values * factor
        return Sums(self.products * factor, values, count)

    @property
    def tensors(self) -> list[Tensor]:
        """What can be differentiated."""
        return [self.products] if self.values is None else [self.products, self.values]

    def made_of(self, tensors: list[Tensor]) -> "Sums":
        """The same with other `tensors`."""
        return Sums(tensors[0], tensors[1] if len(tensors) > 1 else None, self.count)

    @property
    def nbytes(self) -> int:
        """They take so many bytes."""
        return sum(one.nbytes for one in self.tensors)


Look = Mapping[LayerName, tuple[Sums, ...]]
"""What a style looks like: of each layer the sums over each region; nobody writes to them."""


def sums(maps: Tensor, weights: Tensor | None = None, *, values: bool = False) -> Sums:
    """The sums over the positions of `maps` (B, N, M), by `weights` (M,) where there are some.

    `values`: also of each map by itself.
    """
    count = float(maps.shape[-1])
    if weights is not None:
        count = float(weights.sum(dtype=torch.float64))
        of_each = maps.float() @ weights if values else None
        # both factors of a product bring a root of its weight
        return Sums(_Products.apply(maps * weights.sqrt().to(maps.dtype)), of_each, count)
    of_each = maps.sum(-1, dtype=torch.float32) if values else None
    return Sums(_Products.apply(maps), of_each, count)


def of_regions(
    maps: Tensor, weights: Tensor | None = None, *, values: bool = False
) -> tuple[Sums, ...]:
    """The sums of each region, whose `weights` are (R, height, width); of all where there are none.

    `maps` are (B, N, height x width).
    """
    if weights is None:
        return (sums(maps, values=values),)
    return tuple(sums(maps, one.flatten(), values=values) for one in weights)


class _Products(torch.autograd.Function):
    """F F^T. Autograd would work out, and hold, a gradient of F for each of its two places."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        """F (B, N, M) to F F^T (B, N, N), float32."""
        ctx.save_for_backward(maps)
        return _products(maps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """From dL/dG to dL/dF = (dL/dG + its transpose) F, the paper's equation 6."""
        (maps,) = ctx.saved_tensors
        (gradient,) = gradients
        twice = (gradient + gradient.mT).to(maps.dtype)
        # the result lies in memory as F does: position by position, or map by map
        back: Tensor = (maps.mT @ twice).mT if maps.stride(-2) == 1 else twice @ maps
        return back


def _products(maps: Tensor) -> Tensor:
    """F F^T (B, N, N) in float32, whatever F (B, N, M) is in."""
    if maps.dtype == torch.float32:
        return maps @ maps.mT
    if maps.is_cuda:
        summed: Tensor = torch.bmm(maps, maps.mT, out_dtype=torch.float32)
        return summed
    positions = maps.shape[-1]
    if positions < 2 * _BLOCK:
        maps = maps.float()
        return maps @ maps.mT
    count = min(_MOST_BLOCKS, positions // _BLOCK)
    even = positions - positions % count
    blocks = maps[..., :even].unflatten(-1, (count, -1)).transpose(-3, -2)
    summed = (blocks @ blocks.mT).sum(-3, dtype=torch.float32)
    if even < positions:
        rest = maps[..., even:].float()
        summed += rest @ rest.mT
    return summed
