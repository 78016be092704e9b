"""Errors that the painter raises on purpose. Each message says what happened and what helps."""


class PainterError(Exception):
    """Base class of all errors that the painter raises on purpose."""


class PictureError(PainterError, ValueError):
    """A picture cannot be read, or cannot be painted as it is."""


class SaveError(PainterError, OSError):
    """A picture cannot be written to its destination."""


class RecipeError(PainterError, ValueError):
    """A recipe, or a change to one, is invalid."""


class WeightsError(PainterError):
    """The network's weights are missing, damaged or of another kind."""


class CheckpointError(PainterError, ValueError):
    """A checkpoint belongs to another job or is damaged."""


class DivergedError(PainterError, ArithmeticError):
    """The loss is no longer finite."""
