"""Each kind of error makes the end that fits it."""

import errno

import pytest

from stylewatch_daemon.errors import InputError, OutputError, SettingsError, UnavailableError
from stylewatch_daemon.execute.contract import Failed, Refused
from stylewatch_daemon.execute.ends import as_end
from stylewatch_painter.errors import (
    DivergedError,
    PictureError,
    RecipeError,
    SaveError,
    WeightsError,
)
from stylewatch_plugins.errors import BackendMissingError, BackendOptionError


@pytest.mark.parametrize(
    "kind", [PictureError, RecipeError, DivergedError, SettingsError, InputError]
)
def test_what_would_come_out_the_same_again_is_refused(kind: type[Exception]) -> None:
    assert as_end(kind("so and so")) == Refused("so and so")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (WeightsError("so and so"), 69),
        (BackendMissingError("so and so"), 69),
        (BackendOptionError("so and so"), 69),
        (UnavailableError("so and so"), 69),
        (SaveError("so and so"), 73),
        (OutputError("so and so"), 73),
    ],
)
def test_what_another_try_may_mend_says_what_stood_in_the_way(error: Exception, code: int) -> None:
    assert as_end(error) == Failed("so and so", code)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES])
def test_a_disk_that_takes_nothing_is_told_with_the_file(code: int) -> None:
    end = as_end(OSError(code, "No", "/out/final.png"))
    assert end == Failed("/out/final.png cannot be written: No", 73)


def test_anything_else_is_our_fault_and_has_a_trace() -> None:
    end = as_end(ZeroDivisionError("by zero"))
    assert isinstance(end, Failed)
    assert end.exit_code == 70
    assert "ZeroDivisionError: by zero" in end.reason
    assert "ZeroDivisionError" in end.trace


def test_too_little_memory_is_told_in_words() -> None:
    end = as_end(MemoryError())
    assert isinstance(end, Failed)
    assert (end.exit_code, "smaller size" in end.reason) == (70, True)
