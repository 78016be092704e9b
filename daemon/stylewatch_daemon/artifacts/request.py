"""Requests to draw artifacts of a job, and their results."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from stylewatch_daemon.files.names import candidates, first_free


def file_name(artifact: str, final: str) -> str:
    """Return the file name of `artifact`, with a number if the final picture is called `artifact`.

    `final` is the file name of the final picture.
    """
    path = PurePosixPath(artifact)
    return first_free(candidates(path.stem, path.suffix), lambda name: name == final)


@dataclass(frozen=True)
class Source:
    """A picture: `paths` where it may be, its SHA-256 (empty: any file counts), and its label."""

    paths: tuple[str, ...]
    sha256: str = ""
    label: str = ""


@dataclass(frozen=True)
class LossTable:
    """The losses of a job.

    Columns are as in losses.csv: `total` and the terms. A row has the step, the width and the
    height of the picture in pixels, the time in seconds, then a value for each column, or None for
    a term that the step does not have. `stages` are the steps of the stages. `unit` is "step", or
    "frame" for a clip.
    """

    columns: Sequence[str] = ()
    rows: Sequence[Sequence[float | None]] = ()
    stages: Sequence[int] = ()
    unit: str = "step"


@dataclass(frozen=True)
class ArtifactRequest:
    """Request to draw the artifacts `wanted`, such as `sheet.png`, of one job."""

    wanted: tuple[str, ...]
    losses: LossTable
    styles: tuple[Source, ...]
    stages: tuple[Source, ...]
    """All stages except the last, which is the final picture."""
    final: Source
    content: Source | None = None
    max_pixels: int = 1_000_000_000


@dataclass(frozen=True)
class Drawn:
    """The artifact `name`: the content of its file or, if it was not drawn, the `problem`."""

    name: str
    content: bytes = b""
    problem: str = ""
