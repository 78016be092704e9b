"""Frozen records and states of pairs, jobs and attempts, from the inbox to the receipt."""

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

Role = str
"""Role of a file: `content`, `style`, `init`, `job`, or that of a mask: `content-mask`, or
`style-2-mask` for the second style."""

MASK = "-mask"
"""Suffix of the role of a mask, after the role of its picture."""

CONTENT_MASK = f"content{MASK}"

CHECKPOINT = "checkpoint.npz"
"""Name of a worker's checkpoint in the folder of a job."""

_TIME_OF_ID = "%Y%m%dT%H%M%S.%f"
_TOGETHER = timedelta(seconds=1)
_ID = re.compile(r"\w[\w.-]{0,199}")

_ROLES = re.compile(r"content|style|init|job|(?:content|style-[0-9]+)-mask")


def now() -> str:
    """Return the current time, UTC, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def new_id() -> str:
    """Return a new id for a job; later ids sort after earlier ones."""
    (job_id,) = new_ids(1)
    return job_id


def new_ids(count: int) -> list[str]:
    """Return `count` new ids for the jobs of one group, sorted; all begin with the same time."""
    moment = f"{datetime.now(UTC):{_TIME_OF_ID}}"
    suffixes: set[str] = set()
    while len(suffixes) < count:
        suffixes.add(secrets.token_hex(3))
    return [f"{moment}-{suffix}" for suffix in sorted(suffixes)]


def is_id(text: str) -> bool:
    """Return whether `text` is a valid id of a job, and therefore a valid name of its folder."""
    return _ID.fullmatch(text) is not None


def are_drawn_together(one: str, other: str) -> bool:
    """Return whether two ids may belong to jobs of one group: their times differ by at most 1 s.

    New ids of a group begin with the same time, but earlier versions drew them one after another.
    An id without a time may belong to any group.
    """
    try:
        times = [datetime.strptime(id_.partition("-")[0], _TIME_OF_ID) for id_ in (one, other)]
    except ValueError:  # an id of another form
        return True
    return abs(times[0] - times[1]) <= _TOGETHER


def is_role(text: object) -> bool:
    """Return whether `text` is the role of a file."""
    return isinstance(text, str) and _ROLES.fullmatch(text) is not None


class State(StrEnum):
    """State of a job in the ledger; `jobs.lifecycle` has the table of transitions."""

    CLAIMED = "claimed"
    """The files are being moved or copied out of the inbox, or inspected."""
    QUEUED = "queued"
    """The job waits for its turn, or until an obstacle is gone."""
    RUNNING = "running"
    """An attempt has begun."""
    ENDING = "ending"
    """The end is decided; its results remain to be published."""
    ENDED = "ended"
    """All results are published; some inputs may remain to be removed."""


class End(StrEnum):
    """Kind of end of a job, decided when the job becomes `State.ENDING`."""

    DONE = "done"
    STOPPED_EARLY = "stopped early"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELED = "canceled"


class Cause(StrEnum):
    """Cause of a refusal, a failure, a wait, or the end of an attempt.

    The code decides by the cause. The reason that accompanies it is for people.
    """

    PICTURE = "picture"
    SETTINGS = "settings"
    DISK = "disk"
    """A disk is full, not mounted, or cannot be read or written."""
    DEVICE = "device"
    """A backend, a device, the weights, or a library are missing."""
    LEARNING = "learning"
    """A style must be learned first."""
    MEMORY = "memory"
    """There is not enough memory for this job; for a smaller one there may be."""
    MACHINE = "machine"
    """File descriptors, processes or threads are not available."""
    WORKER = "worker"
    """The worker died or hung."""
    BUG = "bug"
    DAEMON = "daemon"
    """The daemon ended during the attempt."""


PICTURES = (End.DONE, End.STOPPED_EARLY)
"""Ends of jobs that have a final picture and a receipt."""

REFUSALS = (End.REFUSED, End.FAILED)
"""Ends of jobs that the status lists until they are dismissed."""


@dataclass(frozen=True)
class Pair:
    """Files in an inbox that belong together.

    `name` is the pair's name in the outbox, with `/` for subfolders of the inbox. Files in `shared`
    (an album's style, a picture of the style library) stay where they are, because other pictures
    are painted with them, too. Pairs of one picture with different styles have the same `main` file
    (law 5).
    """

    name: str
    content: Path | None
    styles: tuple[Path, ...] = ()
    init: Path | None = None
    masks: Mapping[str, Path] = field(default_factory=dict)
    """Masks by role: `content-mask`, `style-1-mask`."""
    job_file: Path | None = None
    shared: frozenset[Path] = frozenset()
    folder: Path | None = None
    """The job's own folder in the inbox, which is removed once it is empty."""
    left_out: tuple[Path, ...] = ()
    """Files outside the pair that must not be painted later: clips of the live photo that is its
    main file, and, inside an album, other pictures in the job's own folder."""
    others: tuple[Path, ...] = ()
    """All files of a pair in which a part is missing or ambiguous."""
    waits_for: str = ""
    """Reason why the pair is incomplete; empty if it is complete."""
    may_be_style: tuple[Path, ...] = ()
    """Files of an incomplete pair, one of which is probably meant as the style."""
    changing: bool = False
    """True if the pair is incomplete only because a file is still being written."""

    @property
    def roles(self) -> tuple[tuple[str, Path], ...]:
        """(role, path) of each part of the pair, that of `main` first; without `others`."""
        masks = ((role, self.masks[role]) for role in self.masks)
        styles = (("style", style) for style in self.styles)
        parts = ("content", self.content), *styles, ("init", self.init), *masks
        return tuple((role, path) for role, path in (*parts, ("job", self.job_file)) if path)

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the pair, the `main` one first."""
        return (*(path for _, path in self.roles), *self.others)

    @property
    def main(self) -> Path:
        """First of `files`: the content, or the first style if there is no content, and so on."""
        return self.files[0]


@dataclass(frozen=True)
class Picture:
    """A valid picture or clip; `size` is (width, height) in pixels, as in its file."""

    name: str
    sha256: str
    size: tuple[int, int]
    frames: int = 1


@dataclass(frozen=True)
class Input:
    """A file of a job in the ledger; values that are not known yet have their defaults.

    `source` is its original path, `size` is in bytes, `pixels` is (width, height), `frames` is the
    number of frames of a clip.
    """

    role: Role
    name: str
    source: str
    size: int
    sha256: str = ""
    pixels: tuple[int, int] | None = None
    frames: int = 1
    published: str = ""
    """Path in the outbox at which the file was published last, empty if it was not. Of a published
    file, `size` and `sha256` (if known) are those of the file in the outbox."""


@dataclass(frozen=True)
class Job:
    """A job, which is one row of the ledger. Times are UTC, ISO 8601.

    `place` is the folder in the `outbox` for its output. `refused_as` is the folder there for its
    inputs if it ends without an output. Each is None until it is chosen. Only
    `jobs.lifecycle.advance` changes the state.
    """

    id: str
    name: str
    """Name in the inbox."""
    inbox: str
    outbox: str
    entered: str
    state: State = State.CLAIMED
    end: End | None = None
    cause: Cause | None = None
    """Cause of its end, or of its wait."""
    reason: str = ""
    asked: End | None = None
    """End that its owner requested: `End.CANCELED` or `End.STOPPED_EARLY`."""
    inputs: tuple[Input, ...] = ()
    bytes: int = 0
    """Sum of the sizes in bytes of its inputs when they were claimed."""
    priority: int = 0
    needs: str = ""
    """Backend, device and recipe: jobs with the same needs are blocked together."""
    place: str | None = None
    refused_as: str | None = None
    disk: str = ""
    """Mark of the disk that has the job's files in the outbox; empty if that disk has no mark, or
    if the job has no folder there yet."""
    faults: int = 0
    """Number of attempts that failed by a fault since the latest new stage."""
    interruptions: int = 0
    """Number of times that the daemon was killed while the job ran, since its latest new stage, its
    last stop with a checkpoint, or its last fault."""
    step: int = 0
    """Step of the latest stage; 0 if there is none."""
    finished: str | None = None
    settings: Mapping[str, Any] | None = None
    """Settings with which its latest attempt began; None before the first attempt."""
    retry_of: str = ""
    """Title of the job that this one repeats; empty for a job from an inbox."""
    dismissed: bool = False
    """True if a person removed the refused or failed job from the status."""
    trashed: str | None = None
    """Time at which a person moved the job into the trash; None if it is not there."""

    @property
    def title(self) -> str:
        """Name of the job in the outbox, or its name in the inbox until it has one there."""
        return self.place or self.name

    @property
    def folder(self) -> str:
        """Folder in the outbox with the job's output, or with its returned inputs."""
        return self.refused_as or self.title

    @property
    def seen(self) -> str:
        """State shown to people: waiting, running, or how it ended."""
        return seen(self.state, self.end)

    @property
    def has_ended(self) -> bool:
        """True if the job is in the state `State.ENDED`."""
        return self.state is State.ENDED

    def input_as(self, role: str) -> Input | None:
        """Return the first of its inputs with this role; None if there is none."""
        for file in self.inputs:
            if file.role == role:
                return file
        return None

    @property
    def frames(self) -> int:
        """Number of frames of a clip; 1 for a picture, or if not known yet."""
        return max((file.frames for file in self.inputs), default=1)


def seen(state: State, end: End | None = None) -> str:
    """Return the state shown to people: waiting, running, or how the job ended."""
    if state is State.ENDED:
        return str(end)
    return "waiting" if state in (State.CLAIMED, State.QUEUED) else "running"


SEEN: tuple[str, ...] = ("waiting", "running", *map(str, End))
"""All states that are shown to people."""


@dataclass(frozen=True)
class Attempt:
    """An attempt at a job, recorded before it begins; times are UTC, ISO 8601.

    `step` is the step of the checkpoint from which the attempt began, 0 if there was none. `pid` is
    the process id of the daemon. `ended` is None while the attempt runs, and if the daemon was
    killed during it. `how` is the `End` of the job or, if the attempt ended without one, the
    `Cause`.
    """

    started: str
    step: int = 0
    backend: str = ""
    device: str = ""
    pid: int = 0
    ended: str | None = None
    how: str = Cause.DAEMON
    reason: str = ""
    painted_s: float | None = None
    """Seconds that the painting took, over all attempts, as the receipt says; None if the attempt
    did not end with a receipt, and in ledgers of earlier versions."""


class OutputFile(NamedTuple):
    """A file that a job has, or had, in its outbox or in a finals folder.

    `path` is relative to the outbox or, in a finals folder, absolute. `part` is stages, inputs,
    final, finals (the final picture in a finals folder), files, receipt, reason, or refused (an
    input of a job without an output). `size` is in bytes, 0 if unknown.
    """

    path: str
    part: str
    sha256: str
    size: int


def final_of(files: Iterable[OutputFile]) -> OutputFile | None:
    """Return the final picture among the files of a job; None if there is none."""
    for file in files:
        if file.part == "final":
            return file
    return None


SEGMENT = 48
"""Number of frames in a segment of a clip; the painted frames of a segment are separate files until
the segment is encoded."""

REFERENCES = 3
"""Maximum number of earlier frames in the checkpoint of a clip, besides the latest frame; each is
stored as it was and as it was painted."""


def progress_unit(frames: int) -> str:
    """Return the unit of the progress of a job whose content has `frames` frames."""
    return "frame" if frames > 1 else "step"


@dataclass(frozen=True)
class Started:
    """Report of a worker that has read the pictures and whose backend is ready.

    Sizes are (width, height) in pixels.
    """

    backend: str
    device: str
    sizes: tuple[tuple[int, int], ...]
    steps_at: tuple[int, ...]
    """Number of steps at each of the `sizes`."""
    step: int = 0
    """Step of the checkpoint from which the job continues."""
    warnings: tuple[str, ...] = ()
    accelerators: tuple[str, ...] = ()
    """All devices except the CPU that the backend can use there, best first."""

    @property
    def steps(self) -> int:
        """Number of steps over all sizes."""
        return sum(self.steps_at)


@dataclass(frozen=True)
class Progress:
    """A completed step of `steps`; `loss` is the total loss of the picture before the step.

    `size` is (width, height) of the picture in pixels, `seconds` the time that was spent on the job
    so far, including earlier attempts. For a clip `unit` is "frame": `step` counts frames, and a
    frame is reported repeatedly while the next one is painted.
    """

    step: int
    steps: int
    size: tuple[int, int]
    loss: float
    seconds: float
    unit: str = "step"
