"""Older ledgers are brought up to date, with a copy of each version left beside them."""

import sqlite3
from pathlib import Path

import pytest

from stylewatch_daemon.errors import DamagedError, SettingsError
from stylewatch_daemon.store.ledger_schema import MIGRATIONS, OPEN, migrate
from stylewatch_daemon.store.ledger_writer import LedgerWriter
from stylewatch_daemon.store.state import OURS

NEXT = ("ALTER TABLE jobs ADD COLUMN color TEXT", "CREATE INDEX by_color ON jobs (color)")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "ledger.sqlite3"
    LedgerWriter.open(made).close()
    return made


def columns(path: Path) -> set[str]:
    with sqlite3.connect(path) as connection:
        return {row[1] for row in connection.execute("PRAGMA table_info(jobs)")}


def version(path: Path) -> int:
    with sqlite3.connect(path) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_a_new_ledger_has_the_newest_version_and_no_copy(path: Path) -> None:
    assert version(path) == len(MIGRATIONS)
    assert list(path.parent.glob("*.bak")) == []


def test_before_a_step_the_older_version_is_copied(path: Path) -> None:
    with sqlite3.connect(path, isolation_level=None) as connection:
        migrate(connection, path, [*MIGRATIONS, NEXT])
    newest = len(MIGRATIONS)
    (backup,) = path.parent.glob("*.bak")
    assert backup.name == f"ledger.sqlite3.v{newest}.bak"
    assert (version(path), version(backup)) == (newest + 1, newest)
    assert columns(path) - columns(backup) == {"color"}


def test_a_step_that_fails_leaves_the_version_before_it(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    with pytest.raises(DamagedError, match="nonsense"):
        migrate(connection, path, [*MIGRATIONS, (NEXT[0], "CREATE nonsense")])
    assert version(path) == len(MIGRATIONS)
    assert "color" not in columns(path)


def test_the_first_ledger_there_was_is_brought_to_the_newest_version(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    with sqlite3.connect(path, isolation_level=None) as connection:
        migrate(connection, path, MIGRATIONS[:1])
    ledger = LedgerWriter.open(path)
    assert ledger.wish("no such job") == ""
    ledger.close()
    assert (version(path), version(path.with_name(f"{path.name}.v1.bak"))) == (len(MIGRATIONS), 1)


def test_a_ledger_of_a_version_to_come_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(SettingsError, match="newer stylewatch"):
        LedgerWriter.open(path)


def test_the_states_of_open_jobs_are_the_same_to_sql_and_to_us() -> None:
    assert repr(OURS) == OPEN
