"""Losses as they are drawn: by the columns of losses.csv, each with how much it counts."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stylewatch_daemon.artifacts.contract import Curves

_HEAD = ("step", "width", "height", "seconds")
"""Columns of losses.csv before the losses."""


def curves(
    columns: Sequence[str],
    rows: Sequence[Sequence[float]],
    losses: Mapping[str, Any],
    stages: Sequence[int],
) -> Curves:
    """What is drawn of a table as losses.csv has it; `losses` as the receipt tells them."""
    return Curves(
        columns=tuple(columns),
        rows=tuple((*row[:3], *row[len(_HEAD) :]) for row in rows),
        weights=dict(weights(losses)),
        stages=tuple(stages),
    )


def read(path: Path, losses: Mapping[str, Any], stages: Sequence[int]) -> Curves:
    """The same, from a losses.csv. Raises OSError, ValueError where it is none."""
    with path.open(encoding="ascii", newline="") as file:
        head, *rows = csv.reader(file)
    if tuple(head[: len(_HEAD)]) != _HEAD:
        raise ValueError(f"{path} is no table of losses")
    numbers = [[float(cell) for cell in row] for row in rows if len(row) == len(head)]
    return curves(head[len(_HEAD) :], numbers, losses, stages)


def weights(losses: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """How much each term counts in the total, by its column."""
    for layer, term in losses["content"].items():
        yield f"content.{layer}", float(term["weight"])
    for name, one in losses["style"].items():
        if "weight" in one:
            yield f"style.{name}", float(one["weight"])
        else:
            yield from ((f"{name}.{layer}", float(term["weight"])) for layer, term in one.items())
    if losses.get("tv"):
        yield "tv", float(losses["tv"]["weight"])
