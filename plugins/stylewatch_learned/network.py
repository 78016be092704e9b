"""The network that paints photographs in one style, in a single pass.

Johnson, Alahi, Fei-Fei 2016, "Perceptual losses for real-time style transfer and super-resolution"
(arXiv 1603.08155), with fewer channels, because it is trained on a few photographs, and with
instance normalization: Ulyanov, Vedaldi, Lempitsky 2017 (arXiv 1701.02096). Other differences:

- The residual blocks work at an eighth of the size, so that strokes can be as long as in a
  painting. Finer maps are added back to keep the drawing (Ronneberger, Fischer, Brox 2015, arXiv
  1505.04597).
- The blocks get noise, as in Ulyanov, Lebedev, Vedaldi, Lempitsky 2016 (arXiv 1603.03417). Without
  it, a clear sky gets the same stroke everywhere, or none.
- Maps are enlarged by repeating pixels before a convolution, so that no checkerboard appears.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from stylewatch_painter.size import Size
from stylewatch_painter.stage import Pixels

WIDTH = 48
"""Number of feature maps at a quarter of the size. Each coarser size has twice as many, each finer
size half as many."""

BLOCKS = 4
"""Number of residual blocks."""

SPOTS = (1, 4, 8)
"""Sides of the spots of each map of noise, in positions of the residual blocks."""

COARSER = 8
"""Number of pixels, across and down, for each position of the residual blocks."""

TILE = 1536
"""Side in pixels of the tiles of large photographs."""

HALO = 128
"""Number of pixels around a tile on which its pixels depend."""

SAMPLED = 8
"""Number of parts of a photograph, across and down, from which the normalization of tiles is
measured."""

_LEAST = 4 * COARSER
"""Minimum side, in pixels, of the network's input; smaller photographs are extended to it."""

_GRAY, _SPREAD = 120.0, 64.0
"""Typical mean and spread of the colors of photographs, in levels of 0..255."""

_RANGE = 160.0
"""Largest difference of a painted color from gray, in levels."""

Tensors = Mapping[str, NDArray[np.float32]]
"""The parameters of a network by their names."""


class Convolution(nn.Module):
    """Convolution of maps whose edges are mirrored, with instance normalization.

    `fixed`, if it is not None, has the mean and variance, (made,) each, that normalize all maps in
    place of their own. While `is_measured`, each call sets `fixed` to the statistics of its maps.
    """

    def __init__(self, given: int, made: int, side: int, stride: int = 1) -> None:
        super().__init__()
        self.margin = (side - stride) // 2
        self.filter = nn.Conv2d(given, made, side, stride)
        self.norm = nn.InstanceNorm2d(made, affine=True)
        self.fixed: tuple[Tensor, Tensor] | None = None
        self.is_measured = False

    def forward(self, x: Tensor) -> Tensor:
        """Return maps (1, made, height / stride, width / stride) of x (1, given, height, width)."""
        maps = self.filter(mirrored(x, self.margin))
        if self.is_measured:
            self.fixed = maps.mean((0, 2, 3)), maps.var((0, 2, 3), unbiased=False)
        if self.fixed is None:
            normalized: Tensor = self.norm(maps)
            return normalized
        norm = self.norm
        return functional.batch_norm(maps, *self.fixed, norm.weight, norm.bias, eps=norm.eps)


class Block(nn.Module):
    """Residual block, which adds the result of two convolutions to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = Convolution(width, width, 3)
        self.second = Convolution(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return maps of the shape of x."""
        added: Tensor = x + self.second(functional.relu(self.first(x)))
        return added


