"""A folder for results, an outbox or a finals folder, as the main loop knows it.

The main loop never waits for its disk (law 9), and knows that it is away also while no job needs it
(law 16).
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import FullError
from stylewatch_daemon.base.lanes import Lanes, Step
from stylewatch_daemon.files import disks
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.outbox.publish import Outbox, writing


class Destination:
    """A folder whose `lanes` look at its disk, on which `free_bytes` are to stay free.

    `changed` is called with it when its trouble has changed.
    """

    def __init__(
        self,
        folder: Path,
        free_bytes: int,
        guard: MountGuard,
        lanes: Lanes,
        changed: Callable[["Destination"], object],
    ) -> None:
        self.folder = folder
        self._free_bytes = free_bytes
        self._guard = guard
        self._lanes = lanes
        self._changed = changed
        self.trouble = ""
        """Why no results can come here now; empty if they can."""
        self.works = False
        """True if it could be written since the last probe was wanted."""
        self.is_looking = False
        self._wants_probe = self._again = False

    def look(self) -> None:
        """Begin a look at the disk, unless one is under way.

        It writes nothing, unless the last probe failed.
        """
        if not self.is_looking:
            self._begin()

    def probe(self) -> None:
        """Find out whether the folder, an outbox, can be written; a look under way is repeated."""
        self.works = False
        self._wants_probe = True
        self._again = self.is_looking
        self.look()

    def _begin(self) -> None:
        probes = self._wants_probe
        self._again = False
        self.is_looking = True
        self._lanes.do(self.folder, partial(self._work, probes), partial(self._ended, probes))

    def _work(self, probes: bool, step: Step) -> str:
        """Return why jobs wait for a disk on which pairs can be claimed; raise OSError if not."""
        self._guard.check(self.folder)
        if probes:
            Outbox(self.folder).probe()
        with writing(f"the folder {self.folder}"):
            disks.check_access(self.folder)
            try:
                disks.check([(self.folder, 0)], self._free_bytes)
            except FullError as error:
                return str(error)
        return ""

    def _ended(self, probes: bool, result: str | Exception) -> None:
        self.is_looking = False
        if isinstance(result, Exception) and not isinstance(result, OSError):
            raise result
        former = self.trouble
        self.trouble = result if isinstance(result, str) else shortages.in_words(result)
        is_usable = isinstance(result, str)
        self.works = (self.works or probes) and is_usable and not self._again
        self._wants_probe = self._again or (probes and not is_usable)
        if self.trouble != former:
            self._changed(self)
        if self._again:
            self._begin()
