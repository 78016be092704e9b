"""Base classes of the optimizers and of their settings; the evaluation of a picture."""

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
    is already projected, but the steps of some optimizers are not linear in the gradient.
    """

    terms: Tensor
    objective: Tensor
    gradient: Tensor
    project: Callable[[Tensor], Tensor] | None = None
    varies: bool = False

    def copied(self) -> Evaluation:
        """Return a copy with its own tensors."""
        terms = self.terms.clone()
        objective = self.objective.clone()
        return replace(self, terms=terms, objective=objective, gradient=self.gradient.clone())


Bounds = tuple["Tensor", "Tensor"]
"""The lowest and the highest color in network units, (1, 3, 1, 1) each."""

Evaluate = Callable[["Tensor"], Evaluation]
"""Function that evaluates a picture (1, 3, height, width) in network units."""


class OptimizerSettings(Strict, ABC):
    """Base class of the settings of an optimizer.

    A subclass that can be used has a literal `kind`, its name in recipes.
    """

    kind: str
    steadier: ClassVar[str] = ", or use another optimizer (schedule.optimizer.kind=lbfgs)"
    """Further advice for a painting that diverged, appended to the message."""

    @property
    def searches_line(self) -> bool:
        """True if a step may need several evaluations of the objective."""
        return False

    @property
    def shorter_histories(self) -> Sequence[int]:
        """The histories, in pairs of vectors, to try with `within` to save memory, largest first.

        There are none if the optimizer keeps no pairs.
        """
        return ()

    @abstractmethod
    def new(self, bounds: Bounds | None = None) -> Optimizer:
        """Return a new optimizer; with `bounds` it clamps pictures."""

    @abstractmethod
    def vectors(self, steps: int) -> int:
        """Return the most float32 vectors of the picture's size that exist during a step.

        They are the gradient, what is kept after `steps` steps, and the move, but not the picture
        and not what filters the move (`paint.memory.FILTERED`).
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
        """Return settings that keep `history` pairs of vectors at the final size.

        A size with 1 / `larger` of the final area has room for more pairs. The settings of an
        optimizer that keeps no pairs are returned unchanged.
        """
        return self

    def compared_with(self, used: OptimizerSettings) -> str:
        """Describe how the settings `used`, which `within` returned, differ from these settings."""
        return ""

    def undoing_rises(self, limit: float) -> OptimizerSettings:
        """Return settings that undo a step which multiplies the objective by more than `limit`.

        The settings of an optimizer that cannot undo steps are returned unchanged.
        """
        return self

    def why_not_carried(self) -> str | None:
        """Return why no moments can be carried from one scale to the next; None if they can."""
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
        """Move x (1, 3, height, width) in place; return the evaluation before the step.

        Infinite and NaN gradients move x to such values: by these a divergence is noticed. A move
        that is not linear in the gradient passes through `Evaluation.project`.
        """

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Return the data needed to continue byte-identically, which later steps do not change."""

    @abstractmethod
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore the result of `state`."""

    def stays_in_place(self, device: torch.device) -> bool:
        """Return whether every step runs the same kernels on the same tensors."""
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
        """Return a `state` with its moments resized to `size`, for `load`.

        The default, for optimizers without moments, is empty.
        """
        return {}
