"""Base classes of the losses, and the identity and weight of their terms.

The letters are those of Gatys, Ecker, Bethge 2015, "A Neural Algorithm of Artistic Style" (arXiv
1508.06576). For one layer of the network:

  F   (N, M)  feature maps of the output
  P   (N, M)  feature maps of the content image
  G   (N, N)  Gram matrix of F, G = F F^T (equation 3)
  A   (N, N)  Gram matrix of a style image
  N           number of feature maps
  M           number of positions in a map, height x width

F and P may have fewer bits than float32; values are float32, (), and differentiable.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from stylewatch_painter.scene.scene import Maps, Scene
from stylewatch_painter.scene.tiles import Tile
from stylewatch_painter.vgg import LayerName


@dataclass(frozen=True)
class Label:
    """Identity of a loss term in receipts; `style` is the name of a style picture."""

    side: Literal["content", "style", "tv", "temporal"]
    layer: str = ""
    style: str = ""


@dataclass(frozen=True)
class Weight:
    """Weight of a term in the total and in the gradient; the same if `in_gradient` is None."""

    total: float
    in_gradient: float | None = None

    @property
    def gradient(self) -> float:
        """Weight of the term in the gradient."""
        return self.total if self.in_gradient is None else self.in_gradient


class Loss(ABC):
    """One kind of loss in a scene, with one or more terms.

    A subclass computes its targets in its constructor, which is called as `KIND(settings, scene)`.
    """

    layers: frozenset[LayerName] = frozenset()
    """The layers of the output whose maps `values` needs."""
    weights: Mapping[Label, Weight]
    """Weight of each term."""
    needs_start: ClassVar[bool] = False
    """True if targets depend on the picture that a size starts from."""
    is_capturable: bool = True
    """True if a CUDA graph can capture an evaluation. This requires that the evaluation computes
    nothing on the CPU and does not depend on the step."""
    varies: ClassVar[bool] = False
    """True if each step evaluates other positions."""
    overwrites_maps: bool = False
    """True if the backward pass may overwrite maps. Such a loss is evaluated last, so that its
    backward pass runs before any other that reads the maps."""

    @abstractmethod
    def values(self, u: Tensor, maps: Maps, step: int) -> dict[Label, Tensor]:
        """Return the unweighted value () of each term.

        `u` (1, 3, height, width) is the picture in network units, `maps` has its features (N, M) at
        `layers`, and `step` is the number of previous steps, for losses that draw random positions.
        """


class AdditiveLoss(Loss):
    """A loss that is computed from sums over positions, and therefore tile by tile."""

    is_linear: ClassVar[bool] = False
    """True if its values are its sums times a constant, so that their gradient needs no totals."""

    @abstractmethod
    def sums(self, maps: Maps, tile: Tile | None = None) -> Sequence[Tensor]:
        """Sum over the positions of a tile, or of the whole picture; sums of tiles can be added."""

    @abstractmethod
    def values_of(self, sums: Sequence[Tensor]) -> dict[Label, Tensor]:
        """Return the unweighted value () of each term, from the sums over the whole picture."""

    def values(self, u: Tensor, maps: Maps, step: int) -> dict[Label, Tensor]:
        """Return the unweighted value () of each term."""
        return self.values_of(self.sums(maps))


def area_ratio(scene: Scene) -> float:
    """Return the factor that scales sums over positions to the first size, to balance sizes."""
    return math.prod(scene.task.first) / math.prod(scene.size)
