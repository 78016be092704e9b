"""Formatting of numbers, times and tables as text."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from stylewatch_daemon.files.names import shown

ERROR = 0.25
"""Maximum relative error of a forecast of seconds; row `forecast_ratio` of `make bench`."""


def columns(rows: Iterable[Sequence[str]]) -> str:
    """Align `rows` as lines of text, with two spaces between columns."""
    table = [tuple(row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
             for row in table)  # fmt: skip
    return "\n".join(line.rstrip() for line in lines)


def duration(seconds: float) -> str:
    """Return seconds as text, such as `42 s`, `3 min 10 s` or `2 h 5 min`."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def duration_range(expected: float) -> str:
    """Return the expected seconds on an idle machine as a range, such as `32 s to 50 s`."""
    return f"{duration(expected / (1 + ERROR))} to {duration(expected * (1 + ERROR))}"


def in_pixels(pixels: Sequence[int]) -> str:
    """Return a (width, height) in pixels as text, such as `640x480`."""
    return f"{pixels[0]}x{pixels[1]}"


def losses(plain: Mapping[str, Any]) -> str:
    """Return a table of the terms of a loss, given in its JSON form, with the total last."""
    rows = [("term", "value", "weight", "value x weight")]
    rows += terms(plain)
    rows.append(("total", "", "", f"{plain['total']:.6g}"))
    return columns(rows)


def terms(plain: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Yield name (`style conv1_1`), value, weight and product of each term of a loss.

    The loss is given in its JSON form.
    """
    for key, inner in plain.items():
        if isinstance(inner, Mapping):
            name = f"{prefix} {key}".strip()
            value, weight = inner.get("value"), inner.get("weight")
            if value is None:
                yield from terms(inner, name)
            elif "gradient_weight" in inner:
                weight = f"{inner['gradient_weight']:.6g}"
                yield name, f"{value:.6g}", weight, "on the gradient only"
            else:
                yield name, f"{value:.6g}", f"{weight:.6g}", f"{value * weight:.6g}"


def when(time: datetime | str) -> str:
    """Return a UTC time, given as a datetime or in ISO 8601, as `2026-01-02 12:05:09 UTC`."""
    try:
        at = datetime.fromisoformat(time) if isinstance(time, str) else time
    except ValueError:
        return shown(time)
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def as_text(value: Any) -> str:
    """Return a setting as people write it: `0.5`, `yes`, `0.75,0.25`."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ",".join(map(as_text, value))
    if isinstance(value, Mapping):
        return ",".join(f"{key}:{as_text(inner)}" for key, inner in value.items())
    return str(value)
