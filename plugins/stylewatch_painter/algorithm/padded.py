"""Padded: a network that sees more than zeros beyond a picture's rims.

VGG19 pads every convolution with zeros, which no picture has around it: what it makes of them is
painted as a colored rim. Here the picture goes on beyond its rims, reflected or repeated; the
features of what lies outside are cut off, and their share of the gradient comes back to the
pixels that were reflected.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from stylewatch_painter.algorithm.scales import pools_before
from stylewatch_painter.network.vgg19 import FeatureMaps, Mean
from stylewatch_painter.recipes.recipe import LayerName, Network

BORDER = 32
"""Pixels around a picture: whole positions at every layer, down to conv5, which has 16 to one."""


@dataclass(frozen=True, eq=False)
class Padded:
    """`inner`, which sees pictures with the border that the recipe's `padding` asks for.

    Differentiable as `inner` is; without a border (`zeros`) it is the same as `inner`.
    """

    inner: FeatureMaps

    @property
    def mean(self) -> Mean:
        """What is subtracted from a picture, RGB, 0..255."""
        return self.inner.mean

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.inner.device

    @property
    def exact(self) -> "Padded":
        """The same in float32; itself, if it is."""
        return self if self.inner.exact is self.inner else Padded(self.inner.exact)

    def __call__(
        self, x: Tensor, layers: Collection[LayerName], network: Network
    ) -> dict[LayerName, Tensor]:
        """Features after ReLU, (B, N, height, width) each, of x (B, 3, height, width)."""
        if network.padding == "zeros":
            return self.inner(x, layers, network)
        found = self.inner(bordered(x, BORDER, network.padding), layers, network)
        size = x.shape[-2], x.shape[-1]
        return {layer: _inside(f, layer, size, network) for layer, f in found.items()}


def padded(network: FeatureMaps) -> Padded:
    """`network`, with borders where a recipe asks for them; itself, if it sees to them already."""
    return network if isinstance(network, Padded) else Padded(network)


def border(network: Network) -> int:
    """How many pixels a picture has around it on its way through `network`."""
    return 0 if network.padding == "zeros" else BORDER


def bordered(x: Tensor, wide: int, padding: Literal["reflect", "replicate"]) -> Tensor:
    """X (B, C, height, width) with `wide` more pixels on each side.

    By slices alone: what torch has for it adds up its gradients on a GPU in any order.
    """
    for dim in (-2, -1):
        left = wide
        while left:
            side = x.shape[dim]
            # a reflection reaches as far as the picture; of one pixel there is none
            by = min(left, side - 1) if padding == "reflect" and side > 1 else left
            if padding == "reflect" and side > 1:
                before = x.narrow(dim, 1, by).flip(dim)
                after = x.narrow(dim, side - 1 - by, by).flip(dim)
            else:
                before = x.narrow(dim, 0, 1).repeat_interleave(by, dim)
                after = x.narrow(dim, side - 1, 1).repeat_interleave(by, dim)
            x = torch.cat([before, x, after], dim)
            left -= by
    return x


def _inside(features: Tensor, layer: LayerName, size: tuple[int, int], network: Network) -> Tensor:
    """What belongs to the picture, of (height, width) `size`, in its features with a border."""
    halvings = pools_before(layer)
    rows, columns = size
    for _ in range(halvings):
        odd = network.pool_edge == "ceil"
        rows, columns = (rows + odd) // 2, (columns + odd) // 2
    outside = BORDER >> halvings
    cut = features[..., outside : outside + rows, outside : outside + columns]
    if features.is_contiguous(memory_format=torch.channels_last):
        return cut.contiguous(memory_format=torch.channels_last)
    return cut.contiguous()
