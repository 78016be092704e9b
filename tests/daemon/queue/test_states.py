"""The state machine, as a table, and what earlier attempts mean for the next one."""

from dataclasses import replace
from pathlib import Path

import pytest

from stylewatch_daemon.model import AttemptEnd, JobState
from stylewatch_daemon.queue.states import RetryMode, check_transition, retry_after
from stylewatch_daemon.store.journal import Attempt, Journal

CUT, ALONE = AttemptEnd.CUT_OFF, AttemptEnd.CUT_OFF_ALONE
FAILED, STOPPED, PAUSED = AttemptEnd.FAILED, AttemptEnd.STOPPED, AttemptEnd.PAUSED
JOB = Journal("1", "job", Path("/in"), Path("/out"), "archive", ())


@pytest.mark.parametrize(
    ("state", "possible"),
    [
        ("claimed", set[str]()),
        ("queued", {"running", "refusing", "failing"}),
        ("running", {"running", "queued", "ending", "refusing", "failing"}),
        ("ending", {"refusing", "done"}),
        ("refusing", {"refused", "cancelled"}),
        ("failing", {"failed"}),
        *((state, set[str]()) for state in ("done", "refused", "failed", "cancelled")),
    ],
)
def test_what_is_decided_about_a_job_stays(state: str, possible: set[str]) -> None:
    job = replace(JOB, state=JobState(state))
    for later in JobState:
        if later in possible:
            check_transition(job, later)
        else:
            with pytest.raises(ValueError, match=f"a job that is {state} cannot become {later}"):
                check_transition(job, later)


def attempts(*ends: tuple[str, int]) -> tuple[Attempt, ...]:
    """Attempts that began after a step, and ended so."""
    return tuple(Attempt("then", step=step, how=how) for how, step in ends)


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([(CUT, 0)] * 2, RetryMode.AS_ANY),
        ([(CUT, 0)] * 3, RetryMode.ALONE),
        ([(FAILED, 0)] * 3, RetryMode.NEVER),
        ([(FAILED, 0)] * 2 + [(CUT, 0)] * 2, RetryMode.AS_ANY),
        ([(FAILED, 0), (STOPPED, 0), (CUT, 0), (FAILED, 0), (FAILED, 0)], RetryMode.NEVER),
        ([(FAILED, 0), (FAILED, 0), (FAILED, 50)], RetryMode.AS_ANY),
        ([(FAILED, 50)] * 3, RetryMode.NEVER),
        ([(CUT, 0), (STOPPED, 0), (CUT, 0), (PAUSED, 0), (CUT, 0)], RetryMode.ALONE),
        ([(CUT, 0)] * 3 + [(CUT, 50)], RetryMode.AS_ANY),
        ([(CUT, 0)] * 3 + [(ALONE, 0), (CUT, 50)], RetryMode.AS_ANY),
        ([(CUT, 50)] * 3 + [(ALONE, 20)], RetryMode.NEVER),
    ],
)
def test_attempts_without_progress_count_and_those_cut_off_lead_to_one_alone(
    ends: list[tuple[str, int]], expected: RetryMode
) -> None:
    assert retry_after(attempts(*ends), 3) is expected


def test_an_attempt_that_shared_its_worker_counts_for_no_job() -> None:
    shared = Attempt("then", how=FAILED, together=8)
    assert retry_after((shared, *attempts((FAILED, 0), (FAILED, 0))), 3) is RetryMode.AS_ANY
    assert retry_after((replace(shared, how=CUT),) * 9, 3) is RetryMode.AS_ANY
