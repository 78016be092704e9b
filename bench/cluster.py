"""Cost and gain of a cluster, with jobs that sleep: `python -m bench.cluster`.

Two machines of a cluster are two processes of this one, so nothing here is the network's.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from tests import nodes
from tests.daemon.worker.listening import Listener

from stylewatch_daemon.executors.base import Executor
from stylewatch_daemon.executors.local import Local
from stylewatch_daemon.executors.ray.demand import Demand
from stylewatch_daemon.executors.ray.driver_client import Cluster
from stylewatch_daemon.worker.messages import Done, Event, Order
from stylewatch_plugins.contract import Wish

NAP = "bench.cluster:nap"
ONE_BY_ONE = 200
MANY, LONG = 40, "0.25"
"""Jobs, and the seconds that each sleeps."""


def nap(order: Order, wish: Callable[[], Wish]) -> Iterator[Event]:
    """Sleep for as many seconds as the name of the order says."""
    time.sleep(float(order.name))
    yield Done({})


def check(listener: Listener) -> None:
    """Raise RuntimeError if an order has not ended as done."""
    for ticket, (*_, end) in listener.events.items():
        if not isinstance(end, Done):
            raise RuntimeError(f"{ticket} ended with {end}")


def overheads(executor: Executor) -> list[float]:
    """Seconds that jobs take which do nothing, one after the other, on a warm worker."""
    listener, took = Listener(executor), []
    listener.run("first", "0")
    for number in range(ONE_BY_ONE):
        began = time.perf_counter()
        listener.run(f"job {number}", "0")
        took.append(time.perf_counter() - began)
    check(listener)
    return took


def throughput(executor: Executor) -> float:
    """Jobs a second, as the daemon gives them: one for each place that has nothing to do."""
    listener = Listener(executor)
    listener.run("first", "0")
    warm = [f"warm {number}" for number in range(executor.free())]
    for ticket in warm:
        listener.submit(ticket, "1")
    listener.until_ended(*warm)
    began, left = time.perf_counter(), [f"job {number}" for number in range(MANY)]
    given: list[str] = []
    while left:
        for _ in range(min(executor.free(), len(left))):
            given.append(left.pop())
            listener.submit(given[-1], LONG)
        listener.listen()
    listener.until_ended(*given)
    took = time.perf_counter() - began
    check(listener)
    return MANY / took


def main() -> None:
    """Print both."""
    with tempfile.TemporaryDirectory() as folder, nodes.with_a_token(root := Path(folder)):
        address = nodes.shared().address
        one, two = (Demand(address, resources=each) for each in ({"b": 0.1}, dict[str, float]()))
        for name, made in (
            ("local", Local(root / "lock", NAP, devices=("one",))),
            ("ray", Cluster(root / "lock", one, NAP)),
        ):
            with closing(made):
                took = sorted(1000 * seconds for seconds in overheads(made))
                median, late = statistics.median(took), took[int(0.95 * len(took))]
                print(f"{name}: {median:.1f} ms a job on a warm worker, 95 % within {late:.1f} ms")
        for count, demand in enumerate((one, two), start=1):
            with closing(Cluster(root / "lock", demand, NAP)) as made:
                print(f"{count} machines: {throughput(made):.2f} jobs/s that sleep {LONG} s")


if __name__ == "__main__":
    main()
