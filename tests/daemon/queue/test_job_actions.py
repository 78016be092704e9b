"""What people ask of a job is written down, and done at once where it waits."""

from pathlib import Path

import pytest
from tests.daemon.cli.states import entry
from tests.daemon.faults import fill, take
from tests.daemon.lookers import Nodding
from tests.daemon.painters import Painter, go_on
from tests.daemon.settings_made import make_inbox, make_settings

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.ingest.claim import Terms
from stylewatch_daemon.ingest.pairing import pair
from stylewatch_daemon.ingest.scan import scan
from stylewatch_daemon.processes.wakeup import Bell
from stylewatch_daemon.queue.job_actions import Asked
from stylewatch_daemon.service.pipeline import Line
from stylewatch_daemon.store.journal import Attempt, JobState
from stylewatch_daemon.store.state import State


class Place:
    """A state folder with one job, and what was asked of it."""

    def __init__(self, root: Path) -> None:
        self.state, self.running, self.ended = State(root / "state"), set[str](), list[str]()
        self.told: list[list[str]] = []
        self.state.make()
        fill(root / "in", "job/content.jpg", "job/style.jpg")
        files = scan(root / "in").files
        (one,) = pair(root / "in", files, {}).complete
        take(self.state, one, files, Terms(root / "in", root / "out", "archive"), "1")
        self.asked = Asked(
            self.state,
            Reporter(),
            lambda: self.running,
            lambda job: self.ended.append(job.id),
            lambda: self.told.append([one.id for one in self.state.ledger.undismissed(9)]),
        )

    @property
    def wish(self) -> str:
        return self.state.ledger.wish("1")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_job_that_waits_is_ended_at_once(place: Place) -> None:
    place.asked.cancel("1")
    assert (place.wish, place.ended) == ("cancel", ["1"])


def test_the_worker_of_a_job_that_is_painted_is_to_end_it(place: Place) -> None:
    place.running = {"1"}
    place.asked.cancel("1")
    place.asked.cancel("1")
    assert (place.wish, place.ended) == ("cancel", [])


def test_a_job_that_is_being_claimed_keeps_the_wish(place: Place) -> None:
    place.state.ledger.change("1", state="claimed")
    (place.state.jobs / "1").rename(place.state.claims / "1")
    place.asked.cancel("1")
    assert (place.wish, place.ended) == ("cancel", [])
    entry = place.state.ledger.find("1")
    assert entry is not None
    place.state.ledger.enter([entry])
    assert place.wish == "cancel"


def test_a_job_that_is_being_looked_at_keeps_the_wish(place: Place) -> None:
    place.state.ledger.change("1", state="claimed")
    place.asked.cancel("1")
    assert (place.wish, place.ended) == ("cancel", [])


@pytest.mark.parametrize("state", ["done", "refused", "failed", "cancelled"])
def test_what_is_at_its_end_stays_as_it_is(place: Place, state: JobState) -> None:
    place.state.ledger.change("1", state=state)
    place.asked.cancel("1")
    assert (place.wish, place.ended) == ("", [])


def test_only_what_was_begun_can_be_finished(place: Place) -> None:
    place.asked.finish("1")
    assert place.wish == ""
    place.state.ledger.write_attempts("1", (Attempt("2026-01-01T00:00:00+00:00"),))
    place.asked.finish("1")
    assert place.wish == "finish"


def test_what_is_cancelled_is_not_finished(place: Place) -> None:
    place.state.ledger.write_attempts("1", (Attempt("2026-01-01T00:00:00+00:00"),))
    place.asked.cancel("1")
    place.asked.finish("1")
    assert place.wish == "cancel"


@pytest.mark.parametrize("state", ["refused", "failed"])
def test_what_came_to_a_bad_end_is_dismissed_from_the_status_and_stays_in_the_ledger(
    place: Place, state: JobState
) -> None:
    place.state.ledger.change("1", state=state)
    for _ in range(2):  # a request may be acted on twice
        place.asked.dismiss(["1"])
    entry = place.state.ledger.find("job")
    assert entry is not None and (entry.state, entry.dismissed) == (state, True)
    assert place.told == [[], []]


@pytest.mark.parametrize("state", ["queued", "done", "cancelled"])
def test_nothing_else_is_dismissed(place: Place, state: JobState) -> None:
    place.state.ledger.change("1", state=state)
    place.asked.dismiss(["1"], until="9999")
    entry = place.state.ledger.find("1")
    assert entry is not None and not entry.dismissed


def test_all_is_what_had_ended_when_it_was_asked_for(place: Place) -> None:
    for name, day in (("2", "02"), ("3", "03")):
        at = f"2026-01-{day}T00:00:00+00:00"
        place.state.ledger.enter([entry(name, "refused", finished=at)])
    place.asked.dismiss(until="2026-01-02T00:00:00+00:00")
    assert [one.name for one in place.state.ledger.undismissed(9)] == ["3"]


def test_a_job_that_there_is_not_any_more_is_no_error(place: Place) -> None:
    place.asked.cancel("2")
    place.asked.cancel("job")  # a name may be that of another one by now
    place.asked.finish("2")
    place.asked.dismiss(["2", "job"])
    assert (place.wish, place.ended) == ("", [])


@pytest.mark.parametrize("comes", ["a reload", "a restart"])
def test_a_job_that_is_cancelled_while_it_is_claimed_stays_so(tmp_path: Path, comes: str) -> None:
    fill(tmp_path / "in", "a/content.jpg", "a/style.jpg", "b/content.jpg", "b/style.jpg")
    inboxes = (make_inbox(tmp_path / "in", tmp_path / "out"),)
    settings = make_settings(inboxes, tmp_path / "state", quiet_s=0)
    state = State(settings.state.path)
    state.make()
    line = Line(settings, state, Painter(), Reporter(), Bell(), Nodding())
    line.look()
    line.look()
    line.front.inboxes[0].enter()
    _, unwanted = state.ledger.claimed(str(tmp_path / "in"))
    line.control.acts["cancel"](unwanted.id)
    if comes == "a reload":
        line.renew(settings)
    else:
        line = Line(settings, state, Painter(), Reporter(), Bell(), Nodding())
    for _ in range(2):
        line.look()
        line.take()
    go_on(line)
    ends = {one.name: one.state for one in state.ledger.latest("done", "cancelled", limit=9)}
    assert ends == {"a": "done", unwanted.name: "cancelled"}
