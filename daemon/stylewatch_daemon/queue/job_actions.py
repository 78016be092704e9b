"""Actions of people on jobs: cancel one, finish it early, dismiss refused and failed ones."""

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal

from stylewatch_daemon.errors import QuarantinedError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.model import JobState
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


class JobActions:
    """Writes down what people ask of the jobs in `state`, where it holds until their end.

    `running` returns the ids of running jobs, whose workers are asked by their next step. For other
    jobs that are cancelled `end` is called; `publish` updates the status. Repeating an action
    changes nothing.
    """

    def __init__(
        self,
        state: State,
        reporter: Reporter,
        running: Callable[[], Collection[str]],
        end: Callable[[Journal], object],
        publish: Callable[[], object],
    ) -> None:
        self._state, self._reporter, self._running = state, reporter, running
        self._end, self._publish = end, publish

    def cancel(self, job: str) -> None:
        """End the job with this id, whether it waits or runs; a series as a whole."""
        is_claimed = (self._state.jobs / job).exists()  # else it ends once it is
        if self._wish("cancel", job) and is_claimed and job not in self._running():
            with suppress(QuarantinedError):  # that is an end, too
                waiting = self._state.load(job)
                if waiting.state != JobState.CLAIMED:  # else it ends once it was inspected
                    self._end(waiting)
        for member in self._state.ledger.members(job):
            self.cancel(member.id)

    def finish(self, job: str) -> None:
        """Make the current picture of the job with this id final; the job has to be begun."""
        if self._state.ledger.story(job):
            self._wish("finish", job)

    def dismiss(self, jobs: Sequence[str] = (), until: str = "") -> None:
        """Remove refused and failed jobs from the status: these, and all that ended by `until`."""
        self._state.ledger.dismiss(jobs, until)
        which = "every refused or failed job" if until else ", ".join(jobs)
        self._reporter.asked(f"asked to dismiss {which} from the status")
        self._publish()

    def _wish(self, wish: Literal["cancel", "finish"], job: str) -> bool:
        """Write a wish down, and return whether there is a job that can fulfill it."""
        entry = self._state.ledger.find(job)
        if entry is None or entry.id != job or entry.state in LAST:
            return False
        if entry.wish not in (wish, "cancel"):
            self._state.ledger.change(job, wish=wish)
            self._reporter.asked(f"asked to {wish} {entry.place or entry.name}")
        return True
