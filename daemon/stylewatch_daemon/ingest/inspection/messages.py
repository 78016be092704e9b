"""Messages between the daemon and the process that inspects pictures."""

from dataclasses import dataclass
from pathlib import Path

from stylewatch_daemon.model import Picture
from stylewatch_daemon.store.thumbs import SIDE


@dataclass(frozen=True)
class Question:
    """Request to inspect the pictures at `files`, those of one job.

    At most `max_pixels` pixels of a picture or frame are decoded; a content and its mask may be
    clips of `max_frames` and `max_seconds` at most; thumbnails, with `side` pixels at most, go to
    the folder `thumbs`. `roles` are those of the files, where they are known: masks are compared
    with their pictures then. A file in `growing` may still be written: one that seems to be
    truncated is reported as CutOff even if it can be decoded.
    """

    job: str
    files: tuple[Path, ...]
    max_pixels: int
    thumbs: Path
    roles: tuple[str, ...] = ()
    side: int = SIDE
    growing: tuple[Path, ...] = ()
    max_frames: int = 20_000
    max_seconds: float = 600.0


@dataclass(frozen=True)
class Begun:
    """Inspection of the file `name` starts now."""

    name: str


@dataclass(frozen=True)
class Fine:
    """All pictures of the job can be painted."""

    job: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Refused:
    """The job cannot be painted, for this `reason`."""

    job: str
    reason: str


@dataclass(frozen=True)
class CutOff:
    """The file `name` ends too early: it cannot be painted as it is, and may still be growing."""

    job: str
    name: str
    reason: str


@dataclass(frozen=True)
class NotNow:
    """The machine cannot inspect the job now; the question is asked again later."""

    reason: str


Verdict = Fine | Refused | CutOff
"""Answer to a question."""
