"""A job comes to its one end, whatever its worker does and whenever everything is killed."""

import errno
import sqlite3
from pathlib import Path

import pytest
from tests.daemon.faults import tree, waiting
from tests.daemon.queue.world import ARCHIVED, BROKEN, PAINTED, World
from tests.daemon.world import Ending

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.queue.states import Outcome, OutcomeKind
from stylewatch_daemon.store import ledger_writer
from stylewatch_daemon.worker.messages import Failed, Lost, Refused

REFUSED = {
    "_refused/job/content.jpg": "job/content.jpg",
    "_refused/job/style.jpg": "job/style.jpg",
}
GONE = Failed("no such backend", 69)


@pytest.mark.parametrize(("after", "archived"), [("archive", ARCHIVED), ("keep", {})])
def test_a_job_is_published_with_its_inputs_if_they_are_to_be_archived(
    after: str, archived: dict[str, str], tmp_path: Path
) -> None:
    world = World(tmp_path, after=after)
    assert world.run() == Outcome(OutcomeKind.DONE, "job")
    assert tree(world.outbox) == PAINTED | archived
    assert waiting(world.state) == []
    assert [path.name for path in (world.outbox / ".staging").iterdir()] == ["trash"]
    entry = world.state.ledger.find("job")
    assert entry is not None
    assert [record.get("sha256") for record in entry.inputs] == ["12ab", None], "by the receipt"


def test_a_mistake_in_the_settings_is_a_refusal_and_leaves_no_empty_folder(tmp_path: Path) -> None:
    world = World(tmp_path)
    outcome = world.run(recipe="nosuch")
    assert outcome.kind == "refused" and "nosuch" in outcome.reason
    assert world.painter.orders == []
    assert [path.name for path in world.outbox.iterdir() if path.name[0] != "."] == ["_refused"]


def test_a_crash_is_tried_again_and_resumes_from_the_checkpoint(tmp_path: Path) -> None:
    world = World(tmp_path, BROKEN)
    assert world.run().kind == "done"
    assert world.painter.started_at == [0, 1]
    assert world.reporter.failures == [("trace", False)]
    assert tree(world.outbox) == PAINTED | ARCHIVED


def test_after_three_crashes_without_progress_the_job_has_failed_for_good(tmp_path: Path) -> None:
    world = World(tmp_path, *[BROKEN] * 4)  # the first is before the checkpoint
    outcome = world.run()
    assert (outcome.kind, outcome.exit_code) == ("failed", 70)
    assert [for_good for _, for_good in world.reporter.failures] == [False] * 4 + [True]
    assert "it broke" in tree(world.outbox)["_refused/job/reason.txt"]
    assert waiting(world.state) == []


def test_what_stands_in_the_way_pauses_a_job_and_costs_no_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "out")

    world = World(tmp_path, *[GONE] * 3)
    world.outbox.write_text("in the way")
    outcome = world.run()
    assert (outcome.kind, outcome.exit_code) == ("paused", 73)
    assert world.painter.orders == [], "noticed before the first step"
    world.outbox.unlink()
    for _ in range(3):
        assert world.run() == Outcome(OutcomeKind.PAUSED, "job", "no such backend", 69)
    for method in ("publish", "staging") * 3:
        with monkeypatch.context() as patch:
            patch.setattr(Outbox, method, full)
            reason = "out: No space left on device"
            assert world.run() == Outcome(OutcomeKind.PAUSED, "job", reason, 73)
        assert world.painter.going == {}
        (job,) = world.jobs
        assert (job.state, job.attempts[-1].how) == ("queued", "paused")
    assert world.run().kind == "done"


@pytest.mark.parametrize(
    "ending", [None, Lost("it died"), Refused("no picture"), Failed("no device", 69)]
)
def test_a_job_that_is_canceled_while_it_runs_gives_back_its_inputs_however_it_ends(
    tmp_path: Path, ending: Ending
) -> None:
    world = World(tmp_path, ending)
    world.reporter.on_stage = lambda: world.state.ledger.change("1", wish="cancel")
    assert world.run() == Outcome(OutcomeKind.CANCELED, "job")
    assert len(world.painter.orders) == 1
    stage = {"job/stages/1.png": PAINTED["job/stages/1.png"]}
    reason = {"_refused/job/reason.txt": "cancelled\n"}
    assert tree(world.outbox) == REFUSED | reason | stage
    assert waiting(world.state) == []
    assert world.state.ledger.counts()["cancelled"] == 1


def test_a_worker_that_dies_while_everything_stops_is_no_fault_of_the_job(tmp_path: Path) -> None:
    world = World(tmp_path, Lost("the worker died"))
    world.stopping = lambda: bool(world.painter.orders and not world.painter.endings)
    assert world.run().kind == "stopped"
    assert (world.reporter.failures, world.reporter.stops) == ([], [(0, "step")])


def test_attempts_are_entered_by_one_commit_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, jobs=2)
    seen: list[tuple[list[str], dict[str, str]]] = []
    commit = ledger_writer.commit

    def committed(connection: sqlite3.Connection) -> None:
        folders = [path.name for path in world.outbox.iterdir() if path.name != ".staging"]
        seen.append((folders, {job.id: job.state for job in world.jobs}))
        commit(connection)

    with monkeypatch.context() as patch:
        patch.setattr(ledger_writer, "commit", committed)
        dispatcher = world.dispatcher()
        assert dispatcher.begin([world.jobs]) == []
    assert seen == [([], {"1": "running", "2": "running"})]
    assert [attempt.how for job in world.jobs for attempt in job.attempts] == ["cut off"] * 2
    titles = [attempt.title for attempt in dispatcher.attempts.values()]
    assert titles == ["job", "job-2"]
    assert {*titles} < {path.name for path in world.outbox.iterdir()}
    assert [len(tickets) for tickets in world.painter.submitted] == [2]


def test_what_the_ledger_does_not_take_is_not_begun_and_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unusable(_: object) -> None:
        raise OutputError("the ledger cannot be used")

    world = World(tmp_path, jobs=2)
    world.state.ledger.change("2", wish="cancel")
    dispatcher = world.dispatcher()
    with monkeypatch.context() as patch:
        patch.setattr(ledger_writer, "commit", unusable)
        results = dispatcher.begin([world.jobs])
    assert [outcome.kind for _, outcome in results] == ["paused", "paused"]
    assert not dispatcher.busy and world.painter.submitted == []
    assert [job.state for job in world.jobs] == ["queued", "queued"]
