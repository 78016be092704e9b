"""Requests to draw artifacts of a job, and their results."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from stylewatch_daemon.files.names import candidates, first_free


def file_name(artifact: str, final: str) -> str:
    """Return the file name of an artifact, which must differ from the picture `final`."""
    path = PurePosixPath(artifact)
    return first_free(candidates(path.stem, path.suffix), lambda name: name == final)


@dataclass(frozen=True)
class Source:
    """A picture: the `paths` where it may be, its SHA-256 if it is to be checked, and its label."""

    paths: tuple[str, ...]
    sha256: str = ""
    label: str = ""


@dataclass(frozen=True)
class LossTable:
    """The losses of a job.

    Columns are as in losses.csv, `total` and the terms. A row has the step, the width and the
    height of the picture, the seconds, then a value for each column, or None for a term that the
    step does not have. `stages` are the steps of the stages. `unit` is "step", or "frame" for a
    clip.
    """

    columns: Sequence[str] = ()
    rows: Sequence[Sequence[float | None]] = ()
    stages: Sequence[int] = ()
    unit: str = "step"


@dataclass(frozen=True)
class ArtifactRequest:
    """Request to draw artifacts of one job; `wanted` are the names of their files."""

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
    """A file that was drawn, or a description of the `problem`."""

    name: str
    content: bytes = b""
    problem: str = ""
