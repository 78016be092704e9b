"""What people ask of jobs: to cancel one, to finish it early, to dismiss what came to a bad end."""

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal

from stylewatch_daemon.errors import QuarantinedError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.store.journal import Journal
from stylewatch_daemon.store.ledger import Entry
from stylewatch_daemon.store.ledger_writer import LAST
from stylewatch_daemon.store.state import State


def nothing_to(verb: str, entry: Entry) -> str:
    """Say that a job has ended, and how and when, so that there is nothing to cancel or finish."""
    name, when = shown(entry.place or entry.name), ""
    if entry.finished:
        when = f", {datetime.fromisoformat(entry.finished).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return f"{name} has ended ({entry.state}{when}): there is nothing to {verb}"


class Asked:
    """Writes down what is asked of the jobs in `state`, where it holds until their end.

    `running` tells the ids of jobs that are being painted, whose workers hear of it by their next
    step. With others that are to be cancelled `end` is called; `tell` brings the status
    up to date. To ask twice is to ask once.
    """

    def __init__(
        self,
        state: State,
        reporter: Reporter,
        running: Callable[[], Collection[str]],
        end: Callable[[Journal], object],
        tell: Callable[[], object],
    ) -> None:
        self._state, self._reporter, self._running = state, reporter, running
        self._end, self._tell = end, tell

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

    def dismiss(self, jobs: Sequence[str] = (), until: str = "") -> None:
        """Take refused and failed jobs out of the status: these, and all that ended by `until`."""
        self._state.ledger.dismiss(jobs, until)
        which = "every refused or failed job" if until else ", ".join(jobs)
        self._reporter.asked(f"asked to dismiss {which} from the status")
        self._tell()

    def _wish(self, wish: Literal["cancel", "finish"], job: str) -> bool:
        """Whether the job is there to wish something of."""
        entry = self._state.ledger.find(job)
        if entry is None or entry.id != job or entry.state in LAST:
            return False
        if entry.wish not in (wish, "cancel"):
            self._state.ledger.change(job, wish=wish)
            self._reporter.asked(f"asked to {wish} {entry.place or entry.name}")
        return True
