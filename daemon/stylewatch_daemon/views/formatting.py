"""Numbers and tables as people read them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_GB = 1000  # MB


def columns(rows: Iterable[Sequence[str]]) -> str:
    """`rows` as lines of text, the cells under one another, two spaces between."""
    table = [tuple(row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
             for row in table)  # fmt: skip
    return "\n".join(line.rstrip() for line in lines)


def duration(seconds: float) -> str:
    """`42 s`, `3 min 10 s`, `2 h 5 min`."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def size(pixels: Sequence[int]) -> str:
    """`640x480`, of a (width, height) in pixels."""
    return f"{pixels[0]}x{pixels[1]}"


def memory(count: int) -> str:
    """`1.2 GB`, of a number of bytes."""
    megabytes = round(count / 1e6)
    return f"{megabytes} MB" if megabytes < _GB else f"{count / 1e9:.1f} GB"


def losses(plain: Mapping[str, Any]) -> str:
    """The terms of a loss, in its JSON form, as a table with the total last."""
    rows = [("term", "value", "weight", "value x weight")]
    rows += terms(plain)
    rows.append(("total", "", "", f"{plain['total']:.6g}"))
    return columns(rows)


def _terms(plain: Mapping[str, Any], name: str = "") -> Iterable[tuple[str, Mapping[str, float]]]:
    """Every term with its place, as `style conv1_1`."""
    for key, inner in plain.items():
        if isinstance(inner, Mapping):
            place = f"{name} {key}".strip()
            if "value" in inner:
                yield place, inner
            else:
                yield from _terms(inner, place)


def terms(plain: Mapping[str, Any]) -> Iterable[tuple[str, str, str, str]]:
    """Every term of a loss with its place: value, weight, and what it comes to."""
    return ((name, *_cells(term)) for name, term in _terms(plain))


def _cells(term: Mapping[str, float]) -> tuple[str, str, str]:
    value = term["value"]
    if "gradient_weight" in term:
        return f"{value:.6g}", f"{term['gradient_weight']:.6g}", "on the gradient only"
    return f"{value:.6g}", f"{term['weight']:.6g}", f"{value * term['weight']:.6g}"
