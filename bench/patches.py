"""Two numbers on a painting that nobody optimized: how near it is to its style, and its content.

`distance`, the one that decides: the sliced Wasserstein distance between small patches of the
painting and of the style, size by size, after T. Karras, T. Aila, S. Laine, J. Lehtinen,
"Progressive Growing of GANs for Improved Quality, Stability, and Variation" (ICLR 2018), section 5.
Each picture becomes a Laplacian pyramid; of each level come patches of 7x7 pixels in three colors,
which are projected on random directions, sorted, and compared. It knows no network. Two things
differ from the paper, which compares many pictures: patches are those of one picture, and both
sides are scaled by the style's mean and deviation of each color, so that wrong colors count.

`structure`, to look at beside it: the structural similarity of the lightness of painting and
content, 1 where they are the same, after Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli,
"Image Quality Assessment: From Error Visibility to Structural Similarity" (2004), equation 13.
"""

from collections.abc import Iterator

import torch
from bench.referee import Floats
from torch import Generator, Tensor
from torch.nn import functional

SIDE = 7
PATCHES = 8192
DIRECTIONS = 256
SMALLEST = 16  # pixels of the short side of the coarsest level
SEED = 1
WINDOW, SIGMA = 11, 1.5
LIGHTNESS = (0.299, 0.587, 0.114)  # of red, green and blue


def distance(painting: Floats, style: Floats) -> float:
    """How far the patches of a painting are from those of a style, 0 for the same picture.

    Both are (height, width, 3), RGB 0..255. The unit is the standard deviation of the style's
    colors; levels count alike.
    """
    seen, wanted = (list(pyramid(_batch(picture))) for picture in (painting, style))
    chance = Generator().manual_seed(SEED)
    directions = torch.randn(3 * SIDE**2, DIRECTIONS, generator=chance)
    directions /= directions.norm(dim=0)
    apart = []
    for level, target in zip(seen, wanted, strict=False):
        mean = target.mean(dim=(2, 3), keepdim=True)
        deviation = target.std(dim=(2, 3), keepdim=True).clamp_min(1e-6)
        both = (
            patches((pixels - mean) / deviation, chance) @ directions for pixels in (level, target)
        )
        one, other = (projected.sort(dim=0).values for projected in both)
        apart.append(float((one - other).abs().mean()))
    return sum(apart) / len(apart)


def pyramid(picture: Tensor) -> Iterator[Tensor]:
    """Yield the detail lost by each halving of a (1, 3, height, width) picture, then the rest."""
    while min(picture.shape[-2:]) >= 2 * SMALLEST:
        half = _resized(picture, [side // 2 for side in picture.shape[-2:]])
        yield picture - _resized(half, list(picture.shape[-2:]))
        picture = half
    yield picture


def patches(picture: Tensor, chance: Generator) -> Tensor:
    """PATCHES of a picture (1, 3, height, width), each as a row of numbers."""
    every = functional.unfold(picture, SIDE)[0].T
    return every[torch.randint(len(every), (PATCHES,), generator=chance)]


def structure(painting: Floats, content: Floats) -> float:
    """The structural similarity of two pictures (height, width, 3), RGB 0..255, of one size."""
    weights = torch.tensor(LIGHTNESS).view(1, 3, 1, 1)
    x, y = ((_batch(picture) * weights).sum(dim=1, keepdim=True) for picture in (painting, content))
    mean_x, mean_y = _local_mean(x), _local_mean(y)
    spread_x = _local_mean(x * x) - mean_x**2
    spread_y = _local_mean(y * y) - mean_y**2
    common = _local_mean(x * y) - mean_x * mean_y
    least, less = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    over = (2 * mean_x * mean_y + least) * (2 * common + less)
    under = (mean_x**2 + mean_y**2 + least) * (spread_x + spread_y + less)
    return float((over / under).mean())


def _local_mean(picture: Tensor) -> Tensor:
    """Means under a bell of SIGMA pixels; only where all of it lies inside."""
    bell = torch.exp(-((torch.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * SIGMA**2))
    bell /= bell.sum()
    return functional.conv2d(picture, torch.outer(bell, bell)[None, None])


def _batch(picture: Floats) -> Tensor:
    return torch.from_numpy(picture.transpose(2, 0, 1).copy())[None]


def _resized(picture: Tensor, size: list[int]) -> Tensor:
    return functional.interpolate(picture, size, mode="bilinear", antialias=True)
