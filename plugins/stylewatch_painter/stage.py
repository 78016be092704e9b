"""Data types of a painting: pictures, losses, steps, and stages, which are steps with a picture."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]
"""A picture: float32 (height, width, 3), RGB, nominally 0..255."""

Bytes = NDArray[np.uint8]
"""A picture as in files and on screens: uint8 (height, width, 3), RGB."""

Plane = NDArray[np.float32]
"""An alpha channel or a mask: float32 (height, width), 0..1."""

Regions = NDArray[np.float32]
"""A mask of R regions: float32 (height, width, R), 0..1; a Plane is a mask of one region."""

Checkpoint = Mapping[str, NDArray[np.generic]]
"""Arrays by name, from which `Task.resume` continues a painting."""


BLEND = "blend"
"""Name of the single target into which several styles are blended."""


class Wish(Enum):
    """Wish of the caller after a step: to continue, to get a checkpoint, or to end."""

    GO_ON = "go on"
    CHECKPOINT = "go on, and hand out a checkpoint"
    FINISH = "make this the last stage"
    STOP = "hand out a checkpoint and stop"


def go_on() -> Wish:
    """Return GO_ON, for callers that only wait for the end."""
    return Wish.GO_ON


@dataclass(frozen=True)
class Term:
    """The value of one loss term, by the recipe's formula, and its weight in the total.

    `gradient_weight` is the weight in the gradient; None means that it equals `weight`.
    """

    value: float
    weight: float
    gradient_weight: float | None = None

    @property
    def weighted(self) -> float:
        """Contribution to the total: value x weight."""
        return self.value * self.weight

    def as_json(self) -> dict[str, float]:
        """Return a plain mapping of `value`, `weight` and, if set, `gradient_weight`."""
        return {name: number for name, number in vars(self).items() if number is not None}


@dataclass(frozen=True)
class Losses:
    """Losses of a float picture by term; `total` is the sum of value x weight.

    `content` maps layers to terms, and `style` maps names of styles to mappings from layer to term.
    `temporal` is set for a frame of a clip that follows another frame.
    """

    total: float
    content: Mapping[str, Term] = field(default_factory=dict)
    style: Mapping[str, Mapping[str, Term]] = field(default_factory=dict)
    tv: Term | None = None
    temporal: Term | None = None

    def has_one_target(self, styles: int) -> bool:
        """Return whether a painting with this number of `styles` has one target at every size."""
        return styles == 1 or self.style.keys() == {BLEND}

    def as_json(self, styles: int | None = None) -> dict[str, object]:
        """Return the losses in the form of the receipt.

        If the painting has one target, `style` maps layers, not styles. `styles` is the number of
        styles of the painting. None stands for the number of styles with losses, which may be
        smaller, because a small size may leave some styles out.
        """
        is_one = self.has_one_target(len(self.style) if styles is None else styles)
        of_styles = {
            name: {layer: term.as_json() for layer, term in layers.items()}
            for name, layers in self.style.items()
        }
        plain: dict[str, object] = {
            "total": self.total,
            "content": {layer: term.as_json() for layer, term in self.content.items()},
            "style": next(iter(of_styles.values())) if of_styles and is_one else of_styles,
        }
        for name, term in (("tv", self.tv), ("temporal", self.temporal)):
            if term is not None:
                plain[name] = term.as_json()
        return plain


@dataclass(frozen=True)
class Step:
    """One step of a painting.

    `step` counts from 1 to `steps`, over all sizes; `size` is (width, height) in pixels of the
    current picture; `losses` are those of the float picture before this step; `seconds` is the time
    since the start of the painting, including the time before a checkpoint. `checkpoint`, present
    only if requested, is a value for `Task.resume`. `taken_back` is the number of undone steps so
    far.
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
    """A step with a picture. Step 0 is the picture before the first step.

    `picture` is float32 (height, width, 3) at the final size, not clipped: only the writer rounds.
    `frame` is the number of the frame in a clip, from 1, or 0 for a still picture. `painting`, in
    the form of `picture`, is the picture from which the next frame of a clip starts, without the
    corrections of `picture`, which must not be applied twice. None stands for `picture` itself.
    """

    picture: Pixels = field(kw_only=True, repr=False)
    frame: int = field(default=0, kw_only=True)
    painting: Pixels | None = field(default=None, kw_only=True, repr=False)
