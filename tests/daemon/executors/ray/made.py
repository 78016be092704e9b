"""Executors on the shared cluster, for tests, and the processes behind them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import nodes
from tests.daemon.worker.listening import Listener
from tests.daemon.worker.works import WORK

from stylewatch_daemon.executors.ray.executor import Cluster
from stylewatch_daemon.settings.resources import Demand
from stylewatch_daemon.worker.messages import Done

Make = Callable[..., Listener]


@contextmanager
def closing(root: Path) -> Iterator[Make]:
    """Makes executors that are closed at the end; what is said is as for Cluster, and Demand."""
    made: list[Cluster] = []

    def make(*, idle_s: float = 1.0, silent_s: float = 60.0, **demand: Any) -> Listener:
        wanted = Demand(**{"address": nodes.shared().address, **demand})
        lock = root / "worker.lock"
        made.append(Cluster(lock, wanted, WORK, idle_s=idle_s, silent_s=silent_s))
        return Listener(made[-1])

    try:
        yield make
    finally:
        for one in made:
            one.close()


def worker(listener: Listener, ticket: str) -> int:
    """The process that paints."""
    done = listener.run(ticket, "paint")[-1]
    assert isinstance(done, Done), done
    return int(str(done.receipt["pid"]))


def parent(pid: int) -> int:
    """The process that started it: of a worker, its actor."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
