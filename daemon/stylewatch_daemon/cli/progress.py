"""Progress of jobs: a line that is updated on a terminal, plain lines elsewhere and in the log."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from stylewatch_daemon.base.model import Progress, Started
from stylewatch_daemon.cli.exit_codes import note
from stylewatch_daemon.jobs.eta import EtaEstimator
from stylewatch_daemon.views.formatting import duration, size
from stylewatch_daemon.worker.messages import Event, Staged

Show = Callable[[Event], None]
"""Function that shows the events of one job."""

EVERY_S = 10.0
"""Seconds between two plain lines."""


class Lines:
    """Writer of lines at the start of a job, at every stage, and every EVERY_S seconds.

    If `show` is given, only the lines at the start are written: `show` gets the progress after
    every step, to replace the previous text.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        show: Callable[[str], None] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write, self._show, self._now = write, show, now
        self._eta: EtaEstimator
        self._written_at = now()
        self._latest = ""

    def __call__(self, event: Event) -> None:
        """Write a line for `event` if one is due."""
        if isinstance(event, Started):
            self._eta = EtaEstimator(event)
            for line in _start_lines(event):
                self._write(line)
        elif isinstance(event, Progress):
            self._latest = progress_text(event, self._eta.left(event))
            if self._show is not None:
                self._show(self._latest)
            elif self._now() - self._written_at >= EVERY_S:
                self._flush()
        elif isinstance(event, Staged) and event.path.startswith("stages/") and not self._show:
            self._flush()

    def _flush(self) -> None:
        if self._latest:
            self._write(self._latest)
        self._latest, self._written_at = "", self._now()


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


@contextmanager
def job_progress(*, quiet: bool) -> Iterator[Show]:
    """Show the progress of a job on stderr: not at all, in place on a terminal, or as lines."""
    if quiet:
        yield lambda _: None
        return
    with in_place(sys.stderr) as show:
        yield Lines(note, show)


def _start_lines(event: Started) -> tuple[str, ...]:
    *before, final = map(size, event.sizes)
    sizes = f"{final} after {', '.join(before)}" if before else final
    return (f"painting {sizes} on {event.backend} ({event.device})", *event.warnings)


def progress_text(event: Progress, left: float | None) -> str:
    """Describe the progress of a job; `left` is the remaining time in seconds, None if unknown."""
    text = (
        f"{event.unit} {event.step} of {event.steps} at {size(event.size)}, loss {event.loss:.5g}"
    )
    return text if left is None else f"{text}, {duration(left)} left"


def running_text(running: Mapping[str, Any]) -> str:
    """Describe the progress of a running job, given its entry in status.json."""
    if running["loss"] is None:
        return "preparing"
    progress = Progress(
        running["step"], running["steps"], running["size"], running["loss"], 0.0, running["unit"]
    )  # fmt: skip
    return progress_text(progress, running["seconds_left"])
