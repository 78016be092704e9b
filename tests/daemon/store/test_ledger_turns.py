"""Whose turn it is among the jobs in the ledger."""

from pathlib import Path

import pytest
from tests.daemon.store.test_ledger import entry

from stylewatch_daemon.store.journal import Attempt
from stylewatch_daemon.store.ledger_turns import Held
from stylewatch_daemon.store.ledger_writer import LedgerWriter


@pytest.fixture
def ledger(tmp_path: Path) -> LedgerWriter:
    return LedgerWriter.open(tmp_path / "ledger.sqlite3")


def test_the_next_of_an_inbox_is_the_highest_and_of_these_the_first(ledger: LedgerWriter) -> None:
    ledger.enter([entry("1"), entry("2", priority=5), entry("3", priority=5)])
    ledger.enter(
        [entry("4", inbox="/other"), entry("0", state="claimed"), entry("9", state="done")]
    )
    assert ledger.heads(Held()) == {"/in": ["2"], "/other": ["4"]}
    assert ledger.heads(Held(jobs=["2", "3"])) == {"/in": ["1"], "/other": ["4"]}
    ledger.change("4", needs="gpu")
    assert ledger.heads(Held(jobs=["4"])) == ledger.heads(Held(needs=["gpu"])) == {"/in": ["2"]}
    assert ledger.heads(Held(outboxes=["/out"])) == {}


def test_those_that_were_begun_are_told_apart_and_have_their_turn(ledger: LedgerWriter) -> None:
    ledger.enter([entry("1"), entry("2"), entry("3", priority=5)])
    ledger.change("1", state="ending")
    ledger.change("3", state="running")
    assert ledger.heads(Held()) == {"/in": ["2"]}
    assert ledger.heads(Held(), begun=["1", "9"]) == {"/in": ["1"]}
    assert ledger.heads(Held(), begun=["1", "3"]) == {"/in": ["3"]}
    assert ledger.heads(Held(jobs=["3"]), begun=["1", "3"]) == {"/in": ["1"]}
    ledger.change("1", state="done")
    assert ledger.heads(Held(), begun=["1"]) == {"/in": ["2"]}


def test_what_is_wished_of_jobs_is_told_until_their_ends(ledger: LedgerWriter) -> None:
    ledger.enter(entry(job_id) for job_id in "123")
    ledger.change("1", wish="cancel", state="cancelled")
    ledger.change("2", wish="finish", state="running")
    assert ledger.wishes() == {"2": "finish"}


def test_a_folder_is_reserved_by_a_job_that_is_not_at_its_end(ledger: LedgerWriter) -> None:
    ledger.enter([entry("1", place="sea"), entry("2", place="_jobs/flat/a")])
    ledger.enter([entry("3", place="over", state="done")])
    asked = ("sea", "_jobs/sea", "_jobs/flat/a", "flat/a", "over", "other")
    assert [ledger.is_reserved(one, "/out") for one in asked] == [True] * 4 + [False] * 2
    assert not ledger.is_reserved("sea", "/elsewhere")


def test_those_alike_that_nothing_was_tried_with_are_told_by_inbox_in_their_turn(
    ledger: LedgerWriter,
) -> None:
    ledger.enter(entry(job_id, shape="s") for job_id in "123456")
    ledger.enter([entry("0", inbox="/b", outbox="/far", shape="s"), entry("9", shape="t")])
    ledger.change("2", state="running")
    ledger.change("3", wish="finish")
    ledger.write_attempts("4", (Attempt("then", how="stopped"),))
    ledger.change("5", priority=-1)
    assert ledger.alike("s", Held(), 9) == {"/in": ["1", "6"], "/b": ["0"]}
    assert ledger.alike("s", Held(jobs=["1"], outboxes=["/far"]), 1) == {"/in": ["6"]}
    ledger.change("1", state="done")
    assert ledger.alike("t", Held(needs=["gpu"]), 9) == {"/in": ["9"]}
