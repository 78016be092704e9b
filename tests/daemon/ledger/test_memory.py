"""What has been painted and stays in an inbox is known by content, whatever its path (law 3)."""

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.ledger.ledger import reading
from stylewatch_daemon.ledger.memory import (
    BEFORE,
    Judgment,
    Memory,
    Seen,
    Verdict,
    former_key,
    key_of,
)
from stylewatch_daemon.ledger.schema import VERSIONS, upgrade
from stylewatch_daemon.ledger.writer import LedgerWriter

SECOND, HOUR = 10**9, 3600 * 10**9
ROLES = ("content", "style", "init", "content-mask", "style-1-mask", "job")
IN = Path("/in")

# -- keys


@given(
    st.lists(st.tuples(st.sampled_from(ROLES), st.text("ab", min_size=1)), max_size=6), st.data()
)
def test_a_key_depends_on_roles_and_the_order_of_styles_but_not_on_the_order_of_roles(
    roles: list[tuple[str, str]], data: st.DataObject
) -> None:
    other = data.draw(st.permutations(roles))
    by_role = [[sha256 for name, sha256 in each if name == role] for each in (roles, other)
               for role in ROLES]  # fmt: skip
    is_same = by_role[: len(ROLES)] == by_role[len(ROLES) :]
    assert (key_of(roles) == key_of(other)) == is_same
    assert key_of(roles) != key_of([*roles, ("style", "c")])


# -- judgments


MAIN, STYLE = IN / "a.jpg", IN / "s.jpg"
RECORDS = {MAIN: (Look(7, 0), "12ab"), STYLE: (Look(9, 0), "cafe")}
"""The files of a pair that was painted, with their digests."""

PAINTED, NEW = Judgment(Verdict.PAINTED), Judgment(Verdict.NEW)


def remembered(records: Mapping[Path, tuple[Look, str]], *digests: str) -> Memory:
    """Return the memory of files, and of a painted pair with these digests."""
    seen = {
        ("", str(path)): Seen(str(path), str(IN), "", look.size, look.mtime_ns, sha256)
        for path, (look, sha256) in records.items()
    }
    key = key_of([*zip(("content", "style"), digests, strict=True)])
    sizes = frozenset(look.size for look, _ in records.values())
    return Memory(seen, {key: str(MAIN)}, sizes)


def judge(
    memory: Memory,
    name: str,
    roles: Sequence[tuple[str, Path]],
    looks: Mapping[Path, Look],
    *,
    own: Collection[Path] | None = None,
    local_time: bool = False,
) -> Judgment:
    """Judge a pair whose `own` files, else all, are not shared with others."""
    files = {path for _, path in roles}
    records = {path: memory.of("", path, looks[path], local_time=local_time) for path in files}
    sizes = {path: looks[path].size for path in files}
    return memory.judge(name, roles, files if own is None else own, sizes, records)


