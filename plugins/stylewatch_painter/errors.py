"""Errors that the painter raises on purpose. Each message says what happened and what helps."""

from typing import Self


class PainterError(Exception):
    """Base class of all errors that the painter raises on purpose.

    `exit_code` is the exit code of a command that fails with the error, as in sysexits.h.
    """

    exit_code = 70


class PictureError(PainterError, ValueError):
    """A picture, a clip or a mask cannot be read, or cannot be painted as it is."""

    exit_code = 65


class NoMemoryError(PictureError):
    """A decoder needs more memory than is available, or than this process may use."""


class SaveError(PainterError, ValueError):
    """A picture cannot be encoded in the requested form, or weights cannot be stored."""

    exit_code = 65


class RecipeError(PainterError, ValueError):
    """A recipe, or a change to one, is invalid."""

    exit_code = 64


class LibraryError(PainterError, ImportError):
    """A library that stylewatch needs cannot be loaded.

    This is a fault of the installation, not of a picture.
    """

    exit_code = 69


class RecipesAwayError(PainterError, OSError):
    """Recipes cannot be read at present, or the installation may be incomplete.

    For example, a folder may be on a disk that is not mounted or does not answer. Do not treat such
    a recipe as missing or invalid (law 2): a job that needs it waits.
    """

    exit_code = 75


class WeightsError(PainterError):
    """The network's weights are missing, cannot be read, are damaged or do not fit the network."""

    exit_code = 69


class NotLearnedError(WeightsError):
    """No network has been trained yet for the style of a painting."""


class WeightsNameError(WeightsError):
    """A name for weights is invalid or reserved, or no weights of that name can be downloaded.

    If other weights have already been imported under the name, a plain WeightsError is raised
    instead.
    """

    exit_code = 64


class CheckpointError(PainterError, ValueError):
    """A checkpoint cannot be resumed.

    It is damaged, belongs to another painting, or was painted with other weights or packages.
    """

    @classmethod
    def because(cls, problem: str) -> Self:
        """Return the error for a `problem`, with the advice to start the painting anew."""
        return cls(f"{problem}: without it the painting starts anew")

    @classmethod
    def of_another_painting(cls) -> Self:
        """Return the error for a checkpoint that belongs to another task."""
        problem = "this checkpoint belongs to another painting (other pictures, recipe or seed)"
        return cls.because(problem)

    @classmethod
    def damaged(cls, fault: str) -> Self:
        """Return the error for a damaged checkpoint; `fault` is a clause such as `it lacks 'u'`."""
        return cls.because(f"this checkpoint is damaged, {fault}")


class DivergedError(PainterError, ArithmeticError):
    """The loss or the picture is no longer finite."""

    exit_code = 65
