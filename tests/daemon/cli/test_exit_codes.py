"""What each error means for whoever called."""

import errno

import pytest
import torch

from stylewatch_daemon import errors
from stylewatch_daemon.cli.exit_codes import code_of, sentence_of
from stylewatch_painter import errors as painter
from stylewatch_plugins import errors as plugins


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("x"), 64),
        (errors.InputError("x"), 65),
        (errors.UnavailableError("x"), 69),
        (errors.WorkerError("x"), 70),
        (errors.OutputError("x"), 73),
        (errors.SettingsError("x"), 78),
        (painter.PictureError("x"), 65),
        (painter.RecipeError("x"), 64),
        (painter.WeightsError("x"), 69),
        (painter.SaveError("x"), 73),
        (painter.DivergedError("x"), 70),
        (painter.CheckpointError("x"), 70),
        (plugins.BackendMissingError("x"), 69),
        (plugins.BackendOptionError("x"), 78),
        (OSError(errno.ENOSPC, "No space left on device"), 73),
        (OSError(errno.ENOENT, "No such file"), 70),
        (KeyError("x"), 70),
    ],
    ids=lambda value: getattr(type(value), "__name__", value),
)
def test_every_error_has_its_exit_code(error: Exception, code: int) -> None:
    assert code_of(error) == code


def test_what_was_raised_on_purpose_speaks_for_itself() -> None:
    assert sentence_of(painter.PictureError("photo.jpg is cut off")) == "photo.jpg is cut off"


def test_what_nobody_foresaw_is_told_as_our_own_fault_with_what_helps() -> None:
    told = sentence_of(ZeroDivisionError("division by zero"))
    assert "a fault of stylewatch's own, ZeroDivisionError: division by zero" in told
    assert "--debug" in told


def test_a_full_disk_is_no_fault_of_ours() -> None:
    told = sentence_of(OSError(errno.ENOSPC, "No space left on device", "/out/final.png"))
    assert told == "/out/final.png cannot be written: No space left on device"


def test_too_little_memory_is_told_with_what_helps() -> None:
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")
    assert code_of(error) == 69
    assert sentence_of(error) == (
        "there is not enough memory for this (CUDA out of memory. Tried to allocate 2 GiB.); "
        "a smaller --size needs less, and --set limits.out_of_memory=smaller finds one"
    )
    assert "(MemoryError)" in sentence_of(MemoryError())


def test_a_lost_device_is_told_as_one() -> None:
    error = torch.AcceleratorError("CUDA error: unspecified launch failure")
    assert code_of(error) == 69
    assert "device is lost (CUDA error: unspecified launch failure)" in sentence_of(error)
