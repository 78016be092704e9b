"""What a painting is held to: content, style and smoothness, in the paper's letters.

The paper is Gatys, Ecker, Bethge 2015, "A Neural Algorithm of Artistic Style" (arXiv
1508.06576). For one layer of the network:

    F   (N, M)  the feature maps of the generated picture
    P   (N, M)  those of the content picture
    G   (N, N)  the Gram matrix of F, G = F F^T (equation 3)
    A   (N, N)  the Gram matrix of the style picture
    N           how many feature maps the layer has
    M           how many positions a map has, height x width

Pictures that are painted together stand in a leading dimension, so a map is (B, N, M). F and P may
be in fewer bits than float32; Gram matrices and values never are. A value is one number for each
picture, (B,), that can be differentiated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stylewatch_painter.algorithm.padded import bordered
from stylewatch_painter.recipes.recipe import Content, LayerName, Style, TotalVariation

_BLOCK = 256  # positions: their products are summed and rounded to few bits, all else in float32
_MOST_BLOCKS = 64
_MIN_REGION_WEIGHT = 1e-12  # weight of a region that nothing is of


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over the positions of a layer's maps, each position counting by its weight.

    `products` (B, N, N) float32 are those of maps with one another, `values` (B, N) float32, where
    they were asked for, those of each map by itself, `count` that of the weights.
    """

    products: Tensor
    values: Tensor | None
    count: float

    def __add__(self, other: "Sums") -> "Sums":
        """The sums over the positions of both."""
        values = None
        if self.values is not None and other.values is not None:
            values = self.values + other.values
        return Sums(self.products + other.products, values, self.count + other.count)

    def as_of(self, count: float) -> "Sums":
        """What they would be if all of a map of so many positions were alike."""
        factor = count / max(self.count, _MIN_REGION_WEIGHT)
        values = None if self.values is None else self.values * factor
        return Sums(self.products * factor, values, count)

    @property
    def tensors(self) -> list[Tensor]:
        """What can be differentiated."""
        return [self.products] if self.values is None else [self.products, self.values]

    def made_of(self, tensors: list[Tensor]) -> "Sums":
        """The same with other `tensors`."""
        return Sums(tensors[0], tensors[1] if len(tensors) > 1 else None, self.count)

    @property
    def nbytes(self) -> int:
        """They take so many bytes."""
        return sum(one.nbytes for one in self.tensors)


Look = Mapping[LayerName, tuple[Sums, ...]]
"""What a style looks like: of each layer the sums over each region; nobody writes to them."""


def sums(maps: Tensor, weights: Tensor | None = None, *, values: bool = False) -> Sums:
    """The sums over the positions of `maps` (B, N, M), by `weights` (M,) where there are some.

    `values`: also of each map by itself.
    """
    count = float(maps.shape[-1])
    if weights is not None:
        count = float(weights.sum(dtype=torch.float64))
        of_each = maps.float() @ weights if values else None
        # both factors of a product bring a root of its weight
        return Sums(_Products.apply(maps * weights.sqrt().to(maps.dtype)), of_each, count)
    of_each = maps.sum(-1, dtype=torch.float32) if values else None
    return Sums(_Products.apply(maps), of_each, count)


def of_regions(
    maps: Tensor, weights: Tensor | None = None, *, values: bool = False
) -> tuple[Sums, ...]:
    """The sums of each region, whose `weights` are (R, height, width); of all where there are none.

    `maps` are (B, N, height x width).
    """
    if weights is None:
        return (sums(maps, values=values),)
    return tuple(sums(maps, one.flatten(), values=values) for one in weights)


class _Products(torch.autograd.Function):
    """F F^T. Autograd would work out, and hold, a gradient of F for each of its two places."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        """F (B, N, M) to F F^T (B, N, N), float32."""
        ctx.save_for_backward(maps)
        return _products(maps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """From dL/dG to dL/dF = (dL/dG + its transpose) F, the paper's equation 6."""
        (maps,) = ctx.saved_tensors
        (gradient,) = gradients
        twice = (gradient + gradient.mT).to(maps.dtype)
        # the result lies in memory as F does: position by position, or map by map
        back: Tensor = (maps.mT @ twice).mT if maps.stride(-2) == 1 else twice @ maps
        return back


