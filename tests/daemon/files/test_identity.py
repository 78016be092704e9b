"""A file that a program still has open for writing is detected."""

import os
import signal
from pathlib import Path
from threading import Event, Thread

from stylewatch_daemon.files.identity import is_being_written
from stylewatch_daemon.files.safe_dirs import opened


def test_a_writer_is_not_disturbed_and_no_handle_is_left(tmp_path: Path) -> None:
    """The kernel sends a signal when a lease is broken, which by default ends the process."""
    assert signal.getsignal(signal.SIGIO) == signal.SIG_DFL
    file, done = tmp_path / "file", Event()
    file.touch()

    def write() -> None:
        while not done.is_set():
            os.close(os.open(file, os.O_WRONLY))

    writer = Thread(target=write)
    writer.start()
    try:
        with opened(tmp_path) as folder:
            for _ in range(1000):
                is_being_written("file", folder)
    finally:
        done.set()
        writer.join()
    assert not any(handle.resolve() == file for handle in Path("/proc/self/fd").iterdir())
    os.close(os.open(file, os.O_WRONLY | os.O_NONBLOCK))  # fails while there is a lease
