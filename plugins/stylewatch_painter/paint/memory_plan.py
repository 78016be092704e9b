"""MemoryPlan: the memory limits of a painting."""

from dataclasses import dataclass

from stylewatch_painter.paint.optimizers import Settings
from stylewatch_painter.recipes import recipe

LEAST_PAIRS = 3
"""Minimum number of pairs of vectors. With fewer, L-BFGS is no better than Adam, which needs
none."""

_ADAM = recipe.Adam(kind="adam", rate=2.5, beta1=0.8, epsilon=1e-20)
"""Replacement for L-BFGS, for few steps at the final size. In large pictures the gradient with
respect to one value is far below 1e-8, Adam's usual epsilon, with which it would stall."""

_WORKING = 10  # vectors that L-BFGS uses in addition to its pairs, including those of a step


@dataclass(frozen=True)
class MemoryPlan:
    """Limits of memory for a painting.

    `tile` is the side of the tiles in pixels, or None for a single piece. `history` is the number
    of pairs of L-BFGS at the final size, or None for the recipe's.
    """

    tile: int | None = None
    history: int | None = None

    def optimizer(self, settings: Settings, larger: float = 1.0) -> Settings:
        """Return the optimizer that fits at a size with 1 / `larger` of the final area.

        Smaller sizes have room for more pairs.
        """
        if self.history is None or not isinstance(settings, recipe.Lbfgs):
            return settings
        pairs = int(((2 * self.history + _WORKING) * larger - _WORKING) // 2)
        if pairs >= settings.history:
            return settings
        if pairs < LEAST_PAIRS:
            return _ADAM
        return settings.model_copy(update={"history": pairs})


UNLIMITED = MemoryPlan()
"""A plan without limits."""
