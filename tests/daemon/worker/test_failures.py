"""Each kind of error makes the End that fits it."""

import errno
from pathlib import Path

import pytest

from stylewatch_daemon.base.model import Cause
from stylewatch_daemon.worker.failures import as_end
from stylewatch_daemon.worker.messages import Failed
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.read import read


def picture_error() -> PictureError:
    """An error with a shortage behind it."""
    error = PictureError("why")
    error.__cause__ = OSError(errno.EMFILE, "Too many open files")
    return error


@pytest.mark.parametrize(
    ("error", "cause", "reason"),
    [
        (OSError(errno.ENOSPC, "No", "a.png"), Cause.DISK, "a.png cannot be written: No"),
        (picture_error(), Cause.MACHINE, "out of file descriptors (the limit is "),
        (RuntimeError("can't allocate memory: 4 bytes.\nand a long trace"), Cause.MEMORY,
         "there is not enough memory (can't allocate memory: 4 bytes.): a smaller size needs"),
        (MemoryError(), Cause.MEMORY, "there is not enough memory (MemoryError)"),
        (RuntimeError("CUDA error: " + 1000 * "x"), Cause.DEVICE,
         "the device is lost (CUDA error: xxx"),
        (ZeroDivisionError("by zero"), Cause.BUG,
         "a fault of stylewatch, ZeroDivisionError: by zero"),
    ],
)  # fmt: skip
def test_an_error_has_its_cause_and_shortages_memory_and_devices_need_a_new_process(
    error: Exception, cause: Cause, reason: str
) -> None:
    end = as_end(error)
    assert isinstance(end, Failed)
    assert (end.cause, end.recycle) == (cause, cause in (Cause.MACHINE, Cause.MEMORY, Cause.DEVICE))
    assert end.reason.startswith(reason)
    assert len(end.reason) < 400
    assert bool(end.trace) == (cause is Cause.BUG)


def test_a_job_waits_for_a_disk_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(PictureError) as caught:  # it was decoded before
        read(tmp_path / "picture.jpg")
    assert as_end(caught.value) == Failed(str(caught.value), Cause.DISK)
