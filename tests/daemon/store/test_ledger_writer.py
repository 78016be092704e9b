"""The ledger is written as a whole or not at all, and kept only where that holds."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.daemon.store.test_ledger import entry

from stylewatch_daemon.errors import DamagedError, OutputError, SettingsError
from stylewatch_daemon.files import mounts
from stylewatch_daemon.store import ledger_writer
from stylewatch_daemon.store.ledger import reading
from stylewatch_daemon.store.ledger_writer import LedgerWriter


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


def test_every_commit_is_synced_and_written_ahead(path: Path) -> None:
    ledger = LedgerWriter.open(path)
    pragmas = [ledger._rows(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous")]
    assert pragmas == ["wal", 2]


def test_a_ledger_on_a_network_file_system_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "table", lambda: "1 0 0:1 / / rw - nfs4 server:/ rw")
    with pytest.raises(SettingsError, match="network file system"):
        LedgerWriter.open(path)
    assert not path.exists()


@pytest.mark.parametrize("damage", [b"this is no database", b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_damaged_ledger_is_named_and_left_as_it_is(damage: bytes, path: Path) -> None:
    path.write_bytes(damage)
    with pytest.raises(DamagedError, match=r"ledger\.sqlite3 is damaged .* was left as it is"):
        LedgerWriter.open(path)
    assert path.read_bytes() == damage


def test_a_page_that_was_overwritten_is_found_at_the_start(path: Path) -> None:
    ledger = LedgerWriter.open(path)
    ledger.enter(entry(str(number), reason="x" * 500) for number in range(100))
    ledger.close()
    whole = path.read_bytes()
    broken = whole[:8192] + b"\x5a" * 16384 + whole[8192 + 16384 :]
    path.write_bytes(broken)
    with pytest.raises(DamagedError, match="is damaged"):
        LedgerWriter.open(path)
    assert path.read_bytes() == broken


def in_sql(*statements: str) -> Callable[[Path], None]:
    """Have another program change the ledger."""

    def damage(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    return damage


def instead(make: Callable[[Path], object], ending: str = "") -> Callable[[Path], None]:
    """Have something else in the place of the ledger, or of a file that SQLite keeps beside it."""

    def damage(path: Path) -> None:
        file = path.with_name(f"{path.name}{ending}")
        file.unlink(missing_ok=True)
        make(file)

    return damage


DAMAGES = {
    "a folder": instead(Path.mkdir),
    "a pipe": instead(os.mkfifo),
    "a link to nothing": instead(lambda path: path.symlink_to("/nowhere")),
    "another program's": instead(in_sql("CREATE TABLE notes (text)")),
    "of a negative version": in_sql("PRAGMA user_version = -100"),
    "of an earlier version than it says": in_sql("PRAGMA user_version = 3"),
    "without a table": in_sql("DROP TABLE attempts"),
    "without an index": in_sql("DROP INDEX jobs_next"),
    "with a column more": in_sql("ALTER TABLE jobs ADD COLUMN more"),
    "with a trigger": in_sql("CREATE TRIGGER no BEFORE INSERT ON kept BEGIN SELECT 1; END"),
    "with bytes for a name": in_sql("UPDATE jobs SET name = x'ff'"),
    "with a text for a number": in_sql("UPDATE jobs SET priority = 'high'"),
    "with no id": in_sql("UPDATE jobs SET id = NULL"),
    "with odd inputs": in_sql("UPDATE jobs SET inputs = '[{'"),
    "with deep inputs": in_sql("UPDATE jobs SET inputs = printf('%.*c', 90000, '[')"),
    "with odd settings": in_sql("UPDATE jobs SET settings = '{'"),
    "with a folder for a log": instead(Path.mkdir, "-wal"),
    "with a pipe for a journal": instead(os.mkfifo, "-journal"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_whatever_is_wrong_with_a_ledger_it_is_said_to_be_damaged(
    damage: Callable[[Path], None], path: Path
) -> None:
    ledger = LedgerWriter.open(path)
    ledger.enter([entry("1")])
    ledger.close()
    damage(path)
    with pytest.raises(DamagedError, match="is damaged"):
        LedgerWriter.open(path)


def test_a_row_whose_json_is_of_another_kind_is_read_without_it(path: Path) -> None:
    ledger = LedgerWriter.open(path)
    for number, inputs in enumerate(("7", "[7]", '[{"name": 7}]', '[{"name": "a", "pixels": 1}]')):
        ledger.enter([entry(str(number), settings={})])
        ledger._write("UPDATE jobs SET inputs = ?, settings = '[]'", inputs)
        found = ledger.find(str(number))
        assert found is not None
        assert (found.inputs, found.settings) == ((), None)
    assert ledger.digests() == set()
    ledger._write("INSERT INTO kept VALUES ('a', 'b', '[{\"name\": 7}]')")
    assert ledger.kept("a") == []


def test_a_number_too_large_for_the_ledger_becomes_its_largest(path: Path) -> None:
    ledger = LedgerWriter.open(path)
    ledger.enter([entry("1", bytes=1 << 70)])
    found = ledger.find("1")
    assert found is not None
    assert found.bytes == (1 << 63) - 1


def test_what_is_changed_together_is_undone_together(path: Path) -> None:
    ledger = LedgerWriter.open(path)
    ledger.enter([entry("1")])
    with pytest.raises(RuntimeError), ledger.together():
        ledger.change("1", reason="changed")
        ledger.enter([entry("2")])
        raise RuntimeError
    assert [ledger.find(job_id) for job_id in "12"] == [entry("1"), None]


def test_a_full_disk_is_told_and_nothing_is_changed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = LedgerWriter.open(path)
    ledger.enter([entry("1")])

    def full(connection: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(ledger_writer, "commit", full)
        with pytest.raises(OutputError, match="disk is full"):
            ledger.change("1", reason="changed")
    assert ledger.find("1") == entry("1")
    ledger.change("1", reason="changed")
    assert ledger.find("1") == entry("1", reason="changed")


def test_only_what_was_not_taken_is_withdrawn(path: Path) -> None:
    ledger = LedgerWriter.open(path)
    ledger.enter([entry("1"), entry("2", state="claimed")])
    ledger.withdraw(["1", "2"])
    assert ledger.ids("queued", "claimed") == {"1"}


def test_a_job_that_is_entered_again_keeps_its_time_and_its_story(path: Path) -> None:
    ledger = LedgerWriter.open(path)
    ledger.enter([entry("1", state="claimed", entered="first")])
    ledger.enter([entry("1", entered="later", priority=3)])
    assert ledger.find("1") == entry("1", entered="first", priority=3)


def test_what_was_kept_is_known_by_its_key_until_its_content_is_forgotten(path: Path) -> None:
    ledger = LedgerWriter.open(path)
    files = [{"name": "x", "inode": 1, "size": 2, "mtime_ns": 3, "sha256": "4f"}]
    for key in ("a", "b"):
        ledger.keep(key, f"content of {key}", files)
    ledger.forget("content of a")
    assert [ledger.kept(key) for key in "abc"] == [[], files, []]


def test_jobs_that_ended_before_a_time_are_forgotten_and_counted(path: Path) -> None:
    ledger = LedgerWriter.open(path)
    ledger.enter(
        [
            entry("1", state="done", finished="2026-01-01T00:00:00+00:00"),
            entry("2", state="failed", finished="2026-01-03T00:00:00+00:00"),
            entry("3", state="queued"),
        ]
    )
    assert ledger.expire("2026-01-02T00:00:00+00:00") == 1
    assert [ledger.find(job_id) is None for job_id in "123"] == [True, False, False]


def test_what_was_not_taken_from_an_inbox_that_is_none_any_more_is_withdrawn(path: Path) -> None:
    ledger = LedgerWriter.open(path)
    ledger.enter(entry(one, inbox=one, state="claimed") for one in ("a", "b"))
    ledger.enter([entry("2", inbox="b")])
    ledger.withdraw_all_but(["a"])
    assert ledger.ids("queued", "claimed") == {"a", "2"}


def test_a_ledger_that_is_closed_is_whole_in_its_file_whoever_reads_it(path: Path) -> None:
    ledger = LedgerWriter.open(path)
    with reading(path) as reader:
        ledger.enter([entry("sea")])
        assert reader.counts()["done"] + reader.counts()["waiting"] == 1
        ledger.close()
        assert path.with_name(f"{path.name}-wal").stat().st_size == 0
