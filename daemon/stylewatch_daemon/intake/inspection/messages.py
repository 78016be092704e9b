"""Messages between the daemon and the process that inspects pictures."""

from dataclasses import dataclass
from pathlib import Path

from stylewatch_daemon.base.model import Cause, Picture
from stylewatch_daemon.ledger.thumbs import SIDE


@dataclass(frozen=True)
class Question:
    """Request to inspect the pictures at `files`, those of one job.

    At most `max_pixels` pixels of a picture or frame are decoded. `roles` are the roles of the
    files, or empty if unknown. The content, or any file of unknown role, may be a clip of at most
    `max_frames` frames. Thumbnails, with sides of at most `side` pixels, are written to the folder
    `thumbs`.
    """

    files: tuple[Path, ...]
    max_pixels: int
    thumbs: Path
    roles: tuple[str, ...] = ()
    size: int = 0
    """Size in bytes of all files together."""
    side: int = SIDE
    max_frames: int = 20_000


@dataclass(frozen=True)
class Opening:
    """Notice that the file `name` is about to be opened, so that a crash has a known cause."""

    name: str


@dataclass(frozen=True)
class Answer:
    """Answer to a question: the job can be painted, unless there is a `reason` why not.

    The `cause` Cause.MACHINE means that the machine cannot inspect the job now, Cause.DEVICE that a
    library is missing.
    """

    pictures: tuple[Picture, ...] = ()
    """Records of the pictures, in the order of the question. Empty if there is a `reason`, or if
    every process failed before it opened a picture."""
    reason: str = ""
    cause: Cause | None = None
    lacks_memory: bool = False
    """True if the process had too little memory; a new one, which has inspected nothing, may have
    enough."""
    is_final: bool = False
    """True if the picture need not be inspected again, because it was tried several times."""
