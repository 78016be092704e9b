"""Shortages of the machine are distinguished from faults of a job."""

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
        (ShortageError("so"), "so"),
        (OSError(errno.EAGAIN, "Resource temporarily unavailable"), None),
        (OSError(errno.ENOSPC, "No space left on device"), None),
        (PictureError("a picture called can't start new thread"), None),
        (OutputError("the outbox cannot be written"), None),
        (sqlite3.OperationalError("unable to open database file"), None),
        (None, None),
    ],
)
def test_a_shortage_is_recognized_and_says_what_helps(
    error: Exception | None, words: str | None
) -> None:
    found = shortages.shortage(error)
    if words is None:
        assert found is None
    else:
        assert found is not None
        assert words in str(found)


def test_the_cause_of_an_error_counts(tmp_path: Path) -> None:
    (tmp_path / "content.jpg").write_bytes(b"a picture")
    with limited(full()):
        with pytest.raises(PictureError) as of_picture:
            read(tmp_path / "content.jpg")
        with pytest.raises(sqlite3.OperationalError) as of_ledger:
            sqlite3.connect(tmp_path / "ledger")
        for caught in (of_picture, of_ledger):
            assert shortages.shortage(caught.value) is not None


def test_a_process_that_cannot_be_started_is_a_shortage() -> None:
    busy = BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
    assert "Resource temporarily unavailable" in str(shortages.no_process(busy))
    assert "memory" in str(shortages.no_process(OSError(errno.ENOMEM, "Cannot allocate memory")))


def test_the_probe_detects_a_shortage_and_its_end() -> None:
    assert not shortages.is_short()
    with limited(full() + shortages.SPARE - 1):
        assert shortages.is_short()
    assert not shortages.is_short()


def test_the_soft_limit_is_raised_and_must_suffice() -> None:
    shortages.check_limit()
    with limited(shortages.MINIMUM - 1), pytest.raises(SettingsError, match="LimitNOFILE="):
        shortages.check_limit()
    program = (
        "import resource; from stylewatch_daemon.files import shortages; "
        "resource.setrlimit(resource.RLIMIT_NOFILE, (50, 90)); "
        "shortages.raise_limit(); print(shortages.descriptors())"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert run.stdout.split() == [b"90"]


def test_a_shortage_is_described_first() -> None:
    error = OutputError("the outbox /out cannot be written")
    assert shortages.in_words(error) == "the outbox /out cannot be written"
    error.__cause__ = OSError(errno.EMFILE, "Too many open files")
    assert "out of file descriptors" in shortages.in_words(error)
    assert shortages.in_words(OSError(errno.ENOSPC, "No space", "/a")) == "/a: No space"
