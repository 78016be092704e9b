"""The exit codes of all errors."""

from stylewatch_daemon import errors

EXIT_CODES: dict[type[errors.DaemonError], int] = {
    errors.SettingsError: 78,
    errors.UsageError: 64,
    errors.InputError: 65,
    errors.UnavailableError: 69,
    errors.OutputError: 73,
    errors.FullError: 73,
    errors.ShortageError: 75,
    errors.DamagedError: 78,
    errors.QuarantinedError: 70,
    errors.InProgressError: 75,
    errors.WorkerError: 70,
    errors.DaemonError: 70,
}


def test_every_error_has_its_exit_code() -> None:
    assert {kind for name, kind in vars(errors).items() if name.endswith("Error")} == {*EXIT_CODES}
    assert {kind: kind.exit_code for kind in EXIT_CODES} == EXIT_CODES
