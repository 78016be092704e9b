"""Demand of a job on the machines of a cluster."""

from stylewatch_daemon.executors.ray.demand import Demand, Machine

SMALL = Machine("1", {"GPU": 1.0, "CPU": 4.0, "vram_gb": 8.0})
LARGE = Machine("2", {"GPU": 2.0, "CPU": 8.0, "vram_gb": 48.0})


def test_places_follow_from_declared_resources_and_an_impossible_demand_is_explained() -> None:
    for demand, places in (
        (Demand(), 3), (Demand(gpus=1 / 3), 9), (Demand(gpus=0), 2),
        (Demand(gpus=0.5, resources={"vram_gb": 20}), 2),
    ):  # fmt: skip
        assert demand.places([SMALL, LARGE]) == places
    demand = Demand(gpus=4, resources={"vram_gb": 20, "CPU": 2})
    assert demand.impossible([LARGE]).startswith(
        "no machine of the Ray cluster has GPU 4, vram_gb 20, CPU 2; there are "
        "1: GPU 2, vram_gb 48, CPU 8: correct executor.gpus_per_job"
    )
    assert demand.options() == {
        "num_cpus": 2, "num_gpus": 4, "resources": {"vram_gb": 20},
    }  # fmt: skip
    assert Demand(gpus=0).options() == {"num_cpus": 0}
