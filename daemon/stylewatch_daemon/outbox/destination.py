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
        self.works = False
        """True if the last probe has succeeded, and no look has failed since."""
        self._wants_probe = False
        """True from the wish for a probe until one succeeds."""
        self._is_asked_again = False
        """True if a probe was asked for since the look that is under way began."""

    def look(self) -> None:
        """Begin a look at the disk, unless one is under way.

        It writes nothing, unless a probe is wanted that has not succeeded yet.
        """
        if not self.is_looking:
            self.is_looking = True
            self._is_asked_again = False
            work = partial(self._work, self._wants_probe)
            self._lanes.do(self.folder, work, partial(self._ended, self._wants_probe))

    def probe(self) -> None:
        """Begin to find out whether the folder, an outbox, can be written: `works` says it then.

        A probe that is under way is enough if it succeeds: a disk may answer more slowly than
        probes are asked for. After any other look another one begins.
        """
        self.works = False
        self._wants_probe = True
        self._is_asked_again = self.is_looking
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

    def _ended(self, is_probe: bool, result: str | Exception) -> None:
        """Record the result of a look, or of a probe."""
        self.is_looking = False
        if isinstance(result, Exception) and not isinstance(result, OSError):
            raise result
        former = self.trouble
        self.trouble = shortages.in_words(result) if isinstance(result, OSError) else result
        if isinstance(result, OSError):
            self.works = False
        elif is_probe:
            self.works = True
            self._wants_probe = False
        if self.trouble != former:
            self._changed(self)
        if self._wants_probe and self._is_asked_again:  # people may have made room meanwhile
            self.look()
