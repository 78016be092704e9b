"""What the process that draws is asked, and what it answers with: plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Row = tuple[float, ...]
"""Of a step: its number, the width and the height of the picture, then a value for each column."""


@dataclass(frozen=True)
class Seen:
    """A picture: the `paths` where it may lie, its SHA-256 if that is to be held, its label.

    A label has lines.
    """

    paths: tuple[str, ...]
    sha256: str = ""
    label: str = ""


@dataclass(frozen=True)
class Curves:
    """The losses of a painting.

    Columns are as in losses.csv, `total` and the terms; `weights` say how much each term counts,
    those that are not named once. `stages` are the steps at which there was one.
    """

    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    stages: tuple[int, ...] = ()


@dataclass(frozen=True)
class Keepsakes:
    """Keepsakes of one painting, by the names of their files."""

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
    """Pictures as small JPEGs, of at most `side` pixels a side; each is named by its number."""

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
    """A file that was drawn, or the `problem` that there was, in words."""

    name: str
    content: bytes = b""
    problem: str = ""
