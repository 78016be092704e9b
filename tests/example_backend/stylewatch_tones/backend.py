"""Backend `tones`: histogram matching, color by color, with the style.

Each step moves every pixel towards the tone of its rank in the style, with a penalty on the
distance from the content. With masks, each region takes the tones of its region of the style.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field

from stylewatch_painter.recipes.recipe import Strict
from stylewatch_plugins import numpy_loop
from stylewatch_plugins.contract import (
    CONTRACT,
    Capabilities,
    Device,
    Estimate,
    Losses,
    Provenance,
    Step,
    Task,
    Wish,
    check_options,
)
from stylewatch_tones.motif import Motif


class Options(Strict):
    """The options under `backends: tones:`."""

    device: Literal["auto", "cpu"] = "auto"
    pace: Annotated[float, Field(gt=0, le=1)] = 0.3
    """The share of the way to the target that one step goes."""


class Tones:
    """Uses start, sizes, steps, seed and strength of the recipe, and no layers."""

    name = "tones"
    version = "1.0"
    contract = CONTRACT
    capabilities = Capabilities(masks=True)

    def __init__(self, options: Mapping[str, object]) -> None:
        self._options = check_options(self.name, Options, options)

    def devices(self) -> tuple[Device, ...]:
        """Return the CPU."""
        return (Device("cpu", "NumPy on the processor"),)

    def problem(self) -> str | None:
        """Return None: NumPy is all it needs."""
        return None

    def provenance(self, task: Task) -> Provenance:
        """Describe the backend; it has no network and decides nothing by itself."""
        return Provenance(self.name, self.version, device="cpu", precision="fp64")

    def estimate(self, task: Task) -> Estimate:
        """Return sizes and steps; the time is unknown."""
        levels = task.levels()
        return Estimate(
            tuple(level.size for level in levels), tuple(level.steps for level in levels)
        )

    def measure(self, task: Task) -> Losses:
        """Compute the losses of the picture that `task` starts from, at its final size."""
        return Motif.of(task, task.final).losses(numpy_loop.start(task, task.final))

    def paint(self, task: Task, wish: Callable[[], Wish]) -> Iterator[Step]:
        """Run `task` in the common loop, with a step of its own."""

        def at(size: tuple[int, int]) -> numpy_loop.Move:
            motif = Motif.of(task, size)
            return lambda picture, step: (
                motif.losses(picture),
                motif.nearer(picture, self._options.pace),
            )

        return numpy_loop.paint(task, wish, at)
