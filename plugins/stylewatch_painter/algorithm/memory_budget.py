"""Room: how much of a painting is held in memory at once."""

from dataclasses import dataclass

from stylewatch_painter.recipes import recipe

LEAST_PAIRS = 3
"""Under so many pairs of vectors L-BFGS is no better than Adam, which needs none."""
_BESIDE = 10  # vectors of the picture's size that L-BFGS works with beside its pairs

_ADAM = recipe.Adam(kind="adam", rate=2.5, beta1=0.8, epsilon=1e-20)
"""For the few steps at a final size. In large pictures the slope by one value is far below 1e-8,
Adam's usual epsilon, beside which it would hardly move."""

Settings = recipe.Adam | recipe.Sgd | recipe.Lbfgs


@dataclass(frozen=True)
class Room:
    """What a painting has room for.

    `tile`: the picture is looked at in tiles of so many pixels a side; None: in one piece.
    `history`: at the final size L-BFGS remembers so many pairs of vectors; None: as many as the
    recipe says. `keeps_content`: the maps of the content are kept, not worked out at each step.
    """

    tile: int | None = None
    history: int | None = None
    keeps_content: bool = True

    def optimizer(self, settings: Settings, larger: float = 1.0) -> Settings:
        """What there is room for in place of `settings`, where the final size is `larger`.

        It is so many times the area of this one. At smaller sizes there is room for more pairs.
        """
        if self.history is None or not isinstance(settings, recipe.Lbfgs):
            return settings
        pairs = int(((2 * self.history + _BESIDE) * larger - _BESIDE) // 2)
        if pairs >= settings.history:
            return settings
        if pairs < LEAST_PAIRS:
            return _ADAM
        return settings.model_copy(update={"history": pairs})


AMPLE = Room()
"""Room for all of it."""
