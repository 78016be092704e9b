"""The ledger: queries for any process, changes by the daemon, migrations and damage."""

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stylewatch_daemon.errors import DamagedError, OutputError, SettingsError
from stylewatch_daemon.files import atomic, mounts
from stylewatch_daemon.model import JobState
from stylewatch_daemon.store import ledger_writer
from stylewatch_daemon.store.ledger import COUNTED, Entry, Held, Search, reading
from stylewatch_daemon.store.ledger_schema import MIGRATIONS, migrate
from stylewatch_daemon.store.ledger_writer import COUNTS, LedgerWriter


def entry(job_id: str, **more: Any) -> Entry:
    values = {"name": "a", "inbox": "/in", "outbox": "/out", "state": "queued", "entered": "then",
              "inputs": ({"name": "content.jpg", "size": 7},), "bytes": 7}  # fmt: skip
    return Entry(job_id, **{**values, **more})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def ledger(path: Path) -> LedgerWriter:
    return LedgerWriter.open(path)


# Queries


def test_another_process_reads_the_ledger_and_can_neither_write_nor_make_it(path: Path) -> None:
    with pytest.raises(OutputError, match=r"ledger\.sqlite3 cannot be used"), reading(path):
        pass
    assert not path.exists()
    ledger = LedgerWriter.open(path)
    pragmas = [ledger._rows(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous")]
    assert pragmas == ["wal", 2], "every commit is synced"
    job = entry("1", reason="why", settings={"steps": 3}, place="b")
    ledger.enter([job])
    with reading(path) as reader:
        assert reader.find("1") == job
        with pytest.raises(OutputError, match="readonly"):
            reader._rows("DELETE FROM jobs")
        ledger.close()
        assert path.with_name(f"{path.name}-wal").stat().st_size == 0


def test_digests_and_names_that_are_not_utf8(ledger: LedgerWriter) -> None:
    inputs = ({"name": "a", "sha256": "12ab"}, {"name": "b"})
    ledger.enter([entry("1", inputs=inputs), entry("3", inbox="/latin\udce9", bytes=1 << 70)])
    assert ledger.digests() == {"12ab"}
    assert ledger.heads(Held()) == {"/in": ["1"], "/latin\\udce9": ["3"]}
    job = ledger.find("3")
    assert job is not None and job.bytes == (1 << 63) - 1


def test_main_files_are_found_by_the_folder_in_the_names_of_their_jobs(
    ledger: LedgerWriter,
) -> None:
    names = ("waves", "waves/\u00e9t\u00e9", "waves/old", "sea", "\u00e9t\u00e9")
    sources = ("/in/a.jpg", "/in/latin\udce9", None, "/in/sea", "/in/\u00e9t\u00e9")
    files = zip(names, sources, strict=True)
    ledger.enter(
        entry(name, name=name, inputs=({"name": "a", **({"source": path} if path else {})},))
        for name, path in files
    )
    assert sorted(ledger.main_sources("/in", "waves")) == ["", "/in/a.jpg", "/in/latin\udce9"]
    assert sorted(ledger.main_sources("/in", "")) == sorted(path or "" for path in sources)
    assert ledger.has_used("/in", "", Path("/in/\u00e9t\u00e9"))
    ledger._write("UPDATE jobs SET inputs = '{[' WHERE id = 'sea'")
    assert ledger.main_sources("/in", "sea") == []


def plans_of(ledger: LedgerWriter, query: str, *arguments: Any) -> list[str]:
    """The steps by which SQLite answers the statements of a `query`."""
    statements: list[str] = []
    ledger._connection.set_trace_callback(statements.append)
    getattr(ledger, query)(*arguments)
    ledger._connection.set_trace_callback(None)
    return [row[3] for text in statements for row in ledger._rows(f"EXPLAIN QUERY PLAN {text}")]


@pytest.mark.parametrize(
    ("query", "arguments", "index"),
    [
        ("waiting", ("/out", 5), ""),
        ("counts", (), ""),
        ("ended_counts", (), "jobs_by_state"),
        ("heads", (Held(),), "jobs_next"),
        ("alike", ("s", Held(), 5), "jobs_alike"),
        ("undismissed", (5,), "jobs_undismissed"),
        ("has_used", ("/in", "waves", Path("a")), "jobs_by_name (name>? AND name<?)"),
        ("main_sources", ("/in", "waves"), "jobs_by_name (name>? AND name<?)"),
    ],
)
def test_frequent_queries_use_an_index(
    query: str, arguments: tuple[Any, ...], index: str, ledger: LedgerWriter
) -> None:
    ledger.enter([entry("1", shape="s")])
    plans = plans_of(ledger, query, *arguments)
    assert any(index in plan for plan in plans)
    assert not [plan for plan in plans if "SCAN jobs" in plan or "TEMP B-TREE" in plan]


def test_a_job_is_found_by_id_place_or_name_the_latest_first(ledger: LedgerWriter) -> None:
    ledger.enter([entry("1", place="a"), entry("2", place="a-2"), entry("3", name="x")])
    ledger.enter([entry("4", place="_jobs/waves/sea", name="y")])
    jobs = {"1": "1", "a": "1", "a-2": "2", "x": "3", "waves/sea": "4", "_jobs/waves/sea": "4"}
    assert {name: getattr(ledger.find(name), "id", None) for name in jobs} == jobs
    assert ledger.find("sea") is None


def test_a_job_is_found_by_the_name_that_people_gave_to_its_files(ledger: LedgerWriter) -> None:
    names = {"a:b/": "a_b", "u\u0308": "\u00fc", "x" * 200: "x" * 120}
    ledger.enter([entry(name, place=f"{name}-2", name=name) for name in names.values()])
    ledger.enter([entry("1", place="y" * 120 + "-2")])
    assert {name: getattr(ledger.find(name), "id", None) for name in names} == names
    assert ledger.find("y" * 120 + "-2") == entry("1", place="y" * 120 + "-2"), "first as it is"


def test_jobs_by_state_are_counted_and_listed(ledger: LedgerWriter) -> None:
    states = ("claimed", "queued", "running", "ending", "failing", "done", "refused", "cancelled")
    ledger.enter(entry(state, state=state, finished="2026") for state in states)
    assert ledger.counts() == {
        "waiting": 2, "running": 2, "done": 1, "refused": 1, "failed": 1, "cancelled": 1
    }  # fmt: skip
    assert list(ledger.open_jobs()) == ["ending", "failing", "queued", "running"]
    assert (ledger.done_since("2026"), ledger.done_since("2027")) == (1, 0)
    ledger.dismiss(["refused"])
    assert ledger.counts()["refused"] == 0
    assert ledger.ended_counts() == {"done": 1, "refused": 1, "cancelled": 1}
    ledger.enter(entry(job_id, place=f"p{job_id}", outbox="/far") for job_id in "123")
    assert ledger.waiting("/far", 2) == ({"1": "p1", "2": "p2"}, 3)


def test_jobs_that_ended_are_searched_and_sorted_page_by_page(ledger: LedgerWriter) -> None:
    def done(job_id: str, name: str, time: str, recipe: str, style: str = "") -> Entry:
        inputs = ({"role": "style", "name": "style.jpg", "sha256": style},)
        return entry(job_id, name=name, state="done", finished=time, inputs=inputs,
                     settings={"recipe": recipe})  # fmt: skip

    ledger.enter([
        done("1", "Sea wave", "2026-01-02", "best", "abba"), done("2", "sea", "2026-01-03", "gram"),
        done("3", "Ärger_100%", "2026-01-03", "best"), entry("4", state="failed", finished="2026"),
        replace(done("5", "x", "2026-01-01", "best"), place="_jobs/album/harbor"),
    ])  # fmt: skip
    for search, ids in {
        Search(): "3215", Search(order="oldest"): "5123", Search(order="name"): "5213",
        Search("SEA"): "21", Search("wave sea"): "1", Search("Ä %"): "3", Search("jobs"): "",
        Search(style="abba"): "1", Search(recipe="best"): "315", Search("album"): "5",
        Search("sea", recipe="gram"): "2", Search(since="2026-01-02", until="2026-01-03"): "1",
    }.items():  # fmt: skip
        after, pages = None, []
        while jobs := ledger.ended(JobState.DONE, 1, search, after):
            pages += [job.id for job in jobs]
            after = (search.key_of(jobs[-1]), jobs[-1].id)
        assert "".join(pages) == ids, search
    assert ledger.recipes(JobState.DONE) == ["best", "gram"]
    search = Search("sea", recipe="best", since="2026")
    plans = plans_of(ledger, "ended", JobState.DONE, 9, search)
    index = "INDEX jobs_by_state (state=? AND finished>?)"
    assert [plan for plan in plans if index in plan], "only jobs since then are read"


def test_the_next_jobs_of_each_inbox(ledger: LedgerWriter) -> None:
    ledger.enter([entry("1"), entry("2", priority=5), entry("3", priority=5)])
    ledger.enter(
        [entry("4", inbox="/other"), entry("0", state="claimed"), entry("9", state="done")]
    )
    assert ledger.heads(Held()) == {"/in": ["2"], "/other": ["4"]}
    assert ledger.heads(Held(jobs=["2", "3"])) == {"/in": ["1"], "/other": ["4"]}
    ledger.change("4", needs="gpu")
    assert ledger.heads(Held(jobs=["4"])) == ledger.heads(Held(needs=["gpu"])) == {"/in": ["2"]}
    assert ledger.heads(Held(outboxes=["/out"])) == {}


def test_requests_and_reserved_folders_end_with_the_job(ledger: LedgerWriter) -> None:
    ledger.enter([entry("1", place="sea"), entry("2", place="_jobs/flat/a"), entry("3")])
    ledger.change("3", wish="cancel", state="cancelled", place="over")
    ledger.change("2", wish="finish", state="running")
    assert ledger.wishes() == {"2": "finish"}
    places = ("sea", "_jobs/sea", "_jobs/flat/a", "flat/a", "over", "other")
    assert [ledger.is_reserved(place, "/out") for place in places] == [True] * 4 + [False] * 2
    assert not ledger.is_reserved("sea", "/elsewhere")


# Changes


def test_on_a_full_disk_nothing_is_changed(
    ledger: LedgerWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(connection: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    ledger.enter([entry("1")])
    with monkeypatch.context() as patch:
        patch.setattr(ledger_writer, "commit", full)
        with pytest.raises(OutputError, match="disk is full"):
            ledger.change("1", reason="changed")
    assert ledger.find("1") == entry("1")
    ledger.change("1", reason="changed")
    assert ledger.find("1") == entry("1", reason="changed")


def test_the_counts_are_kept_up_to_date(ledger: LedgerWriter) -> None:
    ledger.enter([entry("1"), entry("2", state="claimed"), entry("4", inbox="/other"),
                  entry("5", outbox="/there"), entry("6", state="done", finished="2")])  # fmt: skip
    changes: tuple[Callable[[], object], ...] = (
        lambda: ledger.change("1", state="running"),
        lambda: ledger.enter([entry("1", state="done", outbox="/there")]),
        lambda: ledger.withdraw(["2"]),
        lambda: ledger.enter([entry("7", state="refused", finished="2")]),
        lambda: ledger.dismiss(["7"]),
        lambda: ledger.expire("9999"),
    )
    query = "SELECT * FROM {} WHERE count > 0 ORDER BY 1, 2, 3"
    for change in changes:
        change()
        kept, counted = (ledger._rows(query.format(table)) for table in (COUNTS, COUNTED))
        assert [tuple(row) for row in kept] == [tuple(row) for row in counted]


# Damage


def test_a_ledger_on_a_network_file_system_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "table", lambda: "1 0 0:1 / / rw - nfs4 server:/ rw")
    with pytest.raises(SettingsError, match="network file system"):
        LedgerWriter.open(path)
    assert not path.exists()


def in_sql(statement: str) -> Callable[[Path], None]:
    """Have another program change the ledger."""

    def damage(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(statement)

    return damage


def as_pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def without_tables(path: Path) -> None:
    path.unlink(missing_ok=True)
    in_sql("CREATE TABLE gone (a)")(path)
    in_sql("DROP TABLE gone")(path)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no tables": without_tables,
    "nothing": lambda path: path.write_bytes(b""),
    "a text": lambda path: path.write_bytes(b"this is no database" * 9),
    "an overwritten page": lambda path: path.write_bytes(
        path.read_bytes()[:8192] + b"\x5a" * 16384 + path.read_bytes()[24576:]
    ),
    "a pipe": as_pipe,
    "a pipe for a journal": lambda path: as_pipe(path.with_name(f"{path.name}-journal")),
    "an earlier version": in_sql("PRAGMA user_version = 3"),
    "a missing index": in_sql("DROP INDEX jobs_next"),
    "a trigger": in_sql("CREATE TRIGGER no BEFORE INSERT ON kept BEGIN SELECT 1; END"),
    "a text for a number": in_sql("UPDATE jobs SET priority = 'high'"),
    "deep inputs": in_sql("UPDATE jobs SET inputs = printf('%.*c', 90000, '[')"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_ledger_is_reported_and_left_as_it_is(
    damage: Callable[[Path], object], ledger: LedgerWriter
) -> None:
    ledger.enter(entry(str(number), reason="x" * 500) for number in range(100))
    ledger.close()
    damage(ledger.path)
    before = ledger.path.read_bytes()[100:] if ledger.path.is_file() else b""
    with pytest.raises(DamagedError, match=r"(?s)ledger\.sqlite3 is damaged .* was left as it is"):
        LedgerWriter.open(ledger.path)
    # The header of a database changes when it is opened.
    assert (ledger.path.read_bytes()[100:] if ledger.path.is_file() else b"") == before


@pytest.mark.parametrize(
    ("damage", "reason"), [(Path.touch, "it is empty"), (without_tables, "it has no tables")]
)
def test_a_reader_reports_a_ledger_without_tables_as_damaged(
    damage: Callable[[Path], object], reason: str, path: Path
) -> None:
    damage(path)
    with pytest.raises(DamagedError, match=reason), reading(path):
        pass


def test_a_ledger_is_there_once_it_is_complete_and_takes_nothing_from_a_lost_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = LedgerWriter.open(path)
    lost.enter([entry("1")])
    path.unlink()  # which leaves the log beside it

    def killed(source: Path, target: Path) -> None:
        raise KeyboardInterrupt

    def broken(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "move", killed)
        with pytest.raises(KeyboardInterrupt):
            LedgerWriter.open(path)
    assert not path.exists()
    with closing(LedgerWriter.open(path)) as ledger:
        assert ledger.find("1") is None
    assert [file.name for file in path.parent.glob(".*")] == []
    assert path.stat().st_mode & 0o777 == 0o600
    with monkeypatch.context() as patch:
        path.unlink()
        patch.setattr(os, "fsync", broken)
        with pytest.raises(OutputError, match="cannot be made: Input/output error"):
            LedgerWriter.open(path)


# Migrations


def version(path: Path) -> int:
    with sqlite3.connect(path) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_the_older_version_is_copied_before_a_migration(path: Path) -> None:
    newest = len(MIGRATIONS)
    with sqlite3.connect(path, isolation_level=None) as connection:
        migrate(connection, path, MIGRATIONS[:1])
    for _ in range(2):
        LedgerWriter.open(path).close()
        assert (version(path), version(path.with_name(f"{path.name}.v1.bak"))) == (newest, 1)
        assert len(list(path.parent.glob("*.bak"))) == newest - 1
    in_sql("PRAGMA user_version = 99")(path)
    with pytest.raises(SettingsError, match="newer stylewatch"):
        LedgerWriter.open(path)


def test_a_migration_that_fails_leaves_the_version_before_it(ledger: LedgerWriter) -> None:
    connection = sqlite3.connect(ledger.path, isolation_level=None)
    failing = ("ALTER TABLE jobs ADD COLUMN color TEXT", "CREATE nonsense")
    with pytest.raises(DamagedError, match="nonsense"):
        migrate(connection, ledger.path, [*MIGRATIONS, failing])
    assert version(ledger.path) == len(MIGRATIONS)
    assert "color" not in {row[1] for row in connection.execute("PRAGMA table_info(jobs)")}
