"""Task: one painting to be made, as plain values and float32 arrays."""

from dataclasses import dataclass

from stylewatch_painter.recipe import Recipe
from stylewatch_painter.stage import Checkpoint, Pixels, Plane


@dataclass(frozen=True, eq=False)
class Style:
    """A picture whose manner is wanted.

    `picture` is float32 (height, width, 3), RGB 0..255, in its own size. `weight` is its share
    beside the other styles. `scale` is its size relative to what the recipe would give it.
    `mask` is float32 (height, width), 0..1: where in the picture to look.
    """

    picture: Pixels
    name: str = "style-1"
    weight: float = 1.0
    scale: float = 1.0
    mask: Plane | None = None


@dataclass(frozen=True, eq=False)
class Task:
    """One painting to be made.

    `content` and `init` are float32 (height, width, 3), RGB 0..255, in their own sizes: the
    painter brings them to the size that the recipe asks for. A missing `content` leaves that
    side of the objective out, no `styles` the other. `alpha` (of the content) and
    `content_mask` are float32 (height, width), 0..1.
    """

    recipe: Recipe
    content: Pixels | None
    styles: tuple[Style, ...]
    init: Pixels | None = None
    alpha: Plane | None = None
    content_mask: Plane | None = None
    seed: int = 0
    resume: Checkpoint | None = None
