"""The line brings every pair of an inbox to the outbox, and says how it stands."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest
from tests.daemon.faults import fill, killed_at, tree
from tests.daemon.painters import Painter

from stylewatch_daemon import job_settings
from stylewatch_daemon.bell import Bell
from stylewatch_daemon.execute.contract import Failed, Refused
from stylewatch_daemon.job import Incomplete
from stylewatch_daemon.line import Line
from stylewatch_daemon.reporter import Reporter
from stylewatch_daemon.service_settings import InboxSettings, ServiceSettings
from stylewatch_daemon.settings import JobSettings
from stylewatch_daemon.state import State


class Place:
    """An inbox, an outbox and a state folder that lines come and go on."""

    def __init__(self, root: Path) -> None:
        self.inbox, self.outbox, self.painter = root / "in", root / "out", Painter()
        inboxes = (InboxSettings(self.inbox, self.outbox),)
        self.settings = ServiceSettings(inboxes, root / "state", quiet_s=0, rescan_s=1000)
        self.state = State(root / "state")

    def line(self, reporter: Reporter | None = None) -> Line:
        """A new start of the daemon."""
        self.state.make()
        self.state.tidy()
        return Line(self.settings, self.state, self.painter, reporter or Reporter(), Bell())

    def run(self) -> Line:
        """All that lies there."""
        line = self.line()
        line.look()
        line.look()
        line.take()
        while job := line.next(again=False):
            line.paint(job, lambda: None)
        return line

    @property
    def status(self) -> str:
        return (self.outbox / "_status.txt").read_text()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_jobs_are_painted_in_the_order_they_were_taken(place: Place) -> None:
    fill(place.inbox, "b/content.jpg", "b/style.jpg", "a/content.jpg", "a/style.jpg")
    line = place.run()
    assert [one.job for one in line.outcomes.values()] == ["a", "b"]
    assert [order.name for order in place.painter.orders] == ["a", "b"]


def test_one_bad_job_does_not_stop_another(place: Place) -> None:
    fill(place.inbox, "a/content.jpg", "a/style.jpg", "b/content.jpg", "b/style.jpg")
    place.painter.endings = [Refused("no picture")]
    line = place.run()
    assert [one.kind for one in line.outcomes.values()] == ["refused", "done"]
    assert "a: no picture" in place.status


def test_what_is_incomplete_is_told_when_it_changes(tmp_path: Path) -> None:
    place, told = Place(tmp_path), []

    class Told(Reporter):
        def incomplete(self, waiting: Sequence[Incomplete]) -> None:
            told.append([one.name for one in waiting])

    fill(place.inbox, "a/content.jpg")
    line = place.line(Told())
    for _ in range(3):
        line.look()
        line.take()
    fill(place.inbox, "a/style.jpg")
    for _ in range(2):
        line.look()
        line.take()
    assert told == [["a"], ["a"], []]  # for its style, then for its style to stand still


def test_a_paused_job_has_to_wait_and_others_go_on(place: Place) -> None:
    fill(place.inbox, "a/content.jpg", "a/style.jpg", "b/content.jpg", "b/style.jpg")
    place.painter.endings = [Failed("no such backend", 69)]
    line = place.run()
    assert [one.kind for one in line.outcomes.values()] == ["paused", "done"]
    assert line.next() is None
    assert line.unbegun() == ()
    assert "In the way:\n  a: no such backend" in place.status
    assert place.run().outcomes.popitem()[1].kind == "done"


def test_the_status_tells_what_waits_and_what_runs(place: Place) -> None:
    fill(place.inbox, "a/content.jpg", "a/style.jpg", "b/content.jpg", "b/style.jpg", "lone.jpg")
    line = place.line()
    line.look()
    line.look()
    line.take()
    assert "Waiting their turn:\n  a\n  b" in place.status
    assert "lone: a style picture" in place.status
    job = line.next()
    assert job is not None
    seen: list[str] = []
    line.paint(job, lambda: seen.append(place.status))
    assert "Painting:\n  a: being prepared" in seen[0]
    assert "Waiting their turn:\n  b\n" in seen[0]
    line.tell(leaving=True)
    assert "does not run here now" in place.status


def test_a_name_that_is_taken_gets_a_number(place: Place) -> None:
    for _ in range(2):
        fill(place.inbox, "a/content.jpg", "a/style.jpg")
        place.run()
    receipts = [name for name in tree(place.outbox) if name.endswith("receipt.json")]
    assert sorted(receipts) == ["a-2/receipt.json", "a/receipt.json"]


def test_killed_at_any_change_of_the_whole_line_every_pair_is_painted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda handle: None)
    monkeypatch.setattr(job_settings, "settle", lambda *_: JobSettings())
    for change in count(1, 3):
        place = Place(tmp_path / str(change))
        fill(place.inbox, "album/style.jpg", "album/1.jpg", "x.content.jpg", "x.style.jpg")
        with killed_at(change) as died:
            place.run()
        place.run()
        seen = [name for name in tree(place.outbox) if name.split("/")[-1] not in ("_status.txt",)]
        painted = ["final.png", "receipt.json", "stages/1.png", "stages/2.png"]
        assert seen == sorted(
            [f"album/1/{name}" for name in ["inputs/1.jpg", *painted]]
            + [f"x/{name}" for name in ["inputs/x.content.jpg", "inputs/x.style.jpg", *painted]]
        ), f"killed at change {change}"
        assert list(tree(place.inbox)) == ["album/style.jpg"]
        if not died():
            break
