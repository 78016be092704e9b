"""A hostile state folder: what a crash, a full disk, another version or a person may leave."""

import json
import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

from tests.hostile.world import World, dig

from stylewatch_daemon.ledger import claim as claims
from stylewatch_daemon.ledger.state_dir import LEDGER, WAKE

Place = Callable[[World], object]
Row = tuple[str, str, Place, tuple[int, ...]]
"""Family and title of a case, what it does, and the exit codes of a daemon that does not start."""

GARBAGE = (b"", bytes(range(256)), b"{", b"{}", b"[" * 100_000, b'{"id": ' + b"9" * 100_000 + b"}",
           b'{"id": NaN, "files": Infinity}')  # fmt: skip
CLAIM_KEYS = ("id", "name", "inbox", "outbox", "after", "files", "folder", "retry_of", "unknown",
              "files.role", "files.name", "files.source", "files.look", "files.own")  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, 7, -1, 10**400, "", "x", "a\ud800", "a\0", "/a\0", "../../elsewhere/x", "..",
    "/etc/passwd", "n" * 100_000, [], [["a"]], [None], ["../../x", 7], {}, {"x": {"y": None}},
    {"\ud800": 1}, {"inode": 10**400, "size": "y", "mtime_ns": None},
)  # fmt: skip
"""Values that replace those of a claim, and arguments of requests, in turn."""

ROOMS = ("jobs", "claims")

# -- jobs


def copy_of(job: Path, room: Path) -> Path:
    return Path(shutil.copytree(job, room / f"20260101T000000.000000-{secrets.token_hex(3)}"))


def garbage(room: str, world: World) -> None:
    """Put copies of a real job into a room of the state folder, without their claims."""
    job = world.settled_job()
    for content in GARBAGE:
        (copy_of(job, world.state / room) / claims.FILE_NAME).write_bytes(content)


