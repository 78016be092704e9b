"""Messages between the daemon and its workers: orders in, events out; one End for each order."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stylewatch_daemon.base.model import Cause, Progress, Started
from stylewatch_daemon.files.names import FINAL
from stylewatch_daemon.settings.job import JobSettings

if TYPE_CHECKING:
    from stylewatch_painter.images.clip import ClipLimits


class AttemptRequest(StrEnum):
    """A request to an attempt that waits or runs."""

    GO_ON = ""
    STOP = "stop"
    """Keep a checkpoint and stop: the job goes on later."""
    FINISH = "finish"
    """Make the current picture the final one."""
    CANCEL = "cancel"
    """Stop: the job is not wanted any more."""


@dataclass(frozen=True)
class Order:
    """One attempt at one job; plain values, so that it can go to another process.

    The inputs are the daemon's own copies, which nobody else writes. Complete files are left under
    `staging` (on the outbox's file system), and the daemon publishes them. `checkpoint` is where
    the attempt keeps its snapshot.
    """

    name: str
    settings: JobSettings
    content: Path | None
    styles: tuple[Path, ...]
    staging: Path
    place: Path | None = None
    """The folder where staged files are published, with those of earlier attempts; None: none."""
    init: Path | None = None
    masks: Mapping[str, Path] = field(default_factory=dict)
    """By their roles: `content-mask`, `style-1-mask`."""
    final: str = FINAL
    """The name of the last picture, without its suffix."""
    checkpoint: Path | None = None
    backend_options: Mapping[str, Any] = field(default_factory=dict)
    device: str | None = None
    """The device where the settings name none, if the backend has it."""
    recipe_folders: tuple[Path, ...] = ()
    max_pixels: int = 1_000_000_000
    max_frames: int = 20_000
    step_timeout_s: float | None = None
    """Seconds that a step may take before the worker counts as hung; None: a default."""
    memory: int | None = None
    """Bytes that the job may use, where the backend can limit that; None: what is free."""
    out_of_memory: Literal["wait", "smaller", "cpu"] = "wait"
    """Where memory does not suffice: fail and be retried, or use a smaller size, or the CPU."""
    attempts: tuple[Mapping[str, Any], ...] = ()
    """The ends of earlier attempts, for the receipt."""
    retry_of: str | None = None
    """The name of the job that this one repeats, for the receipt."""

    @property
    def is_clip(self) -> bool:
        """True if the content is a clip; its file is looked at."""
        from stylewatch_painter.images.clip import is_clip  # the daemon does without NumPy

        return self.content is not None and is_clip(self.content)

    @property
    def clip_limits(self) -> "ClipLimits":
        """The limits of a content that is a clip."""
        from stylewatch_painter.images.clip import ClipLimits

        return ClipLimits(self.max_pixels, self.max_frames)

    @property
    def main(self) -> Path:
        """The content, or the first style where there is none."""
        return self.styles[0] if self.content is None else self.content


@dataclass(frozen=True)
class Saving:
    """A checkpoint is about to be written, which may take a while."""


@dataclass(frozen=True)
class Staged:
    """A complete, synced file is at `staging / path`, to be published in place of an older one.

    It is the announced file only if its bytes have that SHA-256. `step` is the last step that it
    shows, 0 where it shows none. An attempt that continues announces the earlier stages again:
    perhaps they were never published.
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
    """The end: stopped on request; the checkpoint is at `step`."""

    step: int


@dataclass(frozen=True)
class Refused:
    """The end: the inputs or settings cannot be used; `reason` is for the user."""

    reason: str
    cause: Cause = Cause.PICTURE


@dataclass(frozen=True)
class Failed:
    """The end: a failure that a retry may get past, or a fault of ours, which is `Cause.BUG`.

    With `recycle` the worker process is unusable: the next order needs a new one.
    """

    reason: str
    cause: Cause = Cause.BUG
    trace: str = ""
    recycle: bool = False


@dataclass(frozen=True)
class Lost:
    """The end: the worker is gone or hung, and its progress is unknown: `Cause.WORKER`."""

    reason: str


End = Done | Stopped | Refused | Failed | Lost
Event = Started | Progress | Saving | Staged | End


@dataclass(frozen=True)
class AttemptEvent:
    """An event of the attempt with this ticket."""

    ticket: str
    event: Event


READY = b""
"""The first message of a worker; without it, a worker that ended received no order."""
