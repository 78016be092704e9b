"""Requests to the process that draws artifacts, and its answers: plain values."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = tuple[float, ...]
"""Of a step: its number, the width and the height of the picture, then a value for each column."""

_HEAD = ("step", "width", "height", "seconds")
"""Columns of losses.csv before the losses."""


@dataclass(frozen=True)
class Seen:
    """A picture: the `paths` where it may be, its SHA-256 if that is checked, its label."""

    paths: tuple[str, ...]
    sha256: str = ""
    label: str = ""


@dataclass(frozen=True)
class Curves:
    """The losses of a job.

    Columns are as in losses.csv, `total` and the terms; `weights` say how much each term counts, 1
    where it is not named. `stages` are the steps of the stages.
    """

    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    stages: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        columns: Sequence[str],
        rows: Sequence[Sequence[float]],
        losses: Mapping[str, Any],
        stages: Sequence[int],
    ) -> "Curves":
        """The losses of a table as losses.csv has it; `losses` as the receipt has them."""
        return cls(
            columns=tuple(columns),
            rows=tuple((*row[:3], *row[len(_HEAD) :]) for row in rows),
            weights=dict(weights(losses)),
            stages=tuple(stages),
        )

    @classmethod
    def read(cls, path: Path, losses: Mapping[str, Any], stages: Sequence[int]) -> "Curves":
        """The losses of a losses.csv. Raises OSError; ValueError where it is none."""
        with path.open(encoding="ascii", newline="") as file:
            head, *rows = csv.reader(file)
        if tuple(head[: len(_HEAD)]) != _HEAD:
            raise ValueError(f"{path} is no table of losses")
        numbers = [[float(cell) for cell in row] for row in rows if len(row) == len(head)]
        return cls.of(head[len(_HEAD) :], numbers, losses, stages)


@dataclass(frozen=True)
class Keepsakes:
    """Artifacts of one job, by the names of their files."""

    wanted: tuple[str, ...]
    curves: Curves
    styles: tuple[Seen, ...]
    stages: tuple[Seen, ...]
    """All but the last, which is the final picture."""
    final: Seen
    content: Seen | None = None
    max_pixels: int = 250_000_000


@dataclass(frozen=True)
class Small:
    """Pictures as small JPEGs, no side longer than `side`; each is named by its number."""

    pictures: tuple[Seen, ...]
    side: int
    max_pixels: int = 250_000_000

    @property
    def wanted(self) -> tuple[str, ...]:
        """The names of the pictures."""
        return tuple(str(number) for number in range(len(self.pictures)))


Asked = Keepsakes | Small


@dataclass(frozen=True)
class Drawn:
    """A file that was drawn, or the `problem` in words."""

    name: str
    content: bytes = b""
    problem: str = ""


def evenly(count: int, limit: int) -> list[int]:
    """At most `limit` of the numbers below `count`, the first and the last with them."""
    if count <= limit:
        return list(range(count))
    if limit == 1:
        return [count - 1]
    return [round(number * (count - 1) / (limit - 1)) for number in range(limit)]


def weights(losses: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield each term of a receipt's `losses`, by its column in losses.csv, with its weight."""
    for layer, term in losses["content"].items():
        yield f"content.{layer}", float(term["weight"])
    for name, value in losses["style"].items():
        if "weight" in value:
            yield f"style.{name}", float(value["weight"])
        else:
            yield from ((f"{name}.{layer}", float(t["weight"])) for layer, t in value.items())
    if losses.get("tv"):
        yield "tv", float(losses["tv"]["weight"])
