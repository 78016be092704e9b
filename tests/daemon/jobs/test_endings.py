"""The end of a job: published, entered in the ledger, reported, and then its folders go."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Event as Flag
from typing import Any

import pytest
from tests.daemon.faults import mounts, no_threads
from tests.daemon.jobs.pairs import CRASH, JobsWorld, done, refused
from tests.daemon.world import FakeExecutor, changed_settings, run_jobs

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.base.model import Cause, End, State
from stylewatch_daemon.base.mover import LONG, Mover
from stylewatch_daemon.files import atomic
from stylewatch_daemon.jobs.endings import STAYS
from stylewatch_daemon.jobs.waits import PAUSE
from stylewatch_daemon.ledger import requests
from stylewatch_daemon.ledger.ledger import reading
from stylewatch_daemon.outbox import ending
from stylewatch_daemon.outbox.publish import RECEIPT
from stylewatch_daemon.worker.messages import AttemptRequest, Done, Event, Order, Refused, Staged


@pytest.fixture
def world(tmp_path: Path) -> JobsWorld:
    return JobsWorld(tmp_path)


class WithReceipt(FakeExecutor):
    """Leaves a receipt that can be read, with the digests that the files had at the start."""

    def paint(self, order: Order, wanted: Callable[[], AttemptRequest]) -> Iterator[Event]:
        paths, receipt = (order.main, *order.styles), dict[str, Any]()
        inputs = [{"name": path.name, "sha256": atomic.digest(path)} for path in paths]
        for event in super().paint(order, wanted):
            if isinstance(event, Staged) and event.path == "final.png":
                files = [{"file": event.path, "sha256": event.sha256}]
                receipt = {"inputs": inputs, "files": files, "final": event.path}
            if isinstance(event, Staged) and event.path == RECEIPT:
                (order.staging / RECEIPT).write_text(json.dumps(receipt))
                digest = atomic.digest(order.staging / RECEIPT)
                yield Staged(RECEIPT, digest, event.step)
            else:
                yield Done(receipt) if isinstance(event, Done) else event


@pytest.mark.parametrize("after", ["archive", "keep", "delete"])
def test_what_a_job_leaves_is_published_and_listed_with_its_digests(
    after: str, tmp_path: Path
) -> None:
    world = JobsWorld(tmp_path, after)
    run_jobs(world.started("a"))
    assert world.published == done("a", archived=after == "archive")
    assert world.left == []
    with reading(world.state.ledger) as ledger:
        files = ledger.files(world.job("a").id)
    listed = {file.path: file.sha256 for file in files if file.part != "final"}
    digests = {name: hashlib.sha256(text.encode()).hexdigest()
               for name, text in world.published.items()}  # fmt: skip
    assert listed == digests


def test_each_end_is_reported_with_its_folder(world: JobsWorld) -> None:
    world.settings = changed_settings(world.settings, attempts=1)
    world.executor.endings = [Refused("no picture"), CRASH]
    loop = world.queued("bad", "broken", "good", "stopped")
    requests.leave(world.state.root, "cancel", job=world.job("stopped").id)
    run_jobs(loop)
    folder = world.outbox / "_refused"
    assert world.record.of("refused") == [("bad", "no picture", Cause.PICTURE, folder / "bad")]
    assert world.record.of("failed")[-1] == ("broken", "it broke", Cause.BUG, "", True)
    assert world.record.of("canceled") == [("stopped", folder / "stopped")]
    assert world.record.of("done") == [("good", world.outbox / "good")]


def test_the_final_picture_is_among_the_finals_of_its_inbox(
    world: JobsWorld, tmp_path: Path
) -> None:
    finals = tmp_path / "finals"
    (inbox,) = world.settings.inboxes
    inboxes = (inbox.model_copy(update={"finals": finals}),)
    world.settings = changed_settings(world.settings, inboxes=inboxes)

    world.executor = WithReceipt()
    run_jobs(world.started("a"))
    assert (finals / "a.png").read_text() == done("a")["a/final.png"]
    assert ("a", finals / "a.png") in world.record.of("staged")
    with reading(world.state.ledger) as ledger:
        parts = {file.path: file.part for file in ledger.files(world.job("a").id)}
    assert (parts["a/final.png"], parts[str(finals / "a.png")]) == ("final", "finals")


def test_an_input_that_changes_while_the_job_runs_is_kept_and_reported(tmp_path: Path) -> None:
    world = JobsWorld(tmp_path, "delete")
    world.executor = WithReceipt()
    loop = world.started("a")
    files = world.state.jobs
    vars(world.record)["staged"] = lambda *_: (
        files / world.job("a").id / "files/content.jpg"
    ).write_text("written since")
    run_jobs(loop)
    (report,) = world.record.of("input_changed")
    assert report == ("a", ending.changed_while_running("content.jpg"))
    assert (world.outbox / "a/inputs/content.jpg").read_text() == "written since"
    receipt = json.loads((world.outbox / "a/receipt.json").read_text())
    assert receipt["warnings"] == [report[1]]


def test_a_receipt_says_that_originals_could_not_be_removed(
    world: JobsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError("Read-only file system")

    world.executor = WithReceipt()
    with mounts(world.inbox, world.outbox, world.state.root), monkeypatch.context() as patch:
        patch.setattr("stylewatch_daemon.intake.claim.remove_originals", fails)
        run_jobs(world.started("a"))
    assert json.loads((world.outbox / "a/receipt.json").read_text())["warnings"] == [STAYS]


def test_an_end_that_cannot_be_published_waits_and_the_others_go_on(
    world: JobsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(what: ending.Ending, *_: object) -> ending.Published:
        if what.job.title == "a":
            raise OutputError("the disk is full")
        return publish(what)

    publish = ending.publish_output
    loop = world.started("a", "b")
    with monkeypatch.context() as patch:
        patch.setattr(ending, "publish_output", fails)
        run_jobs(loop)
        for _ in range(3):
            world.clock.now += PAUSE.most
            run_jobs(loop)
    job = world.job("a")
    assert (job.state, job.end, loop.blocked) == (State.ENDING, End.DONE, {"a": "the disk is full"})
    assert world.job("b").end is End.DONE
    run_jobs(loop)
    assert world.job("a").state is State.ENDING, "not before its time"
    world.clock.now += PAUSE.most
    run_jobs(loop)
    assert (world.published, loop.blocked) == (done("a", "b"), {})


def test_a_job_whose_output_is_gone_waits_for_its_disk_until_it_is_canceled(
    world: JobsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = world.started("a")
    monkeypatch.setattr(ending, "publish_output", lambda *_: fail())
    run_jobs(loop)
    requests.leave(world.state.root, "cancel", job=world.job("a").id)
    run_jobs(loop)
    assert world.job("a").end is End.DONE
    world.clock.now += PAUSE.most
    run_jobs(loop)
    assert world.job("a").end is End.CANCELED
    assert refused("a", "canceled").items() <= world.published.items()


def fail() -> ending.Published:
    raise OutputError("a is painted, and out has nothing of it")


def test_a_refused_job_that_is_canceled_before_its_end_is_published_stays_refused(
    world: JobsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.inspector.says = {"a/": "no picture"}
    loop = world.started("a")
    with monkeypatch.context() as patch:
        patch.setattr(ending, "publish_refusal", lambda *_: fail())
        run_jobs(loop)
    requests.leave(world.state.root, "cancel", job=world.job("a").id)
    run_jobs(loop)
    world.clock.now += PAUSE.most
    run_jobs(loop)
    assert world.job("a").end is End.REFUSED


# -- the mover


@pytest.fixture
def posted() -> SimpleQueue[Callable[[], object]]:
    return SimpleQueue()


@pytest.fixture
def mover(posted: SimpleQueue[Callable[[], object]]) -> Iterator[Mover]:
    mover = Mover(posted.put)
    yield mover
    mover.close()


def fails(*_: object) -> None:
    raise KeyError("odd")


def test_long_work_keeps_no_small_one_waiting_and_its_result_is_posted(
    mover: Mover, posted: SimpleQueue[Callable[[], object]]
) -> None:
    may_end, results = Flag(), list[Any]()
    mover.do(lambda step: may_end.wait(60), results.append, LONG + 1)
    mover.do(lambda step: "small", results.append)
    mover.do(fails, results.append)
    for _ in range(2):
        posted.get(timeout=60)()
    assert (results[0], repr(results[1])) == ("small", "KeyError('odd')")
    may_end.set()
    posted.get(timeout=60)()
    assert results[2] is True


def test_work_ends_at_its_next_step_when_the_daemon_leaves_and_has_no_result(
    mover: Mover, posted: SimpleQueue[Callable[[], object]]
) -> None:
    begun, ended = Flag(), list[str]()

    def work(step: Callable[[], object]) -> None:
        begun.set()
        try:
            while True:
                step()
        except OutputError as error:
            ended.append(str(error))
            raise

    mover.do(work, fails)
    mover.do(lambda step: ended.append("another"), fails)
    assert begun.wait(60)
    mover.close()
    assert ended == ["copying was stopped; the next start goes on with it"]
    assert posted.empty()


def test_work_for_which_there_is_no_thread_fails_and_is_not_done_later(
    mover: Mover, posted: SimpleQueue[Callable[[], object]]
) -> None:
    results, worked = list[Any](), list[int]()
    with no_threads():
        mover.do(lambda step: worked.append(1), results.append)
    posted.get(timeout=60)()
    mover.do(lambda step: worked.append(2), results.append)
    posted.get(timeout=60)()
    assert isinstance(results[0], OSError) and worked == [2]
