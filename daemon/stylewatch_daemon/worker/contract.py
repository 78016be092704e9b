"""Messages between the daemon and its workers: orders in, events out; one End for each order."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from stylewatch_daemon.files.names import FINAL
from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.settings.job import JobSettings


class Wanted(StrEnum):
    """A request to an attempt that waits or runs."""

    GO_ON = ""
    STOP = "stop"
    """Keep a checkpoint and stop: the job goes on later."""
    FINISH = "finish"
    """Make the current picture the final one."""
    CANCEL = "cancel"
    """Stop: the job is not wanted any more."""

    @property
    def ends_waiting(self) -> bool:
        """True where an attempt that has not begun ends at once."""
        return self in (Wanted.STOP, Wanted.CANCEL)


@dataclass(frozen=True)
class Part:
    """A job of a series: what it is called there, and on the sheet; how it stands, and where."""

    name: str
    label: str
    state: str
    outbox: str = ""
    place: str = ""


@dataclass(frozen=True)
class Order:
    """One attempt at one job; plain values, so that it can go to another process.

    The files named here are the daemon's own copies: nobody else writes them. Finished files
    are left under `staging` (on the outbox's own file system) for the one who gave the order
    to publish. `checkpoint` is where the attempt keeps what it needs to go on.
    """

    name: str
    settings: JobSettings
    content: Path | None
    styles: tuple[Path, ...]
    staging: Path
    place: Path | None = None
    """Where staged files are published, and those of earlier attempts lie; None: nowhere."""
    init: Path | None = None
    masks: Mapping[str, Path] = field(default_factory=dict)
    """By whose they are: `content-mask`, `style-1-mask`."""
    final: str = FINAL
    """What the last picture is called, without its ending."""
    checkpoint: Path | None = None
    backend_options: Mapping[str, Any] = field(default_factory=dict)
    device: str | None = None
    """Where to paint if nobody said, and if the backend knows such a device."""
    recipe_folders: tuple[Path, ...] = ()
    max_pixels: int = 250_000_000
    step_timeout_s: float | None = None
    """Seconds that a step may take before the worker counts as hung; None: as Patience has it."""
    memory: int | None = None
    """Bytes that a painting may take, where the backend keeps to that; None: what is free."""
    out_of_memory: Literal["wait", "smaller", "cpu"] = "wait"
    """Where memory does not suffice: fail and be tried again, or paint smaller, or on the CPU."""
    attempts: tuple[Mapping[str, Any], ...] = ()
    """How earlier attempts ended, for the receipt."""
    retry_of: str | None = None
    """The name of the job that this one paints again, for the receipt."""
    parts: tuple[Part, ...] = ()
    """The jobs of a series: all that is wanted is the sheet of their pictures."""

    @property
    def main(self) -> Path:
        """The content, or the first style where there is none."""
        return self.styles[0] if self.content is None else self.content


@dataclass(frozen=True)
class Saving:
    """A checkpoint is about to be written, which may take a while."""


@dataclass(frozen=True)
class Staged:
    """A file stands whole and synced at `staging / path`; publish it, replacing an older one.

    What lies there counts where its bytes have that SHA-256, and otherwise only if there is another
    word of it. `step` is the last step that it shows, 0 where it shows none. What an attempt goes
    on after it tells of once more: perhaps nobody heard of it.
    """

    path: str
    sha256: str
    step: int = 0


@dataclass(frozen=True)
class Done:
    """The end: all files are staged, the receipt last."""

    receipt: Mapping[str, Any]


@dataclass(frozen=True)
class Stopped:
    """The end: told to stop; the checkpoint stands at `step`."""

    step: int


@dataclass(frozen=True)
class Refused:
    """The end: this input, or its settings, cannot be painted; `reason` is for the user."""

    reason: str


@dataclass(frozen=True)
class Failed:
    """The end: something that another try may mend, or a fault of ours.

    `exit_code` is as in sysexits: 69 backend or device not there, 73 cannot write, 70 ours.
    With `recycle` the process that says so is of no more use: the next order is for a fresh one.
    """

    reason: str
    exit_code: int = 70
    trace: str = ""
    recycle: bool = False


@dataclass(frozen=True)
class Lost:
    """The end: whoever painted is gone, or gave no sign of life; nobody knows how far it came."""

    reason: str


End = Done | Stopped | Refused | Failed | Lost
Event = Started | Progress | Saving | Staged | End


@dataclass(frozen=True)
class Heard:
    """An event of the attempt with this ticket."""

    ticket: str
    event: Event


READY = b""
"""The message with which a worker begins; one that ends before it never saw its order."""
