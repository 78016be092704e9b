"""Each kind of error makes the End that fits it."""

import errno
from pathlib import Path

import pytest

from stylewatch_daemon.base.model import Cause
from stylewatch_daemon.worker.failures import as_end
from stylewatch_daemon.worker.messages import Failed
from stylewatch_painter.errors import (
    PictureError,
)
from stylewatch_painter.images.read import read


def test_a_job_waits_for_a_disk_that_is_full_or_gone(tmp_path: Path) -> None:
    for number in (errno.ENOSPC, errno.EROFS, errno.ENOENT, errno.ESTALE):
        written = Failed("a.png cannot be written: No", Cause.DISK)
        assert as_end(OSError(number, "No", "a.png")) == written
    with pytest.raises(PictureError) as caught:  # it was decoded before: its disk is gone
        read(tmp_path / "picture.jpg")
    assert as_end(caught.value) == Failed(str(caught.value), Cause.DISK)


def picture_error() -> PictureError:
    """An error with a shortage behind it."""
    error = PictureError("why")
    error.__cause__ = OSError(errno.EMFILE, "Too many open files")
    return error


@pytest.mark.parametrize(
    ("error", "cause", "reason"),
    [
        (picture_error(), Cause.MACHINE, "out of file descriptors (the limit is "),
        (RuntimeError("can't allocate memory: 4 bytes.\nand a long trace"), Cause.DEVICE,
         "there was not enough memory (can't allocate memory: 4 bytes.): the job is retried"),
        (MemoryError(), Cause.DEVICE, "there was not enough memory (MemoryError)"),
        (RuntimeError("CUDA error: " + 1000 * "x"), Cause.DEVICE,
         "the device is lost (CUDA error: xxx"),
    ],
)  # fmt: skip
def test_shortages_memory_and_devices_need_a_new_process(
    error: Exception, cause: Cause, reason: str
) -> None:
    end = as_end(error)
    assert isinstance(end, Failed)
    assert (end.cause, end.recycle) == (cause, True)
    assert end.reason.startswith(reason)
    assert len(end.reason) < 400


def test_other_errors_are_faults_of_stylewatch_with_a_trace() -> None:
    ours = as_end(ZeroDivisionError("by zero"))
    assert isinstance(ours, Failed) and ours.cause is Cause.BUG
    assert ours.reason == "a fault of stylewatch, ZeroDivisionError: by zero"
    assert "ZeroDivisionError" in ours.trace
