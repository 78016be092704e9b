"""What intake says of a pair becomes of it, without processes: refused, waited for, painted."""

from pathlib import Path

import pytest
from tests.daemon.faults import fill, tree
from tests.daemon.lines import Place
from tests.daemon.settings_made import changed_settings


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_intake_refuses_is_laid_out_and_never_painted(place: Place) -> None:
    fill(place.inbox, "a/content.jpg", "a/style.jpg", "b/content.jpg", "b/style.jpg")
    place.intake.says = {"a/style": "style.jpg is no picture"}
    line = place.run()
    assert [one.kind for one in line.outcomes.values()] == ["refused", "done"]
    assert [order.name for order in place.painter.orders] == ["b"]
    assert tree(place.outbox)["_refused/a/reason.txt"] == "style.jpg is no picture\n"
    assert tree(place.inbox) == {}


def test_what_is_cut_off_is_given_back_told_and_looked_at_again_soon(place: Place) -> None:
    place.settings = changed_settings(place.settings, truncated_s=1000)
    fill(place.inbox, "a/content.jpg", "a/style.jpg")
    place.intake.says = {"a/content": "cut off"}
    line = place.run()
    assert not line.ingest.settled
    assert line.ingest.awaits_rest
    for _ in range(2):
        line.scan()
        line.enter()
    assert "a: the rest of content.jpg" in place.status
    assert len(tree(place.inbox)) == 2
    (place.inbox / "a/content.jpg").write_text("the whole of it")
    for _ in range(2):
        line.scan()
        line.enter()
    assert not line.ingest.awaits_rest
    job = line.next_job()
    assert job is not None
    assert place.state.job(job).content.read_text() == "the whole of it"


def test_what_is_being_looked_at_waits_and_is_named(place: Place) -> None:
    fill(place.inbox, "a/content.jpg", "a/style.jpg")
    line = place.line()
    place.intake.silent = True
    line.scan()
    line.scan()
    line.enter()
    assert line.ingest.is_inspecting
    assert line.next_job() is None
    assert line.not_begun == ("a",)
    assert "Waiting their turn:\n  a" in place.status
    line.apply_settings(place.settings)
    place.intake.silent = False
    assert line._queue_inspected()
    assert not line.ingest.is_inspecting
    assert line.next_job() is not None


def test_what_is_cancelled_while_it_is_looked_at_ends_at_once_even_in_a_pause(place: Place) -> None:
    fill(place.inbox, "a/content.jpg", "a/style.jpg")
    line = place.line()
    line.control.pause()
    place.intake.silent = True
    for _ in range(2):
        line.scan()
        line.enter()
    (job_id,) = place.state.ledger.ids("claimed")
    line.control.acts["cancel"](job_id)
    assert place.state.ledger.counts()["waiting"] == 1
    place.intake.silent = False
    line._queue_inspected()
    assert place.state.ledger.counts()["cancelled"] == 1
    assert tree(place.outbox)["_refused/a/reason.txt"] == "cancelled\n"
