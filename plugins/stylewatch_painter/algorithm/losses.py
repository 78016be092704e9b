"""Content, style and smoothness losses, in the letters of the paper.

The paper is Gatys, Ecker, Bethge 2015, "A Neural Algorithm of Artistic Style" (arXiv
1508.06576). For one layer of the network:

    F   (N, M)  feature maps of the generated picture
    P   (N, M)  feature maps of the content picture
    G   (N, N)  Gram matrix of F, G = F F^T (equation 3)
    A   (N, N)  Gram matrix of the style picture
    N           number of feature maps
    M           number of positions in a map, height x width

A leading dimension B holds pictures that are optimized together, so F is (B, N, M). F and P may
have fewer bits than float32; Gram matrices and loss values are float32. A loss value has shape
(B,) and is differentiable. `gram` computes G and A.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from stylewatch_painter.algorithm.padding import bordered
from stylewatch_painter.recipes.recipe import Content, Style, TotalVariation

_VARIANCE_FLOOR = 1e-4
"""Minimum variance in every direction, as a share of the target's mean variance. Without it the
gradient has no bound between a direction that a picture uses and one that it does not use."""
_MIN_VARIANCE = 1e-8
"""Minimum variance for a target without any variance."""


# Content


@dataclass(frozen=True, eq=False)
class ContentNorm:
    """Divisors of content losses: the N M entries of P, and its energy sum P^2 (B,)."""

    entries: float
    energy: Tensor

    def __add__(self, other: "ContentNorm") -> "ContentNorm":
        return ContentNorm(self.entries + other.entries, self.energy + other.energy)


def content_norm(P: Tensor) -> ContentNorm:
    """The divisors for P (B, N, M); those of two tiles can be added."""
    return ContentNorm(float(P.shape[-2] * P.shape[-1]), P.square().sum((-2, -1)))


def content_value(F: Tensor, P: Tensor, norm: ContentNorm, content: Content) -> Tensor:
    """Content loss (B,) of F and P (B, N, M); the values of two tiles can be added.

    `half_sum`: 1/2 sum (F - P)^2, equation 1. `sum`: sum (F - P)^2. `mean`: sum (F - P)^2 / (N M).
    `relative`, which is ours: sum (F - P)^2 / sum P^2, so that one weight suits every picture.
    """
    square = (F.float() - P).square().sum((-2, -1))
    match content.loss:
        case "half_sum":
            return square / 2
        case "sum":
            return square
        case "mean":
            return square / norm.entries
        case "relative":
            return square / _or_one(norm.energy)


# Style


def style_target(A: Tensor, style: Style) -> Tensor:
    """A in the form that `style_value` takes; computed once from `gram`."""
    return wasserstein_target(A) if style.loss == "wasserstein" else A


def style_value(G: Tensor, A: Tensor, M: float, S: int, style: Style) -> Tensor:
    """Style loss (B,) of G and A (B, N, N), for M positions in a map and S pixels in a picture.

    `paper`: sum (G - A)^2 / (4 N^2 M^2), equation 4. `keras`: sum (G - A)^2 / (4 3^2 S^2), as in
    keras-io. `mean`: sum (G - A)^2 / N^2. `relative`, which is ours: sum (G - A)^2 / sum A^2, so
    that all layers and style pictures count alike. `wasserstein`: W2^2 / N of normal distributions
    with the means and covariances in G and A (B, N + 1, N + 1).
    """
    N = G.shape[-1]
    if style.loss == "wasserstein":
        return wasserstein_squared(G, A) / (N - 1)
    square = (G - A).square().sum((-2, -1))
    match style.loss:
        case "paper":
            return square / (4 * N**2 * M**2)
        case "keras":
            return square / (4 * 3**2 * S**2)
        case "mean":
            return square / N**2
        case "relative":
            return square / _or_one(A.square().sum((-2, -1)))


def wasserstein_target(moments: Tensor) -> Tensor:
    """Prepare the `moment_matrix` (..., N + 1, N + 1) of a target for `wasserstein_squared`.

    Float64, because the traces nearly cancel: the square root of the covariance, the means in the
    last row and column, and in the last corner the floor that is added to both covariances.
    """
    mean, covariance = _gaussian(_as_float64(moments))
    # rounding may make the trace negative; for a single position it is only rounding error
    floor = _VARIANCE_FLOOR * _trace(covariance).clamp(min=0) / covariance.shape[-1] + _MIN_VARIANCE
    values, vectors = torch.linalg.eigh(covariance)
    roots = (values.clamp(min=0) + floor.unsqueeze(-1)).sqrt()
    target = torch.empty_like(moments, dtype=torch.float64, device=mean.device)
    target[..., :-1, :-1] = vectors * roots.unsqueeze(-2) @ vectors.mT
    target[..., :-1, -1] = target[..., -1, :-1] = mean
    target[..., -1, -1] = floor
    return target


def wasserstein_squared(moments: Tensor, target: Tensor) -> Tensor:
    """W2^2 (B,) between normal distributions: `moment_matrix` and prepared target.

    Olkin and Pukelsheim 1982, "The distance between two random vectors with given dispersion
    matrices": |m - m'|^2 + tr(C + C' - 2 (C'^1/2 C C'^1/2)^1/2). The floor under both
    covariances bounds the gradient for any rank. Moments that are not finite give NaN.
    """
    finite = moments.isfinite().all(-1).all(-1)
    mean, covariance = _gaussian(_as_float64(torch.where(finite.view(-1, 1, 1), moments, 0.0)))
    root, target_mean, floor = target[:, :-1, :-1], target[:, :-1, -1], target[:, -1, -1]
    covariance = covariance + floor.view(-1, 1, 1) * torch.eye(root.shape[-1]).to(root)
    values = torch.linalg.eigvalsh(root @ covariance @ root)
    # smaller values than the floor's square are rounding errors of float32
    overlap = values.maximum(floor.square().unsqueeze(-1)).sqrt().sum(-1)
    spread = _trace(covariance) + root.square().sum((-2, -1)) - 2 * overlap
    distance = (mean - target_mean).square().sum(-1) + spread
    return torch.where(finite, distance.to(moments), torch.nan)


def _gaussian(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (..., N) and covariance (..., N, N) of a `moment_matrix`."""
    mean = moments[..., :-1, -1]
    return mean, moments[..., :-1, :-1] - mean.unsqueeze(-1) * mean.unsqueeze(-2)