def _products(maps: Tensor) -> Tensor:
    """F F^T (B, N, N) in float32, whatever F (B, N, M) is in."""
    if maps.dtype == torch.float32:
        return maps @ maps.mT
    if maps.is_cuda:
        summed: Tensor = torch.bmm(maps, maps.mT, out_dtype=torch.float32)
        return summed
    positions = maps.shape[-1]
    if positions < 2 * _BLOCK:
        maps = maps.float()
        return maps @ maps.mT
    count = min(_MOST_BLOCKS, positions // _BLOCK)
    even = positions - positions % count
    blocks = maps[..., :even].unflatten(-1, (count, -1)).transpose(-3, -2)
    summed = (blocks @ blocks.mT).sum(-3, dtype=torch.float32)
    if even < positions:
        rest = maps[..., even:].float()
        summed += rest @ rest.mT
    return summed


_VARIANCE_FLOOR = 1e-4
"""Variance that every direction has at least, as a share of the target's mean variance: between
a direction that a picture uses and one that it does not, the slope would be without bounds."""
_MIN_VARIANCE = 1e-8
"""The same for a target that has no variance at all."""


def moment_matrix(products: Tensor, means: Tensor) -> Tensor:
    """Second moments (B, n, n) and means (B, n) as one matrix (B, n + 1, n + 1).

    It is the mean of the products that n features and a constant 1 have with one another. As
    those do, it adds up over parts of a picture, and is blended as they would be.
    """
    column = means.unsqueeze(-1)
    one = torch.ones_like(column[:, :1])
    above, below = torch.cat([products, column], -1), torch.cat([column.mT, one], -1)
    return torch.cat([above, below], -2)


def wasserstein_target(wanted: Tensor) -> Tensor:
    """What `squared_distance` takes for the `moments` (..., n + 1, n + 1) of a target.

    In float64, as traces nearly cancel out: the square root of the covariance, the means beside
    it, and in the last corner the floor that lies under both covariances.
    """
    mean, covariance = _gaussian(_as_float64(wanted))
    # What is below 0 was rounded: of a single position nothing else may be left.
    floor = _VARIANCE_FLOOR * _trace(covariance).clamp(min=0) / covariance.shape[-1] + _MIN_VARIANCE
    values, vectors = torch.linalg.eigh(covariance)
    roots = (values.clamp(min=0) + floor.unsqueeze(-1)).sqrt()
    made = torch.empty_like(wanted, dtype=torch.float64, device=mean.device)
    made[..., :-1, :-1] = vectors * roots.unsqueeze(-2) @ vectors.mT
    made[..., :-1, -1] = made[..., -1, :-1] = mean
    made[..., -1, -1] = floor
    return made


def wasserstein_squared(found: Tensor, wanted: Tensor) -> Tensor:
    """W2^2 (B,) between Gaussians with the `moments` (B, n + 1, n + 1) and a `target` as large.

    Olkin and Pukelsheim 1982, "The distance between two random vectors with given dispersion
    matrices": |mean - mean'|^2 + tr(C + C' - 2 (C'^1/2 C C'^1/2)^1/2). With the floor under both
    covariances its slope with regard to `found` is finite whatever their rank. What is no number
    gives no number.
    """
    sound = found.isfinite().all(-1).all(-1)
    mean, covariance = _gaussian(_as_float64(torch.where(sound.view(-1, 1, 1), found, 0.0)))
    root, there, floor = wanted[:, :-1, :-1], wanted[:, :-1, -1], wanted[:, -1, -1]
    covariance = covariance + floor.view(-1, 1, 1) * torch.eye(root.shape[-1]).to(root)
    values = torch.linalg.eigvalsh(root @ covariance @ root)
    # below the square of that floor there is only what float32 rounded away before
    overlap = values.maximum(floor.square().unsqueeze(-1)).sqrt().sum(-1)
    spread = _trace(covariance) + root.square().sum((-2, -1)) - 2 * overlap
    distance = (mean - there).square().sum(-1) + spread
    return torch.where(sound, distance.to(found), torch.nan)


def _gaussian(both: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (..., n) and covariance (..., n, n) of `moments`."""
    mean = both[..., :-1, -1]
    return mean, both[..., :-1, :-1] - mean.unsqueeze(-1) * mean.unsqueeze(-2)


def _trace(square: Tensor) -> Tensor:
    return square.diagonal(dim1=-2, dim2=-1).sum(-1)


def _as_float64(x: Tensor) -> Tensor:
    """X in float64, on the CPU where its device has no such thing."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def maps(features: Tensor) -> Tensor:
    """F: the features (B, N, height, width) of a layer as (B, N, M), without a copy."""
    return features.flatten(2)


def gram(found: Sums, style: Style) -> Tensor:
    """G = F F^T (B, N, N), equation 3, in float32; over M (`mean`) or over N M (`mean_maps`).

    `moments`: over M, with the means of F beside it, (B, N + 1, N + 1); see `wasserstein`.
    """
    G = found.products
    N, M = G.shape[-1], found.count
    match style.gram:
        case "sum":
            return G
        case "mean":
            return G / M
        case "mean_maps":
            return G / (N * M)
        case "moments":
            if found.values is None:
                raise ValueError("moments take the sums of maps, and they were not gathered")
            return moment_matrix(G / M, found.values / M)


@dataclass(frozen=True, eq=False)
class Whole:
    """What content values are divided by, where their formula asks: N M, and sum P^2 (B,)."""

    entries: float
    energy: Tensor

    def __add__(self, other: "Whole") -> "Whole":
        """That of two parts of a picture."""
        return Whole(self.entries + other.entries, self.energy + other.energy)


def whole(P: Tensor) -> Whole:
    """What values beside P (B, N, M) are divided by; of parts of a picture it adds up."""
    return Whole(float(P.shape[-2] * P.shape[-1]), P.square().sum((-2, -1)))


def content_value(F: Tensor, P: Tensor, over: Whole, content: Content) -> Tensor:
    """How far the content is from what it should be; over parts of a picture it adds up.

    `half_sum`: 1/2 sum (F - P)^2, equation 1. `sum`: without the half. `mean`: over all N M
    entries. `relative`: sum (F - P)^2 / sum P^2, so that one weight suits every picture.
    """
    square = (F.float() - P).square().sum((-2, -1))
    match content.loss:
        case "half_sum":
            return square / 2
        case "sum":
            return square
        case "mean":
            return square / over.entries
        case "relative":
            return square / _not_nothing(over.energy)


def style_target(A: Tensor, style: Style) -> Tensor:
    """What `style_value` takes as A; worked out of `gram`, once."""
    return wasserstein_target(A) if style.loss == "wasserstein" else A


@dataclass(frozen=True)
class Extent:
    """What a style value is divided by, where its formula asks: N, M, and the picture's pixels."""

    N: int
    M: float
    pixels: int


def style_value(G: Tensor, A: Tensor, extent: Extent, style: Style) -> Tensor:
    """How far the style is from what it should be.

    `paper`: sum (G - A)^2 / (4 N^2 M^2), equation 4. `keras`: sum (G - A)^2 / (4 3^2 S^2), S
    the pixels of the picture. `mean`: over all N^2 entries. `relative`: sum (G - A)^2 / sum A^2,
    so that every layer and every style picture counts alike. `wasserstein`: W2^2 / N between
    normal distributions of the means and covariances that G and A hold.
    """
    N, M = extent.N, extent.M
    if style.loss == "wasserstein":
        return wasserstein_squared(G, A) / N
    square = (G - A).square().sum((-2, -1))
    match style.loss:
        case "paper":
            return square / (4 * N**2 * M**2)
        case "keras":
            return square / (4 * 3**2 * extent.pixels**2)
        case "mean":
            return square / N**2
        case "relative":
            return square / _not_nothing(A.square().sum((-2, -1)))


def tv_value(x: Tensor, tv: TotalVariation) -> Tensor:
    """How rough each picture x (B, 3, height, width) is, by differences down (a) and right (b).

    `power`: sum (a^2 + b^2)^1.25, over all but the last row and column. `absolute`: half of
    mean |a| + mean |b|, the anisotropic form. `isotropic`: mean (a^2 + b^2)^1/2, over all but the
    last row and column (Rudin, Osher, Fatemi 1992). `squared`: 1/2 sum (a^2 + b^2), over the same.
    `nine_point`: the mean squared slope by eight neighbors, as crowsonkb's program has it.
    """
    if tv.loss == "nine_point":
        return _nine_point(x)
    down = x[:, :, 1:, :] - x[:, :, :-1, :]
    right = x[:, :, :, 1:] - x[:, :, :, :-1]
    if tv.loss == "absolute":
        return (_mean(right.abs()) + _mean(down.abs())) / 2
    squares = down[:, :, :, :-1].square() + right[:, :, :-1, :].square()
    if tv.loss == "power":
        # the slope of s^1.25 at s = 0 is 0, and so autograd finds it
        return squares.pow(1.25).sum((-3, -2, -1))
    if tv.loss == "isotropic":
        # where nothing differs there is a corner, and no slope is as good as any
        rough = squares > 0
        return _mean(torch.where(rough, squares, 1.0).sqrt() * rough)
    return squares.sum((-3, -2, -1)) / 2


def _nine_point(x: Tensor) -> Tensor:
    """2/3 of the mean squared differences down and right, and 1/6 of those along both diagonals.

    The picture's rims are repeated by a pixel.
    """
    x = bordered(x, 1, "replicate")
    inside, after = slice(1, -1), slice(2, None)
    here = x[..., inside, inside]
    straight = (x[..., inside, after] - here).square() + (x[..., after, inside] - here).square()
    falling = (x[..., 1:, 1:] - x[..., :-1, :-1]).square()
    rising = (x[..., 1:, :-1] - x[..., :-1, 1:]).square()
    return _mean(straight) * 2 / 3 + _mean(falling + rising) / 6


def _mean(differences: Tensor) -> Tensor:
    """The mean, and 0 of nothing: a picture of one column has no differences to the right."""
    whole = (-3, -2, -1)
    return differences.mean(whole) if differences.numel() else differences.sum(whole)


def _not_nothing(energy: Tensor) -> Tensor:
    """The energy of a target; one for an empty target, so that a black picture stays finite."""
    return torch.where(energy > 0, energy, torch.ones_like(energy))