def changed(room: str, world: World) -> None:
    """Put such copies there, each with one odd value in its claim."""
    job = world.settled_job()
    for odd in ODD:
        for key in CLAIM_KEYS:
            copy = copy_of(job, world.state / room)
            plain = json.loads((job / claims.FILE_NAME).read_bytes())
            plain["id"] = copy.name
            where = plain["files"][0] if key.startswith("files.") else plain
            where[key.removeprefix("files.")] = odd
            (copy / claims.FILE_NAME).write_text(json.dumps(plain), encoding="ascii")


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    """Make something else in the place of a file or folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    make(path)


def link_to(target: Path | str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def is_x(path: Path) -> None:
    path.write_bytes(b"x")


Change = Callable[[World, Path], object]
CLAIMS: dict[str, Change] = {
    "is garbage": lambda _, claim: claim.write_bytes(b"\xff{"),
    "is a pipe": lambda _, claim: replaced(claim, os.mkfifo),
    "is a link outside": lambda world, claim: replaced(
        claim, link_to(world.elsewhere / "secret.txt")
    ),
    "is of zeros for ever": lambda _, claim: replaced(claim, link_to("/dev/zero")),
    "has 2 GB": lambda _, claim: os.truncate(claim, 2 * 10**9),
}
"""Each of these jobs fails, and the folder of the refused job has its pictures."""

INPUTS: dict[str, Change] = {
    "whose inputs are gone": lambda _, job: shutil.rmtree(job / "files"),
    "whose inputs are a folder outside": lambda world, job: replaced(
        job / "files", link_to(world.elsewhere)
    ),
    "whose content is a pipe": lambda _, job: replaced(job / "files/content.jpg", os.mkfifo),
    "that is a file": lambda _, job: replaced(job, is_x),
}
"""Each of these jobs fails or is refused, with a reason."""


def refused(change: Change, title: str, is_claim: bool, world: World) -> None:
    """Change a job that waits, and expect its reason, and its inputs if only the claim is lost."""
    job = world.settled_job(title)
    change(world, job / claims.FILE_NAME if is_claim else job)
    for file in ("reason.txt", *(("content.jpg", "style.jpg") if is_claim else ())):
        path = world.outbox / "_refused" / title / file
        world.expect(f"{title}: no {file} in _refused", path.is_file)


def checkpoint(world: World) -> None:
    (world.settled_job("checkpoint") / "checkpoint.npz").write_bytes(b"\x80garbage")
    world.expect("the job was not painted", lambda: world.is_painted("checkpoint"))


def strangers(world: World) -> None:
    for room in ROOMS:
        folder = world.state / room
        for name in (b"\xff\xfe", b"a\nb", b"-o", b" ", b"n" * 255, b".hidden"):
            Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).mkdir()
        is_x(folder / "file")
        (folder / "outside").symlink_to(world.elsewhere)
        (folder / "loop").symlink_to("loop")
        os.mkfifo(folder / "pipe")
    (world.state / "jobs/4").mkdir()
    os.mkfifo(world.state / "jobs/4/claim.json")
    for folder in (world.state / "thumbs/a", world.state / "ledger.sqlite3.v0.bak"):
        folder.mkdir(parents=True)
    (world.state / "trash/x").symlink_to(world.elsewhere)
    os.close(dig(world.state / "trash", b"d", 1_500))
    (world.state / "uploads/x").mkdir(parents=True)
    is_x(world.state / "uploads/y")


REFUSED: dict[str, Change] = {
    "wake is a file": lambda _, state: replaced(state / WAKE, is_x),
    "wake is a link outside": lambda world, state: replaced(
        state / WAKE, link_to(world.elsewhere / "secret.txt")
    ),
    "jobs is a link outside": lambda world, state: replaced(
        state / "jobs", link_to(world.elsewhere)
    ),
    "claims is a link to itself": lambda _, state: replaced(state / "claims", link_to("claims")),
    "lock is a folder": lambda _, state: replaced(state / "lock", Path.mkdir),
}
"""The daemon does not start, and says why in a sentence that names the path."""


def lost(change: Change, world: World) -> None:
    """Change the state folder, which is made anew after that."""
    world.end()
    world.undo(lambda: shutil.rmtree(world.state))
    change(world, world.state)


# -- requests

GOOD = "the id of a job that is done"
REQUESTS: dict[str, dict[str, Any]] = {
    "cancel": {"job": GOOD},
    "finish": {"job": GOOD},
    "dismiss": {"jobs": [GOOD], "until": ""},
    "retry": {"job": GOOD, "new": "x", "settings": {}, "from_stage": 4, "without": [], "added": []},
    "resume": {},
    "delete": {"job": "x"},
    **{verb: {} for verb in ("explode", "", "act", "_class__", "a\n\x1b[2J", "v" * 100_000)},
}
"""Arguments of requests by their verbs, each of which is replaced by an odd one."""

TEXTS = ("null", "[]", '"x"', "7", "[" * 990 + "]" * 990, '{"job": ' + "9" * 100_000 + "}")


def odd_requests(good: str) -> Iterator[tuple[str, str]]:
    """Yield verbs and arguments; `good` is the id of a job that is done."""
    for verb, arguments in REQUESTS.items():
        yield from ((verb, text) for text in TEXTS)
        usual = json.loads(json.dumps(arguments).replace(GOOD, good))
        for key in (*usual, "unknown"):
            yield from ((verb, json.dumps({**usual, key: odd})) for odd in ODD)
    yield "cancel", json.dumps({"job": "x" * 20_000_000})


def asked(world: World) -> None:
    """Put requests into the ledger as another program would, and wake the daemon."""
    with closing(sqlite3.connect(world.state / LEDGER, 60)) as ledger, ledger:
        ((good,), *_) = ledger.execute("SELECT id FROM jobs WHERE end = 'done'")
        for request in odd_requests(good):
            with suppress(sqlite3.IntegrityError):  # the schema keeps it out
                ledger.execute("INSERT INTO requests (verb, arguments, made) VALUES (?, ?, '')",
                               request)  # fmt: skip
    with suppress(OSError):
        poke(world, b"!")
    world.expect("requests were left", lambda: not count_of_requests(world))


def poke(world: World, content: bytes) -> None:
    pipe = os.open(world.state / WAKE, os.O_WRONLY | os.O_NONBLOCK)
    try:
        os.write(pipe, content)
    finally:
        os.close(pipe)


def count_of_requests(world: World) -> int:
    with closing(sqlite3.connect(world.state / LEDGER)) as ledger:
        return int(ledger.execute("SELECT count(*) FROM requests").fetchone()[0])


def full_pipe(world: World) -> None:
    world.meanwhile(lambda: poke(world, bytes(65_536)))


# -- the ledger


def remove_ledger(state: Path) -> None:
    for path in state.glob(f"{LEDGER}*"):
        path.unlink()


def without_ledger(change: Callable[[Path], object], world: World) -> None:
    world.end()
    world.undo(lambda: remove_ledger(world.state))
    change(world.state / LEDGER)


def in_sql(statement: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as ledger, ledger:
            ledger.execute(statement)

    return change


def new_ledger(content: bytes, path: Path) -> None:
    remove_ledger(path.parent)
    path.write_bytes(content)


def of_birds(path: Path) -> None:
    new_ledger(b"", path)
    in_sql("CREATE TABLE birds (name TEXT)")(path)


def garble(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 4096)


LEDGERS: dict[str, Callable[[Path], object]] = {
    "is garbage": partial(new_ledger, b"garbage" * 2000),
    "has a page of garbage": garble,
    "has a log of garbage": lambda path: Path(f"{path}-wal").write_bytes(bytes(range(256)) * 99),
    "is of the future": in_sql("PRAGMA user_version = 9999"),
    "has lost a table": in_sql("DROP TABLE jobs"),
    "is another program's": of_birds,
    "is a link to itself": lambda path: replaced(path, link_to(LEDGER)),
}
COLUMNS = ("name", "inbox", "outbox", "entered", "state", "end", "cause", "reason", "asked",
           "inputs", "bytes", "priority", "needs", "place", "refused_as", "faults",
           "interruptions", "step", "finished", "settings", "retry_of", "dismissed")  # fmt: skip
VALUES = {"bytes": "x'ff00fe'", "a text": "'{\u202e'", "nothing": "NULL", "a number": "-9e999",
          "an object": "'{}'", "a large number": str(2**63 - 1)}  # fmt: skip


def odd_rows(value: str, world: World) -> None:
    """Write a value that does not belong there into each column of a job of its own."""
    job = world.settled_job()
    world.undo(lambda: remove_ledger(world.state))
    with closing(sqlite3.connect(world.state / LEDGER)) as ledger, ledger:
        others = ", ".join(COLUMNS)
        for column in COLUMNS:
            copy = copy_of(job, world.state / "jobs")
            claim = copy / claims.FILE_NAME
            claim.write_text(json.dumps({**json.loads(claim.read_bytes()), "id": copy.name}))
            ledger.execute(
                f"INSERT INTO jobs (id, {others}) SELECT ?, {others} FROM jobs WHERE id = ?",
                (copy.name, job.name),
            )
            try:
                ledger.execute(f"UPDATE jobs SET {column} = {value} WHERE id = ?", (copy.name,))
            except sqlite3.IntegrityError:  # the schema keeps it out
                ledger.execute("DELETE FROM jobs WHERE id = ?", (copy.name,))
                shutil.rmtree(copy)


def rows() -> Iterator[Row]:
    """Yield the cases of the state folder."""
    for room in ROOMS:
        yield "state", f"{room}/: claims of garbage", partial(garbage, room), ()
        yield "state", f"{room}/: claims with an odd value in a field", partial(changed, room), ()
    for is_claim, table in ((True, CLAIMS), (False, INPUTS)):
        for title, change in table.items():
            name = f"a job {'whose claim ' if is_claim else ''}{title}"
            yield "state", name, partial(refused, change, title, is_claim), ()
    yield "state", "a job with a checkpoint of garbage", checkpoint, ()
    yield "state", "strangers in jobs/, claims/, trash/ and uploads/", strangers, ()
    for title, change in REFUSED.items():
        yield "state", title, partial(lost, change), (78, 73)
    for when in ("before it starts", "while the daemon runs"):
        yield "requests", f"requests of garbage, {when}", asked, ()
    yield "requests", "the pipe that wakes it is filled while the daemon runs", full_pipe, ()
    for title, broken in LEDGERS.items():
        yield "ledger", f"the ledger {title}", partial(without_ledger, broken), (78,)
    for title, value in VALUES.items():
        yield "ledger", f"jobs whose columns hold {title}", partial(odd_rows, value), (78,)
