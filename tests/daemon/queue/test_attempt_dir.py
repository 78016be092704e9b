"""An attempt that is thought dead, and is not, can harm no later one."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.daemon.faults import announced, fill, tree
from tests.daemon.queue.test_attempt import STARTED, attempts, job, order_of
from tests.daemon.settings_made import changed_settings, make_settings

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.model import CHECKPOINT
from stylewatch_daemon.outbox import publish
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.queue import attempt_dir
from stylewatch_daemon.queue.attempt import Try
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.resources import Demand
from stylewatch_daemon.store.journal import Attempt
from stylewatch_daemon.worker.contract import Order


@pytest.fixture
def service(tmp_path: Path) -> ServiceSettings:
    """Of a daemon whose jobs are painted elsewhere."""
    return make_settings((), tmp_path / "state", cluster=Demand())


def begun(service: ServiceSettings, *before: Attempt) -> tuple[Try, Order]:
    made, state = job(service)
    one = Try(replace(made, attempts=before), state, Reporter())
    return one, order_of(one, JobSettings(backend="sketch"), service)


def again(one: Try, service: ServiceSettings) -> tuple[Try, Order]:
    """The next attempt at the same job."""
    one.end("failed")
    other = Try(one.journal, one._state, Reporter())
    return other, order_of(other, JobSettings(backend="sketch"), service)


def test_each_attempt_has_a_folder_and_a_checkpoint_of_its_own(service: ServiceSettings) -> None:
    one, first = begun(service)
    _, second = again(one, service)
    assert first.staging != second.staging
    assert first.checkpoint == first.staging / attempt_dir.CHECKPOINT
    assert second.checkpoint == second.staging / attempt_dir.CHECKPOINT
    assert not first.staging.exists()


STAGE = "stages/0001.png"


def hears_again(one: Try) -> None:
    """It is told that a checkpoint brought an attempt there, and of the stage before."""
    one.hear(replace(STARTED, step=1))
    one.hear(announced(STAGE, 1))


def test_the_next_one_goes_on_from_what_was_left_and_announces_it(
    service: ServiceSettings,
) -> None:
    one, first = begun(service)
    fill(first.staging, attempt_dir.CHECKPOINT, STAGE)
    other, second = again(one, service)
    assert second.checkpoint is not None
    assert second.checkpoint.read_text() == attempt_dir.CHECKPOINT
    assert tree(service.state.path.parent / "out") == {}
    hears_again(other)
    assert tree(service.state.path.parent / "out") == {f"album/photo/{STAGE}": STAGE}


def test_of_what_several_left_the_last_ones_is_handed_on(service: ServiceSettings) -> None:
    one, first = begun(service)
    fill(first.staging, STAGE, "stages/0002.png")
    _, second = again(one, service)
    (second.staging / STAGE).write_text("painted anew")
    fences = attempt_dir.Fences(Outbox(service.state.path.parent / "out"), "1")
    fences.begin(".7-1-1")
    fences.hand_on(".7-1-1")
    left = second.staging.parent / ".7-1-1/stages"
    assert (left / "0001.png").read_text() == "painted anew"
    assert (left / "0002.png").read_text() == "stages/0002.png"


def test_what_a_zombie_writes_comes_nowhere(service: ServiceSettings) -> None:
    one, first = begun(service)
    _, second = again(one, service)
    with pytest.raises(OutputError, match="is gone"):
        publish.stage(first.staging, "stages/1.png", b"late")
    fill(
        first.staging, "receipt.json", "stages/2.png", attempt_dir.CHECKPOINT
    )  # it sees no change yet
    assert second.checkpoint is not None
    assert not second.checkpoint.exists()
    assert not fence_of(service, one).has_receipt("1")
    assert tree(service.state.path.parent / "out") == {}


def fence_of(service: ServiceSettings, one: Try) -> Outbox:
    return Outbox(service.state.path.parent / "out")


def test_where_the_last_one_left_its_files_is_known_later(service: ServiceSettings) -> None:
    one, order = begun(service)
    out = Outbox(service.state.path.parent / "out")
    assert out.root / ".staging" / attempt_dir.place(out, one.journal) == order.staging
    out.clear("1")
    assert attempt_dir.place(out, one.journal) == "1"


def test_the_last_try_begins_at_the_beginning_here_too(service: ServiceSettings) -> None:
    one, first = begun(service, *attempts(("failed", 0)))
    fill(first.staging, attempt_dir.CHECKPOINT)
    _, second = again(one, service)
    assert second.checkpoint is not None
    assert not second.checkpoint.exists()


def test_back_on_this_machine_what_was_left_elsewhere_is_announced_and_goes(
    service: ServiceSettings,
) -> None:
    one, first = begun(service)
    fill(first.staging, attempt_dir.CHECKPOINT, STAGE)
    other, second = again(one, changed_settings(service, cluster=None))
    assert second.staging == first.staging.parent
    assert second.checkpoint == service.state.path / "jobs/1" / CHECKPOINT
    assert not first.staging.exists()
    hears_again(other)
    assert tree(service.state.path.parent / "out") == {f"album/photo/{STAGE}": STAGE}
