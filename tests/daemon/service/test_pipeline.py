"""The line brings every pair of an inbox to the outbox, and says how it stands."""

import sqlite3
import stat
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill, killed_at, mounts, tree
from tests.daemon.lines import Place
from tests.daemon.painters import go_on
from tests.daemon.settings_made import changed_settings, make_inbox

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files.permissions import Sharing
from stylewatch_daemon.model import Incomplete
from stylewatch_daemon.outbox import status_json
from stylewatch_daemon.outbox.status_txt import HELD
from stylewatch_daemon.processes.backoff import Backoff
from stylewatch_daemon.queue import job_queue
from stylewatch_daemon.queue.dispatcher import Outcome
from stylewatch_daemon.service.pipeline import Line
from stylewatch_daemon.settings import resolve
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.store import ledger_writer
from stylewatch_daemon.store.ledger import reading
from stylewatch_daemon.worker.contract import Failed, Refused


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
    (place.inbox / "b/job.yaml").write_text("backend: other")
    place.painter.endings = [Failed("no such backend", 69)]
    line = place.run()
    assert [one.kind for one in line.outcomes.values()] == ["paused", "done"]
    assert line.next() is None
    assert line.unbegun() == ()
    assert "In the way:\n  a: no such backend" in place.status
    assert place.run().outcomes.popitem()[1].kind == "done"


def test_jobs_that_need_the_same_wait_with_the_one_that_met_it(place: Place) -> None:
    fill(place.inbox, "a/content.jpg", "a/style.jpg", "b/content.jpg", "b/style.jpg")
    place.painter.endings = [Failed("the device is gone", 69)]
    line = place.run()
    assert [one.kind for one in line.outcomes.values()] == ["paused"]
    assert line.unbegun() == ("b",)
    assert [one.kind for one in place.run().outcomes.values()] == ["done", "done"]


def test_a_job_that_crashed_lets_others_go_first(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_queue, "RETRY", Backoff(first=1000.0, most=1000.0, least=1.0))
    fill(place.inbox, "a/content.jpg", "a/style.jpg", "b/content.jpg", "b/style.jpg")
    place.painter.endings = [Failed("it broke", 70)]
    line = place.run()
    assert [one.job for one in line.outcomes.values()] == ["b"]
    assert line.unbegun() == ("a",)
    assert line.queue.crashed_for() is not None
    assert place.run().outcomes.popitem()[1] == Outcome("done", "a")


def test_one_picture_behind_many_of_another_inbox_is_next(tmp_path: Path) -> None:
    place = Place(tmp_path)
    other = make_inbox(tmp_path / "in2", place.outbox)
    place.settings = changed_settings(place.settings, inboxes=(*place.settings.inboxes, other))
    fill(place.inbox, *(f"{n}/{half}.jpg" for n in range(9) for half in ("content", "style")))
    fill(other.path, "mine/content.jpg", "mine/style.jpg")
    names = [one.job for one in place.run().outcomes.values()]
    assert names.index("mine") <= 1
    assert len(names) == 10


def test_the_ledger_knows_every_job_and_its_attempts(place: Place) -> None:
    fill(place.inbox, "a/content.jpg", "a/style.jpg", "b/content.jpg", "b/style.jpg")
    fill(place.inbox, "c/content.jpg", "c/style.jpg")
    place.painter.endings = [Refused("no picture"), Failed("no such backend", 69)]
    place.run()
    with reading(place.state.root / "ledger.sqlite3") as ledger:
        assert ledger.counts() == {
            "waiting": 2, "running": 0, "done": 0, "refused": 1, "failed": 0, "cancelled": 0
        }  # fmt: skip
        entry = ledger.find("a")
        assert entry is not None
        assert (entry.state, entry.reason) == ("refused", "no picture")
        assert [one.how for one in ledger.story(entry.id)] == ["refused"]