def _trace(square: Tensor) -> Tensor:
    return square.diagonal(dim1=-2, dim2=-1).sum(-1)


def _as_float64(x: Tensor) -> Tensor:
    """Convert to float64, on the CPU where the device has no float64."""
    return (x.cpu() if x.device.type == "mps" else x).double()


# Smoothness, in space and in time


def temporal_value(x: Tensor, before: Tensor, trust: Tensor) -> Tensor:
    """Temporal loss (B,) of pictures x (B, 3, height, width): mean of c (x - w)^2.

    Ruder, Dosovitskiy, Brox 2016 (arXiv 1604.08610), equation (7): w is the frame `before`, moved
    to the present one, and c (B, 1, height, width) the `trust` in it.
    """
    return _mean(trust * (x - before).square())


def tv_value(x: Tensor, tv: TotalVariation) -> Tensor:
    """Total variation (B,) of pictures x (B, 3, height, width), by differences down a and right b.

    `power`: sum (a^2 + b^2)^1.25 without the last row and column, as in keras-io. `absolute`: half
    of mean |a| + mean |b|, the anisotropic form, as in pastiche. `isotropic`: mean
    (a^2 + b^2)^1/2 without the last row and column (Rudin, Osher, Fatemi 1992).
    `squared`: 1/2 sum (a^2 + b^2) over the same pixels, as in neural-style. `nine_point`: the mean
    squared slope by eight neighbors, as in crowsonkb's style-transfer-pytorch.
    """
    if tv.loss == "nine_point":
        return _nine_point(x)
    down = x[:, :, 1:, :] - x[:, :, :-1, :]
    right = x[:, :, :, 1:] - x[:, :, :, :-1]
    if tv.loss == "absolute":
        return (_mean(right.abs()) + _mean(down.abs())) / 2
    squares = down[:, :, :, :-1].square() + right[:, :, :-1, :].square()
    if tv.loss == "power":
        return squares.pow(1.25).sum((-3, -2, -1))
    if tv.loss == "isotropic":
        # the square root has no derivative at 0; use 0 there
        rough = squares > 0
        return _mean(torch.where(rough, squares, 1.0).sqrt() * rough)
    return squares.sum((-3, -2, -1)) / 2


def _nine_point(x: Tensor) -> Tensor:
    """2/3 of the mean squared differences down and right, 1/6 of those along both diagonals.

    The edge pixels are repeated once.
    """
    x = bordered(x, 1, "replicate")
    inside, after = slice(1, -1), slice(2, None)
    here = x[..., inside, inside]
    straight = (x[..., inside, after] - here).square() + (x[..., after, inside] - here).square()
    falling = (x[..., 1:, 1:] - x[..., :-1, :-1]).square()
    rising = (x[..., 1:, :-1] - x[..., :-1, 1:]).square()
    return _mean(straight) * 2 / 3 + _mean(falling + rising) / 6


def _mean(differences: Tensor) -> Tensor:
    """The mean (B,); 0 for a picture of one column or row, which has no differences."""
    dims = (-3, -2, -1)
    return differences.mean(dims) if differences.numel() else differences.sum(dims)


def _or_one(energy: Tensor) -> Tensor:
    """The energy of a target, or 1 for an empty one, so that a black picture stays finite."""
    return torch.where(energy > 0, energy, torch.ones_like(energy))
