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
def test_an_error_is_the_painters_and_of_the_kind_that_python_has_for_it(
    error: type[Exception], builtin: type[Exception]
) -> None:
    assert issubclass(error, errors.PainterError)
    assert issubclass(error, builtin)
    assert str(error("so and so")) == "so and so"


def test_no_error_hides_another() -> None:
    """But for the root, whoever catches one kind gets that kind alone."""
    found = [error for name, error in vars(errors).items() if name.endswith("Error")]
    kinds = [error for error in found if error is not errors.PainterError]
    assert len(kinds) == 6
    assert not any(issubclass(a, b) for a in kinds for b in kinds if a is not b)
