"""What an executor is: Orders in, Events out, of each order exactly one End, as its last event."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Protocol

from stylewatch_daemon.files.names import FINAL
from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.settings.job import JobSettings


class Wanted(StrEnum):
    """Request to a running attempt."""

    GO_ON = ""
    STOP = "stop"
    """Write a checkpoint and stop."""
    FINISH = "finish"
    """Make the current picture the final one."""
    CANCEL = "cancel"
    """Stop; nobody wants the job any more."""


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


class Executor(Protocol):
    """Where attempts are painted: by processes of this machine, or by others.

    Each attempt has a ticket, a name that is used once. Whatever dies, of each that was submitted
    exactly one End is heard, and nothing after it. It is never tried again: that is for the one
    who submits to decide. Of an attempt the events come in their order, those of several mixed.

    No method but `close` waits for anything. All are called by one thread.
    """

    wake: Callable[[], object]
    """Set by who listens; called, by any thread, once there is something new to be heard."""

    def submit(self, orders: Mapping[str, Order]) -> None:
        """Have attempts made, by ticket, at once or as soon as there is a device for them.

        Several, which are for one backend and one device, go to one worker: it paints them at
        once where the backend can, else one after the other. Each has its own events and its own
        End, and how one ends is nothing to the others, unless it takes the worker with it.
        """
        ...

    def ask(self, ticket: str, wanted: Wanted) -> None:
        """Pass on what is wanted of an attempt; it ends soon. One that has ended hears nothing."""
        ...

    def drop(self, ticket: str) -> None:
        """Have an attempt ended now, whatever is lost by it; its End may be Lost.

        One that shares its worker with others is ended as soon as these do not suffer by it.
        """
        ...

    def heard(self) -> Iterator[Heard]:
        """The events that came since this was last asked."""
        ...

    def free(self) -> int:
        """How many workers have nothing to do, each for an attempt or several; it may grow."""
        ...

    def close(self) -> None:
        """End whatever goes on, and give back all that is held. Nothing can be submitted after."""
        ...


READY = b""
"""The message with which a worker begins; one that ends before it never saw its order."""
