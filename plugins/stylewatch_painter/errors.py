"""Errors that the painter raises on purpose. Each message says what happened and what helps."""

from typing import Self


class PainterError(Exception):
    """Base class of all errors that the painter raises on purpose.

    `exit_code` is the exit code of a command that fails with the error, as in sysexits.h.
    """

    exit_code = 70


class PictureError(PainterError, ValueError):
    """A picture cannot be read, or cannot be painted as it is."""

    exit_code = 65


class SaveError(PainterError, ValueError):
    """A picture cannot be written in the format, the depth or the size that was asked for."""

    exit_code = 65


class RecipeError(PainterError, ValueError):
    """A recipe, or a change to one, is invalid."""

    exit_code = 64


class LibraryError(PainterError, ImportError):
    """A library of the installation cannot be loaded, which says nothing about the picture."""

    exit_code = 69


class RecipesAwayError(PainterError, OSError):
    """A folder or a file of recipes cannot be read now, so its recipes are unknown.

    They are neither absent nor wrong (law 2): a job that needs one waits.
    """

    exit_code = 75


class WeightsError(PainterError):
    """The network's weights are missing, damaged or of another kind."""

    exit_code = 69


class WeightsNameError(WeightsError):
    """A name is not valid for weights, or names no weights that can be fetched."""

    exit_code = 64


class CheckpointError(PainterError, ValueError):
    """A checkpoint belongs to another job or is damaged."""

    @classmethod
    def because(cls, problem: str) -> Self:
        """Return the error for a `problem`, with the advice that all checkpoint errors share."""
        return cls(f"{problem}: without it the painting starts anew")

    @classmethod
    def of_another_painting(cls) -> Self:
        """Return the error for a checkpoint of another task."""
        problem = "this checkpoint belongs to another painting (other pictures, recipe or seed)"
        return cls.because(problem)

    @classmethod
    def damaged(cls, fault: str) -> Self:
        """Return the error for a checkpoint whose arrays have a `fault`."""
        return cls.because(f"this checkpoint is damaged, {fault}")


class DivergedError(PainterError, ArithmeticError):
    """The loss is no longer finite."""

    exit_code = 65
