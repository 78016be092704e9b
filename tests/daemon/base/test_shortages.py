"""Shortages of the machine are distinguished from faults of a job."""

import errno
import sqlite3

import pytest

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import OutputError
from stylewatch_painter.errors import PictureError


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


def test_a_shortage_is_described_first() -> None:
    error = OutputError("the outbox /out cannot be written")
    assert shortages.in_words(error) == "the outbox /out cannot be written"
    error.__cause__ = OSError(errno.EMFILE, "Too many open files")
    assert "out of file descriptors" in shortages.in_words(error)
    assert shortages.in_words(OSError(errno.ENOSPC, "No space", "/a")) == "/a: No space"
