"""Backend `tones`: of each color, as many pixels as light and as dark as in the style.

Step by step each pixel goes to the tone that has its rank in the style, while the content holds
against it. With masks, each region goes to the tones of the same region of the style.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from stylewatch_painter.recipes.recipe import Strict
from stylewatch_painter.validation import mistakes
from stylewatch_plugins import numpy_loop
from stylewatch_plugins.contract import (
    CONTRACT,
    BackendOptionError,
    Capabilities,
    Device,
    Estimate,
    Losses,
    Provenance,
    Step,
    Task,
    Wish,
)
from stylewatch_tones.motif import Motif


class Options(Strict):
    """What may be said under `backends: tones:`."""

    device: Literal["auto", "cpu"] = "auto"
    pace: Annotated[float, Field(gt=0, le=1)] = 0.3
    """The share of the way to what is wanted that a step goes."""


class Tones:
    """Takes start, sizes, steps, seed and strength from the recipe, and no layers."""

    name = "tones"
    version = "1.0"
    contract = CONTRACT
    capabilities = Capabilities(masks=True)

    def __init__(self, options: Mapping[str, object]) -> None:
        try:
            self._options = Options.model_validate(dict(options))
        except ValidationError as error:
            told = "; ".join(str(mistake) for mistake in mistakes(error, Options))
            raise BackendOptionError(f"backend {self.name}: {told}") from error

    def devices(self) -> tuple[Device, ...]:
        """The processor."""
        return (Device("cpu", "NumPy on the processor"),)

    def problem(self) -> str | None:
        """None: where NumPy is, it runs."""
        return None

    def provenance(self, task: Task) -> Provenance:
        """There is no network behind it, and nothing that it decides by itself."""
        return Provenance(self.name, self.version, device="cpu", precision="fp64")

    def estimate(self, task: Task) -> Estimate:
        """Sizes and steps; how long that takes, it cannot tell."""
        levels = task.levels()
        return Estimate(
            tuple(level.size for level in levels), tuple(level.steps for level in levels)
        )

    def measure(self, task: Task) -> Losses:
        """The losses of the picture that `task` starts from, at its final size."""
        return Motif.of(task, task.final).losses(numpy_loop.start(task, task.final))

    def paint(self, task: Task, wish: Callable[[], Wish]) -> Iterator[Step]:
        """Paint; of its own it only says what a step at a size does to a picture."""

        def at(size: tuple[int, int]) -> numpy_loop.Move:
            motif = Motif.of(task, size)
            return lambda picture, step: (
                motif.losses(picture),
                motif.nearer(picture, self._options.pace),
            )

        return numpy_loop.paint(task, wish, at)
