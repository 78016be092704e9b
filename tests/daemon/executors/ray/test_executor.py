"""What is painted on a cluster survives all that can go wrong there, or says what did."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests import nodes
from tests.daemon.worker import orders
from tests.daemon.worker.listening import Listener
from tests.daemon.worker.works import WORK
from tests.daemon.world import child_pids

from stylewatch_daemon.executors.ray.driver_client import NAME, Cluster
from stylewatch_daemon.model import Progress
from stylewatch_daemon.settings.sections import Demand
from stylewatch_daemon.worker.messages import Done, Failed, Lost, Stopped, Wanted

pytestmark = nodes.TIME_ENOUGH

Make = Callable[..., Listener]


@contextmanager
def closing(root: Path) -> Iterator[Make]:
    """Makes executors that are closed at the end, with arguments as for Cluster and Demand."""
    made: list[Cluster] = []

    def make(*, idle_s: float = 1.0, silent_s: float = 60.0, **demand: Any) -> Listener:
        wanted = Demand(**{"address": nodes.shared().address, **demand})
        lock = root / "worker.lock"
        made.append(Cluster(lock, wanted, WORK, idle_s=idle_s, silent_s=silent_s))
        return Listener(made[-1])

    try:
        yield make
    finally:
        for cluster in made:
            cluster.close()


def worker(listener: Listener, ticket: str) -> int:
    """The process that paints."""
    done = listener.run(ticket, "paint")[-1]
    assert isinstance(done, Done), done
    return int(str(done.receipt["pid"]))


def parent(pid: int) -> int:
    """The process that started it: of a worker, its actor."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listener]:
    """One for all that leave it whole: it takes a quarter of the GPU in zone a."""
    with closing(tmp_path_factory.mktemp("warm")) as made:
        yield made(labels={"zone": "a"}, gpus=0.25, idle_s=600.0)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Executors for zone b."""
    with closing(tmp_path) as made:
        yield lambda **more: made(**{"labels": {"zone": "b"}, **more})


def lost(listener: Listener, ticket: str, strike: Callable[[], object]) -> Lost | Failed:
    """What becomes of an attempt whose painting is struck."""
    listener.submit(ticket, "until stopped")
    listener.until_begun(ticket)
    strike()
    listener.until_ended(ticket)
    end = listener.events[ticket][-1]
    assert isinstance(end, Lost | Failed), end
    return end


def test_one_that_was_stopped_goes_on_from_its_checkpoint(
    warm: Listener, tmp_path: Path, pictures: Path
) -> None:
    assert worker(warm, "1") == worker(warm, "2"), "a worker stays warm"
    assert warm.executor.free() == 4, "a GPU is shared"
    given = orders.order(tmp_path, pictures, steps=400)
    warm.executor.submit({"first": given})
    while not any(isinstance(event, Progress) for event in warm.events["first"]):
        warm.listen()
    warm.executor.ask("first", Wanted.STOP)
    warm.until_ended("first")
    stopped = warm.events["first"][-1]
    assert isinstance(stopped, Stopped)
    warm.executor.submit({"second": given})
    warm.until_ended("second")
    assert isinstance(warm.events["second"][-1], Done)
    steps = [event.step for event in warm.events["second"] if isinstance(event, Progress)]
    assert steps == list(range(stopped.step + 1, 404))


def test_a_full_object_store_stands_in_the_way_of_nothing_however_large(
    warm: Listener, tmp_path: Path, pictures: Path
) -> None:
    note = "word " * 100_000  # more than Ray sends along with a call
    given = replace(orders.order(tmp_path, pictures), name="paint", backend_options={"note": note})
    with nodes.full_store():
        warm.executor.submit({"large": given})
        warm.until_ended("large")
        assert isinstance(warm.events["large"][-1], Done)


def test_an_actor_that_dies_or_hangs_loses_what_it_paints(make: Make) -> None:
    listener = make(silent_s=6.0)
    known = [parent(worker(listener, "1"))]
    for number in (signal.SIGKILL, signal.SIGSTOP):
        strike = partial(os.kill, known[-1], number)
        assert isinstance(lost(listener, f"by {number}", strike), Lost)
        known.append(parent(worker(listener, f"after {number}")))
    assert len(set(known)) == 3


def test_with_a_machine_what_it_paints_is_lost(make: Make) -> None:
    cluster = nodes.shared()
    third = nodes.add(cluster, "c")
    listener = make(labels={"zone": "c"})
    end = lost(listener, "1", lambda: cluster.remove_node(third, allow_graceful=False))
    assert isinstance(end, Lost)


def test_a_driver_that_dies_is_no_fault_of_the_job(make: Make) -> None:
    others, listener = {*child_pids(NAME)}, make(gpus=0.5, idle_s=0.5)
    assert listener.executor.free() == 1

    def strike() -> None:
        (driver,) = {*child_pids(NAME)} - others
        os.kill(driver, signal.SIGKILL)

    end = lost(listener, "1", strike)
    assert isinstance(end, Failed)
    assert end.exit_code == 69
    assert "speaks with the Ray cluster" in end.reason
    worker(listener, "2")
    assert listener.executor.free() == 2
    while {*child_pids(NAME)} - others:  # one without work is stopped
        time.sleep(0.01)
    assert listener.executor.free() == 2
