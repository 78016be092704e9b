"""The contract of a backend, which takes a frozen Task and yields Steps and Stages."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel, ValidationError

from stylewatch_painter.scene.task import Style, Task
from stylewatch_painter.stage import Checkpoint, Losses, Pixels, Plane, Stage, Step, Term, Wish
from stylewatch_painter.validation import mistakes
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
    "Pixels",
    "Plane",
    "Provenance",
    "Stage",
    "Step",
    "Style",
    "Task",
    "Term",
    "Wish",
    "capabilities",
    "check_options",
]

CONTRACT = 1
"""Version of the contract that this stylewatch implements. It increases when backends written for
the previous version would no longer work; optional members and new capabilities do not count."""

_Options = TypeVar("_Options", bound=BaseModel)


@dataclass(frozen=True)
class Capabilities:
    """The abilities that a backend declares; the defaults apply to a backend that declares none."""

    masks: bool = False
    """True if the backend uses the masks of content and styles; otherwise masks change nothing."""
    whole_styles: bool = False
    """True if a style is always used as a whole; its mask then only selects the regions that it
    paints."""
    resume: bool = True
    """True if the backend yields checkpoints and resumes from them; otherwise an interrupted job
    starts again."""
    deterministic: bool = True
    """True if on the CPU the same task gives the same picture, byte for byte."""
    memory: bool = False
    """True if the backend has an option `memory`, a limit in bytes, and stays below it."""

    @property
    def words(self) -> tuple[str, ...]:
        """The names of the capabilities that are present."""
        return tuple(name for name, has in vars(self).items() if has)


@dataclass(frozen=True)
class Device:
    """A device that a backend can run on.

    `name` is a value of the backend's option `device`; `memory` is in bytes, or None if unknown.
    """

    name: str
    description: str
    memory: int | None = None


@dataclass(frozen=True)
class Estimate:
    """The cost of a task: its sizes (width, height) in pixels, smallest first, and their steps.

    `seconds` and `memory` (bytes, peak of the whole process) are None if the backend cannot
    estimate them. `tile` is the side in pixels of the tiles in which the last size is computed, or
    None if it is computed in one piece.
    """

    sizes: tuple[tuple[int, int], ...]
    steps: tuple[int, ...]
    seconds: float | None = None
    memory: int | None = None
    tile: int | None = None


@dataclass(frozen=True)
class Provenance:
    """The backend, device and network of a job, for its receipt.

    `weights` holds at least the name, sha256 and bits of the trained network, and is empty without
    a network. The name is a value of the option `weights`. `decided` maps options, such as those
    set to `auto`, to the values that the backend chose; an interrupted job continues with these
    values. `warnings` are sentences about the result. `advice` are sentences about this
    installation, which the receipt does not get.
    """

    name: str
    version: str
    device: str
    precision: str
    weights: Mapping[str, str | int] = field(default_factory=dict)
    decided: Mapping[str, str | int | float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()


@runtime_checkable
class Backend(Protocol):
    """A backend, which is created from its options, a mapping of plain values.

    Creating a backend is cheap and loads no network. Unknown options raise BackendOptionError.
    Unusable pictures raise the painter's PictureError, and a loss that is not finite raises its
    DivergedError.

    The class may have two more attributes: `contract`, the version of this contract that it was
    written for (CONTRACT), and `capabilities`.
    """

    name: str
    version: str

    def __init__(self, options: Mapping[str, object]) -> None: ...

    def devices(self) -> tuple[Device, ...]:
        """List the devices of this machine that the backend can run on, best first."""
        ...

    def problem(self) -> str | None:
        """Explain in a sentence why the backend cannot run with its options; None if it can."""
        ...

    def provenance(self, task: Task) -> Provenance:
        """Describe what runs `task`: backend, device and network."""
        ...

    def estimate(self, task: Task) -> Estimate:
        """Estimate the cost of `task` without running it."""
        ...

    def measure(self, task: Task) -> Losses:
        """Compute the losses, in fp32, of the float picture that `task` starts from.

        The picture has the task's final size.
        """
        ...

    def paint(self, task: Task, wish: Callable[[], Wish]) -> Iterator[Step]:
        """Run `task`: yield a Step after every step, and a Stage (also a Step) when one is due.

        This generator calls `wish` exactly once after every step, before it yields that step, and
        the answer applies to that step. With `save_start` the first item is a Stage of step 0, the
        picture before the first step, for which `wish` is not called. With `task.resume` the
        painting continues from that checkpoint; on the CPU the following stages are the same as
        without the interruption, byte for byte. The last item is a Stage, unless the painting was
        stopped. A schedule without steps yields nothing. The caller may modify the arrays that
        are yielded, but for read-only ones in checkpoints, which may share the backend's memory.
        """
        ...


def check_options(name: str, model: type[_Options], options: Mapping[str, object]) -> _Options:
    """Return the `options` of the backend called `name`, validated by its pydantic `model`.

    Raises BackendOptionError with all mistakes.
    """
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        listed = "; ".join(str(mistake) for mistake in mistakes(error, model))
        raise BackendOptionError(f"backend {name}: {listed}") from error


def capabilities(backend: object) -> Capabilities:
    """Return the Capabilities that a backend or its class declares; the defaults without any."""
    declared = getattr(backend, "capabilities", None)
    return declared if isinstance(declared, Capabilities) else Capabilities()


def misfit(backend: object) -> str | None:
    """Explain why a backend's class is not compatible with this stylewatch; None if it is."""
    version = getattr(backend, "contract", CONTRACT)
    if version != CONTRACT or type(version) is not int:
        return f"it has version {version} of the contract, and this stylewatch version {CONTRACT}"
    declared = getattr(backend, "capabilities", Capabilities())
    if not isinstance(declared, Capabilities):
        return f"its capabilities are not a Capabilities, but {declared!r}"
    return None
