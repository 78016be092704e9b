"""The contract of a package whose backend has to learn styles before it can paint in them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

LEARNERS = "stylewatch.learners"
"""Group of the entry points of such packages. An entry point has the name of a backend, and its
value is a `Learn` function."""


@dataclass(frozen=True)
class LearnRequest:
    """A request that a backend learns `styles` from `photographs`, which are paths of files.

    The training of each style may take about `minutes` minutes. A picture may have at most
    `max_pixels` pixels. `options` are the options of the backend.
    """

    styles: tuple[Path, ...]
    photographs: tuple[Path, ...]
    minutes: float
    max_pixels: int
    options: Mapping[str, object]


Learn = Callable[[LearnRequest, Callable[[str], object]], object]
"""Function that trains a backend for the styles of a request that it has not learned yet. The
second argument is a function that shows a line about the progress. `Learn` must call it every few
minutes: after half an hour of silence the training counts as hung. `Learn` raises errors of the
painter or of a backend. A PictureError means that the styles, or all photographs, can never be
used, unless an OSError caused it."""
