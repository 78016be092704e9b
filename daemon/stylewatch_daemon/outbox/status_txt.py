"""`_status.txt` in an outbox: the status for people who can see only the share."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from textwrap import indent
from typing import Any

from stylewatch_daemon.files import atomic, safe_dirs
from stylewatch_daemon.files.permissions import OPEN, Sharing
from stylewatch_daemon.model import Incomplete

FILE_NAME = "_status.txt"
FAREWELL = "stylewatch is not running. Waiting jobs start when it runs again."
ASIDE = "in all: `stylewatch doctor` says which jobs, why, and what to do"
HELD = "stylewatch is paused: nothing new is begun until someone resumes it."


@dataclass(frozen=True)
class Running:
    """A running job; without `loss` while its pictures are read.

    `size` is (width, height) in pixels; `seconds_left` is None if unknown; `id` is that of the
    ledger.
    """

    job: str
    step: int = 0
    steps: int = 0
    loss: float | None = None
    size: tuple[int, int] | None = None
    seconds_left: float | None = None
    device: str = ""
    id: str = ""
    unit: str = "step"

    def __str__(self) -> str:
        if self.loss is None:
            return f"{self.job}: being prepared"
        return f"{self.job}: {self.unit} {self.step} of {self.steps}, loss {self.loss:.5g}"


@dataclass(frozen=True)
class Refusal:
    """A job that was refused, or failed for good, and why."""

    job: str
    reason: str

    def __str__(self) -> str:
        return f"{self.job}: {self.reason}"


@dataclass(frozen=True)
class Status:
    """Status of one outbox, or of all; each text is a line for people."""

    leaving: bool = False
    paused: bool = False
    running: Sequence[Running] = ()
    waiting: Sequence[str] = ()
    more: int = 0
    """Number of waiting jobs that `waiting` does not name."""
    incomplete: Sequence[Incomplete] = ()
    trouble: Sequence[str] = ()
    refused: Sequence[Refusal] = ()
    notes: Sequence[str] = ()
    """Files that are skipped, and why file events fail."""
    set_aside: int = 0
    """Number of jobs in quarantine."""

    def __str__(self) -> str:
        incomplete = [f"{pair.name}: waits for {pair.waits_for}" for pair in self.incomplete]
        more = [f"... and {self.more} more"] if self.more else []
        parts = {
            "Running": [str(job) for job in self.running],
            "Queue": [*self.waiting, *more],
            "Incomplete": incomplete,
            "Problems": self.trouble,
            "Refused or failed (see _refused)": [str(job) for job in self.refused],
            "Notes": self.notes,
            "Set aside": [f"{self.set_aside} {ASIDE}"] if self.set_aside else [],
        }
        text = [
            "\n".join([f"{title}:", *(indent(line, "  ") for line in lines)])
            for title, lines in parts.items()
            if lines
        ]
        first = [FAREWELL] if self.leaving else []
        first += [HELD] if self.paused else []
        return "\n\n".join([*first, *text] or ["Nothing to do: drop a pair into the inbox."])


def merge_statuses(statuses: Iterable[Status]) -> Status:
    """Combine the statuses of all outboxes; equal lines appear once."""
    all_statuses = list(statuses)

    def lines(name: str) -> list[Any]:
        return list(dict.fromkeys(line for each in all_statuses for line in getattr(each, name)))

    return Status(
        leaving=any(status.leaving for status in all_statuses),
        paused=any(status.paused for status in all_statuses),
        running=lines("running"),
        waiting=[name for status in all_statuses for name in status.waiting],
        more=sum(status.more for status in all_statuses),
        incomplete=[pair for status in all_statuses for pair in status.incomplete],
        trouble=lines("trouble"),
        refused=lines("refused"),
        notes=lines("notes"),
        set_aside=max((status.set_aside for status in all_statuses), default=0),
    )


class StatusTextWriter:
    """Writes `_status.txt` in the folder `outbox`; nothing depends on it."""

    def __init__(self, outbox: Path, sharing: Sharing = OPEN) -> None:
        self._outbox, self._sharing = outbox, sharing
        self._shown = ""

    def show(self, status: Status, now: datetime) -> None:
        """Write `status` with the time `now`, unless it has not changed."""
        text = str(status)
        if text != self._shown and self._outbox.is_dir():
            written = f"stylewatch, {now:%Y-%m-%d %H:%M:%S} UTC\n\n{text}\n"
            with suppress(OSError), safe_dirs.opened(self._outbox) as folder:
                if not self._shown:
                    safe_dirs.sweep(folder)  # left by a daemon that was killed
                # Not synced, as nothing depends on it after a power cut.
                content = written.encode(errors="replace")
                atomic.write(FILE_NAME, content, folder, durable=False)
                self._sharing.file(folder, FILE_NAME)
                self._shown = text
