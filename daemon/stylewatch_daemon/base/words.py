"""Words for people that all parts share: durations, sizes, progress, and tables."""

from collections.abc import Iterable, Sequence

from stylewatch_daemon.base.model import Progress

WITH_DIGIT = 10
"""Number of seconds below which `short_duration` shows one decimal digit."""


def columns(rows: Iterable[Sequence[str]]) -> str:
    """Return `rows` as aligned lines of text, with two spaces between columns."""
    table = [tuple(row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
             for row in table)  # fmt: skip
    return "\n".join(line.rstrip() for line in lines)


def fault(error: BaseException) -> str:
    """Return an unforeseen error as text, with its class (law 14)."""
    return f"a fault of stylewatch, {type(error).__name__}: {error}"


def duration(seconds: float) -> str:
    """Return seconds as text, such as `42 s`, `3 min 10 s` or `2 h 5 min`; at least `0 s`."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def short_duration(seconds: float) -> str:
    """Return seconds in short form, for labels: `4.2 s`, `42 s`, `3:10 min`, `2:05 h`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, part = divmod(minutes, 60)
    if hours:
        return f"{hours}:{part:02} h"
    if minutes:
        return f"{minutes}:{rest:02} min"
    return f"{seconds:.1f} s" if seconds < WITH_DIGIT else f"{rest} s"


def in_pixels(pixels: Sequence[int]) -> str:
    """Return a (width, height) in pixels as text, such as `640x480`."""
    return f"{pixels[0]}x{pixels[1]}"


def progress_text(event: Progress, left: float | None) -> str:
    """Describe the progress of a job; `left` is the remaining time in seconds, None if unknown."""
    size = in_pixels(event.size)
    loss = f"{event.loss:.5g}"
    text = f"{event.unit} {event.step} of {event.steps} at {size}, loss {loss}"
    return text if left is None else f"{text}, {duration(left)} left"
