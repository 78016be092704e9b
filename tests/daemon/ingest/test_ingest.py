"""The front half of the line takes what is complete, and knows what it waits for."""

from pathlib import Path

import pytest
from tests.daemon.faults import fill
from tests.daemon.lookers import Nodding
from tests.daemon.settings_made import make_inbox, make_settings

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.ingest.ingest import Front
from stylewatch_daemon.store.state import State


class Place:
    """Two inboxes and their front."""

    def __init__(self, root: Path) -> None:
        self.inbox, self.other, self.intake = root / "in", root / "other", Nodding()
        inboxes = tuple(make_inbox(one, root / "out") for one in (self.inbox, self.other))
        self.settings = make_settings(inboxes, root / "state", quiet_s=0)
        self.state = State(root / "state")
        self.state.make()
        for inbox in (self.inbox, self.other):
            inbox.mkdir()
        self.now = 0.0
        self.front = self.started()

    def started(self) -> Front:
        front = Front(self.settings, self.state, self.intake, Reporter(), lambda: self.now)
        front.recover()
        return front

    def take(self) -> None:
        """Look until all has settled, and claim."""
        for _ in range(2):
            self.front.look()
        self.front.enter()
        while self.front.has_more:
            self.front.claim()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_it_says_how_long_ago_it_looked_and_how_long_that_took(place: Place) -> None:
    assert place.front.looked_for() == float("inf")
    place.front.look()
    place.now = 3.0
    assert (place.front.looked_for(), place.front.look_took) == (3.0, 0.0)


def test_what_is_claimed_queues_once_intake_has_spoken(place: Place) -> None:
    fill(place.inbox, "a/content.jpg", "a/style.jpg")
    place.intake.silent = True
    place.take()
    assert place.front.is_looking
    assert place.front.untaken() == ("a",)
    assert place.front.hear() == []
    place.intake.silent = False
    (job,) = place.front.hear()
    assert place.state.ledger.find(job) is not None
    assert (place.front.is_looking, place.front.untaken()) == (False, ())


def test_what_was_being_looked_at_is_looked_at_again_after_a_start(place: Place) -> None:
    fill(place.inbox, "a/content.jpg", "a/style.jpg")
    place.intake.silent = True
    place.take()
    place.intake = Nodding()
    place.front = place.started()
    assert place.front.untaken() == ("a",)
    place.front.hear()
    assert len(place.front.hear()) == 1


def test_inboxes_are_claimed_in_turn(place: Place) -> None:
    fill(place.inbox, *(f"{n}/{half}.jpg" for n in range(40) for half in ("content", "style")))
    fill(place.other, "mine/content.jpg", "mine/style.jpg")
    place.intake.silent = True
    for _ in range(2):
        place.front.look()
    place.front.enter()
    place.front.claim()
    (entry,) = (
        one for one in map(place.state.ledger.find, ids(place)) if one and one.name == "mine"
    )
    assert entry.inbox == str(place.other)


def ids(place: Place) -> list[str]:
    return [one.job for one in place.intake.asked]


def test_the_end_of_a_picture_is_awaited_where_it_lies(place: Place) -> None:
    place.intake.says = {"a/content": "cut off"}
    fill(place.inbox, "a/content.jpg", "a/style.jpg")
    place.take()
    place.front.hear()
    assert (place.front.settled, place.front.awaits_rest) == (False, True)
    assert (place.inbox / "a/content.jpg").exists()


def test_of_an_inbox_that_is_gone_from_the_settings_nothing_is_taken(place: Place) -> None:
    fill(place.other, "a/content.jpg", "a/style.jpg")
    for _ in range(2):
        place.front.look()
    place.front.enter()
    place.front.renew(
        make_settings(place.settings.inboxes[:1], place.settings.state.path, quiet_s=0)
    )
    assert place.state.ledger.counts()["waiting"] == 0
    assert not place.front.has_more
