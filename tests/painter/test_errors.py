"""The painter's errors: one root for whoever wants them all, and what Python has for the rest."""

import pytest

from stylewatch_painter import errors


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.PictureError, ValueError),
        (errors.SaveError, OSError),
        (errors.RecipeError, ValueError),
        (errors.WeightsError, Exception),
        (errors.CheckpointError, ValueError),
        (errors.DivergedError, ArithmeticError),
    ],
)
def test_errors_have_painter_and_builtin_bases(
    error: type[Exception], builtin: type[Exception]
) -> None:
    assert issubclass(error, errors.PainterError)
    assert issubclass(error, builtin)
    assert str(error("so and so")) == "so and so"
