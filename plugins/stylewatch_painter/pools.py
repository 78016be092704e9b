"""The pools between VGG19's blocks, and the way back through them."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from stylewatch_painter.recipe import Network

_SIDE = (2, 2)  # pixels: a pool looks at squares of so many, side by side


@dataclass(frozen=True, eq=False)
class Passed:
    """What a pool must remember of maps: their (height, width) and, of a max pool, the places."""

    size: tuple[int, int]
    places: Tensor | None


@dataclass(frozen=True)
class Pool:
    """2x2 pools with stride 2; at an odd edge `floor` drops the rest, `ceil` pools what is there.

    An average at the edge is over what is there: padding is not counted, as TensorFlow's SAME
    has it.
    """

    network: Network

    def __call__(self, x: Tensor) -> tuple[Tensor, Passed]:
        """The pooled maps of x (1, N, height, width), and what the way back needs."""
        size = (x.shape[-2], x.shape[-1])
        if self.network.pool == "max":
            x, places = functional.max_pool2d_with_indices(
                x, _SIDE, _SIDE, ceil_mode=self._ceil, return_indices=True
            )
            return x, Passed(size, places)
        x = functional.avg_pool2d(x, _SIDE, _SIDE, ceil_mode=self._ceil, count_include_pad=False)
        return x, Passed(size, None)

    def back(self, gradient: Tensor, passed: Passed) -> Tensor:
        """The gradient before the pool, from that after it.

        A maximum passes it on to the one place it came from (the first of equals), an average
        spreads it evenly.
        """
        if passed.places is not None:
            return functional.max_unpool2d(
                gradient, passed.places, _SIDE, _SIDE, output_size=list(passed.size)
            )
        down, right = (self._counts(side, gradient.device) for side in passed.size)
        even = gradient / (down.unsqueeze(1) * right)
        spread = even.repeat_interleave(2, -2).repeat_interleave(2, -1)
        missing = [passed.size[1] - spread.shape[-1], passed.size[0] - spread.shape[-2]]
        return functional.pad(spread, (0, missing[0], 0, missing[1]))

    @property
    def _ceil(self) -> bool:
        return self.network.pool_edge == "ceil"

    def _counts(self, side: int, device: torch.device) -> Tensor:
        """How many rows (or columns) each average along a side of `side` pixels is over."""
        whole, rest = divmod(side, 2)
        counts = [2.0] * whole + [float(rest)] * (rest and self._ceil)
        return torch.tensor(counts, device=device)
