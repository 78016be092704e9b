"""Types that a painting reports: Step after every step, Stage when there is a picture."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]
"""A picture: float32 (height, width, 3), RGB, nominally 0..255."""

Bytes = NDArray[np.uint8]
"""A picture as files and screens have it: uint8 (height, width, 3), RGB."""

Plane = NDArray[np.float32]
"""An alpha channel or a mask: float32 (height, width), 0..1."""

Regions = NDArray[np.float32]
"""A mask of regions: float32 (height, width, R), 0..1; a Plane is a mask of one region."""

Checkpoint = Mapping[str, NDArray[np.generic]]
"""All that a painting needs to continue in the same bytes: plain arrays by name."""


class Wish(Enum):
    """Request to a painting between two steps."""

    GO_ON = "go on"
    CHECKPOINT = "go on, and hand out a checkpoint"
    FINISH = "make this the last stage"
    STOP = "hand out a checkpoint and stop"


def go_on() -> Wish:
    """The wish of a caller that only waits for the end."""
    return Wish.GO_ON


@dataclass(frozen=True)
class Term:
    """One loss term: its value by the recipe's formula, and its weight in the total.

    A term with a `gradient_weight` adds to the gradient but not to the total.
    """

    value: float
    weight: float
    gradient_weight: float | None = None

    @property
    def weighted(self) -> float:
        """Contribution to the total: value x weight."""
        return self.value * self.weight

    def as_json(self) -> dict[str, float]:
        """Plain `value`, `weight` and, if it is set, `gradient_weight`."""
        return {name: number for name, number in vars(self).items() if number is not None}


@dataclass(frozen=True)
class Losses:
    """Losses of a float picture by term; `total` is the sum of value x weight.

    `content` maps layer to term, `style` maps style name to layer to term; `temporal` is for a
    frame of a clip that follows another one.
    """

    total: float
    content: Mapping[str, Term] = field(default_factory=dict)
    style: Mapping[str, Mapping[str, Term]] = field(default_factory=dict)
    tv: Term | None = None
    temporal: Term | None = None

    def as_json(self) -> dict[str, object]:
        """The form of the receipt: with one style, `style` maps layers directly."""
        styles = {
            name: {layer: term.as_json() for layer, term in layers.items()}
            for name, layers in self.style.items()
        }
        plain: dict[str, object] = {
            "total": self.total,
            "content": {layer: term.as_json() for layer, term in self.content.items()},
            "style": next(iter(styles.values())) if len(styles) == 1 else styles,
        }
        for name, term in (("tv", self.tv), ("temporal", self.temporal)):
            if term is not None:
                plain[name] = term.as_json()
        return plain


@dataclass(frozen=True)
class Step:
    """One step.

    `step` counts from 1 over all sizes, up to `steps`; `size` is (width, height) in pixels of the
    current picture; `losses` belong to the float picture before this step; `seconds` count from the
    start of the painting, including time before a checkpoint. `checkpoint` is what `Task.resume`
    takes, if it was requested. `taken_back` counts the steps so far that were taken back.
    """

    step: int
    steps: int
    size: tuple[int, int]
    losses: Losses
    seconds: float
    checkpoint: Checkpoint | None = field(default=None, kw_only=True, repr=False)
    taken_back: int = field(default=0, kw_only=True)


@dataclass(frozen=True)
class Stage(Step):
    """A step with a picture; with the number 0, the picture before the first step.

    `picture` is float32 (height, width, 3) at the final size, not clipped: only the writer rounds.
    `frame` is its number in a clip, from 1; 0 where there is no clip.
    """

    picture: Pixels = field(kw_only=True, repr=False)
    frame: int = field(default=0, kw_only=True)
