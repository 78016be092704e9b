"""A second implementation of VGG19, in plain torch and float64, with random filters.

It shares no code with the painter, so that tests can compare the two. Arrays are (channels, height,
width).
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

Array = NDArray[np.float64]

LAYERS = [f"conv{b}_{c}" for b, deep in enumerate((2, 2, 4, 4, 4), 1) for c in range(1, deep + 1)]
AFTER_POOLS = [f"conv{block}_1" for block in range(2, 6)]


def filters(seed: int, channels: tuple[int, ...] = (4, 5, 6, 7, 8)) -> dict[str, Array]:
    """Draw filters in place of VGG19's, with `channels` maps in each of the five blocks.

    They are scaled so that the features of a picture are between 0 and about 100.
    """
    draw = np.random.Generator(np.random.PCG64(seed))
    weights: dict[str, Array] = {}
    before = 3
    for layer in LAYERS:
        maps = channels[int(layer[4]) - 1]
        spread = np.sqrt(2 / (9 * before))
        weights[f"{layer}.weight"] = draw.normal(0.02, spread, (maps, before, 3, 3))
        weights[f"{layer}.bias"] = draw.normal(0, 1, maps)
        before = maps
    # values that float32 holds exactly, so that both sides have the same network
    return {name: array.astype(np.float32).astype(np.float64) for name, array in weights.items()}


def features_and_slope(
    weights: Mapping[str, NDArray[np.floating]],
    x: Array,
    layers: Collection[str],
    pool: str,
    edge: str,
) -> tuple[dict[str, Array], Array]:
    """Return all features of x after ReLU, and a gradient at x, (3, height, width).

    The gradient is that of half the sum of squares of the features of `layers`. Convolutions that
    `weights` lack are left out, like those of VGG19 that VGG16 lacks.
    """
    u = torch.from_numpy(x).double().requires_grad_()
    pooled: Any = functional.max_pool2d if pool == "max" else functional.avg_pool2d
    maps, features = u, {}
    for layer in [layer for layer in LAYERS if f"{layer}.weight" in weights]:
        if layer in AFTER_POOLS:
            maps = pooled(maps, 2, ceil_mode=edge == "ceil")
        weight, bias = (
            torch.from_numpy(weights[f"{layer}.{part}"]).double() for part in ("weight", "bias")
        )
        maps = functional.conv2d(maps, weight, bias, padding=1).relu()
        features[layer] = maps
    squares = torch.stack([features[layer].square().sum() for layer in layers])
    (slope,) = torch.autograd.grad(squares.sum() / 2, u)
    return {layer: f.detach().numpy() for layer, f in features.items()}, slope.numpy()
