"""Base classes of losses and of their settings, and the identity and weight of their terms.

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

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, Self, TypeVar

from pydantic import AfterValidator

from stylewatch_painter.fields import Strict, Weights
from stylewatch_painter.vgg import LayerName, values_per_pixel

if TYPE_CHECKING:
    from torch import Tensor

    from stylewatch_painter.scene.scene import Maps, Scene
    from stylewatch_painter.scene.tiles import Tile

FLOAT = 4
"""Bytes of a number in a target, a gradient or a value."""


@dataclass(frozen=True)
class Extent:
    """Sizes of the pictures that a loss compares, from which its memory is estimated."""

    pixels: float
    """Number of pixels, including padding, of the painting or of one of its tiles."""
    styles: tuple[float, ...]
    """Number of pixels, including padding, of each style picture or of one of its tiles."""
    regions: int
    """Number of regions; 1 without a mask."""
    has_mask: bool
    value: int
    """Size of a feature in bytes."""
    in_place: bool
    """True if a backward pass may overwrite features."""


@dataclass(frozen=True)
class LossBytes:
    """The memory of a loss in bytes, in addition to the features that it reads."""

    kept: float
    """Bytes of the targets."""
    targets: float
    """Bytes of everything else that exists while targets are computed."""
    saved: float
    """Bytes that the forward pass of a step keeps for the backward pass."""
    gradients: float
    """Bytes that the backward pass allocates, including the gradients of features."""
    features: float = 0
    """Bytes of the features that the backward pass reads."""


def maps_bytes(layers: Collection[LayerName], pixels: float, value: int = FLOAT) -> float:
    """Return the bytes of the maps of `layers` for a picture with `pixels`.

    A feature takes `value` bytes.
    """
    return sum(map(values_per_pixel, layers)) * pixels * value


def largest_bytes(layers: Collection[LayerName], pixels: float, value: int = FLOAT) -> float:
    """Return the bytes of the maps of the largest of `layers` for a picture with `pixels`.

    A feature takes `value` bytes. The result is 0 without layers.
    """
    return max(map(values_per_pixel, layers), default=0.0) * pixels * value


class _Sum(Protocol):
    def __add__(self, other: Any, /) -> Any: ...


Summand = TypeVar("Summand", bound=_Sum)
"""Type of a sum over one tile: a tensor, or a record of several tensors, that can be added."""

Side = Literal["content", "style"]
"""Role of a picture that losses compare the output with."""


class LossSettings(Strict, ABC):
    """Base class of the settings of a loss.

    The field of an objective that holds them has the name of the loss.
    """

    name: ClassVar[str]
    """Name of the loss in a recipe."""
    compared: ClassVar[frozenset[Side]] = frozenset()
    """Pictures that the loss compares the output with."""
    finds_strokes: ClassVar[bool] = False
    """True if the loss only places strokes. A frame of a clip that follows another frame already
    has its strokes, and may leave the loss out (see `Task.terms`)."""

    @property
    @abstractmethod
    def formula(self) -> type[Loss]:
        """The class that computes the loss."""

    @property
    def can_blend(self) -> bool:
        """True if the loss can mix its targets from style and content, for `strength_by: blend`."""
        return True

    @property
    def layer_names(self) -> tuple[LayerName, ...]:
        """The layers whose features the loss reads."""
        return ()

    @property
    def sums_bytes(self) -> int:
        """Bytes of the sums over the positions of one region; 0 if they are negligible."""
        return 0

    @property
    def is_used(self) -> bool:
        """True if the loss reads a layer, or compares the output with no picture.

        A loss that compares with a picture and reads no layer has nothing to compare.
        """
        return bool(self.layer_names) or not self.compared

    def is_possible(self, pictures: Collection[Side]) -> bool:
        """Return whether the loss can be computed with these `pictures`."""
        return self.compared.issubset(pictures)

    def holds_at(self, side: int) -> bool:
        """Return whether the loss applies at a size whose long side is `side` pixels."""
        return True

    def weighed(self, content: float, style: float) -> Self:
        """Return settings with the weights multiplied by the factor for their kind of loss.

        `content` is the factor for content losses, `style` that for style losses. By default a loss
        belongs to neither kind, and its settings are returned unchanged.
        """
        return self

    def memory(self, extent: Extent) -> LossBytes:
        """Return an upper bound of the memory of the loss for pictures of `extent`.

        The default is enough for a loss that keeps a map of each layer and picture, and whose
        formula makes four further maps. Sorting a map is an example: the indices take as much as
        two maps.
        """
        largest = max(extent.pixels, *extent.styles, 0.0)
        kept = maps_bytes(self.layer_names, largest) * max(1, len(extent.styles)) * extent.regions
        maps = maps_bytes(self.layer_names, largest)
        return LossBytes(kept, targets=4 * maps, saved=4 * maps, gradients=3 * maps)


class LayerSettings(LossSettings):
    """Base class of the settings of losses that have a weight for each layer."""

    layers: Weights

    @property
    def layer_names(self) -> tuple[LayerName, ...]:
        """The layers whose features the loss reads."""
        return tuple(self.layers)

    def times(self, factor: float) -> Self:
        """Return settings with the weight of each layer multiplied by `factor`."""
        layers = {layer: weight * factor for layer, weight in self.layers.items()}
        return self.model_copy(update={"layers": layers})


def _not_empty(layers: Weights) -> Weights:
    if not layers:
        raise ValueError("there is no layer to compare: name one, or set the loss itself to null")
    return layers


SomeWeights = Annotated[Weights, AfterValidator(_not_empty)]
"""Weights of one or more layers."""


@dataclass(frozen=True)
class Label:
    """Identity of a loss term, as a key of weights and values and in receipts.

    `layer` is a layer, or the name of a term that spans layers, such as `transport`; it is empty
    for `tv` and `temporal`. `style` is the name of a style picture, or BLEND for a blend of all
    styles; it is empty unless `side` is `style`.
    """

    side: Literal["content", "style", "tv", "temporal"]
    layer: str = ""
    style: str = ""

    @property
    def term(self) -> str:
        """Path of the term in receipts, such as `style.STYLE.LAYER`, `content.LAYER` or `tv`."""
        match self.side:
            case "style":
                return f"style.{self.style}.{self.layer}"
            case "content":
                return f"content.{self.layer}"
        return self.side


@dataclass(frozen=True)
class Weight:
    """Weight of a term in the total and in the gradient.

    `in_gradient` is None if both weights are equal.
    """

    total: float
    in_gradient: float | None = None

    @property
    def gradient(self) -> float:
        """Weight of the term in the gradient."""
        return self.total if self.in_gradient is None else self.in_gradient


class Loss(ABC):
    """One kind of loss in a scene, with one or more terms.

    A subclass computes its targets in its constructor, which runs under `torch.no_grad`.
    """

    layers: frozenset[LayerName] = frozenset()
    """The layers of the output whose maps `values` needs."""
    weights: Mapping[Label, Weight]
    """Weight of each term."""
    targets_in_tiles: ClassVar[bool] = False
    """True if targets are computed in the tiles of `Scene.tiles`, not from pictures as a whole."""
    needs_start: ClassVar[bool] = False
    """True if targets depend on the picture that a size starts from."""
    is_capturable: bool = True
    """True if a CUDA graph can capture an evaluation. This requires that the evaluation computes
    nothing on the CPU and does not depend on the step."""
    varies: ClassVar[bool] = False
    """True if the positions that are evaluated differ from step to step."""
    rereads_maps: ClassVar[bool] = True
    """False if the backward pass of the loss reads no maps. Another loss may then overwrite
    them."""
    can_overwrite_maps: bool = False
    """True if the backward pass can write gradients over maps, which saves a copy of all maps.

    A loss sets it only if the network does not reread the maps that it returned
    (`FeatureMaps.rereads_maps`). The objective decides whether the loss overwrites maps
    (`overwrites_maps`)."""
    overwrites_maps: bool = False
    """True if the backward pass overwrites maps; set by the objective alone.

    A function that overwrites a tensor increments the tensor's version, so that torch raises an
    error if another function reads the lost values (`kernels.multiply_in_place`,
    `FusedChain.backward`)."""

    def __init__(self, settings: Any, scene: Scene) -> None:
        """Keep the settings and the scene; a subclass also computes its targets."""
        self._settings = settings
        self._scene = scene

    @abstractmethod
    def values(self, u: Tensor, maps: Maps, step: int) -> dict[Label, Tensor]:
        """Return the unweighted value (), float32, of each term.

        `u` (1, 3, height, width) is the picture in network units, `maps` has its features (N, M) at
        `layers`, and `step` is the number of previous steps, for losses that draw random positions.
        """


class AdditiveLoss(Loss):
    """Base class of losses that are computed from sums, which add up over tiles."""

    @abstractmethod
    def sums(self, maps: Maps, tile: Tile | None = None) -> Sequence[Tensor]:
        """Return sums over the positions of `tile`, or of the whole picture if it is None.

        The sums of several tiles are added up item by item (see `added`).
        """

    @abstractmethod
    def values_of(self, sums: Sequence[Tensor]) -> dict[Label, Tensor]:
        """Return the unweighted value () of each term, from the sums over the whole picture."""

    def values(self, u: Tensor, maps: Maps, step: int) -> dict[Label, Tensor]:
        """Return the unweighted value () of each term; `u` and `step` are ignored."""
        return self.values_of(self.sums(maps))


def added(total: Sequence[Summand] | None, sums: Sequence[Summand]) -> list[Summand]:
    """Return the sums over a tile, added item by item to the `total` of earlier tiles.

    `total` is None at the first tile.
    """
    if total is None:
        return list(sums)
    return [so_far + summand for so_far, summand in zip(total, sums, strict=True)]


def area_ratio(scene: Scene) -> float:
    """Return the area of `Task.first` divided by the area of the scene.

    Losses that are sums over positions are multiplied by it, so that they weigh the same at each
    size.
    """
    return scene.task.first.area / scene.size.area
