"""VGG19 as a chain of convolutions and pools, and what its way back needs of the way there."""

from collections.abc import Iterator
from dataclasses import dataclass

from onnx import TensorProto

from stylewatch_painter.algorithm.scales import pools_before
from stylewatch_painter.network.vgg19 import layers_up_to
from stylewatch_painter.network.weights import LAYERS
from stylewatch_painter.recipes.recipe import LayerName
from stylewatch_plugins.graph_file import Plan


@dataclass(frozen=True)
class Link:
    """One convolution with its ReLU: whether its features are asked for, a pool comes after it."""

    layer: LayerName
    channels: int
    asked: bool
    pooled: bool

    @property
    def above(self) -> str:
        """The value that says where the features are above zero."""
        return f"{self.layer}.above"

    @property
    def places(self) -> str:
        """The value that says where the pool after it found its maxima."""
        return f"{self.layer}.places"

    @property
    def gradient(self) -> str:
        """The value that is the gradient of the features asked for."""
        return f"{self.layer}.gradient"

    def shape(self, *, after_pool: bool = False) -> list[int | str]:
        """(1, channels, height, width) of its maps, by names that agree among all of a block."""
        halvings = pools_before(self.layer) + after_pool
        end = f"_{halvings + 1}" if halvings else ""
        return [1, self.channels, f"height{end}", f"width{end}"]

    def state(self, pool: str) -> Iterator[tuple[str, list[int | str], int]]:
        """Name, shape and type of all that its way back needs beside the features asked for."""
        if not self.asked:
            yield self.above, self.shape(), TensorProto.BOOL
        if self.pooled and pool == "max":
            yield self.places, self.shape(after_pool=True), TensorProto.INT64


def links(plan: Plan) -> list[Link]:
    """The chain up to the deepest layer asked for."""
    chain = layers_up_to(plan.layers)
    return [
        Link(
            layer=layer,
            channels=LAYERS[layer][0],
            asked=layer in plan.layers,
            pooled=after is not None and after.endswith("_1"),
        )
        for layer, after in zip(chain, (*chain[1:], None), strict=True)
    ]
