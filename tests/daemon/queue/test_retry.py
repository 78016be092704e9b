"""A job that is at its end becomes a new one, once, and whatever is killed when."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.daemon.faults import fill, killed_at, tree
from tests.daemon.lookers import Nodding
from tests.daemon.painters import Painter, go_on
from tests.daemon.settings_made import make_inbox, make_settings

from stylewatch_daemon.errors import InputError, OutputError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files import atomic
from stylewatch_daemon.outbox.job_files import Input, Spot
from stylewatch_daemon.processes.wakeup import Bell
from stylewatch_daemon.service.pipeline import Line
from stylewatch_daemon.store.journal import JobState
from stylewatch_daemon.store.ledger import FILE_NAME, Entry
from stylewatch_daemon.store.state import State
from stylewatch_daemon.worker.contract import Done, Event, Order, Wanted

NEW = "20990101T000000.000000-abcdef"
STEPS = {"steps": 7}


class Honest(Painter):
    """Tells the digest that its content has."""

    def paint(self, order: Order, wanted: Callable[[], Wanted]) -> Iterator[Event]:
        for event in super().paint(order, wanted):
            if isinstance(event, Done):
                name, sha256 = order.main.name, atomic.digest(order.main)
                yield Done({"inputs": [{"name": name, "sha256": sha256}]})
            else:
                yield event


class Place:
    """An inbox with an album, and a line that has painted `album/sea`."""

    def __init__(self, root: Path, after: Any = "archive") -> None:
        self.inbox, self.outbox, self.painter = root / "in", root / "out", Honest()
        inboxes = (make_inbox(self.inbox, self.outbox, after),)
        self.settings = make_settings(inboxes, root / "state", quiet_s=0, rescan_s=1000)
        self.state = State(root / "state")
        fill(self.inbox, "album/sea.jpg", "album/style.jpg")
        self.line = self.started()
        for _ in range(2):
            self.line.look()
            self.line.take()
        self.go_on()
        (self.first,) = self.state.ledger.latest("done", limit=2)

    def started(self) -> Line:
        self.painter.close()
        self.state.close()
        self.state.make()
        self.state.tidy()
        return Line(self.settings, self.state, self.painter, Reporter(), Bell(), Nodding())

    def go_on(self) -> None:
        go_on(self.line)

    def retry(self, **more: Any) -> None:
        self.line.control.acts["retry"](self.first.id, NEW, STEPS, **more)

    def entry(self, job: str = NEW) -> Entry:
        entry = self.state.ledger.find(job)
        assert entry is not None
        return entry


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def inputs(folder: Path) -> dict[str, str]:
    return {name: text for name, text in tree(folder / "inputs").items() if name != "job.yaml"}


def test_it_is_painted_again_with_other_settings_under_the_same_name(place: Place) -> None:
    before = tree(place.outbox / "album/sea")
    place.retry()
    assert (place.entry().state, place.entry().name) == ("queued", "album/sea")
    assert place.entry().retry_of == "album/sea"
    place.go_on()
    assert (place.entry().state, place.entry().place) == ("done", "album/sea-2")
    order = place.painter.orders[-1]
    assert (order.settings.steps, order.retry_of) == (7, "album/sea")
    assert tree(place.outbox / "album/sea") == before
    again = place.outbox / "album/sea-2/inputs"
    assert yaml.safe_load((again / "job.yaml").read_text()) == STEPS
    assert set(tree(again)) == {"sea.jpg", "job.yaml"}  # the album's style is still in the inbox
    assert (place.inbox / "album/style.jpg").exists()


def test_to_ask_twice_is_to_ask_once(place: Place) -> None:
    place.retry()
    place.retry()
    place.go_on()
    place.retry()
    assert place.state.ledger.counts()["done"] == 2
    assert list(place.state.jobs.iterdir()) == list(place.state.claims.iterdir()) == []


def test_what_was_painted_again_can_be_painted_again_from_its_own_archive(place: Place) -> None:
    place.retry()
    place.go_on()
    for path in (place.outbox / "album/sea/inputs").iterdir():
        path.unlink()
    place.line.control.acts["retry"](NEW, f"{NEW}2", STEPS)
    place.go_on()
    assert place.entry(f"{NEW}2").place == "album/sea-3"
    assert place.entry(f"{NEW}2").retry_of == "album/sea-2"


@pytest.mark.parametrize("after", ["keep", "delete"])
def test_what_is_not_archived_is_not_archived_now(tmp_path: Path, after: str) -> None:
    place = Place(tmp_path, after)
    if after == "delete":
        with pytest.raises(InputError, match=r"sea\.jpg"):
            place.retry()
        assert list(place.state.claims.iterdir()) == []
        return
    place.retry()
    place.go_on()
    assert place.entry().state == "done"
    assert not (place.outbox / "album/sea-2/inputs").exists()
    assert set(tree(place.inbox)) == {"album/sea.jpg", "album/style.jpg"}
    for _ in range(2):
        place.line.look()
        place.line.take()
    assert place.line.next() is None  # and what is kept is not taken for new


def test_a_stage_is_started_from_in_place_of_another_picture(place: Place) -> None:
    fill(place.outbox, "album/sea/stages/0005.png")
    place.retry(from_stage=5)
    place.go_on()
    order = place.painter.orders[-1]
    assert order.init is not None
    assert order.init.name == "stage-0005.png"
    archived = place.outbox / "album/sea-2/inputs/stage-0005.png"
    assert archived.read_text() == "album/sea/stages/0005.png"


def test_a_name_that_is_taken_is_changed(place: Place) -> None:
    fill(place.outbox, "album/sea/stages/0005.png", "album/sea/inputs/stage-0005.png")
    first = {**place.first.inputs[0], "name": "stage-0005.png", "size": 31}
    first.pop("sha256", None)
    place.state.ledger.change(place.first.id, inputs=[first, *place.first.inputs[1:]])
    place.retry(from_stage=5)
    names = [one["name"] for one in place.entry().inputs]
    assert names == ["stage-0005.png", "style.jpg", "stage-0005-2.png", "job.yaml"]


@pytest.mark.parametrize("state", ["queued", "running", "claimed"])
def test_only_what_is_at_its_end_is_painted_again(place: Place, state: JobState) -> None:
    place.state.ledger.change(place.first.id, state=state)
    with pytest.raises(InputError, match="at its end"):
        place.retry()


@pytest.mark.parametrize("new", ["../../x", "", ".x", "a/b"])
def test_an_id_is_no_path(place: Place, new: str) -> None:
    with pytest.raises(InputError, match="no job's id"):
        place.line.control.acts["retry"](place.first.id, new, STEPS)


def test_a_picture_that_changes_while_it_is_copied_is_not_taken(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Input.find

    def found_and_changed(one: Input) -> Spot:
        spot = real(one)
        spot.path.write_text("another")
        return spot

    monkeypatch.setattr(Input, "find", found_and_changed)
    with pytest.raises(InputError, match="changed while it was being copied"):
        place.retry()
    assert place.state.ledger.counts()["waiting"] == 0


def test_an_outbox_that_is_away_is_waited_for(place: Place) -> None:
    place.outbox.rename(place.outbox.with_name("away"))
    with pytest.raises(OutputError, match="is not there"):
        place.retry()
    place.outbox.with_name("away").rename(place.outbox)
    place.retry()
    assert place.entry().state == "queued"


def test_a_ledger_that_is_full_is_told_later(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OutputError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(place.state.ledger, "enter", full)
        with pytest.raises(OutputError):
            place.retry()
    place.retry()
    place.go_on()
    assert (place.entry().state, place.entry().retry_of) == ("done", "album/sea")


def test_killed_at_any_moment_it_becomes_one_job(tmp_path: Path) -> None:
    for change in count(1):
        place = Place(tmp_path / str(change))
        before = tree(place.outbox)
        with killed_at(change) as was_killed:
            place.retry()
        place.line = place.started()
        place.retry()  # the request is still there
        place.go_on()
        assert place.state.ledger.counts()["done"] == 2, change
        assert place.entry().place == "album/sea-2", (change, place.entry())
        assert place.entry().retry_of == "album/sea", change
        assert inputs(place.outbox / "album/sea-2") == {"sea.jpg": "album/sea.jpg"}, change
        with closing(sqlite3.connect(place.state.root / FILE_NAME)) as ledger:
            assert ledger.execute("SELECT count(*) FROM kept").fetchone() == (0,), change
        kept = {name: text for name, text in tree(place.outbox).items() if "sea-2" not in name}
        kept.pop("_status.txt"), before.pop("_status.txt")
        assert kept == before, change
        assert list(place.state.jobs.iterdir()) == list(place.state.claims.iterdir()) == []
        for _ in range(2):
            place.line.look()
            place.line.take()
        assert place.line.next() is None, change
        if not was_killed():
            break
