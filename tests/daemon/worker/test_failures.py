"""Each kind of error makes the end that fits it."""

import errno
from pathlib import Path

import pytest
import torch
from tests.plugins.strangers import install

from stylewatch_daemon.errors import InputError, OutputError, SettingsError, UnavailableError
from stylewatch_daemon.worker.contract import Failed, Refused
from stylewatch_daemon.worker.failures import as_end
from stylewatch_painter.errors import (
    DivergedError,
    PictureError,
    RecipeError,
    SaveError,
    WeightsError,
)
from stylewatch_painter.images.read import read
from stylewatch_plugins import registry
from stylewatch_plugins.errors import BackendMissingError, BackendOptionError
from stylewatch_plugins.testing.tasks import painted, sample


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


@pytest.mark.parametrize(
    "code",
    [
        errno.ENOSPC,
        errno.EROFS,
        errno.EDQUOT,
        errno.EACCES,
        errno.ENOENT,
        errno.ENOTCONN,
        errno.ESTALE,
        errno.EHOSTDOWN,
    ],
)
def test_a_disk_that_takes_nothing_is_told_with_the_file(code: int) -> None:
    end = as_end(OSError(code, "No", "/out/final.png"))
    assert end == Failed("/out/final.png cannot be written: No", 73)


@pytest.mark.parametrize("kind", [PictureError, SettingsError, OutputError, WeightsError])
def test_what_the_machine_is_short_of_is_never_a_fault_of_the_job(kind: type[Exception]) -> None:
    error = kind("so and so")
    error.__cause__ = OSError(errno.EMFILE, "Too many open files")
    end = as_end(error)
    assert isinstance(end, Failed)
    assert (end.exit_code, end.recycle) == (75, True)
    assert end.reason.startswith("out of file descriptors (the limit is ")


def test_a_fault_of_somebody_elses_backend_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "raises-in-the-middle")
    backend = registry.load("raises-in-the-middle", {})
    with pytest.raises(RuntimeError) as caught:
        painted(backend, sample())
    end = as_end(caught.value)
    assert isinstance(end, Failed)
    assert end.exit_code == 70
    assert end.reason == (
        "a fault of the backend 'raises-in-the-middle' of stranger-raises-in-the-middle, "
        "RuntimeError: the brush broke"
    )


def test_anything_else_is_our_fault_and_has_a_trace() -> None:
    end = as_end(ZeroDivisionError("by zero"))
    assert isinstance(end, Failed)
    assert end.exit_code == 70
    assert "ZeroDivisionError: by zero" in end.reason
    assert "ZeroDivisionError" in end.trace


def test_too_little_memory_is_waited_for_by_a_fresh_process() -> None:
    end = as_end(RuntimeError("[enforce fail] can't allocate memory: 4 bytes.\nand a long trace"))
    assert isinstance(end, Failed)
    assert (end.exit_code, end.recycle) == (69, True)
    assert "([enforce fail] can't allocate memory: 4 bytes.)" in end.reason
    assert "a smaller size needs less, and limits.out_of_memory can choose one" in end.reason
    assert "(MemoryError)" in as_end(MemoryError()).reason


def test_a_lost_device_is_waited_for_by_a_fresh_process() -> None:
    end = as_end(torch.AcceleratorError("CUDA error: unspecified launch failure\nCompile with ..."))
    assert isinstance(end, Failed)
    assert (end.exit_code, end.recycle) == (69, True)
    assert "the device is lost (CUDA error: unspecified launch failure)" in end.reason


def test_what_a_library_says_at_length_is_cut() -> None:
    assert len(as_end(RuntimeError("CUDA error: " + 1000 * "x")).reason) < 400


def test_a_picture_that_cannot_be_read_any_more_is_waited_for(tmp_path: Path) -> None:
    """It was looked at before: now the disk is gone, and not the picture bad."""
    with pytest.raises(PictureError) as gone:
        read(tmp_path / "absent.jpg")
    assert as_end(gone.value) == Failed(str(gone.value), 69)


def test_a_picture_that_is_bad_is_refused(tmp_path: Path) -> None:
    for bad in (b"no picture", b"\xff\xd8\xff\xe0 cut off"):
        (tmp_path / "bad.jpg").write_bytes(bad)
        with pytest.raises(PictureError) as refused:
            read(tmp_path / "bad.jpg")
        assert as_end(refused.value) == Refused(str(refused.value))
