"""The registry of hostile cases: a case is one decorated function that puts things somewhere."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from tests.daemon.disks import CAN_MOUNT
from tests.hostile.world import World

Place = Callable[[World], None]

CASES: "list[Case]" = []
"""Every case, in the order in which they are tried."""


@dataclass(frozen=True)
class Case:
    """Something hostile, put there by `place`; the options say how it is tried."""

    family: str
    name: str
    place: Place
    stopped: bool = False
    """It is placed between two runs of the daemon; else beside a running one."""
    alone: bool = False
    """No other case shares its daemon."""
    over_mounts: bool = False
    """The state folder is a disk of its own; such a case is alone, too."""
    exits: tuple[int, ...] = ()
    """The daemon may refuse to start with one of these codes, until the case is undone."""
    within: float | None = None
    """Seconds for the good pair, where more than usual is fair."""
    needs: Literal["", "root", "mounts"] = ""

    @property
    def can_be_tried(self) -> bool:
        """True if this machine lets us run the case."""
        if self.over_mounts or self.needs == "mounts":
            return CAN_MOUNT
        return not self.needs or os.geteuid() == 0


def case(family: str, name: str, **options: Any) -> Callable[[Place], Place]:
    """Register the decorated function as a case, with options of Case."""

    def register(place: Place) -> Place:
        CASES.append(Case(family, name, place, **options))
        return place

    return register
