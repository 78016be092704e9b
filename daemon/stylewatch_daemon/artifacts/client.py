"""Have artifacts drawn by a child process, which gives back the memory that this takes."""

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from stylewatch_daemon.base.child import Child
from stylewatch_daemon.files.names import candidates

SERVE = "stylewatch_daemon.artifacts.drawing_main:serve"

TIMEOUT = 300.0
"""Seconds that all files of one request may take; they take a few."""

MAX_FILE = 256 << 20
"""Bytes of a file that is accepted."""


def file_name(artifact: str, final: str) -> str:
    """Return the file name of an artifact in a folder where the picture `final` has its own."""
    path = PurePosixPath(artifact)
    names = (f"{stem}{path.suffix}" for stem in candidates(path.stem))
    return next(name for name in names if name != final)


@dataclass(frozen=True)
class Source:
    """A picture: the `paths` where it may be, its SHA-256 if that is checked, its label."""

    paths: tuple[str, ...]
    sha256: str = ""
    label: str = ""


@dataclass(frozen=True)
class LossTable:
    """The losses of a job.

    Columns are as in losses.csv, `total` and the terms; a row has the step, the width and the
    height of the picture, the seconds, then a value for each column, None for a term that the step
    does not have. `stages` are the steps of the stages. The steps of a clip are frames, by their
    `unit`.
    """

    columns: Sequence[str] = ()
    rows: Sequence[Sequence[float | None]] = ()
    stages: Sequence[int] = ()
    unit: str = "step"


@dataclass(frozen=True)
class ArtifactRequest:
    """Request to draw artifacts of one job, which are `wanted` by the names of their files."""

    wanted: tuple[str, ...]
    losses: LossTable
    styles: tuple[Source, ...]
    stages: tuple[Source, ...]
    """All but the last, which is the final picture."""
    final: Source
    content: Source | None = None
    max_pixels: int = 250_000_000


@dataclass(frozen=True)
class ThumbnailRequest:
    """Request for small JPEGs, no side longer than `side`; each is named by its number.

    A picture of more than `max_pixels` is not decoded.
    """

    pictures: tuple[Source, ...]
    side: int
    max_pixels: int

    @property
    def wanted(self) -> tuple[str, ...]:
        """The names of the pictures."""
        return tuple(str(number) for number in range(len(self.pictures)))


Request = ArtifactRequest | ThumbnailRequest


@dataclass(frozen=True)
class Drawn:
    """A file that was drawn, or the `problem` in words."""

    name: str
    content: bytes = b""
    problem: str = ""


@dataclass(frozen=True)
class Header:
    """From the child: a file that was drawn, whose content comes next, or the `problem`."""

    name: str
    problem: str = ""


def drawn(
    request: Request, serve: str = SERVE, timeout: float = TIMEOUT
) -> Generator[Drawn, None, None]:
    """Yield each file of the request, in its order; with a problem if it could not be drawn.

    The child calls `serve` (`module:function`) with its end of a connection and the request.
    Raises nothing; closing the generator ends the child.
    """
    left = list(request.wanted)
    try:
        child = Child(serve, request, name="artifacts", isolated=True)
    except OSError as error:
        yield from (Drawn(name, problem=f"no process could be started: {error}") for name in left)
        return
    deadline = time.monotonic() + timeout
    try:
        while left:
            try:
                file = _receive(child, deadline)
                left.remove(file.name)
            except TimeoutError:
                why = f"it took longer than {timeout:.0f} s"
                break
            except (EOFError, OSError):
                why = f"the process that draws it ended ({child.exit_reason() or 'unknown'})"
                break
            except ValueError:
                why = "the process that draws it sent an invalid message"
                break
            yield file
        yield from (Drawn(name, problem=why) for name in left)
    finally:
        child.kill()


def _receive(child: Child, deadline: float) -> Drawn:
    """Return the next file; raises as Child.receive does."""
    header = child.receive(Header, timeout=max(0.0, deadline - time.monotonic()))
    if header.problem:
        return Drawn(header.name, problem=header.problem)
    if not child.line.poll(max(0.0, deadline - time.monotonic())):
        raise TimeoutError
    return Drawn(header.name, child.receive_bytes(MAX_FILE))


def evenly(count: int, limit: int) -> list[int]:
    """At most `limit` of the numbers below `count`, the first and the last with them."""
    if count <= limit:
        return list(range(count))
    if limit == 1:
        return [count - 1]
    return [round(number * (count - 1) / (limit - 1)) for number in range(limit)]
