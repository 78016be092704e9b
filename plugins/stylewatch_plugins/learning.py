"""The contract of a package whose backend has to learn styles before it can paint in them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

LEARNERS = "stylewatch.learners"
"""Group of the entry points of such packages: each is a `Learn`, by the name of its backend."""


@dataclass(frozen=True)
class LearnRequest:
    """A request that a backend learns `styles`, which are files, from those of `photographs`.

    It may take about so many `minutes` for each style. Pictures may have at most `max_pixels`
    pixels. `options` are those of the backend.
    """

    styles: tuple[Path, ...]
    photographs: tuple[Path, ...]
    minutes: float
    max_pixels: int
    options: Mapping[str, object]


Learn = Callable[[LearnRequest, Callable[[str], object]], object]
"""Function that makes a backend able to paint in some styles, unless it is already. It gets a
function that tells people the progress, in a line, and calls it every few minutes: after half an
hour of silence it counts as hung. It raises errors of the painter or of a backend; a PictureError
means that the styles, or all photographs, can never be used, unless an OSError caused it."""
