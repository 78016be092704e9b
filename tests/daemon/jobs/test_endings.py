"""The end of a job: published, entered in the ledger, reported, and then its folders go."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import failing, fill
from tests.daemon.world import (
    CRASH,
    DaemonWorld,
    FakeExecutor,
    changed_settings,
    done,
    refused,
    run_jobs,
)

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.base.model import Cause, End, State
from stylewatch_daemon.jobs.endings import STAYS
from stylewatch_daemon.jobs.waits import PAUSE
from stylewatch_daemon.ledger.ledger import reading
from stylewatch_daemon.outbox import ending
from stylewatch_daemon.outbox.publish import RECEIPT
from stylewatch_daemon.worker.messages import AttemptRequest, Done, Event, Order, Refused

GONE = OutputError("a is painted, but out has no files of it")


@pytest.fixture
def world(tmp_path: Path) -> DaemonWorld:
    return DaemonWorld(tmp_path)


def test_each_end_is_reported_with_its_folder(world: DaemonWorld) -> None:
    world.settings = changed_settings(world.settings, attempts=1)
    world.executor.endings = [Refused("no picture"), CRASH]
    loop = world.queued("bad", "broken", "good", "stopped")
    world.ask("cancel", "stopped")
    run_jobs(loop)
    folder = world.outbox / "_refused"
    assert world.record.of("refused") == [("bad", "no picture", Cause.PICTURE, folder / "bad")]
    assert world.record.of("failed") == [("broken", "it broke", Cause.BUG, folder / "broken")]
    assert world.record.of("canceled") == [("stopped", world.outbox / "_canceled/stopped")]
    assert world.record.of("done") == [("good", world.outbox / "good")]


class WrittenTo(FakeExecutor):
    """Leaves a receipt that can be read; a program writes into the content as the job ends."""

    def paint(self, order: Order, wanted: Callable[[], AttemptRequest]) -> Iterator[Event]:
        for event in super().paint(order, wanted):
            if isinstance(event, Done):
                order.main.write_text("written since")
                stages = [{"file": f"stages/{step}.png", "sha256": ""} for step in (1, 2)]
                receipt = {"final": "final.png", "stages": stages}
                (order.staging / RECEIPT).write_text(json.dumps(receipt))
            yield event


def test_finals_changed_inputs_and_originals_that_stay_are_reported_and_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, finals = DaemonWorld(tmp_path, "delete", has_finals=True), tmp_path / "finals"
    world.executor = WrittenTo()
    stays = failing(OSError("Read-only file system"))
    monkeypatch.setattr("stylewatch_daemon.intake.claim.remove_originals", stays)
    with world.apart():
        run_jobs(world.started("a"))
    changed = ending.changed_while_running("content.jpg")
    assert world.record.of("input_changed") == [("a", changed)]
    assert json.loads(world.published["a/receipt.json"])["warnings"] == [STAYS, changed]
    assert ("a", finals / "a.png") in world.record.of("staged")
    with reading(world.state.ledger) as ledger:
        files = {file.path: file for file in ledger.files(world.job("a").id)}
    assert files["a/final.png"].part == "final"
    assert files.pop(str(finals / "a.png")).part == "finals"
    texts = world.published.items()
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts}
    assert {path: file.sha256 for path, file in files.items()} == digests
    assert world.left == []


def test_an_end_that_cannot_be_published_waits_and_the_others_go_on(
    world: DaemonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(what: ending.Ending, *_: object) -> ending.Published:
        if what.job.title == "a":
            raise OutputError("the disk is full")
        return publish(what)

    publish = ending.publish_output
    loop = world.started("a", "b")
    with monkeypatch.context() as patch:
        patch.setattr(ending, "publish_output", fails)
        for _ in range(4):
            run_jobs(loop)
            world.wait(PAUSE.most)
    job = world.job("a")
    assert (job.state, job.end, loop.blocked) == (State.ENDING, End.DONE, {"a": "the disk is full"})
    assert world.job("b").end is End.DONE
    run_jobs(loop)
    assert (world.published, loop.blocked) == (done("a", "b"), {})


@pytest.mark.parametrize(("says", "end"), [("", End.CANCELED), ("no picture", End.REFUSED)])
def test_only_a_picture_that_is_gone_can_be_canceled_before_its_end_is_published(
    says: str, end: End, world: DaemonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.inspector.says = {"a/": says}
    loop = world.started("a")
    with monkeypatch.context() as patch:
        for publish in ("publish_output", "publish_refusal"):
            patch.setattr(ending, publish, failing(GONE))
        run_jobs(loop)
        world.ask("cancel", "a")
        run_jobs(loop)
        assert world.job("a").state is State.ENDING, "not before its time"
    patched = failing(GONE, real=ending.publish_output)
    monkeypatch.setattr(ending, "publish_output", patched)
    world.wait(PAUSE.most)
    run_jobs(loop)
    assert world.job("a").end is end
    assert refused("a", says or "canceled").items() <= world.published.items()


def test_the_folder_of_a_refused_job_is_recorded_before_it_is_made_and_another_if_it_is_taken(
    world: DaemonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str | None] = []

    def publish(what: ending.Ending, step: Any) -> ending.Published | None:
        tried.append(world.job("a").refused_as)
        if len(tried) == 1:
            fill(world.outbox, "_refused/a/mine.txt")
        return real(what, step)

    real = ending.publish_refusal
    monkeypatch.setattr(ending, "publish_refusal", publish)
    world.inspector.says = {"a/": "no picture"}
    run_jobs(world.started("a"))
    assert tried == ["_refused/a", "_refused/a-2"]
    files = refused("a", "no picture").items()
    moved = {name.replace("/a/", "/a-2/", 1): text for name, text in files}
    assert world.published == {**moved, "_refused/a/mine.txt": "_refused/a/mine.txt"}
    assert world.job("a").refused_as == "_refused/a-2"
