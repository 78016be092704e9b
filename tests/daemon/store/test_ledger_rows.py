"""The ledger is asked in SQL, and objects in words."""

from pathlib import Path

import pytest
from tests.daemon.store.test_ledger import entry

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.store.ledger_turns import Held
from stylewatch_daemon.store.ledger_writer import LedgerWriter


@pytest.fixture
def ledger(tmp_path: Path) -> LedgerWriter:
    return LedgerWriter.open(tmp_path / "ledger.sqlite3")


def test_names_that_are_no_text_are_written_out(ledger: LedgerWriter) -> None:
    ledger.enter([entry("1", inbox="/latin\udce9")])
    assert ledger.heads(Held()) == {"/latin\\udce9": ["1"]}


def test_what_sqlite_objects_to_is_told_with_the_file_it_is_about(ledger: LedgerWriter) -> None:
    with pytest.raises(OutputError, match=r"the ledger .*ledger\.sqlite3 cannot be used \(no such"):
        ledger._rows("SELECT 1 FROM none")
