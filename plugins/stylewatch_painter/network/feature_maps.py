"""FeatureMaps: what the painter asks of a network."""

from collections.abc import Collection
from typing import Protocol

import torch
from torch import Tensor

from stylewatch_painter.recipes.recipe import LayerName, Network

Mean = tuple[float, float, float]
"""What a network expects to be subtracted from a picture: RGB, 0..255."""


class FeatureMaps(Protocol):
    """A network: gives the feature maps of pictures, differentiable by torch."""

    @property
    def mean(self) -> Mean:
        """What is subtracted from a picture, RGB, 0..255."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        ...

    @property
    def exact(self) -> "FeatureMaps":
        """The same network in float32; itself, if it is."""
        ...

    def __call__(
        self, x: Tensor, layers: Collection[LayerName], network: Network
    ) -> dict[LayerName, Tensor]:
        """Features after ReLU, (B, N, height, width) each, of x (B, 3, height, width)."""
        ...