@pytest.mark.parametrize("after", ["archive", "keep"])
@pytest.mark.parametrize("fails", ["commit", "claim"])
def test_pairs_whose_claim_the_ledger_was_not_told_of_are_painted_once_all_the_same(
    fails: str, after: Any, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    inboxes = (make_inbox(place.inbox, place.outbox, after),)
    place.settings = changed_settings(place.settings, inboxes=inboxes, rescan_s=0)
    fill(place.inbox, "a/content.jpg", "a/style.jpg")
    line = place.line()
    line.look()
    line.look()
    for inbox in line.front.inboxes:
        inbox.enter()
    with monkeypatch.context() as full:

        def fail(*_: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        if fails == "commit":
            full.setattr(ledger_writer, "commit", fail)
        else:
            full.setattr(ledger_writer.LedgerWriter, "enter", fail)
        line.claim()
        assert line.next() is None
        line.look()
        line.take()
        assert line.next() is None
    for _ in range(3):
        line.look()
        line.take()
        go_on(line)
    assert [name for name in tree(place.outbox) if "receipt" in name] == ["a/receipt.json"]
    assert place.state.ledger.counts()["waiting"] == 0


def test_new_settings_hold_and_what_was_entered_is_entered_once(place: Place) -> None:
    fill(place.inbox, "a/content.jpg", "a/style.jpg")
    line = place.line()
    line.look()
    line.look()
    line.front.inboxes[0].enter()
    (entered,) = place.state.ledger.claimed(str(place.inbox))
    line.renew(changed_settings(place.settings, attempts=1))
    for _ in range(2):
        line.look()
        line.take()
    assert place.state.ledger.open_jobs() == {entered.id: "a"}


def test_the_status_in_the_outbox_follows_a_new_mode(place: Place) -> None:
    line = place.line()
    place.outbox.mkdir()
    line.tell()
    line.renew(changed_settings(place.settings, sharing=Sharing(0o660)))
    line.tell()
    assert stat.S_IMODE((place.outbox / "_status.txt").stat().st_mode) == 0o660


def test_the_status_tells_what_waits_and_what_runs(place: Place) -> None:
    fill(place.inbox, "a/content.jpg", "a/style.jpg", "b/content.jpg", "b/style.jpg", "lone.jpg")
    line = place.line()
    line.look()
    line.look()
    line.take()
    assert "Waiting their turn:\n  a\n  b" in place.status
    assert "lone: a style picture" in place.status
    line.fill()
    line.tell()
    assert "Painting:\n  a: being prepared" in place.status
    assert "Waiting their turn:\n  b\n" in place.status
    line.tell(leaving=True)
    assert "does not run here now" in place.status


def test_a_name_that_is_taken_gets_a_number(place: Place) -> None:
    for _ in range(2):
        fill(place.inbox, "a/content.jpg", "a/style.jpg")
        place.run()
    receipts = [name for name in tree(place.outbox) if name.endswith("receipt.json")]
    assert sorted(receipts) == ["a-2/receipt.json", "a/receipt.json"]


def test_every_step_is_published_when_it_is_time(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_json, "AT_MOST_EVERY", 0.0)
    monkeypatch.setattr(status_json, "SHARE", 0.0)
    fill(place.inbox, "a/content.jpg", "a/style.jpg")
    line = place.line()
    line.look()
    line.look()
    line.take()
    said = list[Any]()
    line.fill()
    while line.busy:
        line.publish()
        said.append((status_json.read(place.state.root) or {})["running"])
        line.hear()
        line.finish()
    assert [one["step"] for (one,) in said] == sorted(one["step"] for (one,) in said)
    losses = {(one["step"], one["loss"]) for (one,) in said if one["job"] == "a"}
    assert losses >= {(1, 1.0), (2, 0.5)}


def test_while_it_is_paused_nothing_is_begun_and_all_is_taken(place: Place) -> None:
    fill(place.inbox, "a/content.jpg", "a/style.jpg")
    line = place.line()
    line.control.pause()
    line.look()
    line.look()
    line.take()
    assert line.next() is None
    assert HELD in place.status
    assert "Waiting their turn:\n  a" in place.status
    line.control.resume()
    assert line.next() is not None


@pytest.mark.parametrize("apart", [False, True], ids=["one_mount", "three_mounts"])
def test_killed_at_any_change_of_the_whole_line_every_pair_is_painted_once(
    apart: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda handle: None)
    monkeypatch.setattr(resolve, "settle", lambda *_: JobSettings())
    for change in count(1, 3):
        place = Place(tmp_path / str(change))
        fill(place.inbox, "album/style.jpg", "album/1.jpg", "x.content.jpg", "x.style.jpg")
        roots = (place.inbox, place.outbox, place.state.root) if apart else ()
        with mounts(*roots):
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


def test_a_refusal_waits_neither_for_a_busy_worker_nor_for_the_end_of_a_pause(place: Place) -> None:
    fill(place.inbox, "long/content.jpg", "long/style.jpg")
    line = place.line()
    take_all(line)
    line.fill()
    assert place.painter.free() == 0
    line.control.pause()
    place.intake.says["no picture"] = "content.jpg is no picture"
    fill(place.inbox, "typo/content.jpg", "typo/style.jpg", "text/content.jpg", "text/style.jpg")
    (place.inbox / "typo/job.yaml").write_text("stepps: 5")
    (place.inbox / "text/content.jpg").write_text("no picture")
    take_all(line)
    line.finish()
    refused = place.outbox / "_refused"
    assert "job.yaml line 1: unknown key 'stepps'" in (refused / "typo/reason.txt").read_text()
    assert "no picture" in (refused / "text/reason.txt").read_text()
    assert place.painter.free() == 0


def test_a_refusal_that_found_the_outbox_full_is_finished_later_without_a_worker(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_queue, "PUT_OFF", Backoff(first=0.0, most=0.0))
    monkeypatch.setattr(job_queue, "PAUSE", Backoff(first=0.0, most=0.0))
    fill(place.inbox, "long/content.jpg", "long/style.jpg")
    line = place.line()
    take_all(line)
    line.fill()
    fill(place.inbox, "typo/content.jpg", "typo/style.jpg")
    (place.inbox / "typo/job.yaml").write_text("stepps: 5")
    in_the_way = place.outbox / "_refused"
    in_the_way.write_text("a file where the folder belongs")
    take_all(line)
    line.finish()
    assert [one.kind for one in line.outcomes.values()] == ["paused"]
    counts = place.state.ledger.counts()
    assert (counts["running"], counts["refused"]) == (1, 1)
    in_the_way.unlink()
    line.fill()
    line.finish()
    assert (in_the_way / "typo/reason.txt").exists()
    assert place.painter.free() == 0


def take_all(line: Line) -> None:
    """Look until all has settled, claim it and hear what intake says."""
    line.look()
    line.look()
    line.take()
    while line.claim():
        pass
