"""A file that a program still has open for writing is told from one that is done."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from stylewatch_daemon.files.leases import is_being_written

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
    """Another process has it open."""
    command = [sys.executable, "-c", OPENER, str(path), mode]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.readline()
        yield
        process.stdin.close()


@pytest.mark.parametrize(("mode", "is_written"), [("a", True), ("r+", True), ("r", False)])
def test_it_is_being_written_while_a_process_has_it_open_for_that(
    mode: str, is_written: bool, file: Path
) -> None:
    with opened(file, mode):
        assert check(file) == is_written
    assert not check(file)


def test_of_what_is_no_file_of_ours_nothing_is_known(tmp_path: Path, file: Path) -> None:
    (tmp_path / "link").symlink_to(file)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with opened(file, "a"):
        assert not any(check(tmp_path / name) for name in ("link", "pipe", "folder", "missing"))


def test_no_handle_is_left_and_nobody_waits_afterwards(file: Path) -> None:
    def handles() -> int:
        return sum(handle.resolve() == file for handle in Path("/proc/self/fd").iterdir())

    for _ in range(50):
        check(file)
    assert handles() == 0
    os.close(os.open(file, os.O_WRONLY | os.O_NONBLOCK))  # which fails while there is a lease


def test_a_writer_that_comes_meanwhile_disturbs_nobody(file: Path) -> None:
    """The kernel sends a signal to one whose lease is broken, which by default would end it."""
    assert signal.getsignal(signal.SIGIO) == signal.SIG_DFL
    done = Event()

    def write() -> None:
        while not done.is_set():
            os.close(os.open(file, os.O_WRONLY))

    writer = Thread(target=write)
    writer.start()
    try:
        said = {check(file) for _ in range(3000)}
    finally:
        done.set()
        writer.join()
    assert said <= {True, False}
