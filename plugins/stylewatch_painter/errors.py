"""Every error the painter raises on purpose, as one tree.

    PainterError
    ├── PictureError       a picture cannot be read, or cannot be painted as it is
    ├── SaveError          a picture cannot be written where it should go
    ├── RecipeError        a recipe, or a change to one, does not make sense
    ├── WeightsError       the trained network is missing, damaged or of another kind
    ├── CheckpointError    a checkpoint belongs to another job or is damaged
    └── DivergedError      the painting ran away: its loss is no longer a number

Each message says in one sentence what was met and what helps.
"""


class PainterError(Exception):
    """Root of everything the painter raises on purpose."""


class PictureError(PainterError, ValueError):
    """A picture cannot be read, or cannot be painted as it is."""


class SaveError(PainterError, OSError):
    """A picture cannot be written where it should go."""


class RecipeError(PainterError, ValueError):
    """A recipe, or a change to one, does not make sense."""


class WeightsError(PainterError):
    """The trained network is missing, damaged or of another kind."""


class CheckpointError(PainterError, ValueError):
    """A checkpoint belongs to another job or is damaged."""


class DivergedError(PainterError, ArithmeticError):
    """The painting ran away: its loss is no longer a number."""
