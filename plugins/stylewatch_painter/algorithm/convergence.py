"""Tells when a painting has come to rest: when steps no longer lower its objective."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stylewatch_painter.stage import Checkpoint

APART = 10
"""Steps between two looks: at each, a device has to come to a halt."""


@dataclass(eq=False)
class Rest:
    """Looks at the objective of a painting at one size, at every tenth step.

    `tolerance` is the share of it that ten steps have to take away; `steps` were made at this
    size; `before` is the objective, (1,), at the last look.
    """

    tolerance: float
    steps: int = 0
    before: Tensor | None = None

    def has_come(self, objective: Tensor) -> bool:
        """Note the `objective` before one more step; whether that step was the last of use."""
        self.steps += 1
        if self.steps % APART:
            return False
        before, self.before = self.before, objective.clone()
        return before is not None and bool(before - objective <= self.tolerance * before.abs())

    def state(self) -> Checkpoint:
        """All that changes."""
        kept = {"steps": np.array(self.steps)}
        return kept if self.before is None else {**kept, "before": self.before.cpu().numpy()}

    def load(self, state: Checkpoint, device: torch.device) -> None:
        """Go on from what `state` gave."""
        self.steps = int(state["steps"])
        if "before" in state:
            self.before = torch.from_numpy(np.array(state["before"])).to(device)
