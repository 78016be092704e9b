"""What was claimed is looked at in turns, and goes on as intake says."""

import errno
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill, mounts, tree, waiting
from tests.daemon.lookers import Nodding

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.ingest.claim import Claimer, Terms
from stylewatch_daemon.ingest.inspection.contract import CutOff
from stylewatch_daemon.ingest.inspection_queue import AHEAD, Reception
from stylewatch_daemon.ingest.pairing import pair
from stylewatch_daemon.ingest.scan import scan
from stylewatch_daemon.store import ledger_writer, transfer
from stylewatch_daemon.store.journal import File, Journal
from stylewatch_daemon.store.state import State, entry_of

MOST = 1000


class Place(Reporter):
    """Inboxes with pairs, that are claimed, and looked at as far as `intake` says so."""

    def __init__(self, root: Path) -> None:
        self.root, self.state, self.intake = root, State(root / "state"), Nodding()
        self.state.make()
        self.claimer = Claimer(self.state)
        self.awaited: list[str] = []
        self.told: list[str] = []
        self.reception = Reception(
            self.claimer, self.intake, self, self.await_rest, lambda job_file: None
        )

    def await_rest(self, job: Journal, file: File) -> None:
        self.awaited.append(f"{job.name}: {file.name}")

    def paused(self, what: str, reason: str) -> None:
        self.told.append(what)

    def claim(self, inbox: str, *jobs: str, after: Any = "archive", for_good: bool = False) -> None:
        """Claim pairs of an inbox, and have them looked at."""
        for job in jobs:
            fill(self.root / inbox, f"{job}/content.jpg", f"{job}/style.jpg")
        files = scan(self.root / inbox).files
        terms = Terms(self.root / inbox, self.root / "out", after)
        for one in pair(self.root / inbox, files, {}).complete:
            held = self.claimer.take(one, files, terms, f"{inbox}-{one.name}")
            assert held is not None
            self.state.ledger.enter([entry_of(held)])
            self.reception.receive(held, for_good=for_good)
        self.reception.ask(MOST)

    @property
    def states(self) -> dict[str, str]:
        """How each job stands, by its id."""
        held = dict.fromkeys(self.claimer.held, "held")
        return held | {job.id: job.state for job in waiting(self.state)}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_is_fine_queues_and_the_ledger_knows_its_pictures(place: Place) -> None:
    place.claim("in", "a")
    assert place.states == {"in-a": "held"}
    assert place.reception.is_waiting
    assert place.reception.hear() == ["in-a"]
    assert place.states == {"in-a": "queued"}
    entry = place.state.ledger.find("in-a")
    assert entry is not None
    assert [(one["name"], one["pixels"], len(one["sha256"])) for one in entry.inputs] == [
        ("content.jpg", [4, 4], 64), ("style.jpg", [4, 4], 64)
    ]  # fmt: skip
    assert place.state.job(place.state.load("in-a")).size == (4, 4)
    assert not place.reception.is_waiting
    assert not place.reception.hear()


def test_all_but_the_settings_is_looked_at_with_the_limit(place: Place) -> None:
    fill(place.root / "in", "a/job.yaml", "a/init.png", "a/content.mask.png")
    place.claim("in", "a")
    (asked,) = place.intake.asked
    assert {path.name for path in asked.files} == {
        "content.jpg", "style.jpg", "init.png", "content.mask.png"
    }  # fmt: skip
    assert (asked.max_pixels, asked.thumbs) == (MOST, place.state.thumbs)
    assert asked.roles == ("content", "style", "init", "content-mask")
    assert asked.growing == asked.files


def test_what_is_refused_is_ours_to_lay_out_with_the_reason(place: Place) -> None:
    place.intake.says = {"a/style": "no picture"}
    with mounts(place.root / "in", place.state.root):
        place.claim("in", "a")
        assert len(tree(place.root / "in")) == 2
        place.reception.hear()
    (job,) = waiting(place.state)
    assert (job.state, job.reason) == ("refusing", "no picture")
    assert tree(place.root / "in") == {}


@pytest.mark.parametrize("apart", [False, True], ids=["one_mount", "two_mounts"])
def test_what_is_cut_off_is_given_back_and_waited_for(apart: bool, place: Place) -> None:
    place.intake.says = {"a/content": "cut off"}
    with mounts(*([place.root / "in", place.state.root] if apart else [])):
        place.claim("in", "a")
        place.reception.hear()
    assert sorted(tree(place.root / "in")) == ["a/content.jpg", "a/style.jpg"]
    assert place.awaited == ["a: content.jpg"]
    assert place.claimer.held == {}
    assert place.state.ledger.counts()["waiting"] == 0
    assert list(place.state.jobs.iterdir()) == list(place.state.claims.iterdir()) == []


