"""The pipeline brings every pair of an inbox to the outbox, and publishes the status."""

import sqlite3
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill, killed_at, mounts, tree
from tests.daemon.lines import Place
from tests.daemon.painters import go_on
from tests.daemon.settings_made import changed_settings, make_inbox

from stylewatch_daemon.outbox import status_json
from stylewatch_daemon.outbox.status_txt import HELD
from stylewatch_daemon.processes.wakeup import Backoff
from stylewatch_daemon.queue import job_queue
from stylewatch_daemon.queue.states import Outcome, OutcomeKind
from stylewatch_daemon.service.pipeline import Pipeline
from stylewatch_daemon.settings import resolve
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.store import ledger_writer
from stylewatch_daemon.worker.messages import Failed, Refused

A = ("a/content.jpg", "a/style.jpg")
B = ("b/content.jpg", "b/style.jpg")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def kinds(pipeline: Pipeline) -> dict[str, str]:
    return {outcome.job: outcome.kind for outcome in pipeline.outcomes.values()}


def scanned(place: Place) -> Pipeline:
    pipeline = place.line()
    pipeline.scan()
    pipeline.scan()
    return pipeline


def enter_all(pipeline: Pipeline) -> None:
    """Scan until all has settled, claim it and apply the verdicts."""
    pipeline.scan()
    pipeline.scan()
    pipeline.enter()
    while pipeline.claim():
        pass


def test_jobs_run_in_order_and_a_bad_one_stops_no_other(place: Place) -> None:
    fill(place.inbox, *B, *A)
    place.painter.endings = [Refused("no picture")]
    assert list(kinds(place.run()).items()) == [("a", "refused"), ("b", "done")]
    assert [order.name for order in place.painter.orders] == ["a", "b"]
    assert "a: no picture" in place.status
    (entry,) = place.state.ledger.latest("refused", limit=2)
    assert (entry.reason, [one.how for one in place.state.ledger.story(entry.id)]) == (
        "no picture",
        ["refused"],
    )


@pytest.mark.parametrize(
    ("needs", "expected"),
    [("other", {"a": "paused", "b": "done"}), ("sketch", {"a": "paused"})],
)
def test_jobs_wait_for_the_same_missing_backend_and_others_do_not(
    needs: str, expected: dict[str, str], place: Place
) -> None:
    fill(place.inbox, *A, *B)
    for job, backend in (("a", "sketch"), ("b", needs)):
        (place.inbox / job / "job.yaml").write_text(f"backend: {backend}")
    place.painter.endings = [Failed("no such backend", 69)]
    pipeline = place.run()
    assert kinds(pipeline) == expected
    assert pipeline.next_job() is None
    assert pipeline.not_begun == (() if "b" in expected else ("b",))
    assert "In the way:\n  a: no such backend" in place.status
    assert set(kinds(place.run()).values()) == {"done"}


def test_a_crashed_job_lets_others_go_first(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_queue, "RETRY", Backoff(first=1000.0, most=1000.0, least=1.0))
    fill(place.inbox, *A, *B)
    place.painter.endings = [Failed("it broke", 70)]
    pipeline = place.run()
    assert (kinds(pipeline), pipeline.not_begun) == ({"b": "done"}, ("a",))
    assert pipeline.queue.crashed_for() is not None
    assert place.run().outcomes.popitem()[1] == Outcome(OutcomeKind.DONE, "a")


def test_inboxes_take_turns(tmp_path: Path) -> None:
    place = Place(tmp_path)
    other = make_inbox(tmp_path / "in2", place.outbox)
    place.settings = changed_settings(place.settings, inboxes=(*place.settings.inboxes, other))
    fill(place.inbox, *(f"{n}/{half}.jpg" for n in range(9) for half in ("content", "style")))
    fill(other.path, "mine/content.jpg", "mine/style.jpg")
    names = list(kinds(place.run()))
    assert names.index("mine") <= 1
    assert len(names) == 10


