"""The network's padding, and feature maps of a padded picture.

VGG pads every convolution with zeros, which cause a colored border in the painting. With any
other padding, `features` extends the picture, and crops the features that the network returns.
"""

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from stylewatch_painter.network.settings import NetworkSettings
from stylewatch_painter.network.vgg19 import FeatureMaps
from stylewatch_painter.resample import bordered, width_height
from stylewatch_painter.scene.scales import map_size
from stylewatch_painter.size import Size
from stylewatch_painter.vgg import LayerName, pools_before


def border(network: NetworkSettings) -> int:
    """Return the width in pixels of the padding on each side of a picture; 0 for `zeros`."""
    return 0 if network.padding == "zeros" else network.border


def padded_pixels(size: Size, network: NetworkSettings) -> int:
    """Return the number of pixels of a picture of `size`, including its padding."""
    return Size(*(side + 2 * border(network) for side in size)).area


class _Part(torch.autograd.Function):
    """Cropping of maps that keeps the memory layout of maps and gradients."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, rows: slice, columns: slice) -> Tensor:
        """Return the `rows` and `columns` of features (1, N, height, width) as a copy."""
        ctx.whole = (features.shape, features.stride(), rows, columns)
        return features[..., rows, columns].clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of the whole maps, which is zero outside of the part."""
        shape, strides, rows, columns = ctx.whole
        (gradient,) = gradients
        back = torch.empty_strided(shape, strides, dtype=gradient.dtype, device=gradient.device)
        back[..., rows, columns] = gradient
        # clear only the area around the part: maps take hundreds of megabytes
        above, below, _ = rows.indices(shape[-2])
        left, right, _ = columns.indices(shape[-1])
        for outside in (back[..., :above, :], back[..., below:, :],
                        back[..., rows, :left], back[..., rows, right:]):  # fmt: skip
            outside.zero_()
        return back, None, None


def cut(maps: Tensor, rows: slice, columns: slice) -> Tensor:
    """Return a copy of the `rows` and `columns` of maps (1, N, height, width); differentiable."""
    inside: Tensor = _Part.apply(maps, rows, columns)
    return inside


def features(
    network: FeatureMaps, x: Tensor, layers: Collection[LayerName], settings: NetworkSettings
) -> dict[LayerName, Tensor]:
    """Return the features after ReLU by layer, (1, N, rows, columns), of x (1, 3, height, width).

    `settings` defines the padding of the picture, which is cropped from the features.
    """
    if settings.padding == "zeros":
        return network(x, layers, settings)
    maps = network(bordered(x, settings.border, settings.padding), layers, settings)
    for layer in maps:
        rows, columns = map_size(width_height(x), layer, settings)
        start = settings.border >> pools_before(layer)
        inside = slice(start, start + rows), slice(start, start + columns)
        maps[layer] = cut(maps[layer], *inside)
    return maps
