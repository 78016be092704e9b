"""The end of a job: published, entered in the ledger, reported, and then its folders go."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.daemon.faults import failing
from tests.daemon.world import (
    CRASH,
    DaemonWorld,
    FakeExecutor,
    changed_settings,
    run_jobs,
)

from stylewatch_daemon.base.model import Cause
from stylewatch_daemon.jobs.endings import STAYS
from stylewatch_daemon.ledger.ledger import reading
from stylewatch_daemon.outbox import ending
from stylewatch_daemon.outbox.publish import RECEIPT
from stylewatch_daemon.worker.messages import AttemptRequest, Done, Event, Order, Refused


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
