"""What a backend is: it takes a frozen Task and yields Steps and Stages."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from stylewatch_painter.algorithm.task import Style, Task
from stylewatch_painter.stage import Checkpoint, Losses, Pixels, Plane, Stage, Step, Term, Wish
from stylewatch_plugins.capabilities import CONTRACT, Capabilities
from stylewatch_plugins.errors import (
    BackendError,
    BackendMissingError,
    BackendOptionError,
    GraphError,
)

__all__ = [
    "CONTRACT",
    "Backend",
    "BackendError",
    "BackendMissingError",
    "BackendOptionError",
    "Capabilities",
    "Checkpoint",
    "Device",
    "Estimate",
    "GraphError",
    "Losses",
    "PaintsMany",
    "Pixels",
    "Plane",
    "Provenance",
    "Stage",
    "Step",
    "Style",
    "Task",
    "Term",
    "Wish",
]


@dataclass(frozen=True)
class Device:
    """Somewhere a backend can paint.

    `name` as its option `device` takes it; `memory` in bytes if known.
    """

    name: str
    description: str
    memory: int | None = None


@dataclass(frozen=True)
class Estimate:
    """What a task would take: sizes (width, height) in pixels with their steps, coarse to fine.

    `seconds` and `memory` (bytes, the whole process at its peak) are None where the backend
    cannot tell. `tile`: pixels of the tiles that the last size is painted in, None where it is
    painted in one piece.
    """

    sizes: tuple[tuple[int, int], ...]
    steps: tuple[int, ...]
    seconds: float | None = None
    memory: int | None = None
    tile: int | None = None


@dataclass(frozen=True)
class Provenance:
    """What painted: for the receipt.

    `weights` holds name, sha256 and bits of the trained network (empty without one);
    `decided` what the backend chose where it was told `auto`, as options that choose the same
    again; `warnings` are sentences.
    """

    name: str
    version: str
    device: str
    precision: str
    weights: Mapping[str, str | int] = field(default_factory=dict)
    decided: Mapping[str, str | int | float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@runtime_checkable
class Backend(Protocol):
    """A way to paint; made from its options, a mapping of plain values.

    Making one is cheap and loads no network. Options it does not know raise
    BackendOptionError. Pictures that cannot be painted raise the painter's PictureError,
    a painting whose loss is no longer a number its DivergedError.

    Its class may say more of itself: `contract`, the version of this contract that it was
    written for (CONTRACT), and `capabilities`.
    """

    name: str
    version: str

    def __init__(self, options: Mapping[str, object]) -> None: ...

    def devices(self) -> tuple[Device, ...]:
        """Where it can paint on this machine, best first."""
        ...

    def problem(self) -> str | None:
        """Why it cannot run here as its options say, in a sentence that helps; None if it can."""
        ...

    def provenance(self, task: Task) -> Provenance:
        """Who paints `task`, on what, with which network."""
        ...

    def estimate(self, task: Task) -> Estimate:
        """What `task` would take, without painting it."""
        ...

    def measure(self, task: Task) -> Losses:
        """The losses, in fp32, of the float picture that `task` starts from at its final size."""
        ...

    def paint(self, task: Task, wish: Callable[[], Wish]) -> Iterator[Step]:
        """Paint: a Step after every step, a Stage (which is a Step) where one is due.

        Between two steps it asks for a `wish`. With `task.resume` it goes on from there; on
        the CPU the stages to come are then the same, byte for byte. The last thing yielded is
        a Stage, unless it was told to stop.

        It is a generator. A wish is asked for once after every step, before the step is handed
        out, and decides about that very step. A schedule without steps yields nothing. What is
        handed out may be written to.
        """
        ...


@runtime_checkable
class PaintsMany(Protocol):
    """A Backend that can paint several tasks at once, where that is quicker than in turn."""

    def paint_many(
        self, tasks: Sequence[Task], wishes: Sequence[Callable[[], Wish]]
    ) -> Iterator[tuple[int, Step | Exception]]:
        """Paint `tasks`, each by its own wish; each item says which task, by number, it is about.

        For a task it yields what `paint` of that task alone yields. What `paint` would raise is
        handed out in place of a Step: it is the end of that task, and of no other.
        """
        ...
