"""VGG19 once more, in plain NumPy and float64, its slope worked out backwards by hand.

Nothing here is taken from the painter, so that tests can compare the two. Arrays are (channels,
height, width).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LAYERS = [f"conv{b}_{c}" for b, deep in enumerate((2, 2, 4, 4, 4), 1) for c in range(1, deep + 1)]
STYLE_LAYERS = [f"conv{block}_1" for block in range(1, 6)]


def filters(seed: int, channels: tuple[int, ...] = (4, 5, 6, 7, 8)) -> dict[str, Array]:
    """Random filters in place of VGG19's: `channels` maps in each of the five blocks.

    Scaled so that the features of a picture stay within 0 .. some 100.
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


def convolved(x: Array, weight: Array) -> Array:
    """3x3, one pixel of zeros around: out[n, i, j] = sum over c, u, v of w[n, c, u, v] x[...]."""
    _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    out = np.zeros((len(weight), height, width))
    for u in range(3):
        for v in range(3):
            shifted = padded[:, u : u + height, v : v + width]
            out += np.tensordot(weight[:, :, u, v], shifted, axes=1)
    return out


def _blocks(x: Array, edge: str) -> Array:
    """X cut into 2x2 windows (C, h, 2, w, 2); what a window lacks at a `ceil` edge is nan."""
    maps, height, width = x.shape
    if edge == "floor":
        x = x[:, : height // 2 * 2, : width // 2 * 2]
    else:
        x = np.pad(x, ((0, 0), (0, height % 2), (0, width % 2)), constant_values=np.nan)
    return x.reshape(maps, x.shape[1] // 2, 2, x.shape[2] // 2, 2)


def pooled(x: Array, kind: str, edge: str) -> Array:
    """2x2 pools, stride 2; averages are over what is there, as TensorFlow's SAME has it."""
    blocks = _blocks(x, edge)
    if kind == "max":
        return np.asarray(np.nanmax(blocks, axis=(2, 4)))
    return np.asarray(np.nanmean(blocks, axis=(2, 4)))


def unpooled(slope: Array, x: Array, kind: str, edge: str) -> Array:
    """The slope of a pool, given the slope of what comes out of it."""
    blocks = _blocks(x, edge)
    if kind == "max":
        share = (blocks == np.nanmax(blocks, axis=(2, 4), keepdims=True)).astype(float)
        share /= share.sum(axis=(2, 4), keepdims=True)  # of a repeated pixel there are several
    else:
        there = ~np.isnan(blocks)
        share = there / there.sum(axis=(2, 4), keepdims=True)
    spread = share * slope[:, :, None, :, None]
    whole = spread.reshape(len(x), blocks.shape[1] * 2, blocks.shape[3] * 2)
    result = np.zeros_like(x)
    rows, columns = min(x.shape[1], whole.shape[1]), min(x.shape[2], whole.shape[2])
    result[:, :rows, :columns] = whole[:, :rows, :columns]
    return result


@dataclass(frozen=True)
class Net:
    """Convolutions, ReLU and pools in the order of VGG19."""

    weights: dict[str, Array]
    pool: str
    edge: str

    def features(self, x: Array) -> dict[str, Array]:
        """The features after ReLU of x, by layer."""
        found = {}
        for layer in LAYERS:
            if layer in STYLE_LAYERS[1:]:
                x = pooled(x, self.pool, self.edge)
            bias = self.weights[f"{layer}.bias"][:, None, None]
            x = np.maximum(convolved(x, self.weights[f"{layer}.weight"]) + bias, 0)
            found[layer] = x
        return found

    def slope(self, found: dict[str, Array], wanted: dict[str, Array]) -> Array:
        """The slope at the picture, given the slopes `wanted` at some layers' features."""
        back = np.zeros_like(found[LAYERS[-1]])
        for layer, below in zip(reversed(LAYERS), [*reversed(LAYERS[:-1]), None], strict=True):
            back = (back + wanted.get(layer, 0.0)) * (found[layer] > 0)
            turned = self.weights[f"{layer}.weight"][:, :, ::-1, ::-1].swapaxes(0, 1)
            back = convolved(back, turned)
            if layer in STYLE_LAYERS[1:]:
                assert below is not None
                back = unpooled(back, found[below], self.pool, self.edge)
        return back
