"""Ledgers that are damaged, newer, older, or lost are refused or replaced, and never changed."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import replaced
from tests.daemon.ledger.test_ledger import job

from stylewatch_daemon.base.errors import DamagedError, OutputError
from stylewatch_daemon.base.model import End, OutputFile, State
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.system import system
from stylewatch_daemon.ledger import writer
from stylewatch_daemon.ledger.ledger import Sight, reading
from stylewatch_daemon.ledger.schema import VERSIONS, check_files, upgrade
from stylewatch_daemon.ledger.writer import LedgerWriter


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The ledger with a hundred jobs, closed."""
    path = tmp_path / "ledger.sqlite3"
    with closing(LedgerWriter.open(path)) as ledger, ledger.transaction():
        for number in range(100):
            ledger.put(job(str(number), reason="x" * 500))
    return path


def overwrite_with_text(path: Path) -> None:
    path.write_bytes(b"this is no database" * 9)


def overwrite_a_page(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\x5a" * 16384 + content[24576:])


@pytest.mark.parametrize("damage", [overwrite_with_text, overwrite_a_page])
def test_a_damaged_ledger_is_reported_and_left_as_it_is(
    damage: Callable[[Path], None], path: Path
) -> None:
    damage(path)
    before = path.read_bytes()
    message = r"(?s)ledger\.sqlite3 is damaged \(.*\) and was left as it is: move it away"
    with pytest.raises(DamagedError, match=message):
        LedgerWriter.open(path)
    assert path.read_bytes() == before


NEXT = (*VERSIONS, ("ALTER TABLE jobs ADD COLUMN color TEXT NOT NULL DEFAULT ''",))
"""A made-up next version."""

NOW = len(VERSIONS)


def version(path: Path) -> tuple[int, set[str]]:
    """Return the version of a ledger, and which of the made-up columns its jobs have."""
    with closing(sqlite3.connect(path)) as connection:
        columns = {row[1] for row in connection.execute("PRAGMA table_info(jobs)")}
        number = connection.execute("PRAGMA user_version").fetchone()[0]
        return int(number), columns & {"color", "shape"}


def test_the_older_version_is_copied_before_an_upgrade_and_a_failed_one_changes_nothing(
    path: Path,
) -> None:
    backup = path.with_name(f"ledger.sqlite3.v{NOW}.bak")
    failing_step = (NEXT[-1][0].replace("color", "shape"), "CREATE nonsense")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for _ in range(2):
            upgrade(connection, path, NEXT)
            assert (version(path), version(backup)) == ((NOW + 1, {"color"}), (NOW, set()))
        with pytest.raises(DamagedError, match="nonsense"):
            upgrade(connection, path, (*NEXT, failing_step))
    assert version(path) == (NOW + 1, {"color"})
    with reading(backup) as reader:
        assert reader.get("99") == job("99", reason="x" * 500)


def test_a_log_that_another_process_removes_while_it_is_looked_at_is_no_damage(path: Path) -> None:
    def once(name: Path, **more: Any) -> os.stat_result:
        found = real(name, **more)
        if Path(name) == wal:
            wal.unlink(missing_ok=True)
        return found

    wal, real = path.with_name(f"{path.name}-wal"), system.stat
    wal.touch()
    with replaced(system, stat=once):
        check_files(path)
    assert not wal.exists()


def test_one_process_at_a_time_makes_a_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"

    def meanwhile(new: Path) -> None:
        with pytest.raises(OutputError, match=r"cannot be made: .* held by another process"):
            LedgerWriter.open(path)

    with replaced(writer, BUSY_S=0.0), replaced(atomic, sync_file=meanwhile):
        LedgerWriter.open(path).close()
    with reading(path) as ledger:
        assert ledger.requests() == []


def test_ages_of_jobs_of_the_first_version_are_counted_from_now(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        upgrade(connection, path, VERSIONS[:1])
        # the row as the first version had it
        for column in ("disk", "trashed"):
            connection.execute(f"ALTER TABLE jobs ADD COLUMN {column} TEXT")
        ledger = LedgerWriter(path, connection)
        ledger.put(job("1", state=State.ENDED, end=End.DONE, finished="2026-11-09"))
        for column in ("disk", "trashed"):
            connection.execute(f"ALTER TABLE jobs DROP COLUMN {column}")
    with closing(LedgerWriter.open(path)) as ledger:
        ledger.put_files("1", [OutputFile("a/1", "stages", "", 1)])
        ledger.see(Sight(datetime.now(UTC), 0.0))
        assert ledger.outlived("stages", 0.0) == [] != ledger.outlived("stages", 1.0)
