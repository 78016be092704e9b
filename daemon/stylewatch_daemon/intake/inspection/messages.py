"""Messages between the daemon and the process that inspects pictures."""

from dataclasses import dataclass
from pathlib import Path

from stylewatch_daemon.base.model import Cause, Picture
from stylewatch_daemon.ledger.thumbs import SIDE


@dataclass(frozen=True)
class Question:
    """Request to inspect the pictures at `files`, those of one job.

    At most `max_pixels` pixels of a picture or frame are decoded; a content and its mask may be
    clips of `max_frames` at most; thumbnails, with `side` pixels at most, go to
    the folder `thumbs`. `roles` are those of the files, if they are known: masks are compared
    with their pictures then.
    """

    files: tuple[Path, ...]
    max_pixels: int
    thumbs: Path
    roles: tuple[str, ...] = ()
    side: int = SIDE
    max_frames: int = 20_000


@dataclass(frozen=True)
class Begun:
    """Inspection of the file `name` starts now."""

    name: str


@dataclass(frozen=True)
class Inspected:
    """Answer to a question: the job can be painted, unless there is a `reason` why not.

    The `cause` Cause.MACHINE says that the machine cannot inspect the job now.
    """

    pictures: tuple[Picture, ...] = ()
    """Those of a job that can be painted; none if the process could not inspect any."""
    reason: str = ""
    cause: Cause | None = None
    is_final: bool = False
    """True if the picture need not be inspected once more: it was tried several times."""
