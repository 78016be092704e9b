"""A job that was taken, or is being taken: what of, from where, and how it stands.

What was taken from where is written beside the files before any of them is touched (`save`), and
never changes. How the job stands afterwards is the ledger's to know.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from stylewatch_daemon import durable
from stylewatch_daemon.scan import Look

FILE_NAME = "job.json"

Role = str
"""What a file is for: `content`, `style`, `init`, `job`, or a mask: `content-mask`, and
`style-2-mask` of the second style."""

MASK = "-mask"
"""How the role of a mask ends: with whose mask it is, before."""

_ROLES = re.compile(r"content|style|init|job|(?:content|style-[0-9]+)-mask")

JobState = Literal[
    "claimed", "queued", "running", "ending", "refusing", "failing",
    "done", "refused", "failed", "cancelled",
]  # fmt: skip
"""`claimed`: entered, and being taken. `ending`, `refusing`, `failing`: how it ends is settled, and
what is left of that must be done, whatever comes between."""

_BY_PHASE: dict[str, JobState] = {"claiming": "claimed", "waiting": "queued"}
"""Phases of journals from before there was a ledger; the others are called as their states."""


def is_role(text: object) -> bool:
    """Whether a file of a job can have that role."""
    return isinstance(text, str) and _ROLES.fullmatch(text) is not None


@dataclass(frozen=True)
class File:
    """A file of a job: where it lay and how it looked there, and what it is called in files/.

    `own`: it belongs to this job alone. What does not, an album's style for one, stays. `stays`: it
    is too large to be of use, and is left where it lies: the job is refused without it.
    """

    role: Role
    name: str
    source: Path
    look: Look
    own: bool
    stays: bool = False


@dataclass(frozen=True)
class Attempt:
    """One try. It is written down before it begins, so an `ended` of None means it was cut off.

    `step` is the step that it began after, by the checkpoint; times are UTC, ISO 8601. `boot` is
    the kernel's id of the machine's start, `pid` the daemon's.
    """

    started: str
    step: int = 0
    backend: str = ""
    device: str = ""
    ended: str | None = None
    how: str = "cut off"
    reason: str = ""
    boot: str = ""
    pid: int = 0
    together: int = 1
    """How many were painted at once, this one with them."""


@dataclass(frozen=True)
class Journal:
    """A job; `place` and `refused_as` are its folders in the outbox, once they are chosen.

    `folder` is its own folder in the `inbox`, `device` the number of the disk that this lay on;
    `reason` goes with the states of a bad end. With `retry_of` it paints a job of that name again,
    and all its files are copies; so they are of one that belongs to the `series` of that id. The
    series itself has its own id there, once its jobs are made. `needs` and `shape` are those of the
    ledger, and so are the `size` of its content, (width, height) in pixels, and the SHA-256 of its
    pictures, the `digests`, by their names. `changed` are the names of files that were copied, and
    whose originals stay in the inbox, as they changed afterwards.
    """

    id: str
    name: str
    inbox: Path
    outbox: Path
    after: str
    files: tuple[File, ...]
    folder: Path | None = None
    state: JobState = "claimed"
    attempts: tuple[Attempt, ...] = ()
    place: str | None = None
    refused_as: str | None = None
    reason: str = ""
    retry_of: str = ""
    device: int | None = None
    series: str = ""
    needs: str = ""
    shape: str = ""
    size: tuple[int, int] | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    changed: frozenset[str] = frozenset()

    @property
    def is_copy(self) -> bool:
        """Whether nothing of it comes out of an inbox."""
        return bool(self.retry_of) or self.series not in ("", self.id)

    def moves(self, file: File) -> bool:
        """Whether `file` leaves the inbox."""
        return self.archives(file) and not self.is_copy

    def archives(self, file: File) -> bool:
        """Whether `file` lies nowhere else any more, once it is here."""
        return file.own and self.after != "keep" and not file.stays


_WRITTEN = ("id", "name", "inbox", "outbox", "after", "files", "folder", "retry_of", "device",
            "series")  # fmt: skip


def save(journal: Journal, folder: Path) -> None:
    """Write what `journal` tells of the claim into the job's `folder`."""
    plain = {key: value for key, value in asdict(journal).items() if key in _WRITTEN}
    # Names that are no UTF-8 hold lone surrogates, which only the ASCII form of JSON can carry.
    text = json.dumps(plain, default=str, ensure_ascii=True, indent=1)
    durable.write(folder / FILE_NAME, text.encode("ascii"))


def load(folder: Path) -> Journal:
    """The journal in the job's `folder`; raises OSError or ValueError where it is damaged.

    One from before there was a ledger tells how the job stood as well.
    """
    try:
        plain = json.loads((folder / FILE_NAME).read_text("ascii"))
        plain["files"] = files = tuple(_file(file) for file in plain["files"])
        plain["inbox"] = Path(plain.get("inbox") or files[0].source.parent)
        plain["outbox"] = Path(plain["outbox"])
        plain["folder"] = None if plain["folder"] is None else Path(plain["folder"])
        plain["attempts"] = tuple(Attempt(**attempt) for attempt in plain.get("attempts", ()))
        phase = plain.pop("phase", "claiming")
        return Journal(**plain, state=_BY_PHASE.get(phase, phase))
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{folder / FILE_NAME} is damaged: {error}") from error


def _file(plain: dict[str, Any]) -> File:
    return File(**{**plain, "source": Path(plain["source"]), "look": Look(**plain["look"])})
