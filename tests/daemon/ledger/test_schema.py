"""Ledgers that are damaged, newer, older, or lost are refused or replaced, and never changed."""

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.daemon.faults import failing, replaced
from tests.daemon.ledger.test_ledger import job

from stylewatch_daemon.base.errors import DamagedError, OutputError
from stylewatch_daemon.files import atomic
from stylewatch_daemon.ledger.ledger import reading
from stylewatch_daemon.ledger.schema import VERSIONS, upgrade
from stylewatch_daemon.ledger.writer import LedgerWriter


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The ledger with a hundred jobs, closed."""
    path = tmp_path / "ledger.sqlite3"
    with closing(LedgerWriter.open(path)) as ledger, ledger.transaction():
        for number in range(100):
            ledger.put(job(str(number), reason="x" * 500))
    return path


def in_sql(*statements: str) -> Callable[[Path], None]:
    """Have another program change the ledger."""

    def change(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    return change


def overwrite_a_page(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\x5a" * 16384 + content[24576:])


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a text": (lambda path: path.write_bytes(b"this is no database" * 9), "not a database"),
    "an overwritten page": (overwrite_a_page, ""),
    "an unknown state": (
        in_sql("PRAGMA ignore_check_constraints = 1", "UPDATE jobs SET state = 'burnt'"),
        "CHECK constraint failed in jobs",
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_ledger_is_reported_and_left_as_it_is(kind: str, path: Path) -> None:
    damage, why = DAMAGES[kind]
    damage(path)
    before = path.read_bytes() if path.is_file() else b""
    message = r"(?s)ledger\.sqlite3 is damaged \(.*" + why + r".*\) and was left as it is"
    with pytest.raises(DamagedError, match=message):
        LedgerWriter.open(path)
    assert (path.read_bytes() if path.is_file() else b"") == before
    if kind == "a text":
        with pytest.raises(DamagedError, match=why), reading(path):
            pass


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE jobs SET priority = 'high'", "UPDATE jobs SET state = 'burnt'",
        "UPDATE jobs SET settings = '{['", "UPDATE jobs SET name = NULL",
        "INSERT INTO requests VALUES (1, 'pause', '{[', 'now')",
        "INSERT INTO attempts (job, number, started) VALUES ('1', 1, 'now')",
    ],
)  # fmt: skip
def test_no_program_can_write_a_value_of_the_wrong_kind(statement: str, path: Path) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        in_sql(statement)(path)


def test_a_ledger_is_there_once_it_is_complete_and_takes_nothing_from_a_lost_one(
    path: Path,
) -> None:
    lost = LedgerWriter.open(path)
    lost.put(job("new"))
    path.unlink()  # which leaves the log beside it
    with replaced(atomic, move=failing(KeyboardInterrupt())), pytest.raises(KeyboardInterrupt):
        LedgerWriter.open(path)
    assert not path.exists()
    with closing(LedgerWriter.open(path)) as ledger:
        assert (ledger.get("new"), ledger.get("1")) == (None, None)
    assert [file.name for file in path.parent.glob(".*")] == []
    path.unlink()
    broken = failing(OSError(errno.EIO, os.strerror(errno.EIO)))
    with (
        replaced(os, fsync=broken),
        pytest.raises(OutputError, match="cannot be made: Input/output error"),
    ):
        LedgerWriter.open(path)


# -- versions


NEXT = (*VERSIONS, ("ALTER TABLE jobs ADD COLUMN color TEXT NOT NULL DEFAULT ''",))
"""A made-up second version."""


def version(path: Path) -> tuple[int, set[str]]:
    """Return the version of a ledger, and which of the made-up columns its jobs have."""
    with closing(sqlite3.connect(path)) as connection:
        columns = {row[1] for row in connection.execute("PRAGMA table_info(jobs)")}
        number = connection.execute("PRAGMA user_version").fetchone()[0]
        return int(number), columns & {"color", "shape"}


def test_the_older_version_is_copied_before_an_upgrade_and_a_failed_one_changes_nothing(
    path: Path,
) -> None:
    backup = path.with_name("ledger.sqlite3.v1.bak")
    failing_step = (NEXT[1][0].replace("color", "shape"), "CREATE nonsense")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for _ in range(2):
            upgrade(connection, path, NEXT)
            assert (version(path), version(backup)) == ((2, {"color"}), (1, set()))
        with pytest.raises(DamagedError, match="nonsense"):
            upgrade(connection, path, (*NEXT, failing_step))
    assert version(path) == (2, {"color"})
    with reading(backup) as reader:
        assert reader.get("99") == job("99", reason="x" * 500)
