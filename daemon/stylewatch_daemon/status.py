"""`_status.txt` in an outbox: what runs, what waits and for what; for who has only the share."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from textwrap import indent

from stylewatch_daemon import durable
from stylewatch_daemon.job import Incomplete

FILE_NAME = "_status.txt"
FAREWELL = "stylewatch does not run here now. What waits is painted once it does."


@dataclass(frozen=True)
class Running:
    """The job that is being painted; no step yet while its pictures are read."""

    job: str
    step: int = 0
    steps: int = 0
    loss: float | None = None

    def __str__(self) -> str:
        if self.loss is None:
            return f"{self.job}: being prepared"
        return f"{self.job}: step {self.step} of {self.steps}, loss {self.loss:.5g}"


@dataclass(frozen=True)
class Status:
    """How things stand for one outbox; each text is a line for a person."""

    leaving: bool = False
    running: Running | None = None
    waiting: Sequence[str] = ()
    incomplete: Sequence[Incomplete] = ()
    trouble: Sequence[str] = ()
    refused: Sequence[str] = ()

    def __str__(self) -> str:
        parts = {
            "Painting": [str(self.running)] if self.running else [],
            "Waiting their turn": self.waiting,
            "Waiting for another half": [f"{i.name}: {i.waits_for}" for i in self.incomplete],
            "In the way": self.trouble,
            "Refused (see _refused)": self.refused,
        }
        text = [
            "\n".join([f"{title}:", *(indent(line, "  ") for line in lines)])
            for title, lines in parts.items()
            if lines
        ]
        if self.leaving:
            text.insert(0, FAREWELL)
        return "\n\n".join(text or ["Nothing to do: drop a pair into the inbox."])


class Board:
    """Keeps `_status.txt` in the folder `outbox`; where it cannot be written, nothing is lost."""

    def __init__(self, outbox: Path) -> None:
        self._path = outbox / FILE_NAME
        self._shown = ""

    def show(self, status: Status, now: datetime) -> None:
        """Write `status`, unless it already stands there; `now` is said beside it."""
        text = str(status)
        if text != self._shown and self._path.parent.is_dir():
            written = f"stylewatch, {now:%Y-%m-%d %H:%M:%S} UTC\n\n{text}\n"
            with suppress(OSError):
                durable.write(self._path, written.encode(errors="replace"))
                self._shown = text
