"""What intake is asked, and what it says: whether pictures can be painted, and what they are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stylewatch_daemon.model import Picture
from stylewatch_daemon.store.thumbs import SIDE


@dataclass(frozen=True)
class Question:
    """Can the pictures at `files`, those of one job, be painted?

    At most `max_pixels` pixels are decoded; thumbnails, with `side` pixels at most, go to the
    folder `thumbs`. `roles` says what each file is for, where that is known: masks are held against
    their pictures then. A file in `growing` may still be written: where it seems to lack its end,
    that is said even if it can be decoded.
    """

    job: str
    files: tuple[Path, ...]
    max_pixels: int
    thumbs: Path
    roles: tuple[str, ...] = ()
    side: int = SIDE
    growing: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Begun:
    """The file `name` is looked at now."""

    job: str
    name: str


@dataclass(frozen=True)
class Fine:
    """All pictures of the job can be painted."""

    job: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Refused:
    """The job cannot be painted, and `reason` says why."""

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
    """The machine keeps the job from being looked at; it is asked about again later."""

    job: str
    reason: str


Verdict = Fine | Refused | CutOff


class Looker(Protocol):
    """Who is asked. Each question is answered once, in whatever order, until it is closed."""

    @property
    def trouble(self) -> str:
        """What keeps questions from being answered now; empty where nothing does."""
        ...

    def ask(self, question: Question) -> None:
        """Have the question answered; this waits for nothing."""
        ...

    def verdicts(self) -> list[Verdict]:
        """What has been answered since this was last called; it waits for nothing."""
        ...

    def close(self) -> None:
        """Answer nothing any more."""
        ...
