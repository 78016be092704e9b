"""Between claim and queue: what was claimed is looked at by intake, and goes on as that says.

Inboxes take turns, and few questions are out at a time: a single picture need not wait for the
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
    Looker,
    Question,
    Refused,
    Verdict,
)
from stylewatch_daemon.queue.finalize import changed_after_copy
from stylewatch_daemon.store.journal import File, Journal
from stylewatch_daemon.store.state import State

AHEAD = 16
"""How many questions are out at most: enough that their answers share the ledger's syncs."""


class Reception:
    """Asks `intake` about all that the `claimer` holds, and has it do what that says.

    `await_rest` hears of each job that was given back, and of its file that ends too early.
    `settle` checks the settings of a job by its job.yaml; a job for which it raises SettingsError
    is refused.
    """

    def __init__(
        self,
        claimer: Claimer,
        intake: Looker,
        reporter: Reporter,
        await_rest: Callable[[Journal, File], None],
        settle: Callable[[Path | None], object],
    ) -> None:
        self._claimer, self._intake, self._reporter = claimer, intake, reporter
        self._await_rest, self._settle = await_rest, settle
        self._unasked: dict[Path, deque[str]] = {}
        self._asked: set[str] = set()
        self._for_good: set[str] = set()
        self._answered: list[Verdict] = []
        self._put_off: list[Verdict] = []

    @property
    def _state(self) -> State:
        return self._claimer.state

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is to come; none is while the ledger cannot be told of others."""
        return bool(self._asked or (self._unasked and not self._answered))

    @property
    def trouble(self) -> str:
        """What keeps pictures from being looked at now; empty where nothing does."""
        return self._intake.trouble

    def has_room(self, inbox: Path) -> bool:
        """Whether more may be claimed of `inbox`: all that was is being looked at."""
        return not self._unasked.get(inbox)

    def receive(self, job: Journal, *, for_good: bool = False) -> None:
        """Have `job`, which the claimer holds, looked at when it is its inbox's turn.

        `for_good`: nobody waits for its rest any more. What can be decoded of it is painted as it
        is, and it is refused if that cannot be.
        """
        if reason := too_large(job):
            self._answered.append(Refused(job.id, reason))
            return
        self._unasked.setdefault(job.inbox, deque()).append(job.id)
        if for_good:
            self._for_good.add(job.id)

    def ask(self, max_pixels: int) -> None:
        """Ask about as many jobs as may be asked about at a time."""
        while self._unasked and len(self._asked) + len(self._answered) < AHEAD:
            inbox = next(iter(self._unasked))
            jobs = self._unasked.pop(inbox)
            job = self._claimer.held[jobs.popleft()]
            if jobs:
                self._unasked[inbox] = jobs  # behind the others
            self._asked.add(job.id)
            files = self._state.pictures(job)
            roles = tuple(file.role for file in job.files if file.role != "job")
            growing = tuple(path for path in files if self._may_grow(job, path.name))
            self._intake.ask(
                Question(job.id, files, max_pixels, self._state.thumbs, roles, growing=growing)
            )

    def hear(self) -> list[str]:
        """Do what the answers that are there say; the ids of the jobs for which it was done.

        Raises OutputError: then it is done later.
        """
        answered = self._intake.verdicts()
        self._asked -= {verdict.job for verdict in answered}
        self._answered += answered
        if not self._answered:
            return []
        with self._state.ledger.together():
            put_off = [verdict for verdict in self._answered if not self._heed(verdict)]
        answered, self._answered = self._answered, []
        self._put_off += put_off
        done = [verdict.job for verdict in answered if verdict not in put_off]
        for job_id in done:
            self._for_good.discard(job_id)
            self._claimer.held.pop(job_id, None)
        return done

    def go_on(self) -> None:
        """Do with the next answers what could not be done before."""
        self._answered += self._put_off
        self._put_off = []

    def _heed(self, verdict: Verdict) -> bool:
        """Do what `verdict` says; whether that was possible."""
        job = self._claimer.held.get(verdict.job)
        if job is None:
            return True
        try:
            with self._state.guard(job.id, "taking it"):
                self._act(job, verdict)
        except OutputError:  # of the ledger: all is undone, and done again
            raise
        except QuarantinedError:
            self._claimer.forsake(job)
        except OSError as error:
            self._reporter.paused(job.name, str(error))
            return False
        return True

    def _act(self, job: Journal, verdict: Verdict) -> None:
        if isinstance(verdict, Fine):
            self._tell_of(job, self._accept(job, verdict))
        elif isinstance(verdict, CutOff) and (file := self._may_grow(job, verdict.name)):
            if self._claimer.give_back(job, verdict.reason):
                self._await_rest(job, file)
        else:
            self._tell_of(job, self._claimer.refuse(job, verdict.reason))

    def _tell_of(self, job: Journal, changed: Iterable[File]) -> None:
        for file in changed:
            self._reporter.input_changed(job.name, changed_after_copy(file.name))

    def _accept(self, job: Journal, verdict: Fine) -> Iterable[File]:
        """Queue a job whose pictures are good, or refuse it for a mistake in its settings.

        Returns those of its files that have changed since it was taken.
        """
        try:
            self._settle(self._state.job_file(job))
        except SettingsError as error:
            return self._claimer.refuse(job, str(error))
        return self._claimer.accept(job, verdict.pictures)

    def _may_grow(self, job: Journal, name: str) -> File | None:
        """The file called so, if its rest is worth waiting for."""
        if job.id in self._for_good or self._state.ledger.wish(job.id) == "cancel":
            return None
        named = (file for file in job.files if file.name == name)
        # none of the style library, and no name that intake, taken over, made up
        return next((file for file in named if job.inbox in file.source.parents), None)
