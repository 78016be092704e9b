"""Evaluation: what is known of the objective at one picture."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What is known at one picture.

    `terms` (K,) float32 are the loss terms, each by its own formula; `objective` is the scalar
    that is to become small, all terms weighted; `gradient` is its slope, of the picture's shape.
    """

    terms: Tensor
    objective: Tensor
    gradient: Tensor


Evaluate = Callable[[Tensor], Evaluation]
"""Evaluates a picture (1, 3, height, width) in network units."""
