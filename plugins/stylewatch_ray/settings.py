"""Settings of the Ray executor (`executor.kind: ray`).

stylewatch loads them through the entry-point group `stylewatch.executors`.
"""

from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import AfterValidator, Field

from stylewatch_daemon.base.errors import UnavailableError
from stylewatch_daemon.settings.executors import ExecutorSettings, Extra
from stylewatch_painter.installation import install_command
from stylewatch_ray.demand import Demand

if TYPE_CHECKING:
    from stylewatch_ray.driver_client import Cluster

_MOST = 10**15


def _check_gpus(gpus: float) -> float:
    if gpus > 1 and not gpus.is_integer():
        raise ValueError("should be a share of a GPU, such as 0.25, or a whole number")
    return gpus


class RaySettings(ExecutorSettings):
    """Settings of the executor on the Ray cluster at `address`.

    A job takes `gpus_per_job` GPUs and the `resources` of a machine.
    """

    is_remote: ClassVar = True
    extra: ClassVar = Extra("ray", "ray", "jobs can run on a cluster (executor.kind: ray)")
    drop_in: ClassVar = "40-ray.conf"

    address: Annotated[str, Field(min_length=1)] = "auto"
    gpus_per_job: Annotated[float, Field(ge=0, le=10_000), AfterValidator(_check_gpus)] = 1.0
    resources: dict[str, Annotated[float, Field(gt=0, le=_MOST)]] = Field(default={})

    @property
    def demand(self) -> Demand:
        """The demand of one job for resources of the cluster."""
        return Demand(self.address, self.gpus_per_job, self.resources)

    def mistakes(self) -> Iterator[str]:
        """Yield a sentence if `resources` contains GPU, and one if Ray is not installed."""
        if "GPU" in self.resources:
            yield "executor.resources.GPU: set executor.gpus_per_job instead"
        try:
            version("ray")
        except PackageNotFoundError:
            yield f"executor.kind is ray, and Ray is not installed: {install_command('ray')}"

    def probe(self) -> str:
        """Ask the cluster how many jobs it can run at once, and return a sentence about that.

        Raises UnavailableError if the cluster does not answer, or has no machine for a job.
        """
        from stylewatch_ray import driver_client

        places = driver_client.places(self.demand)
        if not places:
            raise UnavailableError(
                f"{self.address} answers, and no machine there has {self.demand}: correct executor"
            )
        return f"{self.address} answers, with places for {places} jobs at once"

    def start(self, lock: Path, wake: Callable[[], object]) -> "Cluster":
        """Return an executor on the cluster, which calls `wake` when it has new events.

        The process that connects to the cluster holds `lock` while it lives.
        """
        from stylewatch_ray.driver_client import Cluster

        return Cluster(lock, self.demand, wake=wake)
