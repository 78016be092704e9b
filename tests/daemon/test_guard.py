"""A job with a step that nobody foresaw to fail is set aside, and the others go on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill, tree
from tests.daemon.lines import Place
from tests.daemon.painters import go_on

from stylewatch_daemon.errors import OutputError, QuarantinedError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.ingest.claim import Claimer
from stylewatch_daemon.queue.attempt import ActiveAttempt
from stylewatch_daemon.queue.dispatcher import Dispatcher
from stylewatch_daemon.queue.finalize import Finalizer
from stylewatch_daemon.queue.series import Series
from stylewatch_daemon.settings import resolve
from stylewatch_daemon.store import transfer
from stylewatch_daemon.store.state import IN_A_ROW, State

PAIRS = [f"{name}/{side}.jpg" for name in ("bad", "good", "more") for side in ("content", "style")]


class Told(Reporter):
    """Remembers the failures: the job, the trace, and whether it was for good."""

    def __init__(self) -> None:
        self.failures: list[tuple[str, str, bool]] = []

    def failed(self, job: str, reason: str, trace: str, *, for_good: bool) -> None:
        self.failures.append((job, trace, for_good))


def fails_for_bad(
    of: Any, name: str, error: Exception, *, afterwards: bool = False
) -> Callable[[pytest.MonkeyPatch], None]:
    """Have a step raise `error` for what belongs to the job `bad`, or `afterwards`, once done."""
    real = getattr(of, name)

    def failing(*args: Any, **more: Any) -> Any:
        it_is_bad = any("bad" in repr(getattr(one, "job", one)) for one in args)
        done = real(*args, **more) if afterwards or not it_is_bad else None
        if it_is_bad:
            raise error
        return done

    return lambda patch: patch.setattr(of, name, failing)


ODD = KeyError("planted")
STEPS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "taking": fails_for_bad(transfer, "bring", ODD),
    "taking, when it is ours already": fails_for_bad(Claimer, "_commit", ODD, afterwards=True),
    "accepting": fails_for_bad(Claimer, "accept", ODD),
    "accepting, when the ledger knows": fails_for_bad(Claimer, "accept", ODD, afterwards=True),
    "loading": fails_for_bad(State, "_as_known", ODD),
    "beginning": fails_for_bad(ActiveAttempt, "begin", ODD),
    "beginning, when the ledger knows": fails_for_bad(ActiveAttempt, "begin", ODD, afterwards=True),
    "beginning by recursion": fails_for_bad(ActiveAttempt, "begin", RecursionError("too deep")),
    "beginning by a value": fails_for_bad(ActiveAttempt, "begin", OverflowError("too large")),
    "settling": fails_for_bad(Dispatcher, "_enter_attempt", ODD),
    "ordering": fails_for_bad(ActiveAttempt, "order", ODD),
    "hearing": fails_for_bad(ActiveAttempt, "handle", ODD),
    "hearing, when the ledger knows": fails_for_bad(ActiveAttempt, "handle", ODD, afterwards=True),
    "closing": fails_for_bad(Finalizer, "_finish", ODD),
    "closing, when the receipt is there": fails_for_bad(Finalizer, "_finish", ODD, afterwards=True),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_job_with_a_step_that_fails_is_set_aside_and_those_with_it_are_painted(
    step: Callable[[pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, told = Place(tmp_path), Told()
    place.state, place.painter.at_once = State(tmp_path / "state", told), 3
    fill(place.inbox, *PAIRS)
    line = place.line(told)
    with monkeypatch.context() as patch:
        step(patch)
        for _ in range(3):
            line.scan()
            line.enter()
            go_on(line, again=False)
    (aside,) = place.state.set_aside()
    entry = place.state.ledger.find(aside.job)
    assert entry is not None
    assert (entry.name, entry.state) == ("bad", "failed")
    assert entry.reason == f"set aside in {aside.folder}: {aside.reason}"
    assert [(job, for_good) for job, _, for_good in told.failures] == [("bad", True)]
    assert "Traceback" in told.failures[0][1]
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


def test_a_series_that_cannot_be_divided_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path)
    fill(place.inbox, *PAIRS)
    (place.inbox / "bad/job.yaml").write_text("sweep: {seed: [1, 2]}")
    with monkeypatch.context() as patch:
        fails_for_bad(Series, "divide", ODD)(patch)
        place.run()
    assert len(place.state.set_aside()) == 1
    assert (place.outbox / "good/receipt.json").exists()


def test_settings_that_cannot_be_read_set_aside_none_but_their_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, real = Place(tmp_path), resolve.settle
    fill(place.inbox, *PAIRS)
    (place.inbox / "bad/job.yaml").write_text("seed: 7")

    def settle(settings: Any, job_file: Path | None) -> Any:
        if job_file is not None:
            raise OverflowError("planted")
        return real(settings, job_file)

    with monkeypatch.context() as patch:
        patch.setattr(resolve, "settle", settle)
        place.run()
    assert len(place.state.set_aside()) == 1
    assert (place.outbox / "good/receipt.json").exists()


def test_a_lack_of_memory_is_nothing_that_a_job_is_set_aside_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path)
    fill(place.inbox, *PAIRS)
    with monkeypatch.context() as patch:
        fails_for_bad(ActiveAttempt, "begin", MemoryError())(patch)
        line = place.run()
    assert place.state.set_aside() == []
    (paused,) = [one for one in line.outcomes.values() if one.kind == "paused"]
    assert (paused.job, paused.reason) == ("bad", "the disk: Cannot allocate memory")
    place.run()
    assert (place.outbox / "bad/receipt.json").exists()


def test_a_fault_that_many_jobs_in_a_row_meet_is_ours_and_they_wait(tmp_path: Path) -> None:
    told = Told()
    state = State(tmp_path / "state", told)
    state.make()

    def step(job: str, *, fails: bool = True) -> None:
        with state.guard(job, "painting it"):
            if fails:
                raise KeyError(job)

    for number in range(IN_A_ROW):
        with pytest.raises(QuarantinedError):
            step(f"job-{number}")
    for job in ("one-more", "another"):
        with pytest.raises(OutputError, match="probably a fault of stylewatch: the job waits"):
            step(job)
    assert [for_good for _, _, for_good in told.failures] == [*([True] * IN_A_ROW), False, False]
    step("good", fails=False)
    with pytest.raises(QuarantinedError):
        step("bad")


def test_what_a_step_changed_in_the_ledger_is_undone_and_nothing_else(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    state.make()
    with state.ledger.together():
        state.ledger.keep("before", "before", [])
        with pytest.raises(QuarantinedError), state.guard("1", "painting it"):
            state.ledger.keep("within", "within", [])
            raise KeyError("planted")
        state.ledger.keep("after", "after", [])
    rows = state.ledger._rows("SELECT key FROM kept ORDER BY key")
    assert [row["key"] for row in rows] == ["after", "before"]
