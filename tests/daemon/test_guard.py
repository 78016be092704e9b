"""A job with a step that fails unexpectedly is quarantined, and the others go on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill, tree
from tests.daemon.world import DaemonWorld, run_jobs

from stylewatch_daemon.errors import OutputError, QuarantinedError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.ingest.claim import Claimer
from stylewatch_daemon.queue.attempt import ActiveAttempt
from stylewatch_daemon.queue.finalize import Finalizer
from stylewatch_daemon.store.state_dir import IN_A_ROW, State

# A name that no address can hold: a `repr` may end in "at 0x7fbad...".
JOBS = ("unlucky", "good", "more")
PAIRS = [f"{name}/{side}.jpg" for name in JOBS for side in ("content", "style")]


class Recorder(Reporter):
    """Records the failures: the job, the trace, and whether it was for good."""

    def __init__(self) -> None:
        self.failures: list[tuple[str, str, bool]] = []

    def failed(self, job: str, reason: str, trace: str, *, for_good: bool) -> None:
        self.failures.append((job, trace, for_good))


def fails_for_unlucky(
    of: Any, name: str, error: Exception, *, afterwards: bool = False
) -> Callable[[pytest.MonkeyPatch], None]:
    """Have a step raise `error` for what belongs to the job `unlucky`, or afterwards."""
    real = getattr(of, name)

    def failing(*args: Any, **more: Any) -> Any:
        is_unlucky = any("unlucky" in repr(getattr(arg, "job", arg)) for arg in args)
        result = real(*args, **more) if afterwards or not is_unlucky else None
        if is_unlucky:
            raise error
        return result

    return lambda patch: patch.setattr(of, name, failing)


ODD = KeyError("planted")
STEPS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "claiming, after the commit": fails_for_unlucky(Claimer, "_commit", ODD, afterwards=True),
    "accepting, recorded": fails_for_unlucky(Claimer, "accept", ODD, afterwards=True),
    "beginning by recursion": fails_for_unlucky(ActiveAttempt, "begin", RecursionError("too deep")),
    "beginning, recorded": fails_for_unlucky(ActiveAttempt, "begin", ODD, afterwards=True),
    "handling an event, recorded": fails_for_unlucky(ActiveAttempt, "handle", ODD, afterwards=True),
    "closing, with a receipt": fails_for_unlucky(Finalizer, "_finish", ODD, afterwards=True),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_job_with_a_step_that_fails_is_quarantined_alone(
    step: Callable[[pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, recorder = DaemonWorld(tmp_path), Recorder()
    place.state, place.executor.at_once = State(tmp_path / "state", recorder), 3
    fill(place.inbox, *PAIRS)
    pipeline = place.start(recorder)
    with monkeypatch.context() as patch:
        step(patch)
        for _ in range(3):
            pipeline.scan()
            pipeline.enter()
            run_jobs(pipeline, again=False)
    (aside,) = place.state.set_aside()
    entry = place.state.ledger.find(aside.job)
    assert entry is not None
    assert (entry.name, entry.state) == ("unlucky", "failed")
    assert entry.reason == f"set aside in {aside.folder}: {aside.reason}"
    assert [(job, for_good) for job, _, for_good in recorder.failures] == [("unlucky", True)]
    assert "Traceback" in recorder.failures[0][1]
    assert {path for path in tree(place.outbox) if path.endswith("receipt.json")} >= {
        "good/receipt.json", "more/receipt.json",
    }  # fmt: skip
    assert {path.read_text() for path in tmp_path.rglob("*.jpg")} >= {*PAIRS[:2]}
    assert "1 in all: `stylewatch doctor`" in place.status
    read = json.loads((tmp_path / "state/status.json").read_text())
    assert read["health"]["set_aside"] == 1
    assert read["counts"] | {"done": 2, "failed": 1} == read["counts"]
    again = place.run()
    assert again.queue.next(retry=True) is None
    assert len(place.state.set_aside()) == 1


def test_a_lack_of_memory_quarantines_no_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = DaemonWorld(tmp_path)
    fill(place.inbox, *PAIRS)
    with monkeypatch.context() as patch:
        fails_for_unlucky(ActiveAttempt, "begin", MemoryError())(patch)
        pipeline = place.run()
    assert place.state.set_aside() == []
    (paused,) = [outcome for outcome in pipeline.outcomes.values() if outcome.kind == "paused"]
    assert (paused.job, paused.reason) == ("unlucky", "the disk: Cannot allocate memory")
    place.run()
    assert (place.outbox / "unlucky/receipt.json").exists()


def test_jobs_wait_after_many_faults_in_a_row(tmp_path: Path) -> None:
    recorder = Recorder()
    state = State(tmp_path / "state", recorder)
    state.make()

    def fail(job: str) -> None:
        with state.guard(job, "painting it"):
            raise KeyError(job)

    for number in range(IN_A_ROW):
        with pytest.raises(QuarantinedError):
            fail(f"job-{number}")
    with pytest.raises(OutputError, match="probably a fault of stylewatch: the job waits"):
        fail("another")
    assert [for_good for _, _, for_good in recorder.failures] == [*([True] * IN_A_ROW), False]
    with state.guard("good", "painting it"):
        """It works again."""
    with pytest.raises(QuarantinedError):
        fail("bad")


def test_only_the_changes_of_the_failed_step_are_undone(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    state.make()
    with state.ledger.transaction():
        state.ledger.keep("before", "before", [])
        with pytest.raises(QuarantinedError), state.guard("1", "painting it"):
            state.ledger.keep("within", "within", [])
            raise KeyError("planted")
        state.ledger.keep("after", "after", [])
    rows = state.ledger._rows("SELECT key FROM kept ORDER BY key")
    assert [row["key"] for row in rows] == ["after", "before"]
