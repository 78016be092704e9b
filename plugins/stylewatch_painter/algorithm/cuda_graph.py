"""Steps recorded once, to be replayed by a GPU without the CPU's help: CUDA graphs."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from stylewatch_painter.algorithm.evaluation import Evaluation
from stylewatch_painter.algorithm.objective import Target
from stylewatch_painter.algorithm.optimize import Optimizer

_WORTH = 12
"""Steps that recording pays for: it takes as long as two or three."""
_WARM = 3
"""Steps after which nothing is chosen, or set up, any more."""


def recorded(
    optimizer: Optimizer, u: Tensor, target: Target, times: int
) -> Callable[[], Evaluation]:
    """What makes a step, moving u (B, 3, height, width) in place, `times` times.

    At small sizes a GPU is done with a kernel sooner than Python asks for the next. Those that are
    painted in tiles are not small.
    """
    if u.is_cuda and times >= _WORTH and target.can_be_recorded:
        return _Recording(optimizer, u, target)
    return lambda: optimizer.step(u, target)


class _Recording:
    """The first steps as they are; then the evaluation, or all of the step, from a CUDA graph."""

    def __init__(self, optimizer: Optimizer, u: Tensor, target: Target) -> None:
        self._optimizer, self._u, self._target = optimizer, u, target
        self._asked = u.clone()
        self._whole = optimizer.stays_in_place(u.device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._made = 0

    def __call__(self) -> Evaluation:
        self._made += 1
        if self._made <= _WARM:
            return self._optimizer.step(self._u, self._target)
        if self._graph is None:
            self._record()
        return self._replay() if self._whole else self._optimizer.step(self._u, self._evaluate)

    def _record(self) -> None:
        """Nothing moves meanwhile: what is asked of the GPU is written down only."""
        self._graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize(self._u.device)
        with torch.cuda.graph(self._graph):
            if self._whole:
                self._seen = self._optimizer.step(self._u, self._target)
            else:
                self._seen = self._target(self._asked)

    def _evaluate(self, u: Tensor) -> Evaluation:
        self._asked.copy_(u)
        return self._replay()

    def _replay(self) -> Evaluation:
        if self._graph is not None:
            self._graph.replay()
        seen = self._seen
        return replace(
            seen,
            terms=seen.terms.clone(),
            objective=seen.objective.clone(),
            gradient=seen.gradient.clone(),
        )
