"""Jobs on a cluster survive every failure of the cluster, or report it."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import nodes
from tests.daemon.worker.listening import Listener
from tests.daemon.worker.works import WORK

from stylewatch_daemon.worker.messages import AttemptLost, Done, Failed
from stylewatch_ray.demand import Demand
from stylewatch_ray.driver_client import Cluster

pytestmark = nodes.TIME_ENOUGH

Make = Callable[..., Listener]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Function that makes executors, which are closed when the test ends."""
    made: list[Cluster] = []

    def make(
        address: str = "", gpus: float = 1.0, idle_s: float = 1.0, silent_s: float = 60.0
    ) -> Listener:
        demand = Demand(address or nodes.shared().address, gpus=gpus, resources={"b": 0.1})
        lock = tmp_path / "worker.lock"
        made.append(Cluster(lock, demand, WORK, idle_s=idle_s, silent_s=silent_s))
        return Listener(made[-1])

    yield make
    for cluster in made:
        cluster.close()


def worker(listener: Listener, ticket: str) -> int:
    """The id of the process that paints."""
    done = listener.run(ticket, "paint")[-1]
    assert isinstance(done, Done), done
    return int(str(done.receipt["pid"]))


def parent(pid: int) -> int:
    """The id of the parent of a process; the parent of a worker is its actor."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_worker_stays_warm_and_a_gpu_is_shared(make: Make) -> None:
    listener = make(gpus=0.25, idle_s=600.0)
    assert worker(listener, "1") == worker(listener, "2")
    assert listener.executor.free() == 4


def test_an_actor_that_dies_or_hangs_loses_what_it_paints(make: Make) -> None:
    listener = make(silent_s=6.0)
    known = [parent(worker(listener, "1"))]
    for number in (signal.SIGKILL, signal.SIGSTOP):
        ticket = f"by {number}"
        listener.submit(ticket, "until stopped")
        listener.until_begun(ticket)
        os.kill(known[-1], number)
        listener.until_ended(ticket)
        assert isinstance(listener.events[ticket][-1], AttemptLost)
        known.append(parent(worker(listener, f"after {number}")))
    assert len(set(known)) == 3


def test_where_the_cluster_does_not_answer_each_attempt_fails_with_the_reason(make: Make) -> None:
    for address in ("127.0.0.1:1", "[::1]:1"):
        listener = make(address)
        for ticket in "12":
            (end,) = listener.run(ticket, "paint")
            assert isinstance(end, Failed)
            assert f"{address} does not answer" in end.reason
            assert "not known" not in end.reason
