"""The pools between VGG19's blocks, and the way back through them."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from stylewatch_painter.recipes.recipe import Network

_SIDE = (2, 2)  # pixels: a pool looks at squares of so many, side by side


@dataclass(frozen=True, eq=False)
class Passed:
    """What a pool must remember of maps: their shape and, of a max pool, where each maximum was."""

    shape: tuple[int, ...]
    places: Tensor | None


@dataclass(frozen=True)
class Pool:
    """2x2 pools with stride 2; at an odd edge `floor` drops the rest, `ceil` pools what is there.

    An average at the edge is over what is there: padding is not counted, as TensorFlow's SAME
    has it.
    """

    network: Network

    def __call__(self, x: Tensor) -> tuple[Tensor, Passed]:
        """The pooled maps of x (B, N, height, width), and what the way back needs."""
        if self.network.pool == "max":
            pooled, places = functional.max_pool2d_with_indices(
                x, _SIDE, _SIDE, ceil_mode=self._ceil, return_indices=True
            )
            return pooled, Passed(tuple(x.shape), places)
        pooled = functional.avg_pool2d(
            x, _SIDE, _SIDE, ceil_mode=self._ceil, count_include_pad=False
        )
        return pooled, Passed(tuple(x.shape), None)

    def back(self, gradient: Tensor, passed: Passed) -> Tensor:
        """The gradient before the pool, from that after it.

        A maximum passes it on to the one place it came from (the first of equals), an average
        spreads it evenly.
        """
        if passed.places is not None:
            return self._to_places(gradient, passed)
        height, width = passed.shape[-2:]
        even = gradient / 4
        if self._ceil:  # at an odd edge an average is over half as many
            even[..., height // 2 :, :] *= 2
            even[..., width // 2 :] *= 2
        spread = functional.interpolate(even, scale_factor=2)
        if self._ceil:
            return spread[..., :height, :width]
        return functional.pad(spread, (0, width % 2, 0, height % 2))

    def _to_places(self, gradient: Tensor, passed: Passed) -> Tensor:
        # torch's own way back asks for what went in, and looks at nothing but its form
        like = torch.empty(
            passed.shape,
            dtype=gradient.dtype,
            device=gradient.device,
            memory_format=torch.channels_last,
        )
        found: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
            gradient, like, _SIDE, _SIDE, (0, 0), (1, 1), self._ceil, passed.places
        )
        return found

    @property
    def passes_on_to_one(self) -> bool:
        """Whether of each square only one value goes on, and gets the gradient: the greatest."""
        return self.network.pool == "max"

    @property
    def _ceil(self) -> bool:
        return self.network.pool_edge == "ceil"
