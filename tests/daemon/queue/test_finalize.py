"""Jobs whose end is settled come to it together: their files first, then the ledger, then us."""

import json
from dataclasses import replace
from itertools import count
from pathlib import Path
from sqlite3 import Connection

import pytest
from tests.daemon.faults import fill, killed_at, tree
from tests.daemon.queue.test_starting import Place

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files.atomic import digest
from stylewatch_daemon.store import ledger_writer
from stylewatch_daemon.store.journal import Journal
from stylewatch_daemon.store.state import State


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


class Told(Reporter):
    """Hears of inputs that changed."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def input_changed(self, job: str, what: str) -> None:
        self.said.append(what)


def stage_receipt(place: Place, job: Journal) -> None:
    """A receipt that names the inputs as they are now."""
    inputs = [{"name": path.name, "sha256": digest(path)} for path in place.state.pictures(job)]
    text = json.dumps({"inputs": inputs, "warnings": ["as ever"]})
    (place.outbox / ".staging" / job.id / "receipt.json").write_text(text)


def ending(place: Place, after: str) -> tuple[Journal, Path]:
    """A painted job, and its content, as a program that wrote into it has left it."""
    job = replace(place.jobs[0], after=after)
    stage_receipt(place, job)
    content = place.state.jobs / "1/files/content.jpg"
    content.write_text("what came later")
    place.closing.settled = [job]
    return job, content


@pytest.mark.parametrize("after", ["archive", "delete"])
def test_an_input_that_changed_since_it_was_read_is_kept_and_the_receipt_says_so(
    after: str, place: Place
) -> None:
    place.closing.reporter = told = Told()
    _, content = ending(place, after)
    now = digest(content)
    assert [outcome.kind for _, outcome in place.closing.close()] == ["done"]
    receipt = json.loads((place.outbox / "job-1/receipt.json").read_text())
    kept = {"inputs/content.jpg": "what came later"}
    others = {"inputs/style.jpg": "sea/style.jpg"} if after == "archive" else {}
    assert {name: text for name, text in tree(place.outbox / "job-1").items()
            if name != "receipt.json"} == kept | others  # fmt: skip
    content_, style = receipt["inputs"]
    assert content_["changed"] == {"sha256": now}
    assert "changed" not in style
    assert receipt["warnings"] == ["as ever", *told.said]
    assert told.said[0].startswith("content.jpg changed while the job ran")


@pytest.mark.parametrize("after", ["archive", "delete"])
def test_killed_at_any_change_a_changed_input_is_kept_and_noted_once(
    after: str, tmp_path: Path
) -> None:
    for change in count(1):
        place = Place(tmp_path / str(change))
        for job in place.jobs:
            fill(place.outbox / ".staging" / job.id, "receipt.json")
            (place.outbox / f"job-{job.id}").mkdir()
            place.state.save(job, state="ending", place=f"job-{job.id}")
        job, _ = ending(place, after)
        with killed_at(change) as died:
            list(place.closing.close())
        if place.state.ledger.state("1") != "done":
            place.closing.settled = [job]
            assert [outcome.kind for _, outcome in place.closing.close()] == ["done"]
        receipt = json.loads((place.outbox / "job-1/receipt.json").read_text())
        assert [("changed" in one) for one in receipt["inputs"]] == [True, False]
        assert len(receipt["warnings"]) == 2
        assert tree(place.outbox / "job-1")["inputs/content.jpg"] == "what came later"
        place.state.close()
        if not died():
            break


def test_what_stays_in_the_inbox_as_it_changed_is_in_the_receipt(place: Place) -> None:
    job = replace(place.jobs[0], changed=frozenset({"content.jpg"}))
    stage_receipt(place, job)
    place.closing.settled = [job]
    list(place.closing.close())
    receipt = json.loads((place.outbox / "job-1/receipt.json").read_text())
    assert "stays in the inbox" in receipt["warnings"][1]


def test_what_is_no_receipt_of_ours_is_published_as_it_is(place: Place) -> None:
    staged = place.outbox / ".staging/1/receipt.json"
    for text in ("[]", '{"inputs": 3}', '{"inputs": [1]}', "\0", "[" * 100_000):
        staged.parent.mkdir(exist_ok=True)
        staged.write_text(text)
        place.closing.settled = place.jobs[:1]
        place.closing.state.ledger.change("1", state="ending")
        assert place.closing._closed(place.jobs[0]).state == "done"
        assert (place.outbox / "job-1/receipt.json").read_text() == text
