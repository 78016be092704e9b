"""Operations on features whose backward passes are written by hand.

Autograd alone would keep several copies of all features, or would sum in another order on each
device. This module imports torch; the modules of the losses import it at its first use.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from stylewatch_painter.losses.nearest import TINY
from stylewatch_painter.network import kernels
from stylewatch_painter.resample import interpolation

Grid = tuple[int, int]
"""Numbers of rows and columns of positions."""

_BLOCK = 256  # positions whose products are summed in low precision; sums of blocks are float32
_MAX_BLOCKS = 64


class Products(torch.autograd.Function):
    """The product F F^T. Autograd alone would keep one gradient of F for each factor."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, replace: bool) -> Tensor:
        """Return F F^T (N, N) of F (N, M), float32, or float64 for F in float64.

        With `replace` the backward pass may overwrite F.
        """
        ctx.save_for_backward(maps)
        ctx.replace = replace
        return kernels.gram_products(maps) if kernels.can_multiply(maps) else _products(maps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return dL/dF = (dL/dG + its transpose) F, equation 6 of the paper without ReLU.

        The paper is that of Gatys et al. (see `loss`). With `replace`, and if the compiled library
        can multiply F, the gradient overwrites F.
        """
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
    """Return F F^T (N, N), in float32 or float64, of F (N, M) of any dtype."""
    if maps.dtype in (torch.float32, torch.float64):
        return maps @ maps.mT
    if maps.is_cuda:
        summed: Tensor = torch.bmm(maps[None], maps.mT[None], out_dtype=torch.float32)[0]
        return summed
    positions = maps.shape[-1]
    if positions < 2 * _BLOCK:
        maps = maps.float()
        return maps @ maps.mT
    # multiply in blocks of positions, sum the blocks in float32
    count = min(_MAX_BLOCKS, positions // _BLOCK)
    even = positions - positions % count
    blocks = maps[:, :even].unflatten(-1, (count, -1)).transpose(-3, -2)
    summed = (blocks @ blocks.mT).sum(-3, dtype=torch.float32)
    if even < positions:
        rest = maps[:, even:].float()
        summed += rest @ rest.mT
    return summed


class OnGrid(torch.autograd.Function):
    """Bilinear sampling of maps on a grid, with aligned corners."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, shape: Grid) -> Tensor:
        """Return maps (N, rows, columns) on a grid of `shape` as rows (positions, N), float32."""
        ctx.maps = (maps.shape, maps.dtype)
        ctx.grid = shape
        if maps.is_cuda:
            down, right = interpolation(maps.shape, shape, maps.device, corners=True)
            sampled = down @ maps.float() @ right.mT
        else:
            last = maps.float().permute(1, 2, 0)
            # torch infers the memory format from the strides of a batch, which flat maps lack
            maps = last.flatten().view(1, *last.shape).permute(0, 3, 1, 2)
            sampled = functional.interpolate(maps, shape, mode="bilinear", align_corners=True)[0]
        return sampled.permute(1, 2, 0).flatten(0, 1).contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the maps, which is zero at positions that no sample uses."""
        shape, dtype = ctx.maps
        # torch infers the memory format from the strides of a batch with contiguous rows
        gradient = gradients[0].unflatten(0, ctx.grid).unsqueeze(0).permute(0, 3, 1, 2)
        if gradient.is_cuda:  # torch's own backward pass is not deterministic on CUDA
            down, right = interpolation(shape, ctx.grid, gradient.device, corners=True)
            back = down.mT @ gradient @ right
        else:
            back = torch.ops.aten.upsample_bilinear2d_backward(
                gradient, ctx.grid, (1, *shape), True
            )
        return back.squeeze(0).to(dtype), None


class CosineDistance(torch.autograd.Function):
    """Weighted mean of 1 - cos. Autograd alone would keep several copies of all rows."""

    @staticmethod
    def forward(ctx: Any, targets: Tensor, weights: Tensor | None, *rows: Tensor) -> Tensor:
        """Return the distance () of rows to `targets` (positions, D) of length 1.

        `rows` has one tensor (positions, N) for each layer; D is the sum of N. `weights`
        (positions,) are the weights of the positions; None stands for the mean.
        """
        parts = targets.split([layer_rows.shape[-1] for layer_rows in rows], dim=-1)
        square = targets.new_zeros(len(targets))
        product = targets.new_zeros(len(targets))
        for layer_rows, target in zip(rows, parts, strict=True):
            square += layer_rows.square().sum(-1)
            product += (layer_rows * target).sum(-1)
        length = (square + TINY).sqrt()
        ctx.save_for_backward(targets, weights, length, product, *rows)
        distance = 1 - product / length
        return distance.mean() if weights is None else distance @ weights

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of the rows of each layer, and None for the targets and weights."""
        targets, weights, length, product, *rows = ctx.saved_tensors
        share = gradients[0] * (1 / len(length) if weights is None else weights)
        towards = (-share / length).unsqueeze(-1)
        away = (share * product / length**3).unsqueeze(-1)
        parts = targets.split([layer_rows.shape[-1] for layer_rows in rows], dim=-1)
        return (
            None,
            None,
            *(
                target * towards + of_layer * away
                for of_layer, target in zip(rows, parts, strict=True)
            ),
        )
