"""How the line stands is told in each outbox, and for all of them to programs."""

from pathlib import Path
from typing import Any

import pytest
from tests.daemon.cli.states import entry
from tests.daemon.settings_made import make_inbox, make_settings

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files.permissions import sharing
from stylewatch_daemon.outbox import status_json
from stylewatch_daemon.outbox.status_json import SHARE
from stylewatch_daemon.outbox.status_txt import Board, Running
from stylewatch_daemon.queue.dispatcher import Outcome
from stylewatch_daemon.service import status_updates
from stylewatch_daemon.service.status_updates import Standing, Teller
from stylewatch_daemon.store.state import State


class Place:
    """Two outboxes, and what is told in them."""

    def __init__(self, root: Path) -> None:
        self.ours, self.theirs, self.state = root / "ours", root / "theirs", State(root / "state")
        self.state.make()
        for outbox in (self.ours, self.theirs):
            outbox.mkdir()
        self.settings = make_settings(
            (make_inbox(root / "1", self.ours), make_inbox(root / "2", self.theirs)),
            root / "state",
        )
        self.now = 0.0
        self.teller = Teller(self.state, Reporter(), lambda: self.now)
        self.teller.renew(self.settings)

    def enter(self, *names: str, outbox: Path | None = None, state: Any = "queued") -> None:
        at = str(outbox or self.ours)
        more = {"outbox": at, "state": state, "reason": "so it is", "place": None}
        self.state.ledger.enter(entry(name, **more) for name in names)

    def tell(self, **running: tuple[Path, Running]) -> None:
        self.teller.tell(Standing([], running, [Outcome("paused", "x", "no disk")], paused=False))

    def said(self, outbox: Path) -> str:
        return (outbox / "_status.txt").read_text()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_each_outbox_is_told_what_concerns_it(place: Place) -> None:
    place.enter("a", "b")
    place.enter("c", outbox=place.theirs)
    place.tell(**{"id-b": (place.ours, Running("b", 3, 50, 0.25))})
    assert "Painting:\n  b: step 3 of 50, loss 0.25\n" in place.said(place.ours)
    assert "Waiting their turn:\n  a\n" in place.said(place.ours)
    assert "Waiting their turn:\n  c\n" in place.said(place.theirs)
    assert "Painting" not in place.said(place.theirs)


def test_programs_are_told_of_all_of_them(place: Place) -> None:
    place.enter("a")
    place.enter("c", outbox=place.theirs)
    place.tell(**{f"id-{n}": (place.ours, Running(n)) for n in "xy"})
    told = status_json.read(place.state.root) or {}
    assert [one["job"] for one in told["running"]] == ["x", "y"]
    assert told["waiting"] == ["a", "c"]
    assert told["counts"]["waiting"] == 2


def test_what_is_in_the_way_and_what_was_refused_is_told(place: Place) -> None:
    place.enter("bad", state="refused")
    place.enter("worse", state="failed")
    place.tell()
    said = place.said(place.ours)
    assert "In the way:\n  x: no disk" in said
    assert "bad: so it is" in said
    assert "worse: so it is" in said


def test_refusals_of_another_outbox_leave_room_for_ours(place: Place) -> None:
    place.enter("bad", state="refused")
    place.enter(*(f"z{number}" for number in range(30)), outbox=place.theirs, state="refused")
    place.tell()
    assert "bad: so it is" in place.said(place.ours)


def test_what_was_dismissed_is_told_no_longer_and_counted_all_the_same(place: Place) -> None:
    place.enter("bad", state="refused")
    place.enter("worse", state="failed")
    place.state.ledger.dismiss(["id-bad"])
    place.tell()
    told = status_json.read(place.state.root) or {}
    assert [one["job"] for one in told["refused"]] == ["worse"]
    assert told["counts"]["refused"] == 1
    assert "bad" not in place.said(place.ours)


def test_of_many_the_first_are_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_updates, "NAMED", 2)
    place.enter("a", "b", "c", "d")
    place.tell()
    assert "Waiting their turn:\n  a\n  b\n  ... and 2 more" in place.said(place.ours)


def test_new_settings_hold_for_what_is_told_already(place: Place) -> None:
    place.tell()
    shared = sharing("0664", None)
    place.teller.renew(
        make_settings(place.settings.inboxes, place.settings.state.path, sharing=shared)
    )
    place.tell()
    assert (place.ours / "_status.txt").stat().st_mode & 0o777 == 0o664


def test_it_is_told_again_after_a_time_which_is_longer_where_telling_takes_long(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def show(*_: object) -> None:
        place.now += 1.0

    assert place.teller.may_tell(after=0.5)
    place.tell()
    assert not place.teller.may_tell(after=0.5)
    place.now += 0.5
    assert place.teller.may_tell(after=0.5)
    monkeypatch.setattr(Board, "show", show)
    place.tell()
    place.now += 1.0
    assert not place.teller.may_tell(after=0.5)
    place.now += SHARE * 2
    assert place.teller.may_tell(after=0.5)


def test_where_the_disk_of_an_outbox_is_gone_nothing_is_told_below_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(folder: Path) -> None:
        if folder == place.ours:
            raise OutputError("it is not mounted")

    monkeypatch.setattr(place.state.moorings, "check", gone)
    place.tell()
    assert list(place.ours.iterdir()) == []
    assert place.said(place.theirs)
