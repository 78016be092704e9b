"""Shortages of the machine are distinguished from faults of a job."""

import errno
import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.files import shortages
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.read import read


@contextmanager
def limited(count: int) -> Iterator[None]:
    """Limit the file descriptors of this process."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def full() -> int:
    """Return the limit with which no further file can be opened."""
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    return free


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "LimitNOFILE="),
        (OSError(errno.ENFILE, "Too many open files in system"), "fs.file-max"),
        (ImportError("libx.so: cannot open shared object file: Too many open files"), "ulimit -n"),
        (RuntimeError("can't start new thread"), "TasksMax="),
        (OSError(errno.EAGAIN, "Resource temporarily unavailable"), None),
        (OSError(errno.ENOSPC, "No space left on device"), None),
        (PictureError("a picture called can't start new thread"), None),
        (sqlite3.OperationalError("unable to open database file"), None),
    ],
)
def test_a_shortage_is_recognized_and_says_what_helps(error: Exception, words: str | None) -> None:
    shortage = shortages.shortage(error)
    assert (shortage is None) == (words is None)
    assert words is None or words in str(shortage)


def test_the_cause_of_an_error_counts(tmp_path: Path) -> None:
    (tmp_path / "content.jpg").write_bytes(b"a picture")
    with limited(full()):
        with pytest.raises(PictureError) as of_picture:
            read(tmp_path / "content.jpg")
        with pytest.raises(sqlite3.OperationalError) as of_ledger:
            sqlite3.connect(tmp_path / "ledger")
        for caught in (of_picture, of_ledger):
            assert shortages.shortage(caught.value) is not None


def test_a_shortage_is_described_first() -> None:
    error = OutputError("the outbox /out cannot be written")
    assert shortages.in_words(error) == "the outbox /out cannot be written"
    error.__cause__ = OSError(errno.EMFILE, "Too many open files")
    assert "out of file descriptors" in shortages.in_words(error)
    assert shortages.in_words(OSError(errno.ENOSPC, "No space", "/a")) == "/a: No space"
