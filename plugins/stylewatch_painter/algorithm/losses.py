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

from dataclasses import dataclass

import torch
from torch import Tensor

from stylewatch_painter.algorithm import wasserstein
from stylewatch_painter.algorithm.padded import bordered
from stylewatch_painter.algorithm.statistics import Sums
from stylewatch_painter.recipes.recipe import Content, Style, TotalVariation


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
            return wasserstein.moments(G / M, found.values / M)


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
    return wasserstein.target(A) if style.loss == "wasserstein" else A


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
        return wasserstein.squared_distance(G, A) / N
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
