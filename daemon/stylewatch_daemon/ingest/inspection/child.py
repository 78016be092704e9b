"""The inside of the intake process: takes questions from a pipe, sends what it finds back.

What it decodes is hostile: its memory has a limit, it can leave no large file, and it leaves at
once when the supervisor is gone.
"""

import os
import resource
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from pkgutil import resolve_name

from stylewatch_daemon.ingest.inspection.contract import Begun, NotNow, Question, Verdict
from stylewatch_daemon.processes.child import received, send, settle_in
from stylewatch_painter.images import reduced

BESIDE = 1 << 26
"""Bytes of memory beside those that a picture may take: the thumbnail, what libraries set aside."""

LARGEST = 4 << 20
"""Bytes of the largest file that it may write; thumbnails are much smaller."""

Examine = Callable[[Question], Iterator[Begun | NotNow | Verdict]]


def serve(pipe: Connection, look: str) -> None:
    """Answer with `look` (`module:function`) what comes through `pipe` until that closes."""
    settle_in()
    examine: Examine = resolve_name(look)
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_FSIZE, LARGEST)
    base = _address_space()
    while (question := received(pipe)) is not None:
        limit(resource.RLIMIT_AS, base + BESIDE + reduced.memory(question.max_pixels))
        for said in examine(question):
            send(pipe, said)


def limit(what: int, most: int) -> None:
    """Let this process take no more than `most` of a resource."""
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _address_space() -> int:
    """Bytes that are taken already, by libraries and their threads; 0 where nobody says."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
