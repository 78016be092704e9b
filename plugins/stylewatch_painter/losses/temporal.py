"""Temporal loss: a frame of a clip stays near the previous frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stylewatch_painter.images.resize import resize_plane
from stylewatch_painter.late import torch
from stylewatch_painter.losses.loss import Label, Loss, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from stylewatch_painter.scene.scene import Maps, Scene
    from stylewatch_painter.scene.task import Prior

_LABEL = Label("temporal")


class Temporal(Loss):
    """Temporal loss: the mean of c (x - w)^2 over pixels and channels, for colors x of 0..1.

    Ruder, Dosovitskiy, Brox 2016, "Artistic style transfer for videos" (arXiv 1604.08610), equation
    (7). w (1, 3, height, width) is the previous painted frame, warped to this frame. c (1, 1,
    height, width) is the trust in each pixel of w, 0..1.
    """

    rereads_maps = False

    def __init__(self, prior: Prior, scene: Scene) -> None:
        canvas = scene.canvas
        self._colors = canvas.colors
        self._previous = canvas.colors(canvas.resized(prior.picture, scene.size))
        trust = torch.from_numpy(resize_plane(prior.trust, scene.size))
        self._trust = trust.to(scene.device).view(1, 1, *scene.size.shape)
        self.weights = {_LABEL: Weight(scene.task.recipe.objective.temporal * prior.unit)}

    def values(self, u: Tensor, maps: Maps, step: int) -> dict[Label, Tensor]:
        """Return the temporal loss ()."""
        return {_LABEL: (self._trust * (self._colors(u) - self._previous).square()).mean()}
