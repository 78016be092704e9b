"""What people ask of a single job: to cancel it, or to be content with it as it is now."""

from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Literal

from stylewatch_daemon.errors import QuarantinedError
from stylewatch_daemon.journal import Journal
from stylewatch_daemon.ledger_writer import LAST
from stylewatch_daemon.reporter import Reporter
from stylewatch_daemon.state import State


class Asked:
    """Writes down what is asked of the jobs in `state`, where it holds until their end.

    `running` tells the ids of jobs that are being painted, whose workers hear of it by their next
    step. With others that are to be cancelled `end` is called. To ask twice is to ask once.
    """

    def __init__(
        self,
        state: State,
        reporter: Reporter,
        running: Callable[[], Collection[str]],
        end: Callable[[Journal], object],
    ) -> None:
        self._state, self._reporter, self._running, self._end = state, reporter, running, end

    def cancel(self, job: str) -> None:
        """End the job with this id, whether it waits or is being painted; a series as a whole."""
        here = (self._state.jobs / job).exists()  # else it ends once it is claimed
        if self._wish("cancel", job) and here and job not in self._running():
            with suppress(QuarantinedError):  # that is an end, too
                found = self._state.load(job)
                if found.state != "claimed":  # else once it was looked at
                    self._end(found)
        for member in self._state.ledger.members(job):
            self.cancel(member.id)

    def finish(self, job: str) -> None:
        """Make the picture of the job with this id final as it is; it has to be begun."""
        if self._state.ledger.story(job):
            self._wish("finish", job)

    def _wish(self, wish: Literal["cancel", "finish"], job: str) -> bool:
        """Whether the job is there to wish something of."""
        entry = self._state.ledger.find(job)
        if entry is None or entry.id != job or entry.state in LAST:
            return False
        if entry.wish not in (wish, "cancel"):
            self._state.ledger.change(job, wish=wish)
            self._reporter.asked(f"asked to {wish} {entry.place or entry.name}")
        return True
