"""Jobs whose end is settled come to it together: their files first, then the ledger, then us."""

from pathlib import Path
from sqlite3 import Connection

import pytest
from tests.daemon.faults import fill
from tests.daemon.test_starting import Place

from stylewatch_daemon import ledger_writer
from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.state import State


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Two jobs that are painted, their receipts staged."""
    place = Place(tmp_path)
    for job in place.jobs:
        fill(place.outbox / ".staging" / job.id, "receipt.json")
        (place.outbox / f"job-{job.id}").mkdir()
        place.closing.settled.append(place.state.save(job, state="ending", place=f"job-{job.id}"))
    return place


def here(place: Place) -> list[str]:
    """The jobs whose files are in the state folder."""
    return sorted(one.name for one in place.state.jobs.iterdir())


def test_several_are_done_by_one_commit_and_forgotten_after_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, commit = list[list[str]](), ledger_writer.commit

    def committed(connection: Connection) -> None:
        seen.append(here(place))
        commit(connection)

    monkeypatch.setattr(ledger_writer, "commit", committed)
    outcomes = [outcome for _, outcome in place.closing.close()]
    assert [(one.kind, one.job) for one in outcomes] == [("done", "job-1"), ("done", "job-2")]
    assert seen == [["1", "2"]]
    assert here(place) == []
    assert len(list(place.outbox.glob("job-*/receipt.json"))) == 2
    assert place.closing.settled == []


def test_where_the_ledger_cannot_be_told_they_wait_and_are_done_later(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OutputError("the ledger cannot be used")

    with monkeypatch.context() as patch:
        patch.setattr(State, "finish", full)
        assert [outcome.kind for _, outcome in place.closing.close()] == ["paused", "paused"]
    assert here(place) == ["1", "2"]
    place.closing.settled += place.jobs
    assert [outcome.kind for _, outcome in place.closing.close()] == ["done", "done"]
    assert here(place) == []


def test_one_that_cannot_be_published_stops_no_other(place: Place) -> None:
    (place.outbox / ".staging/1/receipt.json").unlink()
    assert {job.id: outcome.kind for job, outcome in place.closing.close()} == {
        "1": "paused", "2": "done"
    }  # fmt: skip
    assert here(place) == ["1"]


def test_what_is_not_settled_after_all_is_dropped(place: Place) -> None:
    place.closing.drop({"1"})
    assert [job.id for job, _ in place.closing.close()] == ["2"]
