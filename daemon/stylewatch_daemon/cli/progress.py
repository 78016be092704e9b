"""Progress of running jobs: a moving line on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from stylewatch_daemon.base.model import Progress, Started
from stylewatch_daemon.cli.exit_codes import note
from stylewatch_daemon.jobs.eta import EtaEstimator
from stylewatch_daemon.views.formatting import duration, size
from stylewatch_daemon.worker.messages import Event, Staged

if TYPE_CHECKING:  # rich is slow to import, and only a terminal needs it
    import rich.progress

Show = Callable[[Event], None]
"""Shows the events of one job."""

Begin = Callable[[str], Show]
"""Begins the display of a job by its name, which is empty if it is the only one."""

EVERY_S = 10.0
"""Seconds between two plain lines."""


def progress_display(*, quiet: bool) -> AbstractContextManager[Begin]:
    """Return the progress display for stderr: none, a moving line, or plain lines."""
    if quiet:
        return nullcontext(lambda _: lambda _: None)
    if sys.stderr.isatty():
        return moving_lines()
    return nullcontext(lambda _: Lines(note))


class Lines:
    """Plain lines: at the start, at every stage, and every ten seconds."""

    def __init__(
        self, write: Callable[[str], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._write, self._now = write, now
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
            if self._now() - self._written_at >= EVERY_S:
                self._flush()
        elif isinstance(event, Staged) and event.path.startswith("stages/"):
            self._flush()

    def _flush(self) -> None:
        if self._latest:
            self._write(self._latest)
        self._latest, self._written_at = "", self._now()


@contextmanager
def moving_lines() -> Iterator[Begin]:
    """Show a line for each running job on the terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = ("{task.description}", "{task.fields[size]}",
               "{task.fields[unit]} {task.completed}/{task.total}",
               "loss {task.fields[loss]}", "{task.fields[left]}")  # fmt: skip
    texts = [TextColumn(column, markup=False) for column in columns]
    console = Console(stderr=True)
    bar = Progress(*texts[:2], BarColumn(), *texts[2:], console=console, transient=True)
    try:
        yield lambda name: _MovingLine(bar, name)
    finally:
        with suppress(OSError):  # the terminal may be closed
            bar.stop()


class _MovingLine:
    """One line of the terminal; it disappears when its job ends."""

    def __init__(self, bar: "rich.progress.Progress", name: str) -> None:
        self._bar, self._name = bar, name
        self._eta: EtaEstimator
        self._line: rich.progress.TaskID | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self._begin(event)
        elif self._line is None:
            return
        elif isinstance(event, Progress):
            left = self._eta.left(event)
            self._bar.update(
                self._line,
                completed=event.step,
                size=size(event.size),
                loss=f"{event.loss:.5g}",
                unit=event.unit,
                left="" if left is None else f"{duration(left)} left",
            )
        elif isinstance(event, Staged):
            self._bar.refresh()
        else:
            self._end(self._line)

    def _begin(self, event: Started) -> None:
        if self._line is not None:  # a restart: the old line no longer fits
            self._end(self._line)
        self._eta = EtaEstimator(event)
        for line in _start_lines(event):
            text = f"{self._name}: {line}" if self._name else line
            self._bar.console.print(text, highlight=False, markup=False, soft_wrap=True)
        self._bar.start()  # not earlier: nothing is redrawn while no job runs
        self._line = self._bar.add_task(
            self._name,
            total=event.steps,
            completed=event.step,
            size="",
            loss="-",
            left="",
            unit="",
        )

    def _end(self, line: "rich.progress.TaskID") -> None:
        self._bar.remove_task(line)
        self._line = None
        if not self._bar.tasks:
            self._bar.stop()


def _start_lines(event: Started) -> tuple[str, ...]:
    *before, final = map(size, event.sizes)
    sizes = f"{final} after {', '.join(before)}" if before else final
    return (f"painting {sizes} on {event.backend} ({event.device})", *event.warnings)


def progress_text(event: Progress, left: float | None) -> str:
    """Describe the progress of a job, with `left` seconds to go if that is known."""
    text = (
        f"{event.unit} {event.step} of {event.steps} at {size(event.size)}, loss {event.loss:.5g}"
    )
    return text if left is None else f"{text}, {duration(left)} left"


def running_text(running: Mapping[str, Any]) -> str:
    """Describe the progress of a running job by its part of status.json."""
    if running["loss"] is None:
        return "preparing"
    progress = Progress(
        running["step"], running["steps"], running["size"], running["loss"], 0.0, running["unit"]
    )  # fmt: skip
    return progress_text(progress, running["seconds_left"])
