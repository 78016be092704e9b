"""The counts that are kept are those that counting would come to, whatever is changed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.daemon.store.test_ledger import entry

from stylewatch_daemon.store.ledger_counts import COUNTED, TABLE
from stylewatch_daemon.store.ledger_writer import LedgerWriter


@pytest.fixture
def ledger(tmp_path: Path) -> LedgerWriter:
    ledger = LedgerWriter.open(tmp_path / "ledger.sqlite3")
    ledger.enter([entry("1"), entry("2", state="claimed"), entry("3", state="done"),
                  entry("4", inbox="/other"), entry("5", outbox="/there"),
                  entry("6", state="done", finished="2000")])  # fmt: skip
    return ledger


def both(ledger: LedgerWriter) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """What was kept, and what is counted now."""
    kept, counted = (
        [
            tuple(row)
            for row in ledger._rows(f"SELECT * FROM {one} WHERE count > 0 ORDER BY 1, 2, 3")
        ]
        for one in (TABLE, COUNTED)
    )
    return kept, counted


CHANGES: dict[str, Callable[[LedgerWriter], object]] = {
    "nothing": lambda ledger: None,
    "a state": lambda ledger: ledger.change("1", state="running"),
    "something else": lambda ledger: ledger.change("1", reason="why"),
    "entered anew": lambda ledger: ledger.enter([entry("1", state="done", outbox="/there")]),
    "withdrawn": lambda ledger: ledger.withdraw(["2"]),
    "expired": lambda ledger: ledger.expire("9999"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_is_counted(name: str, ledger: LedgerWriter) -> None:
    CHANGES[name](ledger)
    kept, counted = both(ledger)
    assert kept == counted


def test_what_is_undone_is_not_counted(ledger: LedgerWriter) -> None:
    before = both(ledger)
    with pytest.raises(ValueError, match="CHECK"), ledger.together():
        ledger.change("1", state="running")
        ledger.change("1", state="nonsense")
    assert both(ledger) == before


def test_what_was_there_before_is_counted_when_the_ledger_is_opened(ledger: LedgerWriter) -> None:
    before = both(ledger)
    ledger.close()
    assert both(LedgerWriter.open(ledger.path)) == before


def test_an_inbox_whose_jobs_are_done_has_no_next(ledger: LedgerWriter) -> None:
    ledger.change("4", state="done")
    assert ledger.counts()["done"] == 3
    assert [
        row["inbox"]
        for row in ledger._rows(
            f"SELECT DISTINCT inbox FROM {TABLE} WHERE state = 'queued' AND count > 0"
        )
    ] == ["/in"]