@pytest.mark.parametrize("after", ["archive", "keep"])
@pytest.mark.parametrize("fails", ["commit", "enter"])
def test_a_claim_that_the_ledger_does_not_know_is_one_job(
    fails: str, after: Any, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    inboxes = (make_inbox(place.inbox, place.outbox, after),)
    place.settings = changed_settings(place.settings, inboxes=inboxes, rescan_s=0)
    fill(place.inbox, *A)
    pipeline = scanned(place)
    pipeline.ingest.enter()
    with monkeypatch.context() as patch:
        patch.setattr(
            ledger_writer if fails == "commit" else ledger_writer.LedgerWriter, fails, fail
        )
        pipeline.claim()
        assert pipeline.next_job() is None
        pipeline.scan()
        pipeline.enter()
        assert pipeline.next_job() is None
    for _ in range(3):
        pipeline.scan()
        pipeline.enter()
        go_on(pipeline)
    assert [name for name in tree(place.outbox) if "receipt" in name] == ["a/receipt.json"]
    assert place.state.ledger.counts()["waiting"] == 0


def test_new_settings_keep_entered_pairs(place: Place) -> None:
    fill(place.inbox, *A)
    pipeline = scanned(place)
    pipeline.ingest.enter()
    (entered,) = place.state.ledger.claimed(str(place.inbox))
    pipeline.apply_settings(changed_settings(place.settings, attempts=1))
    enter_all(pipeline)
    assert place.state.ledger.open_jobs() == {entered.id: "a"}


def test_a_name_that_is_taken_gets_a_number(place: Place) -> None:
    for _ in range(2):
        fill(place.inbox, *A)
        place.run()
    receipts = [name for name in tree(place.outbox) if name.endswith("receipt.json")]
    assert sorted(receipts) == ["a-2/receipt.json", "a/receipt.json"]


def test_the_status_has_waiting_and_running_jobs_and_every_step(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_json, "AT_MOST_EVERY", 0.0)
    monkeypatch.setattr(status_json, "SHARE", 0.0)
    fill(place.inbox, *A, *B, "lone.jpg")
    pipeline = place.line()
    enter_all(pipeline)
    pipeline.update_status()
    assert "Waiting their turn:\n  a\n  b" in place.status
    assert "lone: a style picture" in place.status
    pipeline.start_jobs()
    pipeline.update_status()
    assert pipeline.summary == "painting a; 1 waiting"
    assert "Painting:\n  a: being prepared" in place.status
    assert "Waiting their turn:\n  b\n" in place.status
    steps = []
    while pipeline.busy:
        pipeline.publish_status()
        steps += [(job["step"], job["loss"]) for job in published(place)["running"]]
        pipeline.handle_worker_events()
        pipeline.finish_jobs()
    assert [step for step, _ in steps] == sorted(step for step, _ in steps)
    assert set(steps) >= {(1, 1.0), (2, 0.5)}
    pipeline.close()
    assert "does not run here now" in place.status


def published(place: Place) -> dict[str, Any]:
    return status_json.read(place.state.root) or {}


def test_while_paused_pairs_are_claimed_and_nothing_is_started(place: Place) -> None:
    fill(place.inbox, *A)
    pipeline = place.line()
    pipeline.control.pause()
    enter_all(pipeline)
    pipeline.update_status()
    assert pipeline.next_job() is None
    assert HELD in place.status
    assert "Waiting their turn:\n  a" in place.status
    pipeline.control.resume()
    assert pipeline.next_job() is not None


@pytest.mark.parametrize("apart", [False, True], ids=["one_mount", "three_mounts"])
def test_killed_at_any_change_every_pair_is_painted_once(
    apart: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda handle: None)
    monkeypatch.setattr(resolve, "settle", lambda *_: JobSettings())
    painted = ["final.png", "receipt.json", "stages/1.png", "stages/2.png"]
    expected = sorted(
        [f"album/1/{name}" for name in ["inputs/1.jpg", *painted]]
        + [f"x/{name}" for name in ["inputs/x.content.jpg", "inputs/x.style.jpg", *painted]]
    )
    for change in count(1, 3):
        place = Place(tmp_path / str(change))
        fill(place.inbox, "album/style.jpg", "album/1.jpg", "x.content.jpg", "x.style.jpg")
        roots = (place.inbox, place.outbox, place.state.root) if apart else ()
        with mounts(*roots):
            with killed_at(change) as died:
                place.run()
            place.run()
        files = [name for name in tree(place.outbox) if name != "_status.txt"]
        assert files == expected, f"killed at change {change}"
        assert list(tree(place.inbox)) == ["album/style.jpg"]
        if not died():
            break


def busy_pipeline(place: Place) -> Pipeline:
    """Return a pipeline whose only worker is busy."""
    fill(place.inbox, "long/content.jpg", "long/style.jpg")
    pipeline = place.line()
    enter_all(pipeline)
    pipeline.start_jobs()
    assert place.painter.free() == 0
    return pipeline


def test_a_refusal_needs_no_worker_even_while_paused(place: Place) -> None:
    busy = busy_pipeline(place)
    busy.control.pause()
    place.intake.says["no picture"] = "content.jpg is no picture"
    fill(place.inbox, *A, *B)
    (place.inbox / "a/job.yaml").write_text("stepps: 5")
    (place.inbox / "b/content.jpg").write_text("no picture")
    enter_all(busy)
    busy.finish_jobs()
    refused = place.outbox / "_refused"
    assert "job.yaml line 1: unknown key 'stepps'" in (refused / "a/reason.txt").read_text()
    assert "no picture" in (refused / "b/reason.txt").read_text()
    assert place.painter.free() == 0


def test_a_refusal_that_cannot_be_written_is_finished_later(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PUT_OFF", "PAUSE"):
        monkeypatch.setattr(job_queue, name, Backoff(first=0.0, most=0.0))
    busy = busy_pipeline(place)
    refused = place.outbox / "_refused"
    refused.write_text("a file where the folder belongs")
    fill(place.inbox, *A)
    (place.inbox / "a/job.yaml").write_text("stepps: 5")
    enter_all(busy)
    busy.finish_jobs()
    assert kinds(busy) == {"a": "paused"}
    counts = place.state.ledger.counts()
    assert (counts["running"], counts["refused"]) == (1, 1)
    refused.unlink()
    busy.start_jobs()
    busy.finish_jobs()
    assert (refused / "a/reason.txt").exists()
    assert place.painter.free() == 0


@pytest.mark.parametrize("during", ["inspection", "queue", "run"])
def test_a_job_is_cancelled_wherever_it_is(during: str, place: Place) -> None:
    fill(place.inbox, *A)
    pipeline = scanned(place)
    place.intake.silent = during == "inspection"
    pipeline.enter()
    while pipeline.claim():
        pass
    if during == "run":
        pipeline.start_jobs()
    (job_id,) = place.state.ledger.ids("claimed", "queued", "running")
    pipeline.control.acts["cancel"](job_id)
    place.intake.silent = False
    go_on(pipeline)
    entry = place.state.ledger.find(job_id)
    assert entry is not None
    assert entry.state == "cancelled"
