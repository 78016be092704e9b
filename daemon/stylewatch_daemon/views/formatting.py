"""Formatting of numbers, times and tables as text."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from stylewatch_daemon.base.words import columns, duration
from stylewatch_daemon.files.names import shown

ERROR = 0.25
"""Maximum relative error of a forecast of seconds; row `forecast_ratio` of `make bench`."""


def duration_range(expected: float) -> str:
    """Return a forecast of `expected` seconds as a range, such as `32 s to 50 s`."""
    least = duration(expected / (1 + ERROR))
    most = duration(expected * (1 + ERROR))
    return f"about {most}" if least == most else f"{least} to {most}"


def losses(plain: Mapping[str, Any]) -> str:
    """Return a table of the terms of a loss in its JSON form, with the total in the last row."""
    rows = [("term", "value", "weight", "value x weight")]
    rows += terms(plain)
    rows.append(("total", "", "", f"{plain['total']:.6g}"))
    return columns(rows)


def terms(plain: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Yield the name (`style conv1_1`), value, weight and their product for each term of a loss.

    `plain` is the loss in its JSON form, and `prefix` is the beginning of all names. For a term
    that acts on the gradient alone, the weight is that of the gradient, and words take the place of
    the product.
    """
    for key, inner in plain.items():
        if isinstance(inner, Mapping):
            name = f"{prefix} {key}".strip()
            value = inner.get("value")
            weight = inner.get("weight")
            if value is None:
                yield from terms(inner, name)
            elif "gradient_weight" in inner:
                weight = f"{inner['gradient_weight']:.6g}"
                yield name, f"{value:.6g}", weight, "on the gradient only"
            else:
                yield name, f"{value:.6g}", f"{weight:.6g}", f"{value * weight:.6g}"


def when(time: datetime | str) -> str:
    """Return a UTC time as `2026-01-02 12:05:09 UTC`; other text is only made safe to print."""
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
