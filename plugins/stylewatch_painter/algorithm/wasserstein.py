"""The Wasserstein-2 distance between two Gaussians, from their means and covariances."""

import torch
from torch import Tensor

_FLOOR = 1e-4
"""Variance that every direction has at least, as a share of the target's mean variance: between
a direction that a picture uses and one that it does not, the slope would be without bounds."""
_LEAST = 1e-8
"""The same for a target that has no variance at all."""


def moments(products: Tensor, means: Tensor) -> Tensor:
    """Second moments (B, n, n) and means (B, n) as one matrix (B, n + 1, n + 1).

    It is the mean of the products that n features and a constant 1 have with one another. As
    those do, it adds up over parts of a picture, and is blended as they would be.
    """
    column = means.unsqueeze(-1)
    one = torch.ones_like(column[:, :1])
    above, below = torch.cat([products, column], -1), torch.cat([column.mT, one], -1)
    return torch.cat([above, below], -2)


def target(wanted: Tensor) -> Tensor:
    """What `squared_distance` takes for the `moments` (..., n + 1, n + 1) of a target.

    In float64, as traces nearly cancel out: the square root of the covariance, the means beside
    it, and in the last corner the floor that lies under both covariances.
    """
    mean, covariance = _gaussian(_precise(wanted))
    # What is below 0 was rounded: of a single position nothing else may be left.
    floor = _FLOOR * _trace(covariance).clamp(min=0) / covariance.shape[-1] + _LEAST
    values, vectors = torch.linalg.eigh(covariance)
    roots = (values.clamp(min=0) + floor.unsqueeze(-1)).sqrt()
    made = torch.empty_like(wanted, dtype=torch.float64, device=mean.device)
    made[..., :-1, :-1] = vectors * roots.unsqueeze(-2) @ vectors.mT
    made[..., :-1, -1] = made[..., -1, :-1] = mean
    made[..., -1, -1] = floor
    return made


def squared_distance(found: Tensor, wanted: Tensor) -> Tensor:
    """W2^2 (B,) between Gaussians with the `moments` (B, n + 1, n + 1) and a `target` as large.

    Olkin and Pukelsheim 1982, "The distance between two random vectors with given dispersion
    matrices": |mean - mean'|^2 + tr(C + C' - 2 (C'^1/2 C C'^1/2)^1/2). With the floor under both
    covariances its slope with regard to `found` is finite whatever their rank. What is no number
    gives no number.
    """
    sound = found.isfinite().all(-1).all(-1)
    mean, covariance = _gaussian(_precise(torch.where(sound.view(-1, 1, 1), found, 0.0)))
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


def _precise(x: Tensor) -> Tensor:
    """X in float64, on the CPU where its device has no such thing."""
    return (x.cpu() if x.device.type == "mps" else x).double()
