"""A folder for results, an outbox or a finals folder, as the main loop knows it.

The main loop never waits for the disk of the folder (law 9), and knows that the folder is away also
while no job needs it (law 16).
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

    `changed` is called with the destination when its trouble has changed.
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
        self.is_looking = False
        self._wanted = 0
        """Number of the last probe that was wanted; 0 if none was."""
        self._answered = 0
        """Number of the last probe that succeeded; 0 if none has."""
        self._has_written = False
        """True if a probe has succeeded, and no look has met an OSError since."""

    @property
    def works(self) -> bool:
        """True if the last probe that was wanted has succeeded, and no look has failed since."""
        return self._has_written and self._answered == self._wanted

    def look(self) -> None:
        """Begin a look at the disk, unless one is under way.

        It writes nothing, unless a probe is wanted that has not succeeded yet.
        """
        if not self.is_looking:
            wanted = self._wanted
            self.is_looking = True
            work = partial(self._work, wanted > self._answered)
            self._lanes.do(self.folder, work, partial(self._ended, wanted))

    def probe(self) -> None:
        """Begin to find out whether the folder, an outbox, can be written: `works` says it then.

        After a look that is under way, another one begins.
        """
        self._wanted += 1
        self.look()

    def _work(self, probes: bool, step: Step) -> str:
        """Return why jobs wait for the disk; empty if they do not.

        Raises OSError if no pair can be claimed for the folder either.
        """
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

    def _ended(self, wanted: int, result: str | Exception) -> None:
        """Record the result of a look that began when the last probe wanted was number `wanted`."""
        self.is_looking = False
        if isinstance(result, Exception) and not isinstance(result, OSError):
            raise result
        former = self.trouble
        self.trouble = shortages.in_words(result) if isinstance(result, OSError) else result
        if isinstance(result, OSError):
            self._has_written = False
        elif wanted > self._answered:
            self._answered = wanted
            self._has_written = True
        if self.trouble != former:
            self._changed(self)
        if self._wanted > wanted:  # a probe that was wanted meanwhile may follow what people did
            self.look()
