"""A network with reflected or replicated padding.

VGG19 pads every convolution with zeros, which appear as a colored border in the painting. Here
the picture is extended before the network and the features are cropped after it; the gradient of
the extension flows back to the pixels it was made from.
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
"""Pixels of padding: whole positions at every layer; at conv5 a position has 16 pixels."""


@dataclass(frozen=True, eq=False)
class Padded:
    """`inner` with the padding that the recipe asks for; with `zeros` the same as `inner`."""

    inner: FeatureMaps

    @property
    def mean(self) -> Mean:
        """The mean to subtract from a picture, RGB, 0..255."""
        return self.inner.mean

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        return self.inner.device

    @property
    def exact(self) -> "Padded":
        """The same network in float32; itself if it is that."""
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
    """Wrap `network`, unless it is wrapped already."""
    return network if isinstance(network, Padded) else Padded(network)


def border(network: Network) -> int:
    """Pixels of padding around a picture in `network`."""
    return 0 if network.padding == "zeros" else BORDER


def bordered(x: Tensor, wide: int, padding: Literal["reflect", "replicate"]) -> Tensor:
    """Pad x (B, C, height, width) by `wide` pixels on each side.

    By slices, because torch's own padding has a nondeterministic gradient on a GPU.
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
    """Crop the padding off features, for a picture of `size` (height, width)."""
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
