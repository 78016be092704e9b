"""Progress of jobs: a line that is updated on a terminal, plain lines elsewhere and in the log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from stylewatch_daemon.base.eta import EtaEstimator
from stylewatch_daemon.base.model import Progress, Started
from stylewatch_daemon.base.words import in_pixels, progress_text
from stylewatch_daemon.outbox.publish import STAGES
from stylewatch_daemon.worker.messages import Event, FileStaged

EVERY_S = 10.0
"""Seconds between two plain lines."""


class PacedLines:
    """Writer of a changing text as lines, at most one every EVERY_S seconds."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._latest = self._written = ""
        self._written_at = -float("inf")

    def __call__(self, text: str) -> None:
        """Write `text` if a line is due."""
        self._latest = text
        if time.monotonic() - self._written_at >= EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Write the latest text, if it is not written yet; the next line is due after EVERY_S."""
        if self._latest != self._written:
            self._write(self._latest)
        self._written = self._latest
        self._written_at = time.monotonic()


class JobProgress:
    """Display of a job: lines at its start, then the progress by `show`, or in paced lines."""

    def __init__(
        self, write: Callable[[str], object], show: Callable[[str], None] | None = None
    ) -> None:
        self._write = write
        self._lines = PacedLines(write)
        self._show = show or self._lines
        self._eta: EtaEstimator

    def __call__(self, event: Event) -> None:
        """Show what `event` changes; a stage is shown with the progress at that step."""
        if isinstance(event, Started):
            self._eta = EtaEstimator(event)
            *before, final = map(in_pixels, event.sizes)
            sizes = f"{final} after {', '.join(before)}" if before else final
            for line in (f"painting {sizes} on {event.backend} ({event.device})", *event.warnings):
                self._write(line)
            self._lines.flush()
        elif isinstance(event, Progress):
            self._show(progress_text(event, self._eta.left(event)))
        elif isinstance(event, FileStaged) and event.path.startswith(f"{STAGES}/"):
            self._lines.flush()


@contextmanager
def in_place(stream: TextIO, *, wanted: bool = True) -> Iterator[Callable[[str], None] | None]:
    """Yield a function that shows a text in place of the previous text.

    Yield None if `stream` is not a terminal, or this is not `wanted`. The last text stays on
    stdout, and is removed from stderr.
    """
    if not (wanted and stream.isatty()):
        yield None
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    stays = stream is sys.stdout
    with Live(console=Console(file=stream), auto_refresh=not stays, transient=not stays) as live:
        yield lambda text: live.update(Text(text), refresh=stays)
