"""MemoryPlan: the memory limits of a painting."""

from dataclasses import dataclass

from stylewatch_painter.optimizers.optimizer import OptimizerSettings
from stylewatch_painter.size import Size


@dataclass(frozen=True)
class MemoryPlan:
    """Limits of memory for a painting.

    `tile` is the side of the tiles in pixels, or None for a single piece. `history` is the number
    of pairs of vectors that an optimizer keeps at the final size, or None for the recipe's.
    """

    tile: int | None = None
    history: int | None = None

    def tile_at(self, size: Size) -> int | None:
        """Return the side of the tiles of a picture; None if it is a single piece."""
        return None if self.tile is None or self.tile >= size.long else self.tile

    def optimizer(self, settings: OptimizerSettings, larger: float = 1.0) -> OptimizerSettings:
        """Return the optimizer's settings that fit at a size with 1 / `larger` of the final area.

        `settings` are the recipe's.
        """
        return settings if self.history is None else settings.within(self.history, larger)


UNLIMITED = MemoryPlan()
"""A plan without limits."""
