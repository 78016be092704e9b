"""The pipeline brings every pair of an inbox to the outbox, and publishes the status."""

import errno
import sqlite3
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from tests.daemon.faults import fill, tree
from tests.daemon.world import DaemonWorld, changed_settings, make_inbox, run_jobs

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.outbox.status_txt import HELD
from stylewatch_daemon.service.pipeline import Pipeline
from stylewatch_daemon.store import journal, ledger_writer, requests
from stylewatch_daemon.worker.messages import Failed

A = ("a/content.jpg", "a/style.jpg")
B = ("b/content.jpg", "b/style.jpg")


@pytest.fixture
def place(tmp_path: Path) -> DaemonWorld:
    return DaemonWorld(tmp_path)


def enter_all(pipeline: Pipeline) -> None:
    """Scan until all has settled, claim it and apply the verdicts."""
    pipeline.scan()
    pipeline.scan()
    pipeline.enter()
    while pipeline.claim():
        pass


@pytest.mark.parametrize("after", ["archive", "keep"])
@pytest.mark.parametrize("fails", ["commit", "enter"])
def test_a_claim_that_failed_to_commit_is_one_job(
    fails: str, after: Any, place: DaemonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    inboxes = (make_inbox(place.inbox, place.outbox, after),)
    place.settings = changed_settings(place.settings, inboxes=inboxes, rescan_s=0)
    fill(place.inbox, *A)
    pipeline = place.start()
    pipeline.scan()
    pipeline.scan()
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
        run_jobs(pipeline)
    assert [name for name in tree(place.outbox) if "receipt" in name] == ["a/receipt.json"]
    assert place.state.ledger.counts()["waiting"] == 0


def test_a_pair_that_is_complete_once_its_cancellation_is_read_is_canceled(
    place: DaemonWorld,
) -> None:
    pipeline = place.start()
    for _ in range(2):  # the second time there is an older job of that name
        fill(place.inbox, *A)
        enter_all(pipeline)
        requests.leave(place.state.root, "cancel_incomplete", name="a")
        pipeline.control.act()
        assert pipeline.next_job() is None
    assert place.state.ledger.counts()["cancelled"] == 2
    assert (place.outbox / "_refused/a-2/reason.txt").read_text() == "cancelled\n"


def canceled_during_inspection(place: DaemonWorld) -> tuple[Pipeline, str]:
    """Cancel a job whose inspection has no answer yet; return its pipeline and its id."""
    fill(place.inbox, *A)
    pipeline = place.start()
    place.inspector.silent = True
    enter_all(pipeline)
    (job,) = place.state.ledger.ids("claimed")
    requests.leave(place.state.root, "cancel", job=job)
    pipeline.control.act()
    place.inspector.silent = False
    return pipeline, job


def test_a_cancellation_during_inspection_waits_for_file_descriptors(
    place: DaemonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENFILE, "Too many open files in system")

    pipeline, _ = canceled_during_inspection(place)
    with monkeypatch.context() as patch:
        patch.setattr(journal, "load", fail)
        pipeline.claim()
    assert place.state.ledger.counts()["waiting"] == 1
    run_jobs(pipeline)
    assert place.state.ledger.counts()["cancelled"] == 1


def test_a_job_that_is_refused_and_canceled_during_inspection_ends_once(
    place: DaemonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.inspector.says["a/content.jpg"] = "content.jpg is no picture"
    copying, stage_refused = Event(), Outbox.stage_refused

    def slow(*args: Any) -> None:
        copying.wait()
        stage_refused(*args)

    pipeline, job = canceled_during_inspection(place)
    monkeypatch.setattr("stylewatch_daemon.files.transfers.SMALL", 0)
    monkeypatch.setattr(Outbox, "stage_refused", slow)
    try:
        pipeline.claim()
        assert pipeline.dispatcher.active_jobs == {job} and not pipeline.outcomes
    finally:
        copying.set()
    run_jobs(pipeline)
    assert (pipeline.ended, tree(place.inbox)) == (1, {})
    assert [path.name for path in (place.outbox / "_refused").iterdir()] == ["a"]


def test_a_pair_that_was_submitted_as_a_whole_is_claimed_without_a_wait(place: DaemonWorld) -> None:
    place.settings = changed_settings(place.settings, quiet_s=1000)
    pipeline = place.start()
    for job in ("a", "b"):
        requests.leave(place.state.root, "submitted", inbox=str(place.inbox), name=job)
        pipeline.control.act()
        fill(place.inbox, *A, *B)
        pipeline.scan()
        pipeline.enter()
    assert not list((place.state.root / requests.FOLDER).iterdir())
    assert {name.split("/")[0] for name in tree(place.inbox)} == {"a"}, "once, and never again"


def test_a_job_that_waited_is_in_the_way_until_its_next_step(place: DaemonWorld) -> None:
    fill(place.inbox, *A)
    place.executor.endings = [Failed("the disk is full", OutputError.exit_code)]
    waits, pipeline = "Problems:\n  a: the disk is full", place.run()
    assert waits in place.status
    pipeline.apply_settings(place.settings)  # this ends the wait
    pipeline.start_jobs()
    pipeline.handle_worker_events()
    pipeline.update_status()
    assert "Running:\n  a: being prepared" in place.status and waits in place.status
    for _ in ("a stage of the first attempt", "the next step"):
        pipeline.handle_worker_events()
    pipeline.update_status()
    assert "Running:\n  a: step 2 of 2" in place.status and waits not in place.status


def test_a_refusal_needs_no_worker_even_while_paused(
    place: DaemonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(place.inbox, "long/content.jpg", "long/style.jpg")
    pipeline = place.start()
    enter_all(pipeline)
    pipeline.start_jobs()
    assert place.executor.free() == 0
    pipeline.control.pause()
    place.inspector.says["no picture"] = "content.jpg is no picture"
    fill(place.inbox, *A, *B, "good/content.jpg", "good/style.jpg")
    (place.inbox / "a/job.yaml").write_text("stepps: 5")
    (place.inbox / "b/content.jpg").write_text("no picture")
    enter_all(pipeline)
    pipeline.finish_jobs()
    refused = place.outbox / "_refused"
    assert "job.yaml line 1: unknown key 'stepps'" in (refused / "a/reason.txt").read_text()
    assert "no picture" in (refused / "b/reason.txt").read_text()
    pipeline.update_status()
    assert HELD in place.status and "Queue:\n  good" in place.status
    assert pipeline.next_job() is None and place.executor.free() == 0
    checks = list[bool]()
    monkeypatch.setattr(pipeline.queue, "check_probes", lambda: checks.append(True))
    pipeline.start_jobs()
    assert checks, "what is in the way of a job is looked at, too"
    pipeline.control.resume()
    assert pipeline.next_job() is not None
