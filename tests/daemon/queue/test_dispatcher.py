"""A job comes to its one end, whatever its worker does and whenever everything is killed."""

import errno
import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill, killed_at, take, tree, waiting
from tests.daemon.painters import Ending, Painter
from tests.daemon.settings_made import make_settings

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.ingest.claim import Terms
from stylewatch_daemon.ingest.pairing import pair
from stylewatch_daemon.ingest.scan import scan
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.queue.dispatcher import Dispatcher, Outcome
from stylewatch_daemon.settings import resolve
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.store.ledger import FILE_NAME, reading
from stylewatch_daemon.store.state import State
from stylewatch_daemon.worker.contract import Failed, Lost, Refused

BROKEN = Failed("it broke", 70, "trace")
PAINTED = {
    "job/final.png": "final.png of job/content.jpg and job/style.jpg",
    "job/receipt.json": "receipt.json of job/content.jpg and job/style.jpg",
    "job/stages/1.png": "stages/1.png of job/content.jpg and job/style.jpg",
    "job/stages/2.png": "stages/2.png of job/content.jpg and job/style.jpg",
}
ARCHIVED = {f"job/inputs/{name}": f"job/{name}" for name in ("content.jpg", "style.jpg")}


class Told(Reporter):
    """Notes how tries failed; calls `on_stage` for each file that is published."""

    def __init__(self) -> None:
        self.failures: list[tuple[str, bool]] = []
        self.on_stage: Callable[[], object] = lambda: None

    def staged(self, job: str, path: Path) -> None:
        self.on_stage()

    def failed(self, job: str, reason: str, trace: str, *, for_good: bool) -> None:
        self.failures.append((trace, for_good))


class Place:
    """An inbox, an outbox and a state folder with one job, and a painter for it."""

    def __init__(self, root: Path, *endings: Ending, after: str = "archive") -> None:
        self.outbox, self.state = root / "out", State(root / "state")
        self.painter, self.told = Painter(list(endings)), Told()
        self.stopping: Callable[[], bool] = lambda: False
        self.state.make()
        fill(root / "in", "job/content.jpg", "job/style.jpg")
        files = scan(root / "in").files
        (one,) = pair(root / "in", files, {}).complete
        take(self.state, one, files, Terms(root / "in", self.outbox, after), "1")

    def asks_once_begun(self, wish: str) -> None:
        """Have someone ask this of the job when its first stage is there."""
        self.told.on_stage = lambda: self.state.ledger.change("1", wish=wish)

    def run(self, **settings: Any) -> Outcome:
        service = make_settings((), self.state.root, job=JobSettings(**settings))
        dispatcher = Dispatcher(service, self.state, self.painter, self.told, self.stopping)
        self.painter.close()  # a new start finds nobody at work
        outcome: Outcome | None = Outcome("again", "")
        while outcome is None or outcome.kind == "again":
            if outcome is not None:
                (job,) = waiting(self.state)
                *_, (_, outcome) = dispatcher.begin([[job]])
            dispatcher.ask()
            for _, came in dispatcher.hear(self.painter.heard()):
                outcome = came
            for _, came in dispatcher.close():
                outcome = came
        return outcome


def test_a_painting_is_published_with_its_inputs_and_the_receipt_last(tmp_path: Path) -> None:
    place = Place(tmp_path)
    assert place.run() == Outcome("done", "job")
    assert tree(place.outbox) == PAINTED | ARCHIVED
    assert waiting(place.state) == []
    assert [path.name for path in (place.outbox / ".staging").iterdir()] == ["trash"]


def test_the_ledger_learns_the_digests_and_keeps_the_bytes_of_the_inputs(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.run()
    with reading(place.state.root / FILE_NAME) as ledger:
        entry = ledger.find("job")
    assert entry is not None
    told = {one["name"]: one for one in entry.inputs}
    content = (place.outbox / "job/inputs/content.jpg").stat().st_size
    assert told["content.jpg"] == {
        "role": "content", "name": "content.jpg", "source": str(tmp_path / "in/job/content.jpg"),
        "size": content, "sha256": "12ab",
    }  # fmt: skip
    assert "sha256" not in told["style.jpg"]


@pytest.mark.parametrize("after", ["keep", "delete"])
def test_inputs_are_archived_only_when_they_are_to_be(after: str, tmp_path: Path) -> None:
    place = Place(tmp_path, after=after)
    place.run()
    assert tree(place.outbox) == PAINTED


def test_what_is_refused_comes_back_with_the_reason(tmp_path: Path) -> None:
    place = Place(tmp_path, Refused("content.jpg is no picture"))
    outcome = place.run()
    assert (outcome.kind, outcome.exit_code) == ("refused", 65)
    assert tree(place.outbox / "_refused") == {
        "job/content.jpg": "job/content.jpg",
        "job/style.jpg": "job/style.jpg",
        "job/reason.txt": "content.jpg is no picture\n",
    }
    assert waiting(place.state) == []


def test_a_mistake_in_the_settings_is_a_refusal_and_leaves_no_empty_folder(tmp_path: Path) -> None:
    place = Place(tmp_path)
    assert place.run(recipe="nosuch").kind == "refused"
    assert place.painter.orders == []
    assert [path.name for path in place.outbox.iterdir() if path.name[0] != "."] == ["_refused"]


def test_a_fault_is_tried_again_and_goes_on_from_the_checkpoint(tmp_path: Path) -> None:
    place = Place(tmp_path, BROKEN)
    assert place.run().kind == "done"
    assert place.painter.started_at == [0, 1]
    assert place.told.failures == [("trace", False)]
    assert tree(place.outbox) == PAINTED | ARCHIVED


def test_after_three_faults_the_job_has_failed_for_good(tmp_path: Path) -> None:
    place = Place(tmp_path, *[BROKEN] * 4)
    outcome = place.run()
    assert (outcome.kind, outcome.exit_code) == ("failed", 70)
    # The first try began at 0 and the second further on, which forgives the first.
    assert [for_good for _, for_good in place.told.failures] == [False] * 4 + [True]
    assert "it broke" in tree(place.outbox)["_refused/job/reason.txt"]
    assert waiting(place.state) == []


def test_what_is_missing_pauses_a_job_and_spends_no_attempt(tmp_path: Path) -> None:
    place = Place(tmp_path, *[Failed("no such backend", 69)] * 5)
    for _ in range(5):
        assert place.run() == Outcome("paused", "job", "no such backend", 69)
    assert place.run().kind == "done"


def test_a_full_outbox_pauses_a_job_and_spends_no_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "out")

    place = Place(tmp_path)
    for _ in range(5):
        with monkeypatch.context() as full:
            full.setattr(Outbox, "publish", fail)
            assert place.run() == Outcome("paused", "job", "out: No space left on device", 73)
            assert place.painter.going == {}
    assert place.run().kind == "done"


