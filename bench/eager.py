"""Probe: the same steps in plain eager PyTorch; prints seconds and megabytes.

What most programs for the paper do: channel after channel, fp32, autograd through VGG19, torch's
own L-BFGS on the pixels. The loss is the referee's, which is written that way.

`python -m bench.eager CONTENT STYLE PIXELS STEPS`
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from bench.referee import Referee
from bench.report import report
from torch import Tensor


def paint(content: Path, style: Path, pixels: int, steps: int) -> list[float]:
    """The moments, in seconds, at which each step ended."""
    referee = Referee(content, style, pixels)
    picture = referee.content.clone().requires_grad_()
    moves = torch.optim.LBFGS([picture], max_iter=1)

    step: Callable[[Callable[[], Tensor]], object] = moves.step

    def objective() -> Tensor:
        moves.zero_grad()
        loss = referee.objective(picture)
        torch.autograd.backward(loss)
        return loss

    ends = []
    for _ in range(steps):
        step(objective)
        ends.append(time.monotonic())
    return ends


if __name__ == "__main__":
    report(paint(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
