"""The executor `ray`, as seen from the supervisor: all of Ray is in another process, the driver."""

from pathlib import Path

from stylewatch_daemon.executors.base import ThreadedExecutor
from stylewatch_daemon.executors.local import WORK
from stylewatch_daemon.executors.ray.driver_client import Office
from stylewatch_daemon.executors.ray.messages import Manner, Room
from stylewatch_daemon.settings.resources import Demand
from stylewatch_daemon.worker.messages import AttemptEvent


class Cluster(ThreadedExecutor):
    """Places on the machines of a cluster, each of which takes what `demand` says.

    The cluster reports their number once there was work; until then, and where it does not answer,
    there is one place. `lock` is a file that the driver holds while it lives. The rest is as
    Manner has it.
    """

    def __init__(
        self,
        lock: Path,
        demand: Demand,
        work: str = WORK,
        *,
        idle_s: float = 60.0,
        silent_s: float = 60.0,
    ) -> None:
        super().__init__()
        self._lock, self._demand = lock, demand
        self._options = Manner(work, idle_s, silent_s)
        self._room = 1

    def _make_runner(self) -> Office:
        return Office(self._lock, self._demand, self._options, self._take)

    def _places(self) -> int:
        return self._room

    def _take(self, message: AttemptEvent | Room) -> None:
        """Take a message; called by the runner's thread."""
        if isinstance(message, Room):
            self._room = max(1, message.places)
            self.wake()
        else:
            self._emit(message)
