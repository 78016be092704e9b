"""Frozen records and states of a pair of pictures on its way from the inbox to the receipt."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class JobState(StrEnum):
    """State of a job, by its name in the ledger; `queue.states` has the transitions."""

    CLAIMED = "claimed"
    """Entered in the ledger while its files are being taken and inspected."""
    QUEUED = "queued"
    RUNNING = "running"
    ENDING = "ending"
    """All files and the receipt are staged; archiving and publishing are left to do."""
    REFUSING = "refusing"
    """Refused or canceled; publishing the inputs and the reason is left to do."""
    FAILING = "failing"
    """Given up; publishing the inputs and the reason is left to do."""
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELED = "cancelled"


class AttemptEnd(StrEnum):
    """How an attempt ended, as the ledger and the receipt have it."""

    CUT_OFF = "cut off"
    """The daemon ended during the attempt. Every attempt is entered so, before it begins."""
    CUT_OFF_ALONE = "cut off alone"
    """The daemon ended during the attempt, and no other job was running."""
    DONE = "done"
    FINISHED = "finished"
    CANCELED = "cancelled"
    REFUSED = "refused"
    STOPPED = "stopped"
    PAUSED = "paused"
    FAILED = "failed"


@dataclass(frozen=True)
class Pair:
    """A pair that is still in the inbox: complete, or for one side, or to be canceled.

    `name` is its name in the outbox, with `/` where the inbox had folders. The files in
    `shared` (an album's style, a picture of the style library) belong to other jobs too and stay.
    """

    name: str
    content: Path | None
    styles: tuple[Path, ...]
    init: Path | None = None
    masks: Mapping[str, Path] = field(default_factory=dict)
    """By their roles: `content-mask`, `style-1-mask`."""
    job_file: Path | None = None
    shared: frozenset[Path] = frozenset()
    folder: Path | None = None
    """The job's own folder in the inbox, which is removed when it is empty."""
    rest: Mapping[Path, str] = field(default_factory=dict)
    """Other files of an incomplete pair, as a second content, with their roles."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file of the pair, the `main` one first."""
        paths = (self.content, *self.styles, self.init, *self.masks.values(), self.job_file)
        return (*(path for path in paths if path is not None), *self.rest)

    @property
    def main(self) -> Path:
        """The content, or the style of a job without content."""
        return self.files[0]


@dataclass(frozen=True)
class Incomplete:
    """A pair that is not complete; `waits_for` says what it waits for.

    `changing`: its files are complete, and one is still being written.
    """

    name: str
    waits_for: str
    changing: bool = False
    pair: Pair | None = field(default=None, compare=False)
    """The files that there are."""


CHECKPOINT = "checkpoint.npz"
"""Name of a worker's checkpoint in the folder of a job."""


@dataclass(frozen=True)
class Picture:
    """A valid picture or clip; `size` is (width, height) in pixels, as in its file."""

    name: str
    sha256: str
    size: tuple[int, int]
    frames: int = 1

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Picture":
        """The picture of an input that the ledger has."""
        width, height = record["pixels"]
        return cls(record["name"], record["sha256"], (width, height), record.get("frames", 1))

    def as_record(self) -> dict[str, Any]:
        """The form in which the ledger holds it, without its name."""
        record = {"sha256": self.sha256, "pixels": list(self.size)}
        return {**record, "frames": self.frames} if self.frames > 1 else record


BEST_BATCH = 8
"""Pictures that a GPU paints at once, where their shape allows that."""

SEGMENT = 48
"""Frames of a segment of a clip; its painted frames are files until it is encoded."""

REFERENCES = 3
"""Frames of a clip that a checkpoint has besides the latest one, each painted and as it was."""


def best_batch(device: str) -> int:
    """Return how many pictures are best painted at once on a device."""
    return 1 if device == "cpu" else BEST_BATCH


def progress_unit(frames: int) -> str:
    """Return the unit in which the progress of a job with a content of so many frames counts."""
    return "frame" if frames > 1 else "step"


@dataclass(frozen=True)
class Started:
    """The pictures are read and the backend is ready; sizes are (width, height) in pixels."""

    backend: str
    device: str
    sizes: tuple[tuple[int, int], ...]
    steps_at: tuple[int, ...]
    """The steps at each of the sizes."""
    step: int = 0
    """The step of the checkpoint that the job continues from."""
    warnings: tuple[str, ...] = ()
    accelerators: tuple[str, ...] = ()
    """All devices but the CPU that the backend can use there, best first."""
    paints_many: bool = False
    """True if the backend can run several jobs at once on this device."""
    together: int = 1
    """Number of jobs in its batch."""
    too_many: int = 0
    """Size of the batch that memory did not suffice for, so that this job runs alone."""

    @property
    def steps(self) -> int:
        """All steps, over all sizes."""
        return sum(self.steps_at)


@dataclass(frozen=True)
class Progress:
    """A completed step; `loss` is the total before it, `seconds` count from the job's start.

    For a clip `unit` is "frame": a step is one, and is reported again while the next is painted.
    """

    step: int
    steps: int
    size: tuple[int, int]
    loss: float
    seconds: float
    unit: str = "step"
