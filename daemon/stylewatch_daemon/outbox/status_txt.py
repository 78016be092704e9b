"""`_status.txt` in an outbox: what runs, what waits and for what; for who has only the share."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from textwrap import indent
from typing import Any

from stylewatch_daemon.files import safe_dirs
from stylewatch_daemon.files.permissions import OPEN, Sharing
from stylewatch_daemon.model import Incomplete

FILE_NAME = "_status.txt"
FAREWELL = "stylewatch does not run here now. What waits is painted once it does."
ASIDE = "in all: `stylewatch doctor` says which jobs, why, and what to do"
HELD = "stylewatch is paused: nothing new is begun until someone resumes it."


@dataclass(frozen=True)
class Running:
    """The job that is being painted; no step yet while its pictures are read.

    `size` is (width, height) in pixels; `seconds_left` None where that cannot be told. `id` is
    the job's in the ledger.
    """

    job: str
    step: int = 0
    steps: int = 0
    loss: float | None = None
    size: tuple[int, int] | None = None
    seconds_left: float | None = None
    device: str = ""
    id: str = ""

    def __str__(self) -> str:
        if self.loss is None:
            return f"{self.job}: being prepared"
        return f"{self.job}: step {self.step} of {self.steps}, loss {self.loss:.5g}"


@dataclass(frozen=True)
class Refusal:
    """A job that was refused, or failed for good, and why."""

    job: str
    reason: str

    def __str__(self) -> str:
        return f"{self.job}: {self.reason}"


@dataclass(frozen=True)
class Status:
    """How things stand for one outbox, or for all; each text is a line for a person."""

    leaving: bool = False
    paused: bool = False
    running: Sequence[Running] = ()
    waiting: Sequence[str] = ()
    more: int = 0
    """How many more wait than are named in `waiting`."""
    incomplete: Sequence[Incomplete] = ()
    trouble: Sequence[str] = ()
    refused: Sequence[Refusal] = ()
    notes: Sequence[str] = ()
    """What is left alone, and why file events fail."""
    set_aside: int = 0
    """How many jobs lie in quarantine in the state folder."""

    def __str__(self) -> str:
        more = [f"... and {self.more} more"] if self.more else []
        parts = {
            "Painting": [str(one) for one in self.running],
            "Waiting their turn": [*self.waiting, *more],
            "Waiting for another half": [f"{i.name}: {i.waits_for}" for i in self.incomplete],
            "In the way": self.trouble,
            "Refused (see _refused)": [str(one) for one in self.refused],
            "Notes": self.notes,
            "Set aside": [f"{self.set_aside} {ASIDE}"] if self.set_aside else [],
        }
        text = [
            "\n".join([f"{title}:", *(indent(line, "  ") for line in lines)])
            for title, lines in parts.items()
            if lines
        ]
        said = [FAREWELL] if self.leaving else []
        said += [HELD] if self.paused else []
        return "\n\n".join([*said, *text] or ["Nothing to do: drop a pair into the inbox."])


def together(statuses: Iterable[Status]) -> Status:
    """How things stand for all outboxes, by the Status of each; nothing is said twice."""
    every = list(statuses)

    def all_of(name: str) -> list[Any]:
        return list(dict.fromkeys(item for one in every for item in getattr(one, name)))

    return Status(
        leaving=any(one.leaving for one in every),
        paused=any(one.paused for one in every),
        running=all_of("running"),
        waiting=[name for one in every for name in one.waiting],
        more=sum(one.more for one in every),
        incomplete=all_of("incomplete"),
        trouble=all_of("trouble"),
        refused=all_of("refused"),
        notes=all_of("notes"),
        set_aside=max((one.set_aside for one in every), default=0),
    )


class Board:
    """Keeps `_status.txt` in the folder `outbox`; where it cannot be written, nothing is lost."""

    def __init__(self, outbox: Path, sharing: Sharing = OPEN) -> None:
        self._outbox, self._sharing = outbox, sharing
        self._shown = ""

    def show(self, status: Status, now: datetime) -> None:
        """Write `status`, unless it already stands there; `now` is said beside it."""
        text = str(status)
        if text != self._shown and self._outbox.is_dir():
            written = f"stylewatch, {now:%Y-%m-%d %H:%M:%S} UTC\n\n{text}\n"
            with suppress(OSError), safe_dirs.opened(self._outbox) as folder:
                if not self._shown:
                    safe_dirs.sweep(folder)  # what one that was killed did not finish
                # Not synced, as nothing depends on it after a power cut.
                safe_dirs.write(folder, FILE_NAME, written.encode(errors="replace"), lasting=False)
                self._sharing.file(folder, FILE_NAME)
                self._shown = text
