"""A file that a program still has open for writing is detected."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from stylewatch_daemon.files.identity import is_being_written

OPENER = "import sys; file = open(sys.argv[1], sys.argv[2]); print(flush=True); sys.stdin.read()"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "content.jpg").write_text("half")
    return tmp_path / "content.jpg"


def check(path: Path) -> bool:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        return is_being_written(path.name, folder)
    finally:
        os.close(folder)


@contextmanager
def opened(path: Path, mode: str) -> Iterator[None]:
    """Have another process open the file."""
    command = [sys.executable, "-c", OPENER, str(path), mode]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.readline()
        yield
        process.stdin.close()


@pytest.mark.parametrize(("mode", "is_written"), [("r+", True), ("r", False)])
def test_a_file_that_another_process_writes_is_detected(
    mode: str, is_written: bool, file: Path
) -> None:
    (file.parent / "link").symlink_to(file)
    os.mkfifo(file.parent / "pipe")
    with opened(file, mode):
        assert check(file) == is_written
        assert not any(check(file.with_name(name)) for name in ("link", "pipe", "missing"))
    assert not check(file)


def test_a_writer_is_not_disturbed_and_no_handle_is_left(file: Path) -> None:
    """The kernel sends a signal when a lease is broken, which by default ends the process."""
    assert signal.getsignal(signal.SIGIO) == signal.SIG_DFL
    done = Event()

    def write() -> None:
        while not done.is_set():
            os.close(os.open(file, os.O_WRONLY))

    writer = Thread(target=write)
    writer.start()
    try:
        for _ in range(1000):
            check(file)
    finally:
        done.set()
        writer.join()
    assert not any(handle.resolve() == file for handle in Path("/proc/self/fd").iterdir())
    os.close(os.open(file, os.O_WRONLY | os.O_NONBLOCK))  # fails while there is a lease
