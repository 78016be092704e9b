"""Shortages of the machine are distinguished from faults of a job, and say what helps."""

import errno

import pytest

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import OutputError
from stylewatch_painter.errors import PictureError


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "LimitNOFILE="),
        (ImportError("libx.so: cannot open shared object file: Too many open files"), "ulimit -n"),
        (RuntimeError("can't start new thread"), "TasksMax="),
        (OSError(errno.ENOSPC, "No space left on device"), ""),
        (PictureError("a picture called can't start new thread"), ""),
    ],
)
def test_a_shortage_is_recognized_and_told_in_place_of_what_it_caused(
    error: Exception, words: str
) -> None:
    assert (shortages.shortage(error) is not None) == bool(words)
    output = OutputError("the outbox /out cannot be written")
    assert shortages.in_words(output) == "the outbox /out cannot be written"
    output.__cause__ = error
    assert (words or "the outbox /out") in shortages.in_words(output)
