"""Evaluation: what is known of the objectives at pictures that are painted together."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What is known at pictures that are painted together, B of them.

    `terms` (B, K) float32 are the loss terms, each by its own formula; `objective` (B,) is what
    is to become small, all terms of a picture weighted; `gradient` is its slope, of the
    pictures' shape. `free` leaves of a move what may move, where that is not all of it: the
    gradient is as it leaves it, but not every optimizer moves along gradients only.
    """

    terms: Tensor
    objective: Tensor
    gradient: Tensor
    free: Callable[[Tensor], Tensor] | None = None


Bounds = tuple[Tensor, Tensor]
"""The darkest and the brightest that colors may be, in network units: (1, 3, 1, 1) each."""

Evaluate = Callable[[Tensor], Evaluation]
"""Evaluates pictures (B, 3, height, width) in network units."""
