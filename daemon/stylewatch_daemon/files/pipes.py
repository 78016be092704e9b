"""Pipes by which other processes wake this one."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stylewatch_daemon.files import entries
from stylewatch_daemon.files.system import system

_CHUNK = 1 << 12


def poke(pipe: Path) -> None:
    """Wake the process that waits for a `pipe`, if there is one."""
    # an error means that nobody reads; a process looks for work before it begins to read
    with suppress(OSError), entries.opened(pipe, flags=os.O_WRONLY | os.O_NONBLOCK) as handle:
        system.write(handle, b"!")  # a full pipe wakes the reader without it


@contextmanager
def waking(pipe: Path, wake: Callable[[], object]) -> Iterator[None]:
    """Call `wake`, in a thread of its own, whenever something is written to `pipe`.

    Writes that follow each other closely may lead to one call. The thread ends with the context.
    """
    # open for writing too: otherwise a read returns at once while nobody else has the pipe open
    handle = system.open(pipe, os.O_RDWR | os.O_CLOEXEC)
    leaving = threading.Event()
    with system.reader(handle) as reader:

        def read() -> None:
            while reader.read1(_CHUNK) and not leaving.is_set():
                wake()

        thread = threading.Thread(target=read, name="requests", daemon=True)
        thread.start()
        try:
            yield
        finally:
            leaving.set()
            system.write(handle, b"!")
            thread.join()