@pytest.mark.parametrize(
    ("shift", "local_time", "is_known"),
    [(0, False, True), (2 * SECOND, False, True), (3 * SECOND, False, False),
     (HOUR, False, False), (-HOUR + SECOND, True, True), (HOUR // 2, True, False)],
)  # fmt: skip
def test_the_same_path_size_and_time_need_no_digest_and_others_are_hashed_first(
    shift: int, local_time: bool, is_known: bool
) -> None:
    roles = [("content", MAIN), ("style", STYLE)]
    looks = {MAIN: Look(7, shift), STYLE: Look(9, 0)}
    memory = remembered(RECORDS, "12ab", "cafe")
    expected = PAINTED if is_known else Judgment(Verdict.UNKNOWN, (MAIN,))
    assert judge(memory, "pair", roles, looks, local_time=local_time) == expected


@pytest.mark.parametrize(
    ("size", "sha256", "expected"),
    [
        (8, "", NEW),  # no record has this size
        (7, "", Judgment(Verdict.UNKNOWN, (IN / "b.jpg",))),
        (7, "12ab", Judgment(Verdict.PAINTED, equal=str(MAIN))),
        (7, "beef", NEW),
    ],
)
def test_content_is_known_under_another_name(size: int, sha256: str, expected: Judgment) -> None:
    other, look = IN / "b.jpg", Look(size, 5)
    records = {**RECORDS, other: (look, sha256)} if sha256 else RECORDS
    memory = remembered(records, "12ab", "cafe")
    roles = [("content", other), ("style", STYLE)]
    assert judge(memory, "pair", roles, {STYLE: Look(9, 0), other: look}) == expected


FILES = [IN / name for name in "abcd"]


@given(st.data())
def test_a_judgment_is_that_of_the_true_contents_or_unknown(data: st.DataObject) -> None:
    """A pair is new or painted only if its contents say so, whatever is recorded of them."""
    content = st.sampled_from(["x", "y", "zz"])
    contents = {path: data.draw(content) for path in FILES}
    looks = {path: Look(len(text), 0) for path, text in contents.items()}
    recorded = {path for path in FILES if data.draw(st.booleans())}
    painted = data.draw(st.lists(content, min_size=2, max_size=2))
    records = {path: (looks[path], contents[path]) for path in recorded}
    # what was painted once may have been renamed, but its content has a record
    records |= {IN / f"gone-{each}": (Look(len(each), 0), each) for each in painted}
    files = [data.draw(st.sampled_from(FILES)) for _ in painted]
    roles = [*zip(("content", "style"), files, strict=True)]
    verdict = judge(remembered(records, *painted), "pair", roles, looks).verdict
    if verdict is Verdict.UNKNOWN:
        assert not recorded.issuperset(files)
    else:
        assert (verdict is Verdict.PAINTED) == ([contents[path] for path in files] == painted)


# -- what version 1 kept


@contextmanager
def version_1(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection to a ledger of version 1, which is upgraded afterwards."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        upgrade(connection, path, VERSIONS[:1])
        yield connection
    LedgerWriter.open(path).close()


def keep(connection: sqlite3.Connection, name: str, *files: dict[str, Any], doomed: bool) -> None:
    """Write a record of version 1."""
    main = files[0]["path"]
    record = {"key": f"{main}\n{name}", "main": main, "inbox": "/in", "doomed": doomed,
              "files": files}  # fmt: skip
    row = [json.dumps(record["key"]), json.dumps(main), int(doomed), json.dumps(record)]
    connection.execute("INSERT INTO kept VALUES (?, ?, ?, ?)", row)


def kept_file(name: str, size: int, sha256: str) -> dict[str, Any]:
    return {"path": f"/in/{name}", "inode": 3, "size": size, "mtime_ns": 5, "sha256": sha256}


def enter(connection: sqlite3.Connection, job_id: str, name: str, *inputs: Any) -> None:
    """Write a job of version 1 with inputs: role, source, and digest."""
    plain = [
        {"role": role, "name": "x", "source": source, "size": 1, "sha256": sha256, "pixels": None,
         "frames": 1, "changed": False}
        for role, source, sha256 in inputs
    ]  # fmt: skip
    values = {
        "id": job_id, "name": name, "inbox": "/in", "outbox": "/out", "entered": "then",
        "state": "ended", "end": "done", "reason": "", "inputs": json.dumps(plain), "bytes": 1,
        "priority": 0, "needs": "", "faults": 0, "interruptions": 0, "step": 0, "retry_of": "",
        "dismissed": 0,
    }  # fmt: skip
    names, places = ", ".join(values), ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO jobs ({names}) VALUES ({places})", [*values.values()])


LATIN = "latin\udce9.jpg"


def test_what_version_1_painted_is_known_with_its_job_and_without(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    with version_1(path) as connection:
        for name, digest in (("album/a.jpg", "12ab"), (LATIN, "beef")):
            keep(connection, name, kept_file(name, 7, digest), doomed=False)
        inputs = [("content", "/in/album/a.jpg", "12ab"), ("style", "/in/album/style.jpg", "cafe")]
        enter(connection, "1", "album/a.jpg", *inputs)
        enter(connection, "2", "another", *inputs)
    with reading(path) as ledger:
        memory = ledger.memory()
    names = {"/in/album/a.jpg", f"/in/{LATIN}", "/in/album/style.jpg"}
    assert memory.seen.keys() == {("", name) for name in names}
    by_content = key_of([("content", "12ab"), ("style", "cafe")])
    assert memory.painted == {
        by_content: "/in/album/a.jpg",
        former_key(LATIN, ["beef"]): f"/in/{LATIN}",  # no job is known with the digests of all
    }
    style = IN / "album/style.jpg"
    for name, expected in (
        ("album/a.jpg", Judgment(Verdict.UNKNOWN, (style,))),  # it may be another style now
        (LATIN, PAINTED),
        ("renamed", NEW),
    ):
        main = IN / (LATIN if name == "renamed" else name)
        looks = {main: Look(7, 5), style: Look(1 if main.name == "a.jpg" else 1000, HOUR)}
        roles = [("content", main), ("style", style)]
        assert judge(memory, name, roles, looks, own={main}) == expected


def test_what_version_1_was_to_remove_or_had_not_hashed_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    with version_1(path) as connection:
        keep(connection, "a", kept_file("a.jpg", 7, "12ab"), doomed=True)
        keep(connection, "b", kept_file("b.jpg", 7, ""), doomed=False)
        keep(connection, "c", kept_file("c.jpg", 7, "cafe"), kept_file("j.yaml", 2, "c0de"),
             doomed=False)  # fmt: skip
    with reading(path) as ledger:
        memory = ledger.memory()
    left_out = {Path(seen.path).name: seen.left_out for seen in memory.seen.values()}
    assert left_out == {"a.jpg": BEFORE, "b.jpg": BEFORE, "c.jpg": "", "j.yaml": ""}
    looks = {IN / "c.jpg": Look(7, 5), IN / "j.yaml": Look(2, 5)}
    roles = [("content", IN / "c.jpg"), ("job", IN / "j.yaml")]
    assert judge(memory, "c", roles, looks) == PAINTED
