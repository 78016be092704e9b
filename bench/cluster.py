"""Cost of a cluster, with jobs that do nothing: `make bench-cluster`.

The machine of the cluster is a process of this one, so nothing here is the network's.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from tests import nodes
from tests.daemon.worker.listening import Listener

from stylewatch_daemon.executors.local import Local
from stylewatch_daemon.executors.ray.demand import Demand
from stylewatch_daemon.executors.ray.driver_client import Cluster
from stylewatch_daemon.worker.messages import Done, Event, Order
from stylewatch_plugins.contract import Wish

NAP = "bench.cluster:nap"
JOBS = 200


def nap(order: Order, wish: Callable[[], Wish]) -> Iterator[Event]:
    """Do nothing."""
    yield Done({})


def main() -> None:
    """Print what jobs take, one after the other, on a warm worker."""
    with tempfile.TemporaryDirectory() as folder, nodes.with_a_token(root := Path(folder)):
        demand = Demand(nodes.shared().address, resources={"b": 0.1})
        for name, made in (
            ("local", Local(root / "lock", NAP, devices=("one",))),
            ("ray", Cluster(root / "lock", demand, NAP)),
        ):
            with closing(made):
                listener, took = Listener(made), list[float]()
                for number in range(JOBS + 1):
                    began = time.perf_counter()
                    (*_, end) = listener.run(f"job {number}", "nothing")
                    took.append(1000 * (time.perf_counter() - began))
                    if not isinstance(end, Done):
                        raise RuntimeError(f"job {number} ended with {end}")
            warm = sorted(took[1:])
            median, late = statistics.median(warm), warm[int(0.95 * JOBS)]
            print(f"{name}: {median:.1f} ms a job on a warm worker, 95 % within {late:.1f} ms")


if __name__ == "__main__":
    main()
