"""A job whose outbox goes before its end loses nothing; one without a receipt leaves word."""

import errno
import time
from pathlib import Path

import pytest
from tests.daemon.faults import fill, tree
from tests.daemon.queue.world import ARCHIVED, BROKEN, PAINTED, World

from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.outbox.retention import outlived
from stylewatch_daemon.queue.states import Outcome, OutcomeKind
from stylewatch_daemon.settings.sections import Retention


@pytest.fixture
def unmounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A job that is painted, and before its end the disk of the outbox goes."""

    def gone(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error", "out")

    place = World(tmp_path)
    with monkeypatch.context() as cut_off:
        cut_off.setattr(Outbox, "archive", gone)
        assert place.run().kind == "paused"
    place.outbox.rename(tmp_path / "away")
    place.outbox.mkdir()
    return place


def test_what_is_painted_waits_for_the_disk_that_it_was_painted_on(unmounted: World) -> None:
    outcome = unmounted.run()
    assert outcome.kind == "paused"
    assert "mount the disk that it was painted on, or cancel it" in outcome.reason
    assert {"job/content.jpg", "job/style.jpg"} <= set(tree(unmounted.state.jobs).values())
    unmounted.outbox.rmdir()
    unmounted.outbox.with_name("away").rename(unmounted.outbox)
    assert unmounted.run().kind == "done"
    assert tree(unmounted.outbox) == PAINTED | ARCHIVED
    assert len(unmounted.painter.orders) == 1


def test_who_has_no_such_disk_any_more_cancels_and_has_the_pictures_back(unmounted: World) -> None:
    unmounted.state.ledger.change("1", wish="cancel")
    assert unmounted.run() == Outcome(OutcomeKind.CANCELED, "job")
    assert {"_refused/job/content.jpg", "_refused/job/style.jpg"} < set(tree(unmounted.outbox))


@pytest.mark.parametrize("ended", ["cancelled", "failed"])
def test_a_job_that_ends_without_a_receipt_leaves_word_of_its_stages(
    tmp_path: Path, ended: str
) -> None:
    place = World(tmp_path, *([BROKEN] * 4 if ended == "failed" else []))
    fill(place.outbox, "job-2/stages/0001.png")
    place.state.ledger.change("1", place="job-2", wish="cancel" if ended == "cancelled" else "")
    assert place.run().kind == ended
    (stage,) = outlived(place.outbox, Retention(stages=0), time.time() + 1)
    assert stage.path == place.outbox / "job-2/stages/0001.png"
