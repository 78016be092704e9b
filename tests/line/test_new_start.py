"""What an inbox had entered before a new start is still known after it."""

from pathlib import Path

import pytest
from tests.daemon.faults import fill
from tests.daemon.ingest.test_inbox import Place


@pytest.fixture
def entered(tmp_path: Path) -> str:
    """The id of the pair `a`, which was entered and not claimed before all was killed."""
    place = Place(tmp_path)
    fill(place.path, "a/content.jpg", "a/style.jpg")
    place.inbox.look()
    place.now += 2
    place.inbox.look()
    place.inbox.enter()
    (job,) = place.state.ledger.claimed(str(place.path))
    place.state.close()
    return job.id


def test_what_was_entered_before_a_new_start_is_the_same_job(tmp_path: Path, entered: str) -> None:
    place = Place(tmp_path)
    place.inbox.look()
    assert place.take() == []  # for who looks the first time nothing has settled yet
    assert place.state.ledger.ids("claimed") == {entered}
    assert place.settle() == ["a"]
    assert place.state.ledger.ids("claimed", "queued") == {entered}


def test_what_vanished_before_a_new_start_is_withdrawn(tmp_path: Path, entered: str) -> None:
    place = Place(tmp_path)
    (place.path / "a/content.jpg").unlink()
    place.settle()
    assert place.state.ledger.find(entered) is None
