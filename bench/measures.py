"""Measures of a painting: distances to its content and to its style, and signs of artifacts.

Pictures are float32 (height, width, 3), RGB, 0..255. The features are those of the referee's VGG19;
the two pictures of a distance may differ in size.
"""

import math

import numpy as np
import torch
from bench.referee import Floats, features, to_network
from torch import Generator, Tensor
from torch.nn import functional

CONTENT_LAYERS = ("1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "4_1", "5_1")
STYLE_LAYERS = ("3_4", "4_4", "5_4")
"""Layers that no recipe's loss uses, so that no recipe is judged by what it minimizes."""

POSITIONS = 1024
DIRECTIONS = 256
SEED = 1
HIGH = 0.4  # cycles per pixel


def content_distance(painting: Floats, content: Floats) -> float:
    """How differently the places of two pictures resemble each other; 0 for the same picture.

    This is the content loss of STROTSS (Kolkin, Salavon and Shakhnarovich 2019, arXiv 1904.12785):
    the cosine distances between the hypercolumns at POSITIONS of each picture, each column divided
    by its sum, and the mean absolute difference of the two matrices. The mean is multiplied by the
    number of positions: its range is 0 to 2, however many there are.
    """
    height, width = content.shape[:2]
    rows = max(1, round(math.sqrt(POSITIONS * height / width)))
    grid = rows, max(1, round(POSITIONS / rows))
    seen, wanted = (_self_distances(picture, grid) for picture in (painting, content))
    return float((seen - wanted).abs().sum(dim=0).mean())


def _self_distances(picture: Floats, grid: tuple[int, int]) -> Tensor:
    """Cosine distances between the hypercolumns on a grid (rows, columns); columns sum to 1."""
    with torch.no_grad():
        maps = features(to_network(picture), CONTENT_LAYERS).values()
        columns = torch.cat([functional.interpolate(m[None], grid, mode="bilinear") for m in maps],
                            dim=1)[0].flatten(1)  # fmt: skip
    unit = functional.normalize(columns, dim=0)
    distances = (1 - unit.T @ unit).clamp_min(0)
    return distances / distances.sum(dim=0).clamp_min(1e-8)


def style_distance(painting: Floats, style: Floats) -> float:
    """How far the features of a painting are from those of a style; 0 for the same picture.

    This is the sliced Wasserstein distance, mean of STYLE_LAYERS: the features at all positions are
    projected on DIRECTIONS fixed random directions and sorted, and the root mean square of the
    differences is divided by the standard deviation of the style's projections.
    """
    with torch.no_grad():
        seen, wanted = (
            features(to_network(picture), STYLE_LAYERS) for picture in (painting, style)
        )
        distances = [_sliced(seen[layer], wanted[layer]) for layer in STYLE_LAYERS]
    return sum(distances) / len(distances)


def _sliced(maps: Tensor, target: Tensor) -> float:
    generator = Generator().manual_seed(SEED)
    directions = functional.normalize(torch.randn(DIRECTIONS, len(maps), generator=generator))
    seen, wanted = ((directions @ m.flatten(1)).sort(dim=1).values for m in (maps, target))
    spread = wanted.var(dim=1, correction=0).mean().clamp_min(1e-12)
    size = min(seen.shape[1], wanted.shape[1])
    seen, wanted = (functional.interpolate(values[None], size, mode="linear")[0]
                    for values in (seen, wanted))  # fmt: skip
    return float(((seen - wanted).square().mean() / spread).sqrt())


def high_frequency_share(picture: Floats) -> float:
    """The share of a picture's spectral power above HIGH, in any direction; the mean is left out.

    The Nyquist frequency is 0.5: a checkerboard and lines of one pixel appear here.
    """
    height, width = picture.shape[:2]
    window = np.outer(np.hanning(height), np.hanning(width))[..., None]
    centered = picture - (picture * window).sum(axis=(0, 1)) / window.sum()
    power = np.abs(np.fft.fft2(centered * window, axes=(0, 1))) ** 2
    high = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)) > HIGH
    return float(power[high].sum() / max(power.sum(), 1e-12))


def clipped_share(picture: Floats) -> float:
    """The share of pixels with a channel at the end of its range, 0 or 255, once rounded."""
    rounded = np.rint(picture)
    return float(((rounded <= 0) | (rounded >= 255)).any(axis=2).mean())
