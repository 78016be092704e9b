"""The Gram matrix of feature maps, and the sums over positions that it is made of.

The letters are those of `losses`: F (B, N, M) are the feature maps of B pictures, G (B, N, N)
their Gram matrices.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stylewatch_painter.network import kernels
from stylewatch_painter.recipes.recipe import LayerName, Style

_BLOCK = 256  # positions whose products are summed in few bits; sums of blocks are float32
_MAX_BLOCKS = 64
_MIN_REGION_WEIGHT = 1e-12  # of an empty region, as a divisor


@dataclass(frozen=True, eq=False)
class Sums:
    """Weighted sums over the M positions of a layer; those of two tiles can be added.

    `products` (B, N, N) float32 is F F^T; `values` (B, N) float32 is the sum of each map, or None
    if it was not requested; `count` is the sum of the weights, M without weights.
    """

    products: Tensor
    values: Tensor | None
    count: float

    def __add__(self, other: "Sums") -> "Sums":
        values = None
        if self.values is not None and other.values is not None:
            values = self.values + other.values
        return Sums(self.products + other.products, values, self.count + other.count)

    def scaled_to(self, count: float) -> "Sums":
        """The sums scaled as if the region filled a map of `count` positions."""
        factor = count / max(self.count, _MIN_REGION_WEIGHT)
        values = None if self.values is None else self.values * factor
        return Sums(self.products * factor, values, count)

    @property
    def tensors(self) -> list[Tensor]:
        """The differentiable parts."""
        return [self.products] if self.values is None else [self.products, self.values]

    def as_leaves(self) -> "Sums":
        """A copy whose tensors are leaves, so that the gradient by them can be computed."""
        products, *values = (tensor.detach().requires_grad_() for tensor in self.tensors)
        return Sums(products, values[0] if values else None, self.count)


LayerSums = Mapping[LayerName, tuple[Sums, ...]]
"""For each layer a tuple with one entry per region. Read only."""


def feature_sums(
    maps: Tensor, weights: Tensor | None = None, *, values: bool = False, replace: bool = False
) -> Sums:
    """Sum F (B, N, M) over its positions, with `weights` (M,) if given.

    With `values` the sum of each map is included. With `replace` the gradient may take the place of
    F in memory, which then no other backward pass may need.
    """
    if weights is None:
        totals = maps.sum(-1, dtype=torch.float32) if values else None
        return Sums(_Products.apply(maps, replace), totals, float(maps.shape[-1]))
    totals = maps.float() @ weights if values else None
    # each of the two factors in a product carries the square root of the weight
    products = _Products.apply(maps * weights.sqrt().to(maps.dtype), True)
    return Sums(products, totals, float(weights.sum(dtype=torch.float64)))


class _Products(torch.autograd.Function):
    """F F^T. Autograd alone would compute and hold one gradient of F for each factor."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, replace: bool) -> Tensor:
        """F (B, N, M) to F F^T (B, N, N), float32."""
        ctx.save_for_backward(maps)
        ctx.replace = replace
        return kernels.gram_products(maps) if kernels.can_multiply(maps) else _products(maps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """From dL/dG to dL/dF = (dL/dG + its transpose) F: equation 6 of the paper without ReLU."""
        (maps,) = ctx.saved_tensors
        (gradient,) = gradients
        if ctx.replace and kernels.can_multiply(maps):
            kernels.multiply_in_place(gradient + gradient.mT, maps)
            return maps.detach(), None
        symmetric = (gradient + gradient.mT).to(maps.dtype)
        # the result keeps the memory layout of F
        back: Tensor = (maps.mT @ symmetric).mT if maps.stride(-2) == 1 else symmetric @ maps
        return back, None


def _products(maps: Tensor) -> Tensor:
    """F F^T (B, N, N) in float32 at least, for F (B, N, M) of any dtype."""
    if maps.dtype in (torch.float32, torch.float64):
        return maps @ maps.mT
    if maps.is_cuda:
        summed: Tensor = torch.bmm(maps, maps.mT, out_dtype=torch.float32)
        return summed
    positions = maps.shape[-1]
    if positions < 2 * _BLOCK:
        maps = maps.float()
        return maps @ maps.mT
    # multiply in blocks of positions, sum the blocks in float32
    count = min(_MAX_BLOCKS, positions // _BLOCK)
    even = positions - positions % count
    blocks = maps[..., :even].unflatten(-1, (count, -1)).transpose(-3, -2)
    summed = (blocks @ blocks.mT).sum(-3, dtype=torch.float32)
    if even < positions:
        rest = maps[..., even:].float()
        summed += rest @ rest.mT
    return summed


def gram(sums: Sums, style: Style) -> Tensor:
    """G = F F^T (B, N, N) float32, equation 3; divided by M (`mean`) or by N M (`mean_maps`).

    `moments`: `moment_matrix` of F, (B, N + 1, N + 1).
    """
    G = sums.products
    N, M = G.shape[-1], sums.count
    match style.gram:
        case "sum":
            return G
        case "mean":
            return G / M
        case "mean_maps":
            return G / (N * M)
        case "moments":
            if sums.values is None:
                raise ValueError("moments need the sums of the maps, which were not gathered")
            return moment_matrix(G / M, sums.values / M)


def moment_matrix(products: Tensor, means: Tensor) -> Tensor:
    """Combine second moments (B, N, N) and means (B, N) into one matrix (B, N + 1, N + 1).

    It is the mean of the products of N features and a constant 1, so it adds up over tiles and
    can be blended between styles as a Gram matrix can.
    """
    column = means.unsqueeze(-1)
    ones = torch.ones_like(column[:, :1])
    above, below = torch.cat([products, column], -1), torch.cat([column.mT, ones], -1)
    return torch.cat([above, below], -2)