class StyleNetwork(nn.Module):
    """Network from photographs to paintings, both (1, 3, height, width), RGB 0..255."""

    def __init__(self) -> None:
        super().__init__()
        self.halved = Convolution(3, WIDTH // 2, 6, 2)
        self.quartered = Convolution(WIDTH // 2, WIDTH, 4, 2)
        self.coarsest = Convolution(WIDTH, 2 * WIDTH, 4, 2)
        self.noise = nn.Conv2d(len(SPOTS), 2 * WIDTH, 1)
        self.blocks = nn.Sequential(*(Block(2 * WIDTH) for _ in range(BLOCKS)))
        self.finer = Convolution(2 * WIDTH, WIDTH, 3)
        self.fine = Block(WIDTH)
        self.doubled = Convolution(WIDTH, WIDTH // 2, 3)
        self.whole = Convolution(WIDTH // 2, WIDTH // 4, 3)
        self.colors = nn.Conv2d(WIDTH // 4, 3, 5)

    def forward(self, photograph: Tensor, noise: Tensor) -> Tensor:
        """Return the painting of a photograph of any size, both (1, 3, height, width).

        `noise` is the result of `noise_for`.
        """
        height, width = photograph.shape[-2:]
        right, below = _missing(width), _missing(height)
        x = functional.pad((photograph - _GRAY) / _SPREAD, (0, right, 0, below), mode="replicate")
        half = functional.relu(self.halved(x.contiguous(memory_format=torch.channels_last)))
        quarter = functional.relu(self.quartered(half))
        coarsest = functional.relu(self.coarsest(quarter))
        rows, columns = coarsest.shape[-2:]
        strokes = self.blocks(coarsest + self.noise(noise[..., :rows, :columns]))
        x = self.fine(_enlarged(strokes, self.finer) + quarter)
        x = _enlarged(_enlarged(x, self.doubled) + half, self.whole)
        colors = self.colors(mirrored(x, 2))
        painting: Tensor = _GRAY + _RANGE * torch.tanh(colors / 2)
        return painting[..., :height, :width]

    def paint(self, photograph: Pixels, seed: int = 0, side: int = TILE) -> Pixels:
        """Return the painting of a photograph, both float32 (height, width, 3), RGB 0..255.

        `seed` determines the noise. A photograph of more than `side` squared pixels is painted in
        tiles. All tiles are normalized by the statistics of a sample of the photograph, and overlap
        by HALO pixels, so that no edges are visible between them.
        """
        size = Size.of(photograph)
        painting = np.empty_like(photograph)
        noise = noise_for(size, np.random.Generator(np.random.PCG64(seed)))
        with torch.inference_mode():
            if size.area <= side**2:
                return self._painted(photograph, noise)
            with self.normalized_as(sampled(photograph, side), seed):
                for inner, outer, cut in _tiles(size, side):
                    rows, columns = (slice(part.start // COARSER, None) for part in outer)
                    tile = self._painted(photograph[outer], noise[..., rows, columns])
                    painting[inner] = tile[cut]
        return painting

    @contextmanager
    def normalized_as(self, photograph: Pixels, seed: int) -> Iterator[None]:
        """Normalize all maps, during the block, by the statistics of the maps of `photograph`.

        `seed` determines the noise with which these are computed.
        """
        convolutions = [part for part in self.modules() if isinstance(part, Convolution)]
        draw = np.random.Generator(np.random.PCG64(seed))
        try:
            for convolution in convolutions:
                convolution.is_measured = True
            self._painted(photograph, noise_for(Size.of(photograph), draw))
            for convolution in convolutions:
                convolution.is_measured = False
            yield
        finally:
            for convolution in convolutions:
                convolution.is_measured = False
                convolution.fixed = None

    def _painted(self, photograph: Pixels, noise: Tensor) -> Pixels:
        device = self.colors.weight.device
        painting = self(as_tensor(photograph).to(device), noise.to(device))
        return as_picture(painting).clip(0, 255)

    @property
    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Copies of the parameters, by their names."""
        return {name: value.cpu().numpy().copy() for name, value in self.state_dict().items()}

    @classmethod
    def of(cls, tensors: Tensors) -> "StyleNetwork":
        """Return a network with the parameters `tensors`."""
        network = cls()
        copies = {name: torch.from_numpy(value.copy()) for name, value in tensors.items()}
        network.load_state_dict(copies)
        return network


def noise_for(size: Size, draw: np.random.Generator) -> Tensor:
    """Draw noise for a photograph of `size`, (1, len(SPOTS), rows, columns).

    It has at least one value for each position of the residual blocks.
    """
    rows, columns = (-(-side // COARSER) + _LEAST // COARSER for side in size.shape)
    maps = []
    for side in SPOTS:
        shape = (1, 1, rows // side + 2, columns // side + 2)
        spots = torch.from_numpy(draw.standard_normal(shape, dtype=np.float32))
        larger = functional.interpolate(spots, scale_factor=side, mode="bilinear")
        maps.append(larger[..., :rows, :columns])
    return torch.cat(maps, dim=1)


def _enlarged(x: Tensor, convolution: Convolution) -> Tensor:
    """Return maps of twice the size, after `convolution` and ReLU."""
    return functional.relu(convolution(functional.interpolate(x, scale_factor=2)))


def _missing(side: int) -> int:
    """Return the number of pixels by which a side is extended.

    The extended side is at least _LEAST, because normalization needs several positions of the
    coarsest maps, and a multiple of COARSER.
    """
    return max(-side % COARSER, _LEAST - side)


def mirrored(x: Tensor, margin: int) -> Tensor:
    """Return maps with a margin of `margin` positions on each side, which mirrors them.

    If a side of the maps is at most `margin`, the margin repeats their edge instead.
    """
    if not margin:
        return x
    mode = "reflect" if min(x.shape[-2:]) > margin else "replicate"
    return functional.pad(x, (margin,) * 4, mode=mode)


Area = tuple[slice, slice]
"""Rows and columns of a part of a picture."""


def sampled(photograph: Pixels, side: int) -> Pixels:
    """Return SAMPLED x SAMPLED parts from all over a photograph, joined to one picture.

    The picture has about `side` squared pixels. Tiles that are normalized by it differ less from an
    undivided painting than tiles that are normalized by a reduced photograph: by 2 to 4 levels
    rather than 4 to 6, on two photographs of 1 and 6 megapixels.
    """
    size = Size.of(photograph)
    share = side / size.area**0.5 / SAMPLED
    height, width = (min(whole, max(_LEAST, round(whole * share))) for whole in size.shape)
    tops, lefts = (
        np.linspace(0, whole - part, SAMPLED).astype(int)
        for whole, part in zip(size.shape, (height, width), strict=True)
    )
    rows = [np.concatenate([photograph[y : y + height, x : x + width] for x in lefts], 1)
            for y in tops]  # fmt: skip
    return np.concatenate(rows)


def _tiles(size: Size, side: int) -> Iterator[tuple[Area, Area, Area]]:
    """Yield three areas for each tile.

    They are the tile and the tile with its halo, both in the picture, and the tile within its halo.
    """
    for top in range(0, size.height, side):
        for left in range(0, size.width, side):
            ranges = [_extended(start, side, end)
                      for start, end in ((top, size.height), (left, size.width))]  # fmt: skip
            inner, outer, cut = zip(*ranges, strict=True)
            yield inner, outer, cut


def _extended(start: int, side: int, end: int) -> tuple[slice, slice, slice]:
    """Return the slices of the three areas of `_tiles` along one side."""
    stop = min(start + side, end)
    first = max(0, start - HALO)
    return (
        slice(start, stop),
        slice(first, min(stop + HALO, end)),
        slice(start - first, stop - first),
    )


def as_tensor(picture: Pixels) -> Tensor:
    """Return a picture (height, width, 3) as a tensor (1, 3, height, width)."""
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None]


def as_picture(x: Tensor) -> Pixels:
    """Return a tensor (1, 3, height, width) as a picture (height, width, 3), float32."""
    picture: Pixels = np.ascontiguousarray(x[0].permute(1, 2, 0).float().cpu().numpy())
    return picture
