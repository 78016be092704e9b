"""The executor `ray`: what is painted on a Ray cluster, as seen from the supervisor.

All that has to do with Ray is in a process of its own, the driver. Here is a queue, and a thread.
"""

from pathlib import Path

from stylewatch_daemon.executors.base import Desk
from stylewatch_daemon.executors.local import WORK
from stylewatch_daemon.executors.ray.driver_client import Office
from stylewatch_daemon.executors.ray.messages import Room
from stylewatch_daemon.executors.ray.scheduler import Manner
from stylewatch_daemon.settings.resources import Demand
from stylewatch_daemon.worker.contract import Heard


class Cluster(Desk):
    """Places on the machines of a cluster, each of which takes what `demand` says.

    How many there are the cluster says once there was work; until then, and where it does not
    answer, one attempt at a time finds out. `lock` is a file that the driver holds while it lives.
    The rest is as Manner has it.
    """

    def __init__(
        self,
        lock: Path,
        demand: Demand,
        work: str = WORK,
        *,
        idle_s: float = 60.0,
        silent_s: float = 60.0,
        cache: str = "",
    ) -> None:
        super().__init__()
        self._given = (lock, demand, Manner(work, idle_s, silent_s, cache))
        self._room = 1

    def _hire(self) -> Office:
        return Office(*self._given, self._tell_all)

    def _places(self) -> int:
        return self._room

    def _tell_all(self, word: Heard | Room) -> None:
        if isinstance(word, Room):
            self._room = max(1, word.places)
            self.wake()
        else:
            self._tell(word)
