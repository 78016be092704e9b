"""The resources that a job takes of a cluster, and the number of jobs its machines can run."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from stylewatch_daemon.errors import SettingsError

_RAY_OPTIONS = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
"""Resources that have an option of their own in Ray's description of an actor."""

_TOLERANCE = 1e-9
"""Makes three thirds fit into one."""


@dataclass(frozen=True)
class Machine:
    """A machine of the cluster: all that it declares, used or not."""

    id: str
    resources: Mapping[str, float]
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Demand:
    """The cluster at `address`, and the demand of one job on a machine.

    `gpus` can be a share of one; the machine must have the `labels` and declare the `resources`.
    With no demand at all, each machine runs one job at a time.
    """

    address: str = "auto"
    gpus: float = 1.0
    labels: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, float] = field(default_factory=dict)

    @property
    def taken(self) -> dict[str, float]:
        """The resources of a job, by the names that machines declare."""
        return {**({"GPU": self.gpus} if self.gpus else {}), **self.resources}

    def check(self) -> None:
        """Raise SettingsError where Ray is not installed, or GPUs are demanded twice."""
        if "GPU" in self.resources:
            raise SettingsError("executor.resources names GPU: set executor.gpus_per_job instead")
        try:
            version("ray")
        except PackageNotFoundError:
            raise SettingsError(
                "executor.kind is ray, and Ray is not installed: `pip install 'stylewatch[ray]'`"
            ) from None

    def options(self) -> dict[str, Any]:
        """Return the demand as options of a Ray actor; without num_cpus Ray would take a CPU."""
        known = {_RAY_OPTIONS[key]: n for key, n in self.taken.items() if key in _RAY_OPTIONS}
        own = {key: n for key, n in self.taken.items() if key not in _RAY_OPTIONS}
        options: dict[str, Any] = {"num_cpus": 0, **known}
        options |= {"resources": own} if own else {}
        return options | ({"label_selector": dict(self.labels)} if self.labels else {})

    def places(self, machines: Sequence[Machine]) -> int:
        """Return the number of jobs that the `machines` can run at once when they are idle."""
        return sum(map(self._places_on, machines))

    def impossible(self, machines: Sequence[Machine]) -> str:
        """Say in a sentence why no machine can run a job."""
        wanted = ", ".join(self.wanted())
        machines_text = "; ".join(sorted(map(self._describe, machines))) or "none"
        return (
            f"no machine of the Ray cluster has {wanted}; there are {len(machines)}: "
            f"{machines_text}: correct executor.gpus_per_job, labels or resources, or add such a "
            "machine"
        )

    def fits(self, machine: Machine) -> bool:
        """Return True where the machine can run a job."""
        return self._places_on(machine) > 0

    def _places_on(self, machine: Machine) -> int:
        if any(machine.labels.get(key) != value for key, value in self.labels.items()):
            return 0
        each = (
            math.floor(machine.resources.get(key, 0.0) / amount + _TOLERANCE)
            for key, amount in self.taken.items()
        )
        return min(each, default=1)

    def wanted(self) -> Iterator[str]:
        """Yield the demand of a job in words."""
        yield from (f"{key} {amount:g}" for key, amount in self.taken.items())
        yield from (f"the label {key}={value}" for key, value in self.labels.items())

    def _describe(self, machine: Machine) -> str:
        has = [f"{key} {machine.resources.get(key, 0.0):g}" for key in self.taken]
        has += [f"{key}={machine.labels.get(key, '')}" for key in self.labels]
        return ", ".join(has)
