"""State machine of a job: a table of transitions, and the outcomes of jobs.

    claimed -> queued <-> running -> ending -> done
                  |          |         |
                  +----------+---------+--> refusing -> refused or cancelled
                  +----------+------------> failing -> failed

The states are those of the ledger (`model.JobState`). A state with an end that is decided (ending,
refusing, failing) is written before anything follows from it, so a daemon that was killed goes on
from there. Some transitions are made elsewhere: a claimed job is queued or refused once it was
inspected (`ingest.claim`). In `store.state_dir`, `State.quarantine` fails a job in any state, and
at the start `State.reconcile` fails the open jobs whose files are missing and queues the jobs that
were cut off while they ran.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from stylewatch_daemon.errors import FullError, QuarantinedError
from stylewatch_daemon.model import AttemptEnd, JobState
from stylewatch_daemon.store.journal import Attempt, Journal

OUR_FAULT = 70
"""Exit code, as in sysexits, of a job that failed by a fault of stylewatch."""


TRANSITIONS: Mapping[JobState, tuple[JobState, ...]] = {
    JobState.QUEUED: (JobState.RUNNING, JobState.REFUSING, JobState.FAILING),
    JobState.RUNNING: (
        JobState.RUNNING,  # the end of the last attempt could not be written
        JobState.QUEUED,
        JobState.ENDING,
        JobState.REFUSING,
        JobState.FAILING,
    ),
    JobState.ENDING: (
        JobState.REFUSING,  # canceled, as its disk, with all it made, is gone
        JobState.DONE,
    ),
    JobState.REFUSING: (JobState.REFUSED, JobState.CANCELED),
    JobState.FAILING: (JobState.FAILED,),
}

DECIDED = (JobState.ENDING, JobState.REFUSING, JobState.FAILING)
"""States of jobs whose end is decided; only finalizing them is left to do."""

BEGUN = (JobState.RUNNING, *DECIDED)
"""States of jobs that were begun; after a restart or an error some of them have to go on."""


def check_transition(job: Journal, state: JobState) -> None:
    """Raise ValueError where `job` cannot go on to `state`, which is a fault of stylewatch."""
    if state not in TRANSITIONS.get(JobState(job.state), ()):
        raise ValueError(f"a job that is {job.state} cannot become {state}")


class OutcomeKind(StrEnum):
    """Kind of result of a job; one that runs, or is only to be finalized, has none yet."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELED = "cancelled"
    PAUSED = "paused"
    """Something outside of stylewatch is in the way; the job waits."""
    STOPPED = "stopped"
    """The daemon leaves; the next start goes on."""
    RETRY = "retry"
    """The attempt crashed; the job is tried again after a time."""
    DIVIDED = "divided"
    """The job is a series; its jobs come first."""


@dataclass(frozen=True)
class Outcome:
    """Result of `job` (its name in the outbox); `exit_code` as in sysexits."""

    kind: OutcomeKind
    job: str
    reason: str = ""
    exit_code: int = 0
    full: FullError | None = None
    """The disk that has no room for the job."""


Result = tuple[Journal, Outcome]
"""A job, and what became of it."""


def quarantined(job: Journal, error: QuarantinedError) -> Outcome:
    """Return the outcome of a job that was set aside."""
    return Outcome(OutcomeKind.FAILED, job.title, str(error), error.exit_code)


class RetryMode(Enum):
    """How a job may be tried again."""

    AS_ANY = auto()
    """Like any other job."""
    ALONE = auto()
    """When no other job waits, and with nothing else running."""
    NEVER = auto()
    """The job is given up."""


def retry_after(attempts: Sequence[Attempt], limit: int) -> RetryMode:
    """Return how a job with these `attempts` may be tried again, if `limit` of them may go wrong.

    A job whose worker died that often is given up. A job that was cut off that often, with the
    whole daemon, may be innocent: machines are switched off for many reasons. It is given up only
    if the daemon dies once more while nothing else is running.
    """
    if crashes(attempts) >= limit or _in_a_row(attempts, AttemptEnd.CUT_OFF_ALONE):
        return RetryMode.NEVER
    cut_off = _in_a_row(attempts, AttemptEnd.CUT_OFF, AttemptEnd.CUT_OFF_ALONE)
    return RetryMode.ALONE if cut_off >= limit else RetryMode.AS_ANY


def crashes(attempts: Sequence[Attempt]) -> int:
    """Count the attempts in a row that failed, or whose worker died, without progress."""
    return _in_a_row(attempts, AttemptEnd.FAILED)


def _in_a_row(attempts: Sequence[Attempt], *ends: AttemptEnd) -> int:
    """Count the `attempts` since the last progress that ended in one of `ends`.

    An attempt that shared its worker with other jobs counts for none of them, as any may be to
    blame: each is tried again by itself.
    """
    count = furthest = 0
    for attempt in attempts:
        if attempt.step > furthest:  # what went wrong before did not stand in the way
            count, furthest = 0, attempt.step
        count += attempt.how in ends and attempt.together == 1
    return count
