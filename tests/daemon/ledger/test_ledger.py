"""The ledger: jobs, files and the memory of inboxes; any process reads, and the daemon writes."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import failing, replaced

from stylewatch_daemon.base.errors import OutputError, UsageError
from stylewatch_daemon.base.model import (
    PICTURES,
    Cause,
    End,
    Input,
    Job,
    OutputFile,
    State,
    is_id,
)
from stylewatch_daemon.ledger import requests, schema
from stylewatch_daemon.ledger.ledger import Ledger, Place, Search, Sight, reading
from stylewatch_daemon.ledger.memory import Memory, Painted, Seen
from stylewatch_daemon.ledger.writer import LedgerWriter

LATIN = "/latin\udce9"
"""A path with a byte that is not UTF-8."""

QUEUED = State.QUEUED


def job(job_id: str, **more: Any) -> Job:
    values = {"name": "a", "inbox": "/in", "outbox": "/out", "entered": "then", **more}
    return Job(job_id, **values)


def ended(job_id: str, end: End = End.DONE, finished: str = "2026", **more: Any) -> Job:
    return job(job_id, state=State.ENDED, end=end, finished=finished, **more)


def pictures(*digests: str, source: str = "/in/a.jpg", role: str = "content") -> tuple[Input, ...]:
    return tuple(Input(role, "a.jpg", source, 7, digest) for digest in digests)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[LedgerWriter]:
    with closing(LedgerWriter.open(tmp_path / "ledger.sqlite3")) as opened:
        yield opened


def put(ledger: LedgerWriter, *jobs: Job) -> None:
    for each in jobs:
        ledger.put(each)


def ids(jobs: list[Job]) -> str:
    return "".join(each.id for each in jobs)


# -- what is written is read


FULL = Job(
    "1", "waves/été", "/in", "/out", "2026-01-01", State.ENDED, End.FAILED, Cause.WORKER, "why",
    asked=End.CANCELED, bytes=7, priority=-5, needs="torch cpu best", place="waves/été-2",
    refused_as="_refused/waves", disk="1d", faults=2, interruptions=3, step=40,
    finished="2026-01-02",
    settings={"steps": 3, "recipe": "best", "size": None}, retry_of="waves/old", dismissed=True,
    trashed="2026-11-30T08:00:00+00:00",
    inputs=(
        Input("content", "a.jpg", f"{LATIN}/a.jpg", 7, "12ab", (4, 5), frames=9),
        Input("style-2-mask", "b.png", "/in/b.png", 0),
    ),
)  # fmt: skip
"""A job with a value of its own in each field."""


def test_every_field_of_a_job_is_kept_and_another_process_reads_it(ledger: LedgerWriter) -> None:
    plain = job("2")
    same = [field.name for field in fields(Job) if getattr(FULL, field.name) == field.default]
    assert same == [], "so that a field without a column shows"
    put(ledger, FULL, plain)
    with reading(ledger.path) as reader:
        assert (reader.get("1"), reader.get("2"), reader.get("3")) == (FULL, plain, None)
        changed = replace(FULL, state=QUEUED, end=None)
        put(ledger, changed, replace(plain, reason="new"))
        assert (reader.get("1"), reader.get("2")) == (changed, replace(plain, reason="new"))


# -- transactions


@contextmanager
def connections() -> Iterator[list[sqlite3.Connection]]:
    """Collect the connections that are made."""
    made, connect = list[sqlite3.Connection](), sqlite3.connect

    def collected(*args: Any, **more: Any) -> sqlite3.Connection:
        made.append(connect(*args, **more))
        return made[-1]

    with replaced(sqlite3, connect=collected):
        yield made


def test_no_connection_is_left_open_and_none_is_opened_afterwards(ledger: LedgerWriter) -> None:
    """Also if a silent disk held up whoever reads in another thread."""
    memory = Ledger.memory

    def slow(reader: Ledger) -> Memory:
        ledger.close()
        return memory(reader)

    with connections() as made:
        remembered = ledger.memory_reader()
        remembered()
        in_use = ledger.memory_reader()
        with replaced(Ledger, memory=slow):
            in_use()
    assert len(made) == 2
    for connection in made:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")
    with pytest.raises(OutputError, match="the daemon is stopping"):
        remembered()


def test_every_commit_is_synced(ledger: LedgerWriter) -> None:
    """By the settings of SQLite: a power cut cannot be tested here."""
    with connections() as made, closing(LedgerWriter.open(ledger.path)):
        pragmas = [made[0].execute(f"PRAGMA {name}") for name in ("journal_mode", "synchronous")]
        assert [row[0] for pragma in pragmas for row in pragma] == ["wal", 2]


def test_a_transaction_is_made_as_a_whole_or_not_at_all(ledger: LedgerWriter) -> None:
    def change() -> None:
        with ledger.transaction():
            ledger.put(job("2"))
            with ledger.transaction():
                ledger.put(replace(job("1"), reason="changed"))

    put(ledger, job("1"))
    full = failing(sqlite3.OperationalError("database or disk is full"))
    with replaced(schema, commit=full), pytest.raises(OutputError, match=r"\(database or disk is"):
        change()
    assert (ledger.get("1"), ledger.get("2")) == (job("1"), None)
    with pytest.raises(KeyError), ledger.transaction():
        ledger.put(job("2"))
        raise KeyError
    with pytest.raises(ValueError, match="the ledger does not accept this"), ledger.transaction():
        ledger.put(job("2"))
        ledger.put(job("3", state="burnt"))
    assert ledger.get("2") is None
    change()
    assert (ledger.get("1"), ledger.get("2")) == (replace(job("1"), reason="changed"), job("2"))


# -- questions


NAMED = (
    job("1", place="a"), job("2", place="a"), job("3", place="a-2"), job("4", name="x"),
    job("5", place="waves/sea", name="y"), job("6", name="y"),
    job("7", name="\u00fc"),
)  # fmt: skip
PLACES = (job("1", place="sea", refused_as="_refused/a"), ended("3", place="over"),
          job("4", outbox="/far", place="sea-2"), job("5"))  # fmt: skip
QUEUE = (
    job("1", state=QUEUED), job("2", state=QUEUED, priority=5, interruptions=2, place="p2"),
    job("3", state=QUEUED, priority=5), job("7", state=QUEUED, priority=9, interruptions=3),
    job("4", state=QUEUED, inbox="/other", outbox="/far", needs="gpu"),
    job("0"), job("00", state=State.RUNNING), ended("9"), job("8", inbox="/third"),
)  # fmt: skip
"""By priority, then by age; last come jobs that ran when the daemon was killed three times."""

ENDED = (
    ended("1", finished="2024"), ended("2", End.FAILED, "2025"), ended("3", finished="2026"),
    ended("4", End.REFUSED, "2026", outbox="/far"), job("5"), ended("6", End.STOPPED_EARLY),
)  # fmt: skip


def found(name: str) -> Callable[[Ledger], str]:
    return lambda it: getattr(it.find(name), "id", "")


def test_a_name_means_one_job_and_its_own_spelling_wins(ledger: LedgerWriter) -> None:
    put(
        ledger, *NAMED, job("8", name="Sea"), job("9", name="SEA", place="sea"),
        job("10", name="Sky", place="sky"), job("11", name="X"), job("12", name="\u00c9t\u00e9"),
        job("13", name="waves", place="sand"), job("14", name="waves", place="sand-2"),
    )  # fmt: skip
    meant = {
        "Sea": "Sea", "sea": "sea", "SKY": "Sky", "x": "x", "9": "9", "nothing": "nothing",
        "E\u0301TE\u0301": "\u00c9t\u00e9", "WAVES": "waves", "Sand-2": "sand-2",
    }  # fmt: skip
    assert {name: ledger.meant(name) for name in meant} == meant
    with pytest.raises(UsageError, match="sEa fits several jobs: SEA and Sea and sea, which diff"):
        ledger.meant("sEa")


def test_a_name_that_fits_two_jobs_is_refused_with_their_ids(ledger: LedgerWriter) -> None:
    put(
        ledger, job("1", name="scan", place="scan", state=State.ENDED, end=End.DONE),
        job("2", name="scan"), job("3", name="scan", inbox="/other"), job("4", name="once"),
        job("5", name="a", place="a", state=State.ENDED, end=End.DONE),
        job("6", name="b", place="a", state=State.ENDED, end=End.DONE),
        job("7", name="c", place="c", state=State.ENDED, end=End.DONE),
        job("8", name="c", place="c", outbox="/far", state=State.ENDED, end=End.DONE),
    )  # fmt: skip

    def is_open(job: Job) -> bool:
        return not job.has_ended

    one = ledger.the_one
    meant = [one(name) for name in ("2", "scan", "ONCE", "a")]
    assert [found.id for found in meant if found] == ["2", "1", "4", "6"]
    assert one("nothing", is_open) is None
    for name, which, both in (("Scan", [is_open], "2.* and 3"), ("c", [], "7.* and 8")):
        with pytest.raises(UsageError, match=f"fits several jobs: {both}.*; use an id"):
            one(name, *which)


def heads(**held: Any) -> Callable[[Ledger], object]:
    return lambda it: it.next_of_inboxes(**held)


QUESTIONS: list[tuple[tuple[Job, ...], Callable[[Ledger], object], object]] = [
    *((NAMED, found(name), job_id) for name, job_id in {
        "1": "1", "a": "2", "a-2": "3", "x": "4", "waves/sea": "5", "y": "6", "sea": "",
        "u\u0308": "7"}.items()),
    (PLACES, lambda it: it.reserved("/out"), {"sea", "_refused/a"}),
    (PLACES, lambda it: it.reserved("/far"), {"sea-2"}),
    (PLACES, lambda it: it.reserved("/out", ["3", "5"]), {"sea", "_refused/a", "over"}),
    (NAMED, lambda it: it.names_like("a"), {"a", "a-2"}),
    (NAMED, lambda it: it.names_like("waves/"), {"waves/sea"}),
    (NAMED, lambda it: it.names_like("%"), frozenset()),
    (QUEUE, heads(), {"/in": "2", "/other": "4"}),
    (QUEUE, heads(jobs=["2"]), {"/in": "3", "/other": "4"}),
    (QUEUE, heads(places={"2": Place("9", 1.0), "4": Place("9")}), {"/in": "3", "/other": "4"}),
    (QUEUE, heads(places={"2": Place("9", 2.0), "3": Place("9")}), {"/in": "3", "/other": "4"}),
    (QUEUE, heads(jobs=["3"], places={"2": Place("9", 1.0)}), {"/in": "2", "/other": "4"}),
    (QUEUE, heads(jobs=["1", "2", "3"]), {"/in": "7", "/other": "4"}),
    (QUEUE, heads(needs=["gpu"]), {"/in": "2"}),
    (QUEUE, heads(outboxes=["/out"]), {"/other": "4"}),
    (QUEUE, lambda it: [*it.waiting(["/out"], 9, {})[0]], ["2", "8", "3", "0", "1", "7"]),
    (QUEUE, lambda it: it.waiting(["/out"], 3, {"/in": 1}), ({"8": "a", "2": "p2", "3": "a"}, 6)),
    (QUEUE, lambda it: [*it.waiting(["/far", "/out"], 4, {})[0]], ["2", "4", "8", "3"]),
    (QUEUE, lambda it: [it.place(each.id) for each in it.in_state(QUEUED)], [None] * 5),
    (QUEUE[:4], lambda it: [it.place(each.id) for each in it.in_state(QUEUED)], [3, 1, 2, 4]),
    (ENDED, lambda it: it.count_ended(PICTURES, since="2025"), 2),
    (ENDED, lambda it: ids(it.ended([End.DONE, End.FAILED], 2)), "32"),
    (ENDED, lambda it: [ids(it.undismissed(9)), ids(it.undismissed(1))], ["42", "4"]),
    (ENDED, lambda it: ids(it.undismissed(9, "/far")), "4"),
]  # fmt: skip


@pytest.mark.parametrize(("jobs", "ask", "answer"), QUESTIONS, ids=range(len(QUESTIONS)))
def test_a_question_has_its_answer(
    jobs: tuple[Job, ...],
    ask: Callable[[Ledger], object],
    answer: object,
    ledger: LedgerWriter,
) -> None:
    put(ledger, *jobs)
    assert ask(ledger) == answer


def test_jobs_are_counted_by_what_people_see_of_them(ledger: LedgerWriter) -> None:
    assert set(ledger.counts().values()) == {0}
    states = (State.CLAIMED, QUEUED, State.RUNNING, State.ENDING)
    put(ledger, *(job(state, place=f"p-{state}", state=state) for state in states))
    put(ledger, *(ended(end, end) for end in End), ended("again", End.FAILED))
    counts = {"waiting": 2, "running": 2, "done": 1, "stopped early": 1, "refused": 1,
              "failed": 2, "canceled": 1}  # fmt: skip
    assert ledger.counts() == counts
    ledger.dismiss([End.REFUSED, End.DONE, "running"])
    assert ledger.counts() == counts | {"refused": 0}
    assert ledger.ended_counts() == {end: counts[end] for end in End}, "dismissed ones included"
    ledger.dismiss([End.FAILED, "again"])
    assert ledger.counts() == counts | {"refused": 0, "failed": 0}
    assert ledger.open_jobs() == {state: f"p-{state}" for state in states}
    assert ids(ledger.in_state(State.ENDING, State.CLAIMED)) == "claimedending"


def test_of_jobs_that_choose_one_name_at_the_same_time_the_first_has_it(
    ledger: LedgerWriter,
) -> None:
    for number in "12":
        ledger.put(job(number, state=State.ENDING, end=End.DONE))
    link = OutputFile(f"/finals/{LATIN}.png", "finals", "", 1)
    for number in "12":
        ledger.put_link(number, link)
    assert [len(ledger.files(number)) for number in "12"] == [1, 0]
    assert ledger.links_of_others("1") == frozenset()
    assert ledger.links_of_others("2") == {schema.sql_value(link.path)}
    ledger.put(job("1", state=State.ENDED, end=End.DONE, finished="2026"))
    ledger.put_link("2", link)
    assert [len(ledger.files(number)) for number in "12"] == [0, 1], "its picture is gone there"


@pytest.mark.parametrize(("disk", "is_kept"), [("1", False), ("2", True), ("", False)])
def test_a_path_belongs_to_the_last_job_that_published_there_on_the_same_disk(
    disk: str, is_kept: bool, ledger: LedgerWriter
) -> None:
    first, second = replace(ENDED[0], disk="1"), replace(ENDED[1], disk=disk)
    put(ledger, first, second)
    final = OutputFile("a/final.png", "final", "", 1)
    for job in (first, second):
        ledger.put_files(job.id, [final])
    assert ledger.files(second.id) == [final]
    assert (ledger.files(first.id) == [final]) == is_kept


def test_old_jobs_are_listed_with_their_files_and_forgotten(ledger: LedgerWriter) -> None:
    stage = OutputFile("a/1", "stages", "", 1)
    for day, jobs in ((1.0, ENDED[:2]), (3.0, ENDED[2:])):
        put(ledger, *jobs)
        ledger.put_files(jobs[0].id, [stage, OutputFile("a/2", "final", "", 1)])
        stage = stage._replace(path="c/1")
        ledger.see(Sight(datetime.now(UTC), day))
    assert ledger.outlived("stages", 1.0) == []
    assert ledger.outlived("stages", 2.0) == [("1", "/out", stage._replace(path="a/1"))]
    ledger.expire(2.0, ["stages"], ["2"])
    assert [each for each in "123456" if ledger.get(each)] == [*"123456"], "it is not finished"
    request = requests.leave(ledger.path.parent, "delete", job="2")
    ledger.expire(2.0, ["stages"], ())
    assert ledger.get("2") is not None, "its deletion waits"
    ledger.remove_request(request)
    ledger.expire(2.0, ["stages"], ())
    assert [each for each in "123456" if ledger.get(each)] == [*"13456"]
    ledger.expire(2.0, (), ())
    assert [each for each in "123456" if ledger.get(each)] == [*"3456"]


def done(
    job_id: str, name: str, finished: str, recipe: str, content: str = "", style: str = ""
) -> Job:
    settings = {"recipe": recipe}
    inputs = (*pictures(content), *pictures("c0de", style, role="style"))
    return ended(job_id, name=name, finished=finished, inputs=inputs, settings=settings)


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        (Search(), "3215"), (Search(order="oldest"), "5123"), (Search(order="name"), "5213"),
        (Search("wave SEA"), "1"), (Search("ä %"), "3"), (Search("album"), "5"),
        (Search(style="abba"), "1"), (Search(style="style"), ""), (Search(recipe="best"), "315"),
        (Search("sea", recipe="gram"), "2"),
        (Search(since="2026-01-02", until="2026-01-03"), "1"),
    ],
)  # fmt: skip
def test_jobs_that_ended_are_searched_and_sorted_page_by_page(
    search: Search, expected: str, ledger: LedgerWriter
) -> None:
    put(
        ledger,
        done("1", "Sea wave", "2026-01-02", "best", "beef", "abba"),
        done("2", "sea", "2026-01-03", "gram", "abba", "beef"),
        done("3", "Ärger_100%", "2026-01-03", "best"),
        ended("4", End.FAILED, settings={"recipe": "nnst"}),
        replace(done("5", "x", "2026-01-01", "best"), place="album/harbor"),
        job("6"),
    )
    after, pages = None, ""
    while jobs := ledger.ended([End.DONE], 1, search, after):
        pages += ids(jobs)
        after = (search.key_of(jobs[-1]), jobs[-1].id)
    assert pages == ids(ledger.ended([End.DONE], 9, search)) == expected
    assert ledger.recipes(End.DONE, End.CANCELED) == ["best", "gram"]


# -- memory of inboxes

FILE = Seen(f"{LATIN}/a.jpg", "/latin", "ext4 8:1 /", 1 << 63, -5, "12ab", "", 2026)
PAIR = Painted("key", frozenset({"12ab", "cafe"}), FILE.path, "1")


def test_what_is_remembered_is_read_by_another_process_by_disk_and_path(
    ledger: LedgerWriter,
) -> None:
    stored = FILE._replace(size=(1 << 63) - 1)  # the largest number of SQLite
    style = Seen("/library/s.jpg", "", "", 5, 6, "cafe")
    left_out = Seen("/in/clip.mov", "/in", "disk", 9, 6, left_out="why")
    with reading(ledger.path) as reader:
        before = reader.version
        assert reader.memory() == Memory()
        ledger.remember([FILE, style, left_out], PAIR)
        assert reader.version != before
        memory = reader.memory()
        assert memory.seen == {(each.disk, each.path): each for each in (stored, style, left_out)}
        assert memory.painted == {"key": FILE.path}
        assert memory.sizes == {stored.size, 5}, "not of a file whose content is unknown"
        assert (reader.painter("key"), reader.painter("other")) == ("1", None)
        other_disk = FILE._replace(disk="exfat 8:2 /card", sha256="beef")
        ledger.remember([other_disk])
        assert len(reader.memory().seen) == 4


@pytest.mark.parametrize(
    ("gone", "absent", "is_forgotten"),
    [
        ((None,), 99, False),  # a copy beside it
        ((5,), 4, False),  # it was moved before, or was in a part of the inbox that was away
        ((5,), 0, False),  # the first scan found it: nobody knows since when it is there
        ((5,), 5, True),
        ((5, None), 16, False),  # there is another copy
        ((5, 8), 7, False),
        ((5, 8), 9, True),
        ((), 99, False),  # another file took the place of it
    ],
)
def test_a_pair_is_forgotten_only_if_its_content_arrives_after_it_was_in_no_inbox(
    gone: tuple[int | None, ...], absent: int, is_forgotten: bool, ledger: LedgerWriter
) -> None:
    files = [FILE._replace(path=f"/in/{n}", gone=number) for n, number in enumerate(gone)]
    elsewhere = FILE._replace(path="/not/in/the/settings", inbox="/not")
    style = Seen("/library/s.jpg", "", "", 5, 6, "cafe")
    ledger.remember([elsewhere, *files, style], PAIR)
    ledger.arrived(FILE._replace(path="/in/new", gone=None), absent, [Path(FILE.inbox)])
    assert (ledger.painter("key") is None) == is_forgotten
    assert (FILE.disk, "/in/new") in ledger.memory().seen


@pytest.mark.parametrize(("former", "is_forgotten"), [("/not", False), ("/in", True)])
def test_a_pair_in_an_inbox_that_left_the_settings_is_not_forgotten_because_of_its_style(
    former: str, is_forgotten: bool, ledger: LedgerWriter
) -> None:
    """Its style was in an inbox of now, too, and is dropped there again.

    If its photograph was there as well, the whole pair may have been.
    """
    photo = FILE._replace(path="/not/p.jpg", inbox="/not", gone=None)
    style = photo._replace(path="/not/s.jpg", sha256="cafe")
    gone = photo._replace(path=f"{former}/gone.jpg", inbox=former, gone=5)
    style_gone = style._replace(path="/in/s.jpg", inbox="/in", gone=5)
    ledger.remember([photo, style, gone, style_gone], PAIR)
    ledger.arrived(style_gone._replace(path="/in/again.jpg", gone=None), 9, [Path("/in")])
    assert (ledger.painter("key") is None) == is_forgotten


def test_what_was_there_before_an_edit_was_not_dropped_again_as_its_copy(
    ledger: LedgerWriter,
) -> None:
    """The file had been renamed; then it was copied, and edited before the copy was seen."""
    before, there = FILE._replace(path="/in/old", gone=5), FILE._replace(path="/in/new", gone=None)
    ledger.remember([before, there], PAIR)
    ledger.remember([before, there._replace(sha256="beef")])
    ledger.arrived(FILE._replace(path="/in/copy", gone=None), 9, [Path(FILE.inbox)])
    assert ledger.painter("key") == PAIR.job


def test_a_record_on_another_disk_is_replaced_by_that_of_the_same_file(
    ledger: LedgerWriter,
) -> None:
    for disk in ("a", "b"):
        ledger.remember([FILE._replace(disk=disk, gone=None)])
    assert [record.disk for record in ledger.memory().seen.values()] == ["b"]


def test_each_ledger_has_an_id_of_its_own(ledger: LedgerWriter, tmp_path: Path) -> None:
    with reading(ledger.path) as reader, closing(LedgerWriter.open(tmp_path / "other")) as other:
        assert reader.own_id == ledger.own_id != other.own_id
        assert is_id(ledger.own_id)
