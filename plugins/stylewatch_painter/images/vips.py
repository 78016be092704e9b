"""libvips, configured for untrusted files; its state is reset before each picture (law 20)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from stylewatch_painter.installation import command, library


@cache
def vips() -> Any:
    """Return pyvips, configured for untrusted files: fuzzed loaders only, one thread, no cache.

    Raises LibraryError if it cannot be loaded.
    """
    os.environ.setdefault("VIPS_WARNING", "0")  # any value suppresses warnings about files
    # by default pictures of more than 100 MB go to a file, and the process that inspects pictures
    # may not write large files
    os.environ.setdefault("VIPS_DISC_THRESHOLD", "1000g")
    advice = f"{command('pyvips[binary]')}, or install libvips with the packages of your system"
    pyvips = library("pyvips", advice)
    # its log handler is a callback, which swallows the exception of a signal that arrives during it
    pyvips._remove_log_handler()
    pyvips.block_untrusted_set(True)
    pyvips.concurrency_set(1)  # several threads can ask for the rows of a stream out of order
    pyvips.cache_set_max(0)
    return pyvips


@contextmanager
def hearing(said: list[str]) -> Iterator[None]:
    """Append the lines of libvips's messages inside the context to `said` on exit.

    These are messages about pictures that libvips decodes nevertheless. An exception inside the
    context discards them.
    """
    _clear()  # of earlier pictures (law 20)
    yield
    text = vips().ffi.string(vips().vips_lib.vips_error_buffer()).decode(errors="replace")
    said.extend(filter(None, map(str.strip, text.splitlines())))
    _clear()


def _clear() -> None:
    vips().vips_lib.vips_error_clear()
