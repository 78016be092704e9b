"""Shortages of the machine are told apart from faults of a job, whoever met them."""

import errno
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stylewatch_daemon.errors import OutputError, SettingsError, ShortageError
from stylewatch_daemon.files import shortages
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.read import read


@contextmanager
def limited(count: int) -> Iterator[None]:
    """So many file descriptors for this process, no more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def full() -> int:
    """The limit with which no file can be opened any more."""
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
    ],
)
def test_a_shortage_is_told_with_what_helps(error: Exception, words: str) -> None:
    found = shortages.shortage(error)
    assert found is not None
    assert words in str(found)
    assert found.exit_code == 75


def test_the_cause_of_an_error_counts(tmp_path: Path) -> None:
    (tmp_path / "content.jpg").write_bytes(b"a picture")
    with limited(full()), pytest.raises(PictureError) as caught:
        read(tmp_path / "content.jpg")
    assert shortages.shortage(caught.value) is not None


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EAGAIN, "Resource temporarily unavailable"),
        OSError(errno.ENOSPC, "No space left on device"),
        PictureError("a picture called can't start new thread"),
        OutputError("the outbox cannot be written"),
        sqlite3.OperationalError("unable to open database file"),
        None,
    ],
)
def test_what_is_no_shortage_is_none(error: Exception | None) -> None:
    assert shortages.shortage(error) is None


def test_a_ledger_that_cannot_be_opened_for_want_of_descriptors_is_one(tmp_path: Path) -> None:
    with limited(full()):
        with pytest.raises(sqlite3.OperationalError) as caught:
            sqlite3.connect(tmp_path / "ledger")
        assert shortages.shortage(caught.value) is not None


def test_a_process_that_cannot_be_started_is_a_shortage_whatever_the_error() -> None:
    again = shortages.no_process(BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"))
    assert "Resource temporarily unavailable" in str(again)
    assert "memory" in str(shortages.no_process(OSError(errno.ENOMEM, "Cannot allocate memory")))


def test_the_probe_sees_the_shortage_and_its_end() -> None:
    assert not shortages.is_short()
    with limited(full() + shortages.SPARE - 1):
        assert shortages.is_short()
    assert not shortages.is_short()


def test_too_low_a_limit_is_a_mistake_of_the_configuration() -> None:
    shortages.check_limit()
    with limited(shortages.MINIMUM - 1), pytest.raises(SettingsError, match="LimitNOFILE="):
        shortages.check_limit()


def test_the_soft_limit_is_raised_as_far_as_the_hard_one_allows() -> None:
    program = (
        "import resource; from stylewatch_daemon.files import shortages; "
        "resource.setrlimit(resource.RLIMIT_NOFILE, (50, 90)); "
        "shortages.raise_limit(); print(shortages.descriptors())"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert said.stdout.split() == [b"90"]


def test_words_are_those_of_the_shortage_first() -> None:
    error = OutputError("the outbox /out cannot be written")
    assert shortages.in_words(error) == "the outbox /out cannot be written"
    error.__cause__ = OSError(errno.EMFILE, "Too many open files")
    assert "out of file descriptors" in shortages.in_words(error)
    assert shortages.in_words(OSError(errno.ENOSPC, "No space", "/a")) == "/a: No space"
    assert isinstance(shortages.shortage(ShortageError("so")), ShortageError)
