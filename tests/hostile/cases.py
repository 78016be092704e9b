"""The registry of hostile cases: a case is one decorated function that puts things somewhere."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypedDict, Unpack

from tests.daemon.disks import CAN_MOUNT
from tests.hostile.world import World

Place = Callable[[World], None]
Need = Literal["root", "mounts"]

CASES: "list[Case]" = []
"""Every case, in the order in which they are tried."""


class How(TypedDict, total=False):
    """How a case is tried: the options of `case`."""

    stopped: bool
    """It is placed between two runs of the daemon; else beside a running one."""
    alone: bool
    """No other case shares its daemon."""
    over_mounts: bool
    """The state folder is a disk of its own; such a case is alone, too."""
    exits: tuple[int, ...]
    """The daemon may refuse to start with one of these codes, until the case is undone."""
    within: float
    """Seconds for the good pair, where more than usual is fair."""
    needs: Need


@dataclass(frozen=True)
class Case:
    """Something hostile, put there by `place`; `name` says what it is, `how` how it is tried."""

    family: str
    name: str
    place: Place
    how: How = field(default_factory=How)

    @property
    def is_stopped(self) -> bool:
        """Whether it is placed while no daemon runs."""
        return self.how.get("stopped", False)

    @property
    def is_alone(self) -> bool:
        """Whether no other case may share its daemon."""
        return self.how.get("alone", False) or self.over_mounts

    @property
    def over_mounts(self) -> bool:
        """Whether the state folder is a disk of its own."""
        return self.how.get("over_mounts", False)

    @property
    def can_be_tried(self) -> bool:
        """Whether this machine lets us put it there."""
        if self.over_mounts or self.how.get("needs") == "mounts":
            return CAN_MOUNT
        return "needs" not in self.how or os.geteuid() == 0


def case(family: str, name: str, **how: Unpack[How]) -> Callable[[Place], Place]:
    """Register the decorated function as a case."""

    def register(place: Place) -> Place:
        CASES.append(Case(family, name, place, how))
        return place

    return register
