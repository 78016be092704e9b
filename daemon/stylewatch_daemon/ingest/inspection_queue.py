"""Claimed jobs between claim and queue: their pictures are inspected, then the verdict applied.

Inboxes take turns, and few questions are asked at a time: a single picture need not wait for the
five hundred that came before it into another inbox.
"""

from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from stylewatch_daemon.errors import OutputError, QuarantinedError, SettingsError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.ingest.claim import Claimer, too_large
from stylewatch_daemon.ingest.inspection.contract import (
    CutOff,
    Fine,
    Inspector,
    Question,
    Refused,
    Verdict,
)
from stylewatch_daemon.queue.finalize import changed_after_copy
from stylewatch_daemon.store.journal import File, Journal
from stylewatch_daemon.store.state import State

AHEAD = 16
"""How many questions are asked at a time: enough that their verdicts share a sync of the ledger."""


class InspectionQueue:
    """Has the `inspector` inspect the jobs that the `claimer` claimed, and applies its verdicts.

    `await_rest` is called with each job that was given back, and its file that ends too early.
    `settle` checks the settings of a job by its job.yaml; a job for which it raises SettingsError
    is refused.
    """

    def __init__(
        self,
        state: State,
        claimer: Claimer,
        inspector: Inspector,
        reporter: Reporter,
        await_rest: Callable[[Journal, File], None],
        settle: Callable[[Path | None], object],
    ) -> None:
        self._state, self._claimer, self._inspector = state, claimer, inspector
        self._reporter, self._await_rest, self._settle = reporter, await_rest, settle
        self._waiting: dict[Path, deque[str]] = {}
        """The ids of jobs that are not asked about yet, by inbox; the next inbox comes first."""
        self._asked: set[str] = set()
        self._final: set[str] = set()
        """Jobs whose files are waited for no longer, even if they end too early."""
        self._verdicts: list[Verdict] = []
        self._deferred: list[Verdict] = []
        """Verdicts that could not be applied; they are tried again after the next scan."""

    @property
    def is_waiting(self) -> bool:
        """True if a verdict is pending; False while earlier ones cannot be applied."""
        return bool(self._asked or (self._waiting and not self._verdicts))

    @property
    def trouble(self) -> str:
        """Why pictures cannot be inspected now; empty where they can."""
        return self._inspector.trouble if self.is_waiting else ""

    def has_room(self, inbox: Path) -> bool:
        """Return whether more may be claimed of `inbox`: all its jobs are being inspected."""
        return not self._waiting.get(inbox)

    def add(self, job: Journal, *, final: bool = False) -> None:
        """Have the claimed `job` inspected when it is its inbox's turn.

        `final`: its files are waited for no longer. As much as can be decoded is painted, and the
        job is refused if nothing can.
        """
        if reason := too_large(job):
            self._verdicts.append(Refused(job.id, reason))
            return
        self._waiting.setdefault(job.inbox, deque()).append(job.id)
        if final:
            self._final.add(job.id)

    def ask(self, max_pixels: int) -> None:
        """Ask about as many jobs as may be asked about at a time."""
        while self._waiting and len(self._asked) + len(self._verdicts) < AHEAD:
            inbox = next(iter(self._waiting))
            jobs = self._waiting.pop(inbox)
            job = self._claimer.claimed[jobs.popleft()]
            if jobs:
                self._waiting[inbox] = jobs  # behind the others
            self._asked.add(job.id)
            files = self._state.pictures(job)
            roles = tuple(file.role for file in job.files if file.role != "job")
            growing = tuple(path for path in files if self._growing_file(job, path.name))
            self._inspector.ask(
                Question(job.id, files, max_pixels, self._state.thumbs, roles, growing=growing)
            )

    def apply(self) -> list[str]:
        """Apply the verdicts that arrived; return the ids of the jobs for which that succeeded.

        Raises OutputError where the ledger cannot be written: all are applied later.
        """
        arrived = self._inspector.verdicts()
        self._asked -= {verdict.job for verdict in arrived}
        self._verdicts += arrived
        if not self._verdicts:
            return []
        with self._state.ledger.together():
            deferred = [verdict for verdict in self._verdicts if not self._apply(verdict)]
        done = [verdict.job for verdict in self._verdicts if verdict not in deferred]
        self._verdicts = []
        self._deferred += deferred
        for job_id in done:
            self._final.discard(job_id)
            self._claimer.claimed.pop(job_id, None)
        return done

    def retry_deferred(self) -> None:
        """Apply with the next verdicts those that could not be applied before."""
        self._verdicts += self._deferred
        self._deferred = []

    def _apply(self, verdict: Verdict) -> bool:
        """Apply a verdict; return whether that was possible."""
        job = self._claimer.claimed.get(verdict.job)
        if job is None:
            return True
        try:
            with self._state.guard(job.id, "taking it"):
                if (
                    isinstance(verdict, CutOff)
                    and (file := self._growing_file(job, verdict.name)) is not None
                ):
                    if self._claimer.give_back(job, verdict.reason):
                        self._await_rest(job, file)
                else:
                    for changed in self._accept_or_refuse(job, verdict):
                        self._reporter.input_changed(job.name, changed_after_copy(changed.name))
        except OutputError:  # of the ledger: everything is rolled back, and applied again
            raise
        except QuarantinedError:
            self._claimer.exclude(job)
        except OSError as error:
            self._reporter.paused(job.name, str(error))
            return False
        return True

    def _accept_or_refuse(self, job: Journal, verdict: Verdict) -> Iterable[File]:
        """Queue or refuse a job; return those of its files that changed since it was claimed."""
        if not isinstance(verdict, Fine):
            return self._claimer.refuse(job, verdict.reason)
        try:
            self._settle(self._state.job_file(job))
        except SettingsError as error:
            return self._claimer.refuse(job, str(error))
        return self._claimer.accept(job, verdict.pictures)

    def _growing_file(self, job: Journal, name: str) -> File | None:
        """Return the file called `name` if the rest of it is worth waiting for."""
        if job.id in self._final or self._state.ledger.wish(job.id) == "cancel":
            return None
        named = (file for file in job.files if file.name == name)
        # Not one of the style library, nor a name that a hijacked inspection process made up.
        return next((file for file in named if job.inbox in file.source.parents), None)
