"""L-BFGS with a bounded history and an optional line search.

Nocedal and Wright, "Numerical Optimization", 2nd edition: algorithms 7.4 (two-loop recursion) and
7.5. Without a line search, all decisions are made on the device, without synchronization.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field

from stylewatch_painter.fields import MAX_FLOAT, Positive, Real, Whole
from stylewatch_painter.late import torch
from stylewatch_painter.optimizers.adam import AdamSettings
from stylewatch_painter.optimizers.fourier import FourierFilter
from stylewatch_painter.optimizers.line_search import strong_wolfe
from stylewatch_painter.optimizers.optimizer import (
    Bounds,
    Evaluate,
    Evaluation,
    Optimizer,
    OptimizerSettings,
)

if TYPE_CHECKING:
    from torch import Tensor

LEAST_PAIRS = 3
"""Minimum number of pairs of vectors to which a history is shortened to save memory. With fewer,
L-BFGS is no better than Adam, which keeps no pairs."""

_ADAM = AdamSettings(kind="adam", rate=2.5, beta1=0.8, epsilon=1e-20)
"""Settings that replace L-BFGS to save memory, for few steps at the final size. In large pictures
the gradient with respect to one value is far below 1e-8, Adam's usual epsilon, with which Adam
would stall."""

_WORKING = 10  # vectors in addition to the pairs, including those of a step
_PER_SEARCH = 1.03  # evaluations per step with a line search, measured over 300 steps
_FIRST_SEARCH = 20  # additional evaluations at each size without a `first_step`

_LEAST_CURVATURE = 1e-10  # pairs below it count as having no or negative curvature
_LEAST_GRADIENT = 1e-7
_LEAST_SLOPE = 1e-9
_SHORTER = 0.25  # length of the step that replaces an undone step, as a share of the undone one
_SHORT = 16  # maximum pairs for shifting the history in place, which then takes almost no time


@dataclass(frozen=True, eq=False)
class _Pair:
    """A step s, the change y of the gradient along it, (1, 3, height, width), and 1 / (s . y), ().

    `inverse` is 0 for a pair without positive curvature, which then has no effect.
    """

    s: Tensor
    y: Tensor
    inverse: Tensor


@dataclass(frozen=True, eq=False)
class _Accepted:
    """The last accepted position x, its evaluation, and the number () of undone steps."""

    x: Tensor
    evaluation: Evaluation
    taken_back: Tensor

    def update(self, x: Tensor, evaluation: Evaluation, is_rejected: Tensor) -> None:
        """Record x and its evaluation as accepted, or count an undone step if `is_rejected` ().

        Tensors are changed in place, without synchronization.
        """
        recorded = self.evaluation
        for old, new in (
            (self.x, x),
            (recorded.terms, evaluation.terms),
            (recorded.objective, evaluation.objective),
            (recorded.gradient, evaluation.gradient),
        ):
            old.copy_(torch.where(is_rejected, old, new))
        self.taken_back.add_(is_rejected)


class LbfgsSettings(OptimizerSettings):
    """L-BFGS. Without a line search a step is one evaluation of the objective."""

    kind: Literal["lbfgs"]
    steadier = ""
    rate: Positive = 1.0
    history: Annotated[Whole, Field(gt=0, le=10_000)] = 100
    line_search: Literal["none", "strong_wolfe"] = "none"
    first_step: Positive | None = None
    """Length of the first step divided by `rate`, as root mean square in network units: levels of
    0..255 with a `pixel_range` of 255. null: the gradient g is multiplied by min(1, 1 / |g|_1)."""
    fourier_power: Annotated[Real, Field(ge=0, le=2)] = 0.0
    """Preconditioner: optimize Fourier coefficients scaled by 1 / f^p instead of pixels; 0: off."""
    fourier_diagonals: bool = False
    """Preconditioner: longer steps along fine diagonal waves, to which the network hardly responds.
    It is off at scales with the terms of `objective.coarse`."""
    step_back: Annotated[Real, Field(gt=1, le=MAX_FLOAT)] | None = None
    """Undo a step that multiplies the objective by more than this factor, or makes it or its
    gradient infinite or NaN. null undoes no step."""

    @property
    def searches_line(self) -> bool:
        """True if a step may need several evaluations of the objective."""
        return self.line_search != "none"

    @property
    def shorter_histories(self) -> Sequence[int]:
        """The histories, in pairs of vectors, to try with `within` to save memory, largest first.

        The last one is 0, for which `within` replaces L-BFGS with Adam at the final size.
        """
        return (*range(self.history - 1, LEAST_PAIRS - 1, -1), 0)

    def new(self, bounds: Bounds | None = None) -> Lbfgs:
        """Return a new optimizer. With `bounds` it clamps pictures after every step."""
        return Lbfgs(self, bounds)

    def vectors(self, steps: int) -> int:
        """Return the maximum number of float32 vectors of the picture's size during a step."""
        to_go_back = 0 if self.step_back is None else 3
        # on a GPU the first step of a short history allocates all pairs
        pairs = self.history if self.may_stay_in_place else min(self.history, steps)
        return 2 * pairs + 6 + to_go_back

    @property
    def may_stay_in_place(self) -> bool:
        """True if every step on a GPU runs the same kernels on the same tensors."""
        return not self.searches_line and self.history <= _SHORT

    def at(self, *, is_coarse: bool, is_final: bool) -> Self:
        """Return the settings for one size.

        `is_coarse` is True at a size with the terms of `objective.coarse`, `is_final` at the size
        `Task.first` and all larger ones.
        """
        if is_coarse:  # longer diagonal steps would make colored specks there
            return self.model_copy(update={"fourier_diagonals": False})
        return self

    def evaluations(self, steps: int) -> float:
        """Return the estimated number of evaluations for `steps` steps at one size."""
        if not self.searches_line or not steps:
            return steps
        return steps * _PER_SEARCH + (_FIRST_SEARCH if self.first_step is None else 0)

    def within(self, history: int, larger: float = 1.0) -> OptimizerSettings:
        """Return settings that fit into the memory of `history` pairs of vectors at the final size.

        They are for a size with 1 / `larger` of the final area, which has room for more pairs. If
        all pairs of these settings fit, they are returned unchanged. If fewer than LEAST_PAIRS fit,
        Adam replaces L-BFGS.
        """
        pairs = int(((2 * history + _WORKING) * larger - _WORKING) // 2)
        if pairs >= self.history:
            return self
        return self.model_copy(update={"history": pairs}) if pairs >= LEAST_PAIRS else _ADAM

    def undoing_rises(self, limit: float) -> LbfgsSettings:
        """Return settings that undo a step which multiplies the objective by more than `limit`.

        Settings with a line search, which makes no such steps, are returned unchanged.
        """
        if self.searches_line:
            return self
        return self.model_copy(update={"step_back": min(limit, self.step_back or limit)})

    def compared_with(self, used: OptimizerSettings) -> str:
        """Return how the settings `used`, a result of `within`, differ from these, as a clause."""
        if isinstance(used, LbfgsSettings):
            return f"L-BFGS keeps {used.history} pairs of vectors instead of {self.history}"
        return "Adam replaces L-BFGS"


@dataclass(frozen=True, eq=False)
class _Retreat:
    """Retreat from a rejected position: a shorter move in place of the undone step.

    `is_due` () is True if the last step was undone. `move` is (1, 3, height, width).
    """

    is_due: Tensor
    move: Tensor


class _Undo:
    """Undoing of steps after which the objective is too high, infinite or NaN.

    A step is undone if it multiplies the objective by more than `limit`, or if the objective or its
    gradient is not finite. Then x moves back to the last accepted position, and the next move is a
    quarter of the undone one. All decisions are made on the device, and the record is changed in
    place, because a CUDA graph replays the same kernels on the same tensors.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit  # factor by which the objective may rise
        self._accepted: _Accepted | None = None

    @property
    def count(self) -> Tensor | None:
        """The number of undone steps, a tensor (); None before the first step."""
        return None if self._accepted is None else self._accepted.taken_back

    def judge(self, x: Tensor, evaluation: Evaluation) -> tuple[Evaluation, _Retreat]:
        """Accept the position x, or move x back, in place, to the last accepted position.

        Return a copy of the evaluation at the resulting x, and the retreat, which is due if x was
        moved back. `evaluation` is that of x before the call.
        """
        if self._accepted is None:
            self._accepted = self._before_all_steps(x, evaluation)
        accepted = self._accepted
        before = accepted.evaluation.objective
        is_finite = torch.isfinite(evaluation.gradient).all()
        is_low = is_finite & (evaluation.objective <= self._limit * before)
        # the first position has nothing to return to: the objective before it is infinite
        is_rejected = before.isfinite() & ~is_low
        shorter = _SHORTER * (x - accepted.x)
        accepted.update(x, evaluation, is_rejected)
        x.copy_(accepted.x)
        # a copy, because the next step overwrites the record
        return accepted.evaluation.copied(), _Retreat(is_rejected, shorter)

    @staticmethod
    def _before_all_steps(x: Tensor, evaluation: Evaluation) -> _Accepted:
        """Return a record with an infinite objective, so that the first evaluation is accepted."""
        worst = torch.full_like(evaluation.objective, torch.inf)
        start = Evaluation(evaluation.terms.clone(), worst, torch.zeros_like(x))
        return _Accepted(x.clone(), start, torch.zeros_like(worst, dtype=torch.int64))

    def state(self) -> dict[str, Tensor]:
        """Return copies of the record's tensors; the mapping is empty before the first step."""
        if self._accepted is None:
            return {}
        evaluation = self._accepted.evaluation.copied()
        return {
            "accepted": self._accepted.x.clone(),
            "accepted.terms": evaluation.terms,
            "accepted.objective": evaluation.objective,
            "accepted.gradient": evaluation.gradient,
            "taken_back": self._accepted.taken_back.clone(),
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore the result of `state`. Later steps change its tensors in place."""
        if "accepted" not in state:
            return
        evaluation = Evaluation(
            state["accepted.terms"], state["accepted.objective"], state["accepted.gradient"]
        )
        self._accepted = _Accepted(state["accepted"], evaluation, state["taken_back"])


class _Preconditioner:
    """Preconditioner of L-BFGS: the initial inverse Hessian, up to its scale.

    It is the identity or a filter. With `fourier_power` p > 0 the filter is the square of the scale
    1 / f^p of Fourier coefficients. `fourier_diagonals` enlarges its factors for diagonal waves.
    """

    def __init__(self, settings: LbfgsSettings) -> None:
        self._power = settings.fourier_power
        self._diagonals = settings.fourier_diagonals
        self._filter: FourierFilter | None = None  # made for the first picture

    def __call__(self, q: Tensor) -> Tensor:
        """Apply the preconditioner to q (1, 3, height, width); the identity returns q itself."""
        if not (self._power or self._diagonals):
            return q
        if self._filter is None:
            self._filter = FourierFilter.scaling(
                q.shape[-2:], self._power, q.device, diagonals=self._diagonals
            )
        return self._filter(q)


class _History:
    """History of L-BFGS: the pairs of the last steps, from which the direction is computed.

    A pair is complete only when the next step evaluates the gradient. New pairs are appended, or,
    if the history stays in place, shifted into the existing tensors: a CUDA graph replays kernels
    on the same tensors.
    """

    def __init__(self, settings: LbfgsSettings) -> None:
        self._most = settings.history
        self._precondition = _Preconditioner(settings)
        self._pairs: list[_Pair] = []
        self.scale: Tensor | None = None  # gamma, equation 7.20; 0: no valid pair yet
        self._last: tuple[Tensor, Tensor] | None = None  # the move made, the gradient before it
        self._stays_in_place = False

    def stay_in_place(self, x: Tensor) -> None:
        """Reuse the same tensors from now on. Missing tensors are allocated, filled with zeros."""
        self._stays_in_place = True
        while len(self._pairs) < self._most:
            pair = _Pair(torch.zeros_like(x), torch.zeros_like(x), x.new_zeros(()))
            self._pairs.insert(0, pair)
        if self.scale is None:
            self.scale = x.new_zeros(())
        if self._last is None:
            self._last = torch.zeros_like(x), torch.zeros_like(x)

    def begin_step(self, move: Tensor, g: Tensor) -> None:
        """Record the move of a step, and the gradient g before it."""
        if self._stays_in_place and self._last is not None:
            self._last[0].copy_(move)
            self._last[1].copy_(g)
        else:
            self._last = (move, g)

    def complete_step(self, g: Tensor) -> None:
        """Add a pair for the last move, if any, now that the gradient g after it is known."""
        if self._last is None:
            return
        s, previous_gradient = self._last
        y = g - previous_gradient
        curvature = _dot(s, y)
        counts = curvature > _LEAST_CURVATURE
        newest = _Pair(s, y, torch.where(counts, 1 / curvature, 0.0))
        scale = torch.zeros_like(curvature) if self.scale is None else self.scale
        newer = torch.where(counts, curvature / _dot(y, self._precondition(y)), scale)
        if self._stays_in_place:
            for pair, newer_pair in pairwise([*self._pairs, newest]):
                pair.s.copy_(newer_pair.s)
                pair.y.copy_(newer_pair.y)
                pair.inverse.copy_(newer_pair.inverse)
            scale.copy_(newer)
        else:
            self._pairs.append(newest)
            del self._pairs[: -self._most]
            self.scale = newer

    def direction(self, g: Tensor) -> Tensor:
        """Return the direction - H g, by the two loops of algorithm 7.4, for the gradient g.

        H is the approximation of the inverse Hessian.
        """
        q = g.clone()
        shares = []
        for pair in reversed(self._pairs):
            share = _dot(pair.s, q) * pair.inverse
            q.addcmul_(pair.y, share, value=-1)
            shares.append(share)
        r = self._precondition(q)
        del q  # free hundreds of megabytes for a large picture
        if self.scale is not None:
            r.mul_(torch.where(self.scale > 0, self.scale, 1.0))
        for pair, share in zip(self._pairs, reversed(shares), strict=True):
            r.addcmul_(pair.s, share - _dot(pair.y, r) * pair.inverse)
        return r.neg_()

    def state(self) -> dict[str, Tensor]:
        """Return the pairs, their scale, and the last move with the gradient before it.

        The tensors are not copied.
        """
        state: dict[str, Tensor] = {}
        for i, pair in enumerate(self._pairs):
            state |= {f"{i}.s": pair.s, f"{i}.y": pair.y, f"{i}.inverse": pair.inverse}
        if self.scale is not None:
            state["hessian_scale"] = self.scale
        if self._last is not None:
            state["move"], state["gradient"] = self._last
        return state

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore the result of `state`. Later steps may change its tensors in place."""
        count = sum(1 for name in state if name.endswith(".s"))
        self._pairs = [
            _Pair(state[f"{i}.s"], state[f"{i}.y"], state[f"{i}.inverse"]) for i in range(count)
        ]
        self.scale = state.get("hessian_scale")
        self._last = (state["move"], state["gradient"]) if "move" in state else None


class Lbfgs(Optimizer):
    """L-BFGS as in torch and Torch7. Without a line search, a step is one evaluation.

    `fourier_power` p > 0, which is ours, optimizes Fourier coefficients scaled by 1 / f^p. This is
    equivalent to starting the two loops from the squared scale instead of the identity. With
    `bounds` the picture is clamped after every step.
    """

    def __init__(self, settings: LbfgsSettings, bounds: Bounds | None = None) -> None:
        super().__init__(bounds)
        self._settings = settings
        limit = settings.step_back
        self._undo = None if limit is None else _Undo(limit)
        self._history = _History(settings)
        self._begun = False
        # the evaluation at the end of a line search, where the next step begins
        self._ahead: Evaluation | None = None

    def stays_in_place(self, device: torch.device) -> bool:
        """Return whether every step on `device` runs the same kernels on the same tensors."""
        return device.type == "cuda" and self._settings.may_stay_in_place

    def step(self, x: Tensor, evaluate: Evaluate) -> Evaluation:
        """Make one step, which changes x in place, and return the evaluation before the step.

        If the gradient is 0, x does not change. With `step_back` the previous step may be undone
        first. The evaluation is then that of the position to which x returned.
        """
        evaluation, retreat = self._evaluated(x, evaluate)
        direction = self._direction(x, evaluation.gradient)
        length = self._length_along(x, direction, evaluation, evaluate)
        move = direction.mul_(length)
        if retreat is not None:
            move = torch.where(retreat.is_due, retreat.move, move)
        del direction, retreat  # free memory: they are as large as the picture
        self._apply(x, move, evaluation.gradient)
        return evaluation

    def _evaluated(self, x: Tensor, evaluate: Evaluate) -> tuple[Evaluation, _Retreat | None]:
        """Evaluate x, and move x back in place if the last step must be undone.

        Return the evaluation at the resulting x, and the retreat, which is None if steps are never
        undone.
        """
        evaluation = self._ahead or evaluate(x)
        self._ahead = None
        if self._undo is None:
            return evaluation, None
        return self._undo.judge(x, evaluation)

    def _direction(self, x: Tensor, g: Tensor) -> Tensor:
        """Complete the last step, which led to x with gradient g, and return the next direction."""
        if self.stays_in_place(x.device):
            self._history.stay_in_place(x)
        self._history.complete_step(g)
        return self._history.direction(g)

    def _length_along(
        self, x: Tensor, direction: Tensor, evaluation: Evaluation, evaluate: Evaluate
    ) -> Tensor:
        """Return the length () of the step from x along `direction`.

        A line search determines it if there is one. It is 0 if the objective does not fall along
        the direction. The evaluation at the end of a line search is kept for the next step, unless
        evaluations vary.
        """
        g = evaluation.gradient
        length = torch.where(self._falls(g, direction), self._initial_length(g, direction), 0.0)
        # without a line search the length is not read: that would wait for the device
        if not (self._settings.searches_line and length):
            return length
        best, ahead = strong_wolfe(evaluate, x, direction, evaluation, float(length))
        self._ahead = None if ahead.varies else ahead
        return torch.full_like(length, best)

    def _apply(self, x: Tensor, move: Tensor, g: Tensor) -> None:
        """Add `move` to x within the bounds, and record the actual move and the gradient g."""
        actual = self._moved(x, move)
        self._history.begin_step(actual, g)
        self._begun = True

    def _moved(self, x: Tensor, move: Tensor) -> Tensor:
        """Add `move` to x in place, within the bounds, and return the actual move."""
        if self._bounds is None:
            x.add_(move)
            return move
        start = x.clone()
        x.add_(move).clamp_(*self._bounds)
        self._ahead = None  # a line search evaluates without the bounds
        return start.neg_().add_(x)

    def _falls(self, g: Tensor, direction: Tensor) -> Tensor:
        """Return whether the direction is a descent direction, as a tensor ().

        Without a `first_step`, torch's limits are used so that results equal torch's. They are
        absolute, and the gradient of a large picture is below them from the start.
        """
        slope = _dot(g, direction)
        if self._settings.first_step is not None:
            return slope < 0
        return (g.abs().amax() > _LEAST_GRADIENT) & (slope <= -_LEAST_SLOPE)

    def _initial_length(self, g: Tensor, direction: Tensor) -> Tensor:
        """Return the length () of a step, or the first length that a line search tries.

        It is `rate`, except at the start. With a `first_step`, moves have the root mean square
        `rate` x `first_step` until there is a valid pair. Without it, the first length is `rate` x
        min(1, 1 / |g|_1), as in torch and Torch7.
        """
        s = self._settings
        full = g.new_full((), s.rate)
        if s.first_step is None:
            return full if self._begun else full * (1 / g.abs().sum()).clamp(max=1)
        first = full * s.first_step / direction.square().mean().sqrt()
        scale = self._history.scale
        return first if scale is None else torch.where(scale > 0, full, first)

    def taken_back(self) -> Tensor | None:
        """Return the number of undone steps, a tensor ().

        None means that steps are never undone, or that there was no step yet.
        """
        return None if self._undo is None else self._undo.count

    def state(self) -> dict[str, Tensor]:
        """Return `begun` (whether a step was made), the history, and the record of undone steps.

        The record is left out without `step_back`. The tensors of the history are not copied.
        """
        state = {"begun": torch.tensor(self._begun), **self._history.state()}
        if self._undo is not None:
            state |= self._undo.state()
        return state

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore the result of `state`. Later steps may change its tensors in place."""
        self._begun = bool(state["begun"])
        self._history.load(state)
        if self._undo is not None:
            self._undo.load(state)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the dot product () of two pictures."""
    products: Tensor = torch.linalg.vecdot(a.flatten(1), b.flatten(1))
    return products[0]
