"""How long the files and the ledger entry of a finished job are kept."""

from dataclasses import dataclass
from typing import Literal

Keep = Literal["keep"] | int
"""Days, or for ever."""


@dataclass(frozen=True)
class Retention:
    """How many days after the end of a job its stages, its inputs and its entry are kept."""

    stages: Keep = "keep"
    inputs: Keep = "keep"
    ledger: Keep = "keep"

    @property
    def of_files(self) -> bool:
        """Whether any file is not kept for ever."""
        return (self.stages, self.inputs) != ("keep", "keep")


FOREVER = Retention()
