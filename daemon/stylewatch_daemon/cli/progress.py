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
"""Minimum time in seconds between two plain lines, apart from those of events."""


class PacedLines:
    """Writer that prints a changing text as lines, one every EVERY_S seconds or after `flush`."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._latest = self._written = ""
        self._written_at = -float("inf")

    def __call__(self, text: str) -> None:
        """Write `text` if the last line is EVERY_S seconds old or older; otherwise keep it."""
        self._latest = text
        if time.monotonic() - self._written_at >= EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Write the latest text now, unless it was the last line."""
        if self._latest != self._written:
            self._write(self._latest)
        self._written = self._latest
        self._written_at = time.monotonic()


class JobProgress:
    """Display of a running job: it writes lines at the start, and then shows the progress.

    The progress is shown by `show`, or else in paced lines by `write`.
    """

    def __init__(
        self, write: Callable[[str], object], show: Callable[[str], None] | None = None
    ) -> None:
        self._write = write
        self._lines = PacedLines(write)
        self._show = show or self._lines
        self._eta: EtaEstimator

    def __call__(self, event: Event) -> None:
        """Show an event; at a stage, write the progress that is not written yet."""
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

    Yield None if `stream` is not a terminal, or if `wanted` is False. At the end the last text is
    removed from stderr, but stays on stdout.
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
