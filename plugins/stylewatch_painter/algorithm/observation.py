"""What is seen of a painting at one evaluation, as far as it adds up over its tiles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from stylewatch_painter.algorithm.statistics import Sums
from stylewatch_painter.algorithm.tiled_network import added
from stylewatch_painter.recipes.recipe import LayerName


@dataclass(frozen=True, eq=False)
class Seen:
    """Of pictures (B, 3, height, width), or of a tile of them.

    `contents`: the value (B,) of each content layer. `styles`: the sums of each region, by layer.
    """

    contents: Sequence[Tensor] = ()
    styles: Mapping[LayerName, tuple[Sums, ...]] = field(default_factory=dict)

    def __add__(self, other: "Seen") -> "Seen":
        """What is seen of both."""
        contents = [a + b for a, b in zip(self.contents, other.contents, strict=True)]
        styles = {layer: added(one, other.styles[layer]) for layer, one in self.styles.items()}
        return Seen(contents, styles)

    @property
    def tensors(self) -> list[Tensor]:
        """All that can be differentiated."""
        sums = (one for regions in self.styles.values() for one in regions)
        return [*self.contents, *(tensor for one in sums for tensor in one.tensors)]

    def apart(self) -> "Seen":
        """The same, but as if it had not been seen of anything: its own slope can be asked for."""
        styles = {
            layer: tuple(
                one.made_of([tensor.detach().requires_grad_() for tensor in one.tensors])
                for one in regions
            )
            for layer, regions in self.styles.items()
        }
        return Seen([one.detach().requires_grad_() for one in self.contents], styles)
