"""What is about to begin is in the ledger first; then folders are made, and orders given."""

import errno
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill, take, tree
from tests.daemon.settings_made import make_settings

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.ingest.claim import Terms
from stylewatch_daemon.ingest.pairing import pair
from stylewatch_daemon.ingest.scan import scan
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.queue.finalize import Closing
from stylewatch_daemon.queue.starting import Starting
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.resolve import Settler
from stylewatch_daemon.store.journal import Journal
from stylewatch_daemon.store.state import State


class Place:
    """Two jobs of the same name, of two inboxes with one outbox, that are about to begin."""

    def __init__(self, root: Path) -> None:
        self.outbox, self.state = root / "out", State(root / "state")
        self.state.make()
        for number in "12":
            inbox = root / number
            fill(inbox, "sea/content.jpg", "sea/style.jpg")
            files = scan(inbox).files
            (one,) = pair(inbox, files, {}).complete
            take(self.state, one, files, Terms(inbox, self.outbox, "archive"), number)
        self.closing = Closing(self.state, Reporter())
        self.starting = self.start()

    def start(self, **settings: Any) -> Starting:
        job = JobSettings(**settings)
        service = make_settings((), self.state.root, job=job, free_bytes=0)
        return Starting(Settler(service), self.closing)

    @property
    def jobs(self) -> list[Journal]:
        return [self.state.load(job_id) for job_id in "12"]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_attempts_are_written_down_before_anything_is_made(place: Place) -> None:
    with place.state.ledger.together():
        assert [came for _, came in place.starting.bring(place.jobs)] == [None, None]
    assert [one.state for one in place.jobs] == ["running", "running"]
    assert tree(place.outbox) == {}
    assert [one.name for one in place.outbox.iterdir()] == [".staging"]


def test_two_of_a_name_that_begin_together_get_two_folders(place: Place) -> None:
    with place.state.ledger.together():
        list(place.starting.bring(place.jobs))
    assert [one.place for one in place.jobs] == ["sea", "sea-2"]
    (orders,), tries, others = place.starting.orders(place.starting.batches[0])
    assert [one.name for one in orders.values()] == ["sea", "sea-2"]
    assert (tries.keys(), others) == (orders.keys(), [])
    assert {"sea", "sea-2"} < {one.name for one in place.outbox.iterdir()}


def test_where_someone_was_quicker_another_folder_is_made_and_remembered(place: Place) -> None:
    first, _ = place.jobs
    list(place.starting.bring([first]))
    (place.outbox / "sea").mkdir()
    (orders,), _, _ = place.starting.orders(place.starting.batches[0])
    assert [one.name for one in orders.values()] == ["sea-2"]
    assert place.jobs[0].place == "sea-2"


def test_a_mistake_in_the_settings_settles_that_the_job_is_refused(place: Place) -> None:
    starting = place.start(recipe="nosuch")
    list(starting.bring(place.jobs[:1]))
    assert starting.batches == []
    (settled,) = place.closing.settled
    assert settled.state == place.jobs[0].state == "refusing"
    assert "nosuch" in settled.reason


def test_an_outbox_that_cannot_take_the_folder_costs_no_attempt(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "out")

    list(place.starting.bring(place.jobs[:1]))
    monkeypatch.setattr(Outbox, "staging", full)
    _, tries, ((_, outcome),) = place.starting.orders(place.starting.batches[0])
    assert tries == {}
    assert outcome is not None
    assert (outcome.kind, outcome.exit_code) == ("paused", 73)
    assert [one.how for one in place.jobs[0].attempts] == ["paused"]
    assert place.jobs[0].state == "queued"
