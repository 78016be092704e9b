"""All that is known of a job that was taken, or is being taken: written before it is acted on."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from stylewatch_daemon import durable
from stylewatch_daemon.scan import Look

FILE_NAME = "job.json"

Role = Literal["content", "style", "init", "mask", "job"]
Phase = Literal["claiming", "waiting", "ending", "refusing", "failing"]


@dataclass(frozen=True)
class File:
    """A file of a job: where it lay and how it looked there, and what it is called in files/.

    `own`: it belongs to this job alone. What does not, an album's style for one, stays.
    """

    role: Role
    name: str
    source: Path
    look: Look
    own: bool


@dataclass(frozen=True)
class Attempt:
    """One try. It is written down before it begins, so an `ended` of None means it was cut off.

    `step` is the step that it began after, by the checkpoint; times are UTC, ISO 8601.
    """

    started: str
    step: int = 0
    backend: str = ""
    device: str = ""
    ended: str | None = None
    how: str = "cut off"
    reason: str = ""


@dataclass(frozen=True)
class Journal:
    """A job; `place` and `refused_as` are its folders in the outbox, once they are chosen.

    `folder` is its own folder in the inbox; `reason` goes with the phases of a bad end.
    """

    id: str
    name: str
    outbox: Path
    after: str
    files: tuple[File, ...]
    folder: Path | None = None
    phase: Phase = "claiming"
    attempts: tuple[Attempt, ...] = ()
    place: str | None = None
    refused_as: str | None = None
    reason: str = ""

    def moves(self, file: File) -> bool:
        """Whether `file` leaves the inbox."""
        return file.own and self.after != "keep"


def save(journal: Journal, folder: Path) -> None:
    """Write `journal` into the job's `folder`."""
    # Names that are no UTF-8 hold lone surrogates, which only the ASCII form of JSON can carry.
    text = json.dumps(asdict(journal), default=str, ensure_ascii=True, indent=1)
    durable.write(folder / FILE_NAME, text.encode("ascii"))


def load(folder: Path) -> Journal:
    """The journal in the job's `folder`; raises OSError or ValueError where it is damaged."""
    try:
        plain = json.loads((folder / FILE_NAME).read_text("ascii"))
        plain["files"] = tuple(_file(file) for file in plain["files"])
        plain["attempts"] = tuple(Attempt(**attempt) for attempt in plain["attempts"])
        plain["outbox"] = Path(plain["outbox"])
        plain["folder"] = None if plain["folder"] is None else Path(plain["folder"])
        return Journal(**plain)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / FILE_NAME} is damaged: {error}") from error


def _file(plain: dict[str, Any]) -> File:
    return File(**{**plain, "source": Path(plain["source"]), "look": Look(**plain["look"])})
