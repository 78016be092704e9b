"""The ledger tells any process how every job stands, while the daemon writes."""

import os
from pathlib import Path
from typing import Any

import pytest

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.store.journal import Attempt
from stylewatch_daemon.store.ledger import Entry, reading
from stylewatch_daemon.store.ledger_turns import Held
from stylewatch_daemon.store.ledger_writer import LedgerWriter


def entry(job_id: str, **more: Any) -> Entry:
    values = {"name": "a", "inbox": "/in", "outbox": "/out", "state": "queued", "entered": "then",
              "inputs": ({"name": "content.jpg", "size": 7},), "bytes": 7}  # fmt: skip
    return Entry(job_id, **{**values, **more})


@pytest.fixture
def ledger(tmp_path: Path) -> LedgerWriter:
    return LedgerWriter.open(tmp_path / "ledger.sqlite3")


def test_another_process_reads_what_was_written_and_cannot_write(ledger: LedgerWriter) -> None:
    made = entry("1", reason="why", settings={"steps": 3}, place="b")
    ledger.enter([made])
    with reading(ledger.path) as read:
        assert read.find("1") == made
        with pytest.raises(OutputError, match="readonly"):
            read._rows("DELETE FROM jobs")


def test_there_must_be_a_ledger_to_read(tmp_path: Path) -> None:
    told = r"the ledger .*none\.sqlite3 cannot be used"
    with pytest.raises(OutputError, match=told), reading(tmp_path / "none.sqlite3"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_all_digests_that_are_known_are_told_once(ledger: LedgerWriter) -> None:
    inputs = ({"name": "a", "sha256": "12ab"}, {"name": "b"}, {"name": "c", "sha256": "34cd"})
    ledger.enter([entry("1", inputs=inputs), entry("2", inputs=inputs[:1]), entry("3")])
    assert ledger.digests() == {"12ab", "34cd"}


def test_whether_a_file_was_used_in_a_folder_is_known(ledger: LedgerWriter) -> None:
    style, odd = Path("/in/waves/style.jpg"), Path(os.fsdecode(b"/in/\xe9/style.jpg"))
    for job_id, name, source in (("1", "waves/sea", style), ("2", "\ufffd/sea", odd)):
        ledger.enter([entry(job_id, name=name, inputs=({"source": str(source)},), state="done")])
    assert ledger.has_used("/in", "waves", style)
    assert ledger.has_used("/in", "", style)
    assert ledger.has_used("/in", "\ufffd", odd)
    assert not ledger.has_used("/other", "waves", style)
    assert not ledger.has_used("/in", "wave", style)
    assert not ledger.has_used("/in", "waves", Path("/in/waves/style-2.jpg"))


def test_whether_a_file_was_used_is_found_by_an_index(ledger: LedgerWriter) -> None:
    asked: list[str] = []
    ledger._connection.set_trace_callback(asked.append)
    ledger.has_used("/in", "waves", Path("/in/waves/style.jpg"))
    ledger._connection.set_trace_callback(None)
    (plan,) = ledger._rows(f"EXPLAIN QUERY PLAN {asked[0]}")
    assert "jobs_by_name (name>? AND name<?)" in plan["detail"]


def test_every_state_is_counted_as_a_person_would(ledger: LedgerWriter) -> None:
    states = ("claimed", "queued", "running", "ending", "failing", "done", "refused", "cancelled")
    ledger.enter(entry(state, state=state) for state in states)
    assert ledger.counts() == {
        "waiting": 2, "running": 2, "done": 1, "refused": 1, "failed": 1, "cancelled": 1
    }  # fmt: skip


def test_a_job_is_found_by_id_by_its_place_and_by_its_name_the_latest_first(
    ledger: LedgerWriter,
) -> None:
    ledger.enter([entry("1", place="a"), entry("2", place="a-2"), entry("3", name="x")])
    found = [ledger.find(job) for job in ("1", "a", "a-2", "x", "nothing")]
    assert [one and one.id for one in found] == ["1", "1", "2", "3", None]


def test_a_job_of_a_flat_album_is_found_by_its_painting_too(ledger: LedgerWriter) -> None:
    ledger.enter([entry("1", place="_jobs/waves/sea")])
    found = [ledger.find(job) for job in ("waves/sea", "_jobs/waves/sea", "sea")]
    assert [one and one.id for one in found] == ["1", "1", None]


@pytest.mark.parametrize("query", ["waiting", "waiting_count", "heads", "alike", "undismissed"])
def test_what_is_asked_all_the_time_is_found_without_looking_at_every_job(
    query: str, ledger: LedgerWriter
) -> None:
    ledger.enter([entry("1", shape="s")])
    asked: list[str] = []
    ledger._connection.set_trace_callback(asked.append)
    every = {
        "waiting": ("/out", 5),
        "heads": (Held(),),
        "alike": ("s", Held(), 5),
        "undismissed": (5,),
    }
    arguments = every.get(query, ())
    getattr(ledger, query)(*arguments)
    ledger._connection.set_trace_callback(None)
    plans = [row[3] for one in asked for row in ledger._rows(f"EXPLAIN QUERY PLAN {one}")]
    assert asked
    assert not [plan for plan in plans if "SCAN jobs" in plan or "TEMP B-TREE" in plan]


def test_the_story_of_a_job_is_told_in_its_order(ledger: LedgerWriter) -> None:
    story = (Attempt("then", how="failed", pid=7), Attempt("later", boot="b", step=3))
    ledger.enter([entry("1")])
    ledger.write_attempts("1", story)
    assert ledger.story("1") == story


def test_the_latest_come_first(ledger: LedgerWriter) -> None:
    ledger.enter(entry(job_id) for job_id in "1234")
    for job_id, state in (("3", "failed"), ("1", "refused"), ("2", "done")):
        ledger.change(job_id, state=state)
        ledger.change(job_id, finished=f"at {'312'.index(job_id)}")
    assert [one.id for one in ledger.latest("refused", "failed", limit=9)] == ["1", "3"]
    assert [one.id for one in ledger.latest("refused", "failed", limit=1)] == ["1"]


def test_what_waits_for_an_outbox_is_named_in_part_and_counted(ledger: LedgerWriter) -> None:
    ledger.enter(entry(job_id, place=f"p{job_id}") for job_id in "123")
    ledger.enter([entry("4", outbox="/far"), entry("5", state="running")])
    assert ledger.waiting("/out", 2) == ({"1": "p1", "2": "p2"}, 3)
    assert ledger.waiting_count() == 4
    assert list(ledger.open_jobs()) == ["1", "2", "3", "4", "5"]


def test_jobs_at_their_end_come_the_last_first_from_any_place_on(ledger: LedgerWriter) -> None:
    ledger.enter(
        entry(str(n), state=("done", "failed")[n % 2], finished=f"2026-01-0{1 + n // 3}")
        for n in range(9)
    )
    ledger.enter([entry("open"), entry("gone", state="cancelled", finished="2027")])
    first = ledger.ended(("done", "failed"), 4)
    assert [one.id for one in first] == ["8", "7", "6", "5"]
    last = first[-1]
    rest = ledger.ended(("done", "failed"), 9, (str(last.finished), last.id))
    assert [one.id for one in rest] == ["4", "3", "2", "1", "0"]
    assert [one.id for one in ledger.ended(("failed",), 2, ("2026-01-03", "7"))] == ["5", "3"]


def test_a_page_of_jobs_at_their_end_is_found_by_an_index(ledger: LedgerWriter) -> None:
    asked: list[str] = []
    ledger._connection.set_trace_callback(asked.append)
    ledger.ended(("done",), 24, ("2026", "5"))
    ledger._connection.set_trace_callback(None)
    (plan,) = ledger._rows(f"EXPLAIN QUERY PLAN {asked[-1]}")[:1]
    assert "USING INDEX jobs_by_state (state=? AND finished<?)" in plan["detail"]


def test_what_was_done_since_is_counted(ledger: LedgerWriter) -> None:
    ledger.enter(entry(str(n), state="done", finished=f"2026-01-0{n}") for n in range(1, 5))
    ledger.enter([entry("no", state="failed", finished="2026-01-04")])
    assert ledger.done_since("2026-01-03") == 2
