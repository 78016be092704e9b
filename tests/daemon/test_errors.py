"""The daemon's errors are told apart by what a caller can do, and by the exit code."""

import pytest

from stylewatch_daemon import errors


@pytest.mark.parametrize(
    ("error", "code", "builtin"),
    [
        (errors.SettingsError, 78, ValueError),
        (errors.UsageError, 64, ValueError),
        (errors.InputError, 65, ValueError),
        (errors.UnavailableError, 69, Exception),
        (errors.OutputError, 73, OSError),
        (errors.FullError, 73, errors.OutputError),
        (errors.ShortageError, 75, OSError),
        (errors.DamagedError, 78, OSError),
        (errors.QuarantinedError, 70, Exception),
        (errors.InProgressError, 75, Exception),
        (errors.WorkerError, 70, Exception),
        (errors.DaemonError, 70, Exception),
    ],
)
def test_an_error_has_the_exit_code_of_sysexits_and_a_kind_that_python_has(
    error: type[errors.DaemonError], code: int, builtin: type[Exception]
) -> None:
    assert error.exit_code == code
    assert issubclass(error, errors.DaemonError)
    assert issubclass(error, builtin)
    assert str(error("so and so")) == "so and so"


def test_every_error_is_in_this_test() -> None:
    """A new one comes with its exit code."""
    assert len([name for name in vars(errors) if name.endswith("Error")]) == 12
