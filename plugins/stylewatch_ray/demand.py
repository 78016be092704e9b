"""Demand of a job for resources of a Ray cluster, and the machines that meet it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_RAY_OPTIONS = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
"""Names of the resources for which Ray's options of an actor have a key, and these keys."""


_TOLERANCE = 1e-9
"""Tolerance for rounding, so that three thirds fit into one."""


@dataclass(frozen=True)
class Machine:
    """A machine of the cluster, with the resources that it declares, whether in use or not."""

    id: str
    resources: Mapping[str, float]


@dataclass(frozen=True)
class Demand:
    """The cluster at `address`, and the demand of one job for resources of a machine.

    `gpus` can be a fraction, such as 0.25; the machine must declare the `resources`. Without any
    demand, each machine runs one job at a time.
    """

    address: str = "auto"
    gpus: float = 1.0
    resources: Mapping[str, float] = field(default_factory=dict)

    @property
    def taken(self) -> dict[str, float]:
        """The amounts of resources that a job takes, by the names that machines declare."""
        return {**({"GPU": self.gpus} if self.gpus else {}), **self.resources}

    def options(self) -> dict[str, Any]:
        """Return the demand as options of a Ray actor.

        `num_cpus` is always set, because Ray would take a CPU otherwise.
        """
        own = dict(self.taken)
        known = {_RAY_OPTIONS[key]: own.pop(key) for key in _RAY_OPTIONS if key in own}
        return {"num_cpus": 0, **known, **({"resources": own} if own else {})}

    def places(self, machines: Iterable[Machine]) -> int:
        """Return the number of jobs that the `machines` can run at once when they are idle."""
        return sum(map(self._places_on, machines))

    def _places_on(self, machine: Machine) -> int:
        each = (
            math.floor(machine.resources.get(key, 0.0) / amount + _TOLERANCE)
            for key, amount in self.taken.items()
        )
        return min(each, default=1)

    def impossible(self, machines: Sequence[Machine]) -> str:
        """Explain in a sentence why no machine can run a job."""
        descriptions = "; ".join(sorted(map(self._describe, machines))) or "none"
        return (
            f"no machine of the Ray cluster has {self}; there are {len(machines)}: "
            f"{descriptions}: correct executor.gpus_per_job or resources, or add such a machine"
        )

    def _describe(self, machine: Machine) -> str:
        return ", ".join(f"{key} {machine.resources.get(key, 0.0):g}" for key in self.taken)

    def __str__(self) -> str:
        return ", ".join(f"{key} {amount:g}" for key, amount in self.taken.items())
