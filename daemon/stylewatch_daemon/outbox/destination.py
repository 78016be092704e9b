"""The main loop's view of a folder for results: an outbox or a finals folder.

The main loop never waits for the disk of the folder (law 9), and learns that the folder is away
even while no job needs it (law 16).
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

    `changed` is called with this destination when `trouble` has changed.
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
        """Reason why no results can be written here now; empty if they can."""
        self.is_looking = False
        self.works = False
        """True if the last probe has succeeded, and no look has failed since."""
        self._wants_probe = False
        """True from a call of `probe` until a probe succeeds."""
        self._is_asked_again = False
        """True if `probe` was called while the present look was under way."""

    def look(self) -> None:
        """Begin a look at the disk, unless one is under way.

        The look writes nothing, unless it is a probe: one was asked for, and none has succeeded
        since.
        """
        if not self.is_looking:
            self.is_looking = True
            self._is_asked_again = False
            work = partial(self._work, self._wants_probe)
            self._lanes.do(self.folder, work, partial(self._ended, self._wants_probe))

    def probe(self) -> None:
        """Begin to test whether the folder, an outbox, can be written; then set `works`.

        Until the result is there, `works` is False. If a probe is under way and succeeds, its
        result counts, because a disk may answer more slowly than probes are asked for. If another
        look is under way, or that probe fails, a new probe follows.
        """
        self.works = False
        self._wants_probe = True
        self._is_asked_again = self.is_looking
        self.look()

    def _work(self, probes: bool, step: Step) -> str:
        """Return why jobs wait for the disk, such as too little space; empty if they do not.

        Raises OSError if the folder cannot be used at all, so that no pair can be claimed for it
        either.
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
        """Record the result of a look or probe; call `changed` if `trouble` is new.

        Begin a new probe if one was asked for in the meantime.
        """
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
