"""Tells how paintings get on: a moving line on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from stylewatch_daemon.cli.console import note
from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.queue.eta import Clock
from stylewatch_daemon.views.formatting import duration, size
from stylewatch_daemon.worker.messages import Event, Staged

if TYPE_CHECKING:  # rich takes its time, and only a terminal needs it
    import rich.progress

Tell = Callable[[Event], None]
"""Takes the events of one painting."""

Begin = Callable[[str], Tell]
"""Makes what tells of one painting, of its name, or of none where it is the only one."""

EVERY_S = 10.0
"""Seconds between two plain lines."""


def telling(*, quiet: bool) -> AbstractContextManager[Begin]:
    """Return the progress display for stderr: none, a moving line, or plain lines."""
    if quiet:
        return nullcontext(lambda _: lambda _: None)
    if sys.stderr.isatty():
        return moving()
    return nullcontext(lambda _: Lines(note))


class Lines:
    """Plain lines: at the start, at every stage, and every ten seconds."""

    def __init__(
        self,
        say: Callable[[str], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._clock: Clock | None = None
        self._now = now
        self._told_at = now()
        self._last = ""

    def __call__(self, event: Event) -> None:
        """Tell `event` if it is worth a line."""
        if isinstance(event, Started):
            self._clock = Clock(event)
            for line in beginning(event):
                self._say(line)
        elif isinstance(event, Progress):
            self._last = standing(event, self._clock.left(event) if self._clock else None)
            if self._now() - self._told_at >= EVERY_S:
                self._tell()
        elif isinstance(event, Staged) and event.path.startswith("stages/"):
            self._tell()

    def _tell(self) -> None:
        if self._last:
            self._say(self._last)
        self._last = ""
        self._told_at = self._now()


@contextmanager
def moving() -> Iterator[Begin]:
    """A line for each painting on the terminal, that moves while it is painted."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = ("{task.description}", "{task.fields[size]}", "step {task.completed}/{task.total}",
               "loss {task.fields[loss]}", "{task.fields[left]}")  # fmt: skip
    texts = [TextColumn(column, markup=False) for column in columns]
    console = Console(stderr=True)
    bar = Progress(*texts[:2], BarColumn(), *texts[2:], console=console, transient=True)
    try:
        yield lambda name: _Moving(bar, name)
    finally:
        bar.stop()


class _Moving:
    """One line of the terminal; it goes when its painting is done."""

    def __init__(self, bar: "rich.progress.Progress", name: str) -> None:
        self._bar = bar
        self._name = name
        self._clock: Clock | None = None
        self._line: rich.progress.TaskID | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self._begin(event)
        elif self._line is None:
            return
        elif isinstance(event, Progress):
            left = self._clock.left(event) if self._clock else None
            self._bar.update(
                self._line,
                completed=event.step,
                size=size(event.size),
                loss=f"{event.loss:.5g}",
                left="" if left is None else f"{duration(left)} left",
            )
        elif isinstance(event, Staged):
            self._bar.refresh()
        else:
            self._end(self._line)

    def _begin(self, event: Started) -> None:
        if self._line is not None:  # begun anew: what was painted before does not fit any more
            self._end(self._line)
        self._clock = Clock(event)
        for line in beginning(event):
            text = f"{self._name}: {line}" if self._name else line
            self._bar.console.print(text, highlight=False, markup=False, soft_wrap=True)
        self._bar.start()  # and not before: while nothing is painted, nothing is redrawn
        self._line = self._bar.add_task(
            self._name, total=event.steps, completed=event.step, size="", loss="-", left=""
        )

    def _end(self, line: "rich.progress.TaskID") -> None:
        self._bar.remove_task(line)
        self._line = None
        if not self._bar.tasks:
            self._bar.stop()


def beginning(event: Started) -> Sequence[str]:
    """Yield the messages for the start of a job, a sentence each."""
    *before, final = (size(one) for one in event.sizes)
    way = f"{final} by way of {', '.join(before)}" if before else final
    return (f"painting {way} on {event.backend} ({event.device})", *event.warnings)


def standing(event: Progress, left: float | None) -> str:
    """How far a painting is, in words; with `left`, the seconds that it still takes."""
    text = f"step {event.step} of {event.steps} at {size(event.size)}, loss {event.loss:.5g}"
    return text if left is None else f"{text}, {duration(left)} left"