def test_an_outbox_that_cannot_be_written_is_found_before_the_first_step(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.outbox.write_text("in the way")
    outcome = place.run()
    assert (outcome.kind, outcome.exit_code) == ("paused", 73)
    assert place.painter.orders == []


def test_a_job_that_was_told_to_stop_goes_on_later(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.stopping = (place.outbox / "job/stages/1.png").exists
    assert place.run() == Outcome("stopped", "job")
    assert not (place.outbox / "job/receipt.json").exists()
    place.stopping = lambda: False
    assert place.run().kind == "done"
    assert place.painter.started_at == [0, 1]


def test_a_job_that_is_cancelled_on_its_way_gives_back_what_was_dropped(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.asks_once_begun("cancel")
    assert place.run() == Outcome("cancelled", "job")
    seen = tree(place.outbox)
    assert seen == {
        "_refused/job/content.jpg": "job/content.jpg",
        "_refused/job/style.jpg": "job/style.jpg",
        "_refused/job/reason.txt": "cancelled\n",
        "job/stages/1.png": PAINTED["job/stages/1.png"],
    }
    assert waiting(place.state) == []
    assert place.state.ledger.counts()["cancelled"] == 1


@pytest.mark.parametrize(
    "ending", [BROKEN, Lost("it died"), Refused("no picture"), Failed("no device", 69)]
)
def test_however_its_attempt_ends_what_is_cancelled_is_not_tried_again(
    tmp_path: Path, ending: Ending
) -> None:
    place = Place(tmp_path, ending)
    place.asks_once_begun("cancel")
    assert place.run() == Outcome("cancelled", "job")
    assert len(place.painter.orders) == 1


def test_a_job_that_is_cancelled_before_it_began_is_not_begun(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.state.ledger.change("1", wish="cancel")
    assert place.run() == Outcome("cancelled", "job")
    assert place.painter.orders == []
    assert "job" not in [path.name for path in place.outbox.iterdir()]


def test_a_job_that_is_finished_on_its_way_is_done(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.asks_once_begun("finish")
    assert place.run() == Outcome("done", "job")
    assert PAINTED.keys() - tree(place.outbox).keys() == {"job/stages/2.png"}


def test_a_worker_that_dies_while_everything_stops_is_no_fault_of_the_job(tmp_path: Path) -> None:
    place = Place(tmp_path, Lost("the worker died"))
    place.stopping = lambda: bool(place.painter.orders and not place.painter.endings)
    assert place.run().kind == "stopped"
    assert place.told.failures == []


def test_leaving_at_once_is_no_fault_of_the_job(tmp_path: Path) -> None:
    place = Place(tmp_path)
    service = make_settings((), place.state.root)
    dispatcher = Dispatcher(service, place.state, place.painter, place.told, lambda: True)
    (job,) = waiting(place.state)
    assert list(dispatcher.begin([[job]])) == [(job, None)]
    assert dispatcher.busy_with == {"1"}
    dispatcher.leave()
    assert dispatcher.busy_with == frozenset()
    assert list(dispatcher.hear(place.painter.heard())) == []
    (attempt,) = place.state.ledger.story("1")
    assert attempt.how == "stopped"


@pytest.mark.parametrize("ending", [None, Refused("no picture")], ids=["done", "refused"])
def test_killed_at_any_change_a_job_ends_once_and_whole(
    ending: Ending, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    monkeypatch.setattr(resolve, "settle", lambda *_: JobSettings())
    for change in count(1):
        place = Place(tmp_path / str(change), ending)
        with killed_at(change) as died:
            place.run()
        place.state.close()
        while waiting(place.state):
            if ending is not None and not place.painter.endings:
                place.painter.endings.append(ending)
            place.run()
        seen = tree(place.outbox)
        if ending is None:
            assert seen == PAINTED | ARCHIVED, f"killed at change {change}"
        else:
            refused = {name for name in seen if name.startswith("_refused")}
            assert len(refused) == 3, f"killed at change {change}: {refused}"
        if not died():
            break


def test_killed_at_any_change_a_job_is_cancelled_once_and_given_back_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    for change in count(1):
        place = Place(tmp_path / str(change))
        place.state.ledger.change("1", wish="cancel")
        with killed_at(change) as died:
            place.run()
        place.state.close()
        while waiting(place.state):
            place.run()
        assert place.painter.orders == []
        assert set(tree(place.outbox)) == {
            "_refused/job/content.jpg", "_refused/job/style.jpg", "_refused/job/reason.txt"
        }, f"killed at change {change}"  # fmt: skip
        assert place.state.ledger.counts()["cancelled"] == 1
        place.state.close()
        if not died():
            break
