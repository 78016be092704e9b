"""Each kind of error makes the End that fits it."""

import errno
from pathlib import Path

import pytest
import torch
from tests.plugins.strangers import install

from stylewatch_daemon.errors import InputError, OutputError, SettingsError, UnavailableError
from stylewatch_daemon.worker.failures import as_end
from stylewatch_daemon.worker.messages import Failed, Refused
from stylewatch_painter.errors import (
    DivergedError,
    PictureError,
    RecipeError,
    SaveError,
    WeightsError,
)
from stylewatch_painter.images.read import read
from stylewatch_plugins import registry
from stylewatch_plugins.errors import BackendMissingError
from stylewatch_plugins.testing.tasks import painted, sample


def test_errors_with_a_reason() -> None:
    for refused in (PictureError, RecipeError, DivergedError, SettingsError, InputError):
        assert as_end(refused("why")) == Refused("why")
    for missing in (WeightsError, BackendMissingError, UnavailableError):
        assert as_end(missing("why")) == Failed("why", 69)
    for unwritten in (SaveError, OutputError):
        assert as_end(unwritten("why")) == Failed("why", 73)
    for number in (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.ENOENT, errno.ESTALE):
        end = as_end(OSError(number, "No", "/out/final.png"))
        assert end == Failed("/out/final.png cannot be written: No", 73)
    error = PictureError("why")
    error.__cause__ = OSError(errno.EMFILE, "Too many open files")
    end = as_end(error)
    assert isinstance(end, Failed)
    assert (end.exit_code, end.recycle) == (75, True), "a shortage may be behind any error"
    assert end.reason.startswith("out of file descriptors (the limit is ")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("can't allocate memory: 4 bytes.\nand a long trace"),
         "memory did not suffice (can't allocate memory: 4 bytes.): it is tried again by itself"),
        (MemoryError(), "memory did not suffice (MemoryError)"),
        (torch.AcceleratorError("CUDA error: unspecified launch failure\nCompile with ..."),
         "the device is lost (CUDA error: unspecified launch failure): it is tried again"),
        (RuntimeError("CUDA error: " + 1000 * "x"), "the device is lost (CUDA error: xxx"),
    ],
)  # fmt: skip
def test_memory_and_devices_need_a_new_process(error: Exception, reason: str) -> None:
    end = as_end(error)
    assert isinstance(end, Failed)
    assert (end.exit_code, end.recycle) == (69, True)
    assert end.reason.startswith(reason)
    assert len(end.reason) < 400


def test_other_errors_are_faults_of_their_author_with_a_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = as_end(ZeroDivisionError("by zero"))
    assert isinstance(ours, Failed)
    assert (ours.exit_code, ours.reason) == (70, "a fault of our own, ZeroDivisionError: by zero")
    assert "ZeroDivisionError" in ours.trace
    install(tmp_path, monkeypatch, "raises-in-the-middle")
    with pytest.raises(RuntimeError) as caught:
        painted(registry.load("raises-in-the-middle", {}), sample())
    assert "a fault of the backend 'raises-in-the-middle' of" in as_end(caught.value).reason


def test_a_missing_picture_is_retried_and_a_bad_one_refused(tmp_path: Path) -> None:
    """A job's pictures were decoded before: a missing one means that the disk is gone."""
    path = tmp_path / "picture.jpg"
    for content, kind in ((None, Failed), (b"\xff\xd8\xff\xe0 cut off", Refused)):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(PictureError) as caught:
            read(path)
        assert isinstance(as_end(caught.value), kind)
