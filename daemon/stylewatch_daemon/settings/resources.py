"""What a job takes of a cluster, and how many jobs its machines have places for."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from stylewatch_daemon.errors import SettingsError

_OF_RAY = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
"""What has an option of its own where Ray is told what an actor takes."""

_HAIR = 1e-9
"""Three times a third fit into one."""


@dataclass(frozen=True)
class Machine:
    """A machine of the cluster: all that it declares, whoever uses it now."""

    id: str
    resources: Mapping[str, float]
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Demand:
    """The cluster at `address`, and what a job takes of the machine that paints it.

    `gpus` may be a share of one; `labels` the machine must have, `resources` it must declare.
    Where nothing is taken, each machine paints one job at a time.
    """

    address: str = "auto"
    gpus: float = 1.0
    labels: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, float] = field(default_factory=dict)

    @property
    def taken(self) -> dict[str, float]:
        """What a job takes, as machines declare it."""
        return {**({"GPU": self.gpus} if self.gpus else {}), **self.resources}

    def check(self) -> None:
        """Raise SettingsError where Ray is not installed, or cannot be asked for that."""
        if "GPU" in self.resources:
            raise SettingsError("executor.resources names GPU: say executor.gpus_per_job instead")
        try:
            version("ray")
        except PackageNotFoundError:
            raise SettingsError(
                "executor.kind is ray, and Ray is not installed: "
                "`pip install 'stylewatch[ray]'` brings it"
            ) from None

    def options(self) -> dict[str, Any]:
        """The same as options of an actor; what is not said there, Ray takes to be one CPU."""
        known = {_OF_RAY[key]: amount for key, amount in self.taken.items() if key in _OF_RAY}
        own = {key: amount for key, amount in self.taken.items() if key not in _OF_RAY}
        options: dict[str, Any] = {"num_cpus": 0, **known}
        options |= {"resources": own} if own else {}
        return options | ({"label_selector": dict(self.labels)} if self.labels else {})

    def places(self, machines: Sequence[Machine]) -> int:
        """How many jobs the `machines` can paint at once, if nobody else uses them."""
        return sum(self._places_on(one) for one in machines)

    def impossible(self, machines: Sequence[Machine]) -> str:
        """Why there is no place at all, in a sentence."""
        wanted = ", ".join(self.wanted())
        there = "; ".join(sorted(map(self._told, machines))) or "none"
        return (
            f"no machine of the Ray cluster has {wanted}; there are {len(machines)}: {there}: "
            "correct executor.gpus_per_job, labels or resources, or let such a machine join"
        )

    def fits(self, machine: Machine) -> bool:
        """Whether the machine has a place for one."""
        return self._places_on(machine) > 0

    def _places_on(self, machine: Machine) -> int:
        if any(machine.labels.get(key) != value for key, value in self.labels.items()):
            return 0
        each = (
            math.floor(machine.resources.get(key, 0.0) / amount + _HAIR)
            for key, amount in self.taken.items()
        )
        return min(each, default=1)

    def wanted(self) -> Iterator[str]:
        """What a job takes, in words."""
        yield from (f"{key} {amount:g}" for key, amount in self.taken.items())
        yield from (f"the label {key}={value}" for key, value in self.labels.items())

    def _told(self, machine: Machine) -> str:
        has = [f"{key} {machine.resources.get(key, 0.0):g}" for key in self.taken]
        has += [f"{key}={machine.labels.get(key, '')}" for key in self.labels]
        return ", ".join(has)
