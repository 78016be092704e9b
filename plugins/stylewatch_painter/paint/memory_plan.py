"""MemoryPlan: the limits of a painting, where memory is scarce."""

from dataclasses import dataclass

from stylewatch_painter.paint.optimizers import Settings
from stylewatch_painter.recipes import recipe

LEAST_PAIRS = 3
"""With fewer pairs of vectors L-BFGS is no better than Adam, which needs none."""

_ADAM = recipe.Adam(kind="adam", rate=2.5, beta1=0.8, epsilon=1e-20)
"""For few steps at the final size. In large pictures the gradient by one value is far below
1e-8, Adam's usual epsilon, which would stop it."""

_WORKING = 10  # vectors that L-BFGS uses in addition to its pairs, with those of a step


@dataclass(frozen=True)
class MemoryPlan:
    """Limits of memory for a painting.

    `tile`: side of the tiles in pixels; None: in one piece. `history`: pairs of vectors of L-BFGS
    at the final size; None: as many as in the recipe.
    """

    tile: int | None = None
    history: int | None = None

    def optimizer(self, settings: Settings, larger: float = 1.0) -> Settings:
        """The optimizer that fits at a size whose area is the final one divided by `larger`.

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
"""No limits."""
