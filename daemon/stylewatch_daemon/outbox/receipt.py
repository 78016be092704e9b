"""The receipt of a job: its inputs, settings, results and digests. Fields are only ever added."""

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict

if TYPE_CHECKING:
    from stylewatch_painter.images.read import Picture

Size = tuple[int, int]
"""(width, height) in pixels."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")

    def as_json(self) -> str:
        """Return the record as JSON, without fields that are None."""
        return self.model_dump_json(indent=2, exclude_none=True) + "\n"


class TermRecord(_Record):
    """A loss term: its value by the recipe's formula, and its weight in the total.

    A term with a `gradient_weight` adds to the gradient but not to the total.
    """

    value: float
    weight: float
    gradient_weight: float | None = None


class LossesRecord(_Record):
    """Losses; `total` is the sum of value x weight.

    `content` has the terms by layer. So has `style`; if the painting has several styles that are
    not blended, it has them by style and then by layer.
    """

    total: float
    content: dict[str, TermRecord]
    style: dict[str, TermRecord | dict[str, TermRecord]]
    tv: TermRecord | None = None
    temporal: TermRecord | None = None


class BackendRecord(_Record):
    """The backend that painted the picture."""

    name: str
    version: str
    device: str
    precision: str


class WeightsRecord(_Record):
    """The weights of the trained network; `bits` is the number of bits of each weight."""

    name: str
    sha256: str
    bits: int
    architecture: str | None = None
    normalization: str | None = None


class ChangedRecord(_Record):
    """Digest of the new bytes of an input that a program modified while the job ran."""

    sha256: str


class InputRecord(_Record):
    """An input picture; `converted` lists the conversions made when it was read.

    `size` is that of the picture in its file. For a style, `weight` is its share and `seen` the
    size at which the last scale used it. `changed` is set if a program modified the file while the
    job ran, so that the archived file has other bytes.
    """

    role: str
    name: str
    sha256: str
    size: Size
    converted: tuple[str, ...]
    weight: float | None = None
    seen: Size | None = None
    changed: ChangedRecord | None = None

    @classmethod
    def of(cls, role: str, name: str, read: "Picture", weight: float | None = None) -> Self:
        """Return the record of a picture that was read from a file called `name`."""
        return cls(
            role=role,
            name=name.encode(errors="replace").decode(),  # it may not be valid Unicode
            sha256=read.sha256,
            size=read.size,
            converted=read.converted,
            weight=weight,
        )


class StageRecord(_Record):
    """A written stage: the picture after `step`; `seconds` is the job's duration until then.

    `losses` are those of the float picture before the step.
    """

    file: str
    sha256: str
    step: int
    seconds: float
    losses: LossesRecord


class FileRecord(_Record):
    """Another written file of the painting."""

    file: str
    sha256: str


class AttemptRecord(_Record):
    """An attempt: its backend and device, the options that `auto` chose, and how it ended."""

    backend: str
    device: str | None = None
    decided: dict[str, Any] = {}
    ended: str


class SceneRecord(_Record):
    """A scene of a clip: its first frame, counted from 0, and the number of its frames.

    `losses` are those of the first frame; `total` is the mean total loss of all frames.
    """

    first: int
    frames: int
    total: float
    losses: LossesRecord


class ClipRecord(_Record):
    """A clip: the number of painted frames, their duration in seconds, and its scenes."""

    frames: int
    seconds: float
    scenes: tuple[SceneRecord, ...]


class Receipt(_Record):
    """The whole receipt; times are UTC, durations in seconds.

    `settings` are those of the job. `recipe` includes all changes that they make to it.
    """

    job: str
    retry_of: str | None = None
    state: Literal["done", "stopped early", "canceled"]
    recipe: dict[str, Any]
    settings: dict[str, Any]
    backend: BackendRecord
    weights: WeightsRecord | None = None
    packages: dict[str, str] = {}
    size: Size
    seed: int
    inputs: tuple[InputRecord, ...]
    clip: ClipRecord | None = None
    stages: tuple[StageRecord, ...]
    final: str
    files: tuple[FileRecord, ...]
    losses: LossesRecord
    attempts: tuple[AttemptRecord, ...]
    warnings: tuple[str, ...]
    started: AwareDatetime
    finished: AwareDatetime
    seconds: float
    version: str
