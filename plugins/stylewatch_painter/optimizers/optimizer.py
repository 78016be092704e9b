"""Base classes of the optimizers and of their settings, and the evaluation of a picture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

from stylewatch_painter.fields import Strict

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from stylewatch_painter.size import Size


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Evaluation of a picture.

    `terms` (K,) float32 are the loss terms, `objective` () is their weighted sum, and `gradient`
    (1, 3, height, width) is the gradient of the objective. `varies` is True if the next step
    evaluates the same picture differently, for example at new random positions. `project` removes
    from a step the frequencies that must not change; None means that all may change. The gradient
    is already projected, but an optimizer must project steps that are not linear in the gradient.
    """

    terms: Tensor
    objective: Tensor
    gradient: Tensor
    project: Callable[[Tensor], Tensor] | None = None
    varies: bool = False

    def copied(self) -> Evaluation:
        """Return a copy whose tensors do not share memory with this evaluation."""
        terms = self.terms.clone()
        objective = self.objective.clone()
        return replace(self, terms=terms, objective=objective, gradient=self.gradient.clone())


Bounds = tuple["Tensor", "Tensor"]
"""The lowest and the highest color in network units, (1, 3, 1, 1) each."""

Evaluate = Callable[["Tensor"], Evaluation]
"""Function that evaluates a picture (1, 3, height, width) in network units."""


class OptimizerSettings(Strict, ABC):
    """Base class of the settings of an optimizer.

    A concrete subclass annotates `kind`, its name in recipes, with a Literal.
    """

    kind: str
    steadier: ClassVar[str] = ", or use another optimizer (schedule.optimizer.kind=lbfgs)"
    """Advice for a painting that diverged, appended to the error message."""

    @property
    def searches_line(self) -> bool:
        """True if a step may need several evaluations of the objective."""
        return False

    @property
    def shorter_histories(self) -> Sequence[int]:
        """The histories, in pairs of vectors, to try with `within` to save memory, largest first.

        The sequence is empty if the optimizer keeps no pairs.
        """
        return ()

    @abstractmethod
    def new(self, bounds: Bounds | None = None) -> Optimizer:
        """Return a new optimizer. With `bounds` it clamps pictures after every step."""

    @abstractmethod
    def vectors(self, steps: int) -> int:
        """Return the maximum number of float32 vectors of the picture's size during a step.

        They include the gradient, the state after `steps` steps, and the move. They include neither
        the picture nor the filter of the move (`paint.memory.FILTERED`).
        """

    def at(self, *, is_coarse: bool, is_final: bool) -> Self:
        """Return the settings for one size.

        `is_coarse` is True at a size with the terms of `objective.coarse`, `is_final` at the size
        `Task.first` and all larger ones.
        """
        return self

    def evaluations(self, steps: int) -> float:
        """Return the estimated number of evaluations for `steps` steps at one size."""
        return steps

    def within(self, history: int, larger: float = 1.0) -> OptimizerSettings:
        """Return settings that fit into the memory of `history` pairs of vectors at the final size.

        They are for a size with 1 / `larger` of the final area, which has room for more pairs. The
        settings of an optimizer that keeps no pairs are returned unchanged.
        """
        return self

    def compared_with(self, used: OptimizerSettings) -> str:
        """Return how the settings `used`, a result of `within`, differ from these, as a clause."""
        return ""

    def undoing_rises(self, limit: float) -> OptimizerSettings:
        """Return settings that undo a step which multiplies the objective by more than `limit`.

        The settings of an optimizer that cannot undo steps are returned unchanged.
        """
        return self

    def why_not_carried(self) -> str | None:
        """Return why moments cannot be carried to the next scale, with advice; None if they can."""
        return (
            f"carry_moments keeps Adam's moments for the next scale, and {self.kind} has none: set "
            "carry_moments=false, or optimizer.kind=adam"
        )


class Optimizer(ABC):
    """Base class of optimizers, which move a picture towards smaller objectives.

    With `bounds` the picture is clamped after every step.
    """

    def __init__(self, bounds: Bounds | None = None) -> None:
        self._bounds = bounds

    @abstractmethod
    def step(self, x: Tensor, evaluate: Evaluate) -> Evaluation:
        """Move x (1, 3, height, width) in place, and return the evaluation before the step.

        If the gradient has infinite or NaN values, x must become NaN or infinite, by which the
        caller detects the divergence. A move that is not linear in the gradient must be passed
        through `Evaluation.project`.
        """

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Return the tensors, by name, from which `load` continues with byte-identical steps.

        Later steps must not change those on the CPU: a checkpoint shares their memory.
        """

    @abstractmethod
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore the result of `state`. Later steps may change its tensors in place."""

    def stays_in_place(self, device: torch.device) -> bool:
        """Return whether every step on `device` runs the same kernels on the same tensors.

        A CUDA graph can then capture a whole step.
        """
        return False

    def taken_back(self) -> Tensor | None:
        """Return the number of undone steps, a tensor ().

        None means that steps are never undone, or that there was no step yet.
        """
        return None

    def _clamp(self, x: Tensor) -> None:
        if self._bounds is not None:
            x.clamp_(*self._bounds)

    def enlarged(self, state: Mapping[str, Tensor], size: Size) -> dict[str, Tensor]:
        """Return a copy of `state` with its moments resized to `size`, for `load`.

        The default, for optimizers without moments, is an empty mapping.
        """
        return {}
