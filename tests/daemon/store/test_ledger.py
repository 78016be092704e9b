"""The ledger: queries for any process, changes by the daemon, migrations and damage."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from stylewatch_daemon.errors import DamagedError, OutputError, SettingsError
from stylewatch_daemon.files import mounts
from stylewatch_daemon.store import ledger_writer
from stylewatch_daemon.store.journal import Attempt
from stylewatch_daemon.store.ledger import COUNTED, Entry, Held, reading
from stylewatch_daemon.store.ledger_schema import MIGRATIONS, OPEN, migrate
from stylewatch_daemon.store.ledger_writer import COUNTS, LedgerWriter
from stylewatch_daemon.store.state import UNFINISHED


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


def plans(ledger: LedgerWriter, query: str, *arguments: Any) -> list[str]:
    """How SQLite executes the statements of a query."""
    statements: list[str] = []
    ledger._connection.set_trace_callback(statements.append)
    getattr(ledger, query)(*arguments)
    ledger._connection.set_trace_callback(None)
    assert statements
    return [row[3] for text in statements for row in ledger._rows(f"EXPLAIN QUERY PLAN {text}")]


# Queries


def test_another_process_reads_the_ledger_and_cannot_write_it(ledger: LedgerWriter) -> None:
    job = entry("1", reason="why", settings={"steps": 3}, place="b")
    ledger.enter([job])
    with reading(ledger.path) as reader:
        assert reader.find("1") == job
        with pytest.raises(OutputError, match="readonly"):
            reader._rows("DELETE FROM jobs")
        ledger.close()
        assert ledger.path.with_name(f"{ledger.path.name}-wal").stat().st_size == 0


def test_a_missing_ledger_is_reported_and_not_made(path: Path) -> None:
    message = r"the ledger .*ledger\.sqlite3 cannot be used"
    with pytest.raises(OutputError, match=message), reading(path):
        pass
    assert not path.exists()


def test_digests_and_names_that_are_not_utf8(ledger: LedgerWriter) -> None:
    inputs = ({"name": "a", "sha256": "12ab"}, {"name": "b"}, {"name": "c", "sha256": "34cd"})
    ledger.enter([entry("1", inputs=inputs), entry("2", inputs=inputs[:1])])
    ledger.enter([entry("3", inbox="/latin\udce9", bytes=1 << 70)])
    assert ledger.digests() == {"12ab", "34cd"}
    assert ledger.heads(Held()) == {"/in": ["1"], "/latin\\udce9": ["3"]}
    job = ledger.find("3")
    assert job is not None
    assert job.bytes == (1 << 63) - 1


def test_a_file_that_a_job_of_a_folder_used_is_known(ledger: LedgerWriter) -> None:
    style, odd = Path("/in/waves/style.jpg"), Path(os.fsdecode(b"/in/\xe9/style.jpg"))
    for job_id, name, source in (("1", "waves/sea", style), ("2", "\ufffd/sea", odd)):
        ledger.enter([entry(job_id, name=name, inputs=({"source": str(source)},), state="done")])
    assert ledger.has_used("/in", "waves", style)
    assert ledger.has_used("/in", "", style)
    assert ledger.has_used("/in", "\ufffd", odd)
    assert not ledger.has_used("/other", "waves", style)
    assert not ledger.has_used("/in", "wave", style)
    assert not ledger.has_used("/in", "waves", Path("/in/waves/style-2.jpg"))


@pytest.mark.parametrize(
    ("query", "arguments", "index"),
    [
        ("waiting", ("/out", 5), ""),
        ("counts", (), ""),
        ("heads", (Held(),), "jobs_next"),
        ("alike", ("s", Held(), 5), "jobs_alike"),
        ("undismissed", (5,), "jobs_undismissed"),
        ("ended", (("done",), 24, ("2026", "5")), "jobs_by_state (state=? AND finished<?)"),
        ("has_used", ("/in", "waves", Path("a")), "jobs_by_name (name>? AND name<?)"),
    ],
)
def test_frequent_queries_use_an_index(
    query: str, arguments: tuple[Any, ...], index: str, ledger: LedgerWriter
) -> None:
    ledger.enter([entry("1", shape="s")])
    found = plans(ledger, query, *arguments)
    assert any(index in plan for plan in found)
    if query != "ended":
        assert not [plan for plan in found if "SCAN jobs" in plan or "TEMP B-TREE" in plan]


def test_a_job_is_found_by_id_place_or_name_the_latest_first(ledger: LedgerWriter) -> None:
    ledger.enter([entry("1", place="a"), entry("2", place="a-2"), entry("3", name="x")])
    ledger.enter([entry("4", place="_jobs/waves/sea", name="y")])
    jobs = {"1": "1", "a": "1", "a-2": "2", "x": "3", "waves/sea": "4", "_jobs/waves/sea": "4"}
    assert {name: getattr(ledger.find(name), "id", None) for name in jobs} == jobs
    assert ledger.find("sea") is None


def test_jobs_by_state_are_counted_and_listed(ledger: LedgerWriter) -> None:
    states = ("claimed", "queued", "running", "ending", "failing", "done", "refused", "cancelled")
    ledger.enter(entry(state, state=state, finished="2026") for state in states)
    assert ledger.counts() == {
        "waiting": 2, "running": 2, "done": 1, "refused": 1, "failed": 1, "cancelled": 1
    }  # fmt: skip
    assert list(ledger.open_jobs()) == ["ending", "failing", "queued", "running"]
    assert (ledger.done_since("2026"), ledger.done_since("2027")) == (1, 0)
    ledger.enter(entry(job_id, place=f"p{job_id}", outbox="/far") for job_id in "123")
    assert ledger.waiting("/far", 2) == ({"1": "p1", "2": "p2"}, 3)


def test_ended_jobs_are_listed_the_latest_first_in_pages(ledger: LedgerWriter) -> None:
    ledger.enter(
        entry(str(n), state=("done", "failed")[n % 2], finished=f"2026-01-0{1 + n // 3}")
        for n in range(9)
    )
    ledger.enter([entry("open"), entry("gone", state="cancelled", finished="2027")])
    first = ledger.ended(("done", "failed"), 4)
    assert [job.id for job in first] == ["8", "7", "6", "5"]
    rest = ledger.ended(("done", "failed"), 9, (str(first[-1].finished), first[-1].id))
    assert [job.id for job in rest] == ["4", "3", "2", "1", "0"]
    assert [job.id for job in ledger.ended(("failed",), 2, ("2026-01-03", "7"))] == ["5", "3"]
    assert [job.id for job in ledger.latest("failed", "cancelled", limit=2)] == ["gone", "7"]


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


def test_started_jobs_have_their_turn_only_where_they_are_named(ledger: LedgerWriter) -> None:
    ledger.enter([entry("1"), entry("2"), entry("3", priority=5)])
    ledger.change("1", state="ending")
    ledger.change("3", state="running")
    for begun, held, expected in (
        ([], (), "2"), (["1", "9"], (), "1"), (["1", "3"], (), "3"), (["1", "3"], ["3"], "1")
    ):  # fmt: skip
        assert ledger.heads(Held(jobs=held), begun=begun) == {"/in": [expected]}
    assert ledger.decided(["1", "3"], Held()) == ["1"]
    ledger.change("1", state="done")
    assert ledger.heads(Held(), begun=["1"]) == {"/in": ["2"]}


def test_requests_and_reserved_folders_end_with_the_job(ledger: LedgerWriter) -> None:
    ledger.enter([entry("1", place="sea"), entry("2", place="_jobs/flat/a"), entry("3")])
    ledger.change("3", wish="cancel", state="cancelled", place="over")
    ledger.change("2", wish="finish", state="running")
    assert ledger.wishes() == {"2": "finish"}
    places = ("sea", "_jobs/sea", "_jobs/flat/a", "flat/a", "over", "other")
    assert [ledger.is_reserved(place, "/out") for place in places] == [True] * 4 + [False] * 2
    assert not ledger.is_reserved("sea", "/elsewhere")


def test_jobs_of_one_shape_that_were_never_tried_can_be_batched(ledger: LedgerWriter) -> None:
    ledger.enter(entry(job_id, shape="s") for job_id in "123456")
    ledger.enter([entry("0", inbox="/b", outbox="/far", shape="s"), entry("9", shape="t")])
    ledger.change("2", state="running")
    ledger.change("3", wish="finish")
    attempts = (Attempt("then", how="stopped", pid=7), Attempt("later", boot="b", step=3))
    ledger.write_attempts("4", attempts)
    assert ledger.story("4") == attempts
    ledger.change("5", priority=-1)
    assert ledger.alike("s", Held(), 9) == {"/in": ["1", "6"], "/b": ["0"]}
    assert ledger.alike("s", Held(jobs=["1"], outboxes=["/far"]), 1) == {"/in": ["6"]}
    ledger.change("1", state="done")
    assert ledger.alike("t", Held(needs=["gpu"]), 9) == {"/in": ["9"]}


# Changes


def test_every_commit_is_synced_and_written_ahead(ledger: LedgerWriter) -> None:
    pragmas = [ledger._rows(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous")]
    assert pragmas == ["wal", 2]


def test_changes_made_together_are_undone_together(ledger: LedgerWriter) -> None:
    ledger.enter([entry("1")])
    with pytest.raises(RuntimeError), ledger.together():
        ledger.change("1", reason="changed")
        ledger.enter([entry("2")])
        raise RuntimeError
    assert [ledger.find(job_id) for job_id in "12"] == [entry("1"), None]


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


@pytest.mark.parametrize(
    "change",
    [
        lambda ledger: None,
        lambda ledger: ledger.change("1", state="running"),
        lambda ledger: ledger.enter([entry("1", state="done", outbox="/there")]),
        lambda ledger: ledger.withdraw(["2"]),
        lambda ledger: ledger.expire("9999"),
        lambda ledger: ledger.change("1", state="nonsense"),
    ],
)
@pytest.mark.parametrize("reopened", [False, True])
def test_the_counts_are_kept_up_to_date(
    change: Callable[[LedgerWriter], object], reopened: bool, ledger: LedgerWriter
) -> None:
    ledger.enter([entry("1"), entry("2", state="claimed"), entry("4", inbox="/other"),
                  entry("5", outbox="/there"), entry("6", state="done", finished="2")])  # fmt: skip
    try:
        change(ledger)
    except ValueError as error:
        assert "CHECK" in str(error)
    if reopened:
        ledger.close()
        ledger = LedgerWriter.open(ledger.path)
    kept, counted = (
        [
            tuple(row)
            for row in ledger._rows(f"SELECT * FROM {table} WHERE count > 0 ORDER BY 1, 2, 3")
        ]
        for table in (COUNTS, COUNTED)
    )
    assert kept == counted


def test_claims_are_withdrawn_and_ended_jobs_expire(ledger: LedgerWriter) -> None:
    ledger.enter(entry(inbox, inbox=inbox, state="claimed") for inbox in "abc")
    ledger.enter([entry("1", inbox="b"), entry("2", state="done", finished="2026-01-01"),
                  entry("3", state="failed", finished="2026-01-03")])  # fmt: skip
    ledger.withdraw(["1", "c"])
    ledger.withdraw_all_but(["a"])
    assert ledger.ids("queued", "claimed") == {"a", "1"}
    assert ledger.expire("2026-01-02") == 1
    assert ledger.ids("done", "failed") == {"3"}


def test_a_job_that_is_entered_again_keeps_its_time(ledger: LedgerWriter) -> None:
    ledger.enter([entry("1", state="claimed", entered="first")])
    ledger.enter([entry("1", entered="later", priority=3)])
    assert ledger.find("1") == entry("1", entered="first", priority=3)


def test_jobs_that_stay_in_the_inbox_are_known_until_forgotten(ledger: LedgerWriter) -> None:
    files = [{"name": "x", "inode": 1, "size": 2, "mtime_ns": 3, "sha256": "4f"}]
    for key in ("a", "b"):
        ledger.keep(key, f"content of {key}", files)
    ledger.forget("content of a")
    assert [ledger.kept(key) for key in "abc"] == [[], files, []]


# Damage


def test_a_ledger_on_a_network_file_system_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "table", lambda: "1 0 0:1 / / rw - nfs4 server:/ rw")
    with pytest.raises(SettingsError, match="network file system"):
        LedgerWriter.open(path)
    assert not path.exists()


def in_sql(*statements: str) -> Callable[[Path], None]:
    """Have another program change the ledger."""

    def damage(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    return damage


def instead(make: Callable[[Path], object], ending: str = "") -> Callable[[Path], None]:
    """Replace the ledger, or a file that SQLite keeps beside it."""

    def damage(path: Path) -> None:
        file = path.with_name(f"{path.name}{ending}")
        file.unlink(missing_ok=True)
        make(file)

    return damage


def overwrite(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\x5a" * 16384 + whole[8192 + 16384 :])


DAMAGES = {
    "a text": instead(lambda path: path.write_bytes(b"this is no database" * 9)),
    "an overwritten page": overwrite,
    "a folder": instead(Path.mkdir),
    "a pipe": instead(os.mkfifo),
    "another program's": instead(in_sql("CREATE TABLE notes (text)")),
    "an earlier version": in_sql("PRAGMA user_version = 3"),
    "a missing index": in_sql("DROP INDEX jobs_next"),
    "a trigger": in_sql("CREATE TRIGGER no BEFORE INSERT ON kept BEGIN SELECT 1; END"),
    "bytes for a name": in_sql("UPDATE jobs SET name = x'ff'"),
    "a text for a number": in_sql("UPDATE jobs SET priority = 'high'"),
    "deep inputs": in_sql("UPDATE jobs SET inputs = printf('%.*c', 90000, '[')"),
    "odd settings": in_sql("UPDATE jobs SET settings = '{'"),
    "a pipe for a journal": instead(os.mkfifo, "-journal"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_ledger_is_reported_and_left_as_it_is(
    damage: Callable[[Path], None], ledger: LedgerWriter
) -> None:
    ledger.enter(entry(str(number), reason="x" * 500) for number in range(100))
    ledger.close()
    damage(ledger.path)
    before = ledger.path.read_bytes()[100:] if ledger.path.is_file() else b""
    with pytest.raises(DamagedError, match=r"(?s)ledger\.sqlite3 is damaged .* was left as it is"):
        LedgerWriter.open(ledger.path)
    # The header of a database changes when it is opened.
    assert (ledger.path.read_bytes()[100:] if ledger.path.is_file() else b"") == before


def test_json_of_another_kind_in_a_row_is_ignored(ledger: LedgerWriter) -> None:
    for number, inputs in enumerate(("7", "[7]", '[{"name": 7}]', '[{"name": "a", "pixels": 1}]')):
        ledger.enter([entry(str(number), settings={})])
        ledger._write("UPDATE jobs SET inputs = ?, settings = '[]'", inputs)
        job = ledger.find(str(number))
        assert job is not None
        assert (job.inputs, job.settings) == ((), None)
    assert ledger.digests() == set()
    ledger._write("INSERT INTO kept VALUES ('a', 'b', '[{\"name\": 7}]')")
    assert ledger.kept("a") == []


# Migrations

NEXT = ("ALTER TABLE jobs ADD COLUMN color TEXT", "CREATE INDEX by_color ON jobs (color)")


def version(path: Path) -> int:
    with sqlite3.connect(path) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_the_older_version_is_copied_before_a_migration(tmp_path: Path) -> None:
    path, newest = tmp_path / "ledger.sqlite3", len(MIGRATIONS)
    with sqlite3.connect(path, isolation_level=None) as connection:
        migrate(connection, path, MIGRATIONS[:1])
    LedgerWriter.open(path).close()
    assert (version(path), version(path.with_name(f"{path.name}.v1.bak"))) == (newest, 1)
    backups = len(list(tmp_path.glob("*.bak")))
    LedgerWriter.open(path).close()
    assert len(list(tmp_path.glob("*.bak"))) == backups == newest - 1


def test_a_migration_that_fails_leaves_the_version_before_it(ledger: LedgerWriter) -> None:
    connection = sqlite3.connect(ledger.path, isolation_level=None)
    with pytest.raises(DamagedError, match="nonsense"):
        migrate(connection, ledger.path, [*MIGRATIONS, (NEXT[0], "CREATE nonsense")])
    assert version(ledger.path) == len(MIGRATIONS)
    assert "color" not in {row[1] for row in connection.execute("PRAGMA table_info(jobs)")}


def test_a_ledger_of_a_newer_version_is_left_alone(ledger: LedgerWriter) -> None:
    ledger.close()
    in_sql("PRAGMA user_version = 99")(ledger.path)
    with pytest.raises(SettingsError, match="newer stylewatch"):
        LedgerWriter.open(ledger.path)


def test_the_unfinished_states_are_the_same_in_sql() -> None:
    assert repr(UNFINISHED) == OPEN
