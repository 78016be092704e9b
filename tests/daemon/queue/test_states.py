"""The state machine, as a table, and what earlier attempts mean for the next one."""

from dataclasses import replace
from pathlib import Path

import pytest

from stylewatch_daemon.model import AttemptEnd, JobState
from stylewatch_daemon.queue.states import JobEvent, RetryMode, next_state, retry_after
from stylewatch_daemon.store.journal import Attempt, Journal

CUT, ALONE = AttemptEnd.CUT_OFF, AttemptEnd.CUT_OFF_ALONE
FAILED, STOPPED, PAUSED = AttemptEnd.FAILED, AttemptEnd.STOPPED, AttemptEnd.PAUSED
JOB = Journal("1", "job", Path("/in"), Path("/out"), "archive", ())

TABLE = {
    "queued": {"BEGIN": "running", "REFUSE": "refusing", "CANCEL": "refusing",
               "GIVE_UP": "failing"},
    "running": {"BEGIN": "running", "REQUEUE": "queued", "COMPLETE": "ending",
                "REFUSE": "refusing", "CANCEL": "refusing", "GIVE_UP": "failing"},
    "ending": {"CANCEL": "refusing", "FINALIZE": "done"},
    "refusing": {"FINALIZE": "refused", "FINALIZE_CANCELLED": "cancelled"},
    "failing": {"FINALIZE": "failed"},
}  # fmt: skip


def test_every_transition_is_the_one_of_the_table_and_no_other_is_possible() -> None:
    for state in JobState:
        for event in JobEvent:
            job = replace(JOB, state=state)
            expected = TABLE.get(state, {}).get(event.name)
            if expected is None:
                with pytest.raises(ValueError, match=f"a job that is {state} cannot"):
                    next_state(job, event)
            else:
                assert next_state(job, event) == expected


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
