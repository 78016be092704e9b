"""Control of the daemon: pause, resume, drain."""

from collections.abc import Mapping
from pathlib import Path

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files import atomic
from stylewatch_daemon.store.requests import FOLDER, Act, Requests

PAUSED = "paused"
"""A file in the state folder: while it is there nothing is begun, after a new start neither."""


class Control:
    """Requests to the daemon that works with the folder `state`.

    `acts` are what commands may ask for besides pause, resume and drain, by verb.
    """

    def __init__(
        self, state: Path, reporter: Reporter, acts: Mapping[str, Act] | None = None
    ) -> None:
        self.draining = False
        self.acts: dict[str, Act] = {
            "pause": self.pause, "resume": self.resume, "drain": self.drain, **(acts or {})
        }  # fmt: skip
        self._mark, self._reporter = state / PAUSED, reporter
        self._requests = Requests(state, reporter)
        atomic.make_folder(self.folder)
        self._requests.drop("drain")  # meant for one that is gone already

    @property
    def folder(self) -> Path:
        """Where requests come to lie."""
        return self._mark.with_name(FOLDER)

    @property
    def paused(self) -> bool:
        """True if no job may begin until `resume`."""
        return self._mark.exists()

    @property
    def holds(self) -> bool:
        """True if no job may begin now."""
        return self.draining or self.paused

    def act(self) -> None:
        """Do what commands asked for since the last time."""
        self._requests.act(self.acts)

    def pause(self) -> None:
        """Begin nothing new; what is being painted is finished."""
        if not self.paused:
            atomic.write(self._mark, b"")
            self._reporter.asked("paused: nothing new is begun until `stylewatch resume`")

    def resume(self) -> None:
        """Begin what waits, again."""
        if self.paused:
            self._mark.unlink()
            atomic.sync_folder(self._mark.parent)
            self._reporter.asked("resumed")

    def drain(self) -> None:
        """Finish what is being painted, then leave."""
        self.draining = True
        self._reporter.asked("draining: what is being painted is finished, then we leave")
