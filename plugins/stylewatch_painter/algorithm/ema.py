"""Average: the mean of the last pictures of a painting, in which what jitters evens out."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(eq=False)
class Average:
    """Pictures averaged with weights that fall off exponentially, each row by itself.

    Kingma and Ba 2014 (arXiv 1412.6980), section 7.2: value <- decay value + (1 - decay) picture,
    and what is read is value over the sum of all weights so far. `value` is
    (B, 3, height, width), `weight` (B,) that sum. A picture that holds what is no number, before
    it is taken back, has no part in it.
    """

    decay: float
    value: Tensor
    weight: Tensor

    @classmethod
    def of(cls, u: Tensor, decay: float) -> "Average":
        """That of pictures u (B, 3, height, width) alone."""
        fresh = cls(decay, torch.zeros_like(u), torch.zeros_like(u[:, 0, 0, 0]))
        fresh.note(u)
        return fresh

    def note(self, u: Tensor) -> None:
        """Take in the next pictures; all of it where they are, nobody waits for a GPU to tell."""
        share = (1 - self.decay) * u.isfinite().flatten(1).all(1)
        sound = share.view(-1, 1, 1, 1) > 0
        self.value.copy_(torch.where(sound, self.value.lerp(u, 1 - self.decay), self.value))
        self.weight.copy_(
            torch.where(
                share > 0, self.weight.lerp(torch.ones_like(share), 1 - self.decay), self.weight
            )
        )

    def picture(self) -> Tensor:
        """The averages (B, 3, height, width)."""
        return self.value / self.weight.view(-1, 1, 1, 1)

    def keep(self, rows: list[int]) -> None:
        """Go on with some of the pictures only."""
        self.value, self.weight = self.value[rows], self.weight[rows]

    def state(self, row: int) -> dict[str, Tensor]:
        """All that changes, of one picture."""
        return {
            "value": self.value[row : row + 1].clone(),
            "weight": self.weight[row : row + 1].clone(),
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        self.value, self.weight = state["value"], state["weight"]
