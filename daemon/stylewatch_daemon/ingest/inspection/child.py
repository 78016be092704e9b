"""The inspection process: answers questions about pictures, under resource limits.

The pictures are untrusted: memory is limited, and no large file can be written.
"""

import os
import resource
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from pkgutil import resolve_name

from stylewatch_daemon.ingest.inspection.contract import Begun, NotNow, Question, Verdict
from stylewatch_daemon.processes.child import received, send
from stylewatch_painter.images import reduced

EXTRA_MEMORY = 1 << 26
"""Bytes of memory beside those of a picture: the thumbnail, what libraries set aside."""

MAX_FILE = 4 << 20
"""Bytes of the largest file that it may write; thumbnails are much smaller."""

Examine = Callable[[Question], Iterator[Begun | NotNow | Verdict]]


def serve(pipe: Connection, look: str) -> None:
    """Answer the questions from `pipe` with `look` (`module:function`) until the pipe closes."""
    examine: Examine = resolve_name(look)
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_FSIZE, MAX_FILE)
    base = _address_space()
    while (question := received(pipe)) is not None:
        limit(resource.RLIMIT_AS, base + EXTRA_MEMORY + reduced.memory(question.max_pixels))
        for message in examine(question):
            send(pipe, message)


def limit(which: int, most: int) -> None:
    """Set the soft limit of a resource to `most`, or to the hard limit if that is lower."""
    _, hard = resource.getrlimit(which)
    resource.setrlimit(which, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _address_space() -> int:
    """Bytes that libraries and their threads have mapped already; 0 if unknown."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