def test_what_is_cut_off_for_good_or_cancelled_is_given_back_to_nobody(place: Place) -> None:
    place.intake.says = {"a/content": "cut off", "b/content": "cut off"}
    place.claim("in", "a", for_good=True)
    place.claim("in", "b")
    place.state.ledger.change("in-b", wish="cancel")
    assert place.intake.asked[0].growing == ()
    place.reception.hear()
    assert place.states == {"in-a": "refusing", "in-b": "refusing"}
    assert place.awaited == []


def test_a_file_that_the_job_does_not_have_is_not_waited_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.claim("in", "a")
    made_up = CutOff("in-a", "made up.jpg", "it ends too early")
    monkeypatch.setattr(place.intake, "verdicts", lambda: [made_up])
    place.reception.hear()
    assert (place.states, place.awaited) == ({"in-a": "refusing"}, [])


def test_nobody_waits_for_the_rest_of_a_style_in_the_library(place: Place) -> None:
    fill(place.root, "styles/wave.jpg", "in/photo.jpg")
    place.intake.says = {"styles/wave": "cut off"}
    files = scan(place.root / "in").files
    (one,) = pair(place.root / "in", files, {"wave": place.root / "styles/wave.jpg"}).complete
    terms = Terms(place.root / "in", place.root / "out", "archive")
    journal = place.claimer.take(one, files, terms, "1")
    assert journal is not None
    place.reception.receive(journal)
    place.reception.ask(MOST)
    assert [path.name for path in place.intake.asked[0].growing] == ["photo.jpg"]
    place.reception.hear()
    assert (place.states, place.awaited) == ({"1": "refusing"}, [])
    assert tree(place.root / "styles") == {"wave.jpg": "styles/wave.jpg"}


def test_what_has_no_way_back_is_refused_with_the_reason(place: Place) -> None:
    place.intake.says = {"a/content": "cut off"}
    place.claim("in", "a")
    (place.root / "in/a").rmdir()
    place.reception.hear()
    (job,) = waiting(place.state)
    assert (job.state, job.reason) == ("refusing", "content.jpg is cut off")
    assert (place.awaited, place.claimer.held) == ([], {})


def test_what_cannot_be_given_back_now_is_later_and_stops_no_other(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.intake.says = {"a/content": "cut off"}
    place.claim("in", "a", "b")

    def unplugged(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as faulty:
        faulty.setattr(transfer, "put_back", unplugged)
        place.reception.hear()
        assert place.states == {"in-a": "held", "in-b": "queued"}
        assert place.told == ["a"]
        place.reception.hear()
        assert place.told == ["a"]
        assert not place.reception.is_waiting
    place.reception.go_on()
    place.reception.hear()
    assert place.awaited == ["a: content.jpg"]
    assert place.states == {"in-b": "queued"}


def test_what_the_ledger_could_not_be_told_it_is_told_later(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.intake.says = {"b/content": "cut off"}
    place.claim("in", "a", "b")

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as faulty:
        faulty.setattr(ledger_writer, "commit", full)
        for _ in range(2):
            with pytest.raises(OutputError):
                place.reception.hear()
        assert len(place.claimer.held) == 2
        assert not place.reception.is_waiting
    place.claim("more", *(f"job{number:03}" for number in range(AHEAD)))
    assert len(place.intake.asked) == AHEAD
    place.reception.hear()
    assert place.states["in-a"] == "queued"
    assert place.awaited[-1] == "b: content.jpg"


def test_few_questions_are_out_at_a_time_and_inboxes_take_turns(place: Place) -> None:
    place.intake.silent = True
    place.claim("in", *(f"job{number:03}" for number in range(AHEAD + 5)))
    place.claim("other", "mine", "too")
    assert len(place.intake.asked) == AHEAD
    assert not place.reception.has_room(place.root / "in")
    assert place.reception.has_room(place.root / "third")
    place.intake.silent = False
    place.reception.hear()
    place.reception.ask(MOST)
    names = [one.job for one in place.intake.asked[AHEAD:]]
    assert names[:4] == ["in-job016", "other-mine", "in-job017", "other-too"]
    assert place.reception.has_room(place.root / "in")
