"""Messages between the daemon and its workers.

Orders go in, events come out; the last event of each order is an AttemptEnd.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stylewatch_daemon.base.model import Cause, Progress, Started
from stylewatch_daemon.files.names import FINAL
from stylewatch_daemon.settings.job import JobSettings

if TYPE_CHECKING:
    from stylewatch_daemon.settings.config import Config
    from stylewatch_painter.images.clip import ClipLimits
    from stylewatch_painter.recipes.recipe import Recipe


class AttemptRequest(StrEnum):
    """A request to an attempt that waits or runs."""

    GO_ON = ""
    STOP = "stop"
    """Save a checkpoint and stop: the job continues later."""
    FINISH = "finish"
    """Make the current picture the final one."""
    CANCEL = "cancel"
    """Stop, because the job is no longer wanted."""


@dataclass(frozen=True)
class Order:
    """One attempt at one job, as plain values that can be sent to another process.

    The inputs are the daemon's own copies, which nobody else modifies. The worker leaves complete
    files under `staging` (on the outbox's file system), and the daemon publishes them. `checkpoint`
    is the path of the attempt's snapshot; if it is None, no snapshot is saved.
    """

    name: str
    settings: JobSettings
    recipe: Mapping[str, Any]
    """Whole recipe, with the changes of the settings. The daemon resolves it, because a worker may
    see other folders of recipes, or none."""
    content: Path | None
    styles: tuple[Path, ...]
    staging: Path
    place: Path | None = None
    """Folder in which the staged files of all attempts are published; None if they stay
    unpublished."""
    init: Path | None = None
    masks: Mapping[str, Path] = field(default_factory=dict)
    """Masks by role: `content-mask`, `style-1-mask`."""
    final: str = FINAL
    """Name of the final picture, without its suffix."""
    checkpoint: Path | None = None
    shown_step: int = 0
    """Step of the latest stage of earlier attempts. An attempt that starts over makes a picture the
    final one, on request, only from this step on."""
    backend_options: Mapping[str, Any] = field(default_factory=dict)
    device: str | None = None
    """Device to use if the settings name none, the backend has it, and `backend_options` allow its
    kind."""
    max_pixels: int = 1_000_000_000
    max_frames: int = 20_000
    step_timeout_s: float | None = None
    """Timeout of a step in seconds, after which the worker counts as hung; None: a default."""
    memory: int | None = None
    """Bytes that the job may use, if the backend can limit them; None: what is free."""
    out_of_memory: Literal["wait", "smaller", "cpu"] = "wait"
    """Reaction to a lack of memory: fail and be retried, or use a smaller size, or the CPU."""
    attempts: tuple[Mapping[str, Any], ...] = ()
    """Ends of earlier attempts, for the receipt."""
    retry_of: str | None = None
    """Name of the job that this one repeats, for the receipt."""

    @property
    def is_clip(self) -> bool:
        """True if the content is a clip; reads the content's file."""
        from stylewatch_painter.images.read_clip import is_clip  # the daemon must not load NumPy

        return self.content is not None and is_clip(self.content)

    @property
    def limits(self) -> dict[str, int]:
        """The limits of pictures and clips, by the names of their fields."""
        return {"max_pixels": self.max_pixels, "max_frames": self.max_frames}

    @property
    def clip_limits(self) -> "ClipLimits":
        """Limits for a content that is a clip."""
        from stylewatch_painter.images.clip import ClipLimits

        return ClipLimits(self.max_pixels, self.max_frames)

    @property
    def main(self) -> Path:
        """The content, or the first style if there is none."""
        return self.styles[0] if self.content is None else self.content


def order_for(
    service: "Config",
    settings: JobSettings,
    recipe: "Recipe",
    *,
    name: str,
    pictures: tuple[Path | None, tuple[Path, ...]],
    staging: Path,
) -> Order:
    """Return an order for a job with `settings`, and with the options and limits of `service`.

    `recipe` already contains the changes of the settings; `pictures` are the content, or None, and
    the styles. Callers set the other fields with `replace`.
    """
    content, styles = pictures
    limits = service.limits
    return Order(
        name=name,
        settings=settings,
        recipe=recipe.model_dump(),
        content=content,
        styles=styles,
        staging=staging,
        backend_options=service.backends.get(settings.backend, {}),
        max_pixels=limits.max_pixels,
        max_frames=limits.max_frames,
        step_timeout_s=limits.step_timeout_s,
        memory=limits.memory,
        out_of_memory=limits.out_of_memory,
    )


@dataclass(frozen=True)
class Saving:
    """Work between two steps, such as writing a checkpoint, which may take longer than a step."""


@dataclass(frozen=True)
class FileStaged:
    """Announcement of a complete, synced file at `staging / path`, to be published.

    The file replaces an older one of the same path, and may be replaced itself: only bytes with
    this SHA-256 are the announced file. `step` is the last step that the file shows, or 0 if it
    shows none. An attempt that continues announces the earlier stages again, because they may never
    have been published.
    """

    path: str
    sha256: str
    step: int = 0


@dataclass(frozen=True)
class Done:
    """The end: all files are staged, the receipt last."""

    receipt: Mapping[str, Any]


@dataclass(frozen=True)
class AttemptStopped:
    """The end: the attempt was stopped on request after `step` steps; 0 if it made none.

    It has left a checkpoint if the order has a path for one and the backend can resume.
    """

    step: int


@dataclass(frozen=True)
class Refused:
    """The end: the inputs or settings cannot be used; `reason` is for the user."""

    reason: str
    cause: Cause = Cause.PICTURE


@dataclass(frozen=True)
class Failed:
    """The end: a failure that a retry may overcome, or a bug (`Cause.BUG`).

    With `recycle` the worker process is unusable, and the next order needs a new one.
    """

    reason: str
    cause: Cause = Cause.BUG
    trace: str = ""
    recycle: bool = False


@dataclass(frozen=True)
class AttemptLost:
    """The end: the worker died, hung or was ended; its progress is unknown (`Cause.WORKER`)."""

    reason: str


AttemptEnd = Done | AttemptStopped | Refused | Failed | AttemptLost
Event = Started | Progress | Saving | FileStaged | AttemptEnd


@dataclass(frozen=True)
class AttemptEvent:
    """An event of the attempt with this ticket."""

    ticket: str
    event: Event


READY = b""
"""First message of a worker; a worker that ended without sending it has received no order."""
