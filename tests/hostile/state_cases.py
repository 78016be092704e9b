"""A hostile state folder: what a crash, a full disk, another version or a person may leave."""

import json
import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

from tests.hostile.cases import case
from tests.hostile.world import World, dig

from stylewatch_daemon.ledger import claim as claims
from stylewatch_daemon.ledger.state_dir import LEDGER, WAKE

GARBAGE: dict[str, bytes] = {
    "nothing": b"",
    "bytes": bytes(range(256)),
    "no JSON": b"{",
    "an empty object": b"{}",
    "100,000 brackets": b"[" * 100_000,
    "a number of 100,000 digits": b'{"id": ' + b"9" * 100_000 + b"}",
    "not a number": b'{"id": NaN, "files": Infinity}',
}
CLAIM_KEYS = ("id", "name", "inbox", "outbox", "after", "files", "folder", "retry_of", "unknown")
FILE_KEYS = ("role", "name", "source", "look", "own")
ODD: tuple[Any, ...] = (
    None, True, 7, -1, 10**400, "", "x", "a\ud800", "a\0", "/a\0", "../../elsewhere/x", "..",
    "/etc/passwd", "n" * 100_000, [], [["a"]], [None], ["../../x", 7], {}, {"x": {"y": None}},
    {"\ud800": 1}, {"inode": 10**400, "size": "y", "mtime_ns": None},
)  # fmt: skip
"""Values that replace those of a claim, and arguments of requests, in turn."""

ROOMS = ("jobs", "claims")


def _id() -> str:
    return f"20260101T000000.000000-{secrets.token_hex(3)}"


def _copy(template: Path, room: Path) -> Path:
    copy = room / _id()
    shutil.copytree(template, copy)
    return copy


def _garbage(room: str, world: World) -> None:
    """Put copies of a real job into a room of the state folder, without their claims."""
    template = world.settled_job()
    for content in GARBAGE.values():
        (_copy(template, world.state / room) / claims.FILE_NAME).write_bytes(content)


def _changed(room: str, world: World) -> None:
    """Put such copies there, each with one odd value in its claim."""
    template = world.settled_job()
    for odd in ODD:
        for key in (*CLAIM_KEYS, *(f"files.{key}" for key in FILE_KEYS)):
            copy = _copy(template, world.state / room)
            plain = json.loads((template / claims.FILE_NAME).read_bytes())
            plain["id"] = copy.name
            where = plain["files"][0] if key.startswith("files.") else plain
            where[key.removeprefix("files.")] = odd
            (copy / claims.FILE_NAME).write_text(json.dumps(plain), encoding="ascii")


for room in ROOMS:
    case("state", f"{room}/: claims of garbage, {len(GARBAGE)} kinds", stopped=True, alone=True)(
        partial(_garbage, room)
    )
    case("state", f"{room}/: claims with an odd value in a field", stopped=True, alone=True)(
        partial(_changed, room)
    )


def _as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _as_folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def _as_link(path: Path, target: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.symlink_to(target)


def _as_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(b"x")


def _without_inputs(job: Path) -> None:
    shutil.rmtree(job / "files")


def _of_2_gb(path: Path) -> None:
    with path.open("ab") as file:
        os.truncate(file.fileno(), 2_000_000_000)


CLAIMS: dict[str, Callable[[World, Path], object]] = {
    "is garbage": lambda _, claim: claim.write_bytes(b"\xff{"),
    "is a pipe": lambda _, claim: _as_pipe(claim),
    "is a link outside": lambda world, claim: _as_link(claim, world.elsewhere / "secret.txt"),
    "is /dev/zero": lambda _, claim: _as_link(claim, Path("/dev/zero")),
    "has 2 GB": lambda _, claim: _of_2_gb(claim),
}
"""Each of these jobs fails, and the folder of the refused job has its pictures."""

INPUTS: dict[str, Callable[[World, Path], object]] = {
    "whose inputs are gone": lambda _, job: _without_inputs(job),
    "whose inputs are a folder outside": lambda world, job: _as_link(
        job / "files", world.elsewhere
    ),
    "whose content is a pipe": lambda _, job: _as_pipe(job / "files/content.jpg"),
    "that is a file": lambda _, job: _as_file(job),
}
"""Each of these jobs fails or is refused, with a reason."""


def _with_claim(world: World, title: str) -> None:
    name = f"claim-{title.replace('/', '-')}"
    job = world.settled_job(name)
    CLAIMS[title](world, job / claims.FILE_NAME)
    _expect_refusal(world, name, "content.jpg", "style.jpg")


def _with_inputs(world: World, title: str) -> None:
    job = world.settled_job(title)
    INPUTS[title](world, job)
    _expect_refusal(world, title)


def _expect_refusal(world: World, name: str, *inputs: str) -> None:
    """Expect that a job fails or is refused with a reason, and that its `inputs` lie beside it."""
    refused = world.outbox / "_refused" / name
    for file in ("reason.txt", *inputs):
        world.expect(f"{name}: no {file} in _refused", (refused / file).is_file)


for title in CLAIMS:
    case("state", f"a job whose claim {title}", stopped=True)(partial(_with_claim, title=title))
for title in INPUTS:
    case("state", f"a job {title}", stopped=True)(partial(_with_inputs, title=title))


@case("state", "a job with a checkpoint of garbage", stopped=True)
def checkpoint(world: World) -> None:
    job = world.settled_job("checkpoint")
    (job / "checkpoint.npz").write_bytes(b"\x80garbage")
    world.expect("the job was not painted", lambda: world.is_painted("checkpoint"))


@case("state", "jobs/ and claims/: files, links, pipes and odd names", stopped=True)
def strangers(world: World) -> None:
    for room in ROOMS:
        folder = os.fsencode(world.state / room)
        for name in (b"\xff\xfe", b"a\nb", b"-o", b" ", b"n" * 255, b".hidden"):
            Path(os.fsdecode(folder + b"/" + name)).mkdir()
        Path(os.fsdecode(folder), "file").write_bytes(b"x")
        Path(os.fsdecode(folder), "outside").symlink_to(world.elsewhere)
        Path(os.fsdecode(folder), "loop").symlink_to("loop")
        os.mkfifo(folder + b"/pipe")


HARMLESS: dict[str, Callable[[World], object]] = {
    "trash holds links outside": lambda world: (world.state / "trash/x").symlink_to(
        world.elsewhere
    ),
    "trash holds a deep tree": lambda world: os.close(dig(world.state / "trash", b"d", 1_500)),
    "uploads holds garbage": lambda world: _fill_uploads(world.state / "uploads"),
}
"""The daemon starts in spite of these."""

REFUSED: dict[str, Callable[[World], object]] = {
    "wake is a file": lambda world: _as_written(world.state / WAKE),
    "wake is a link outside": lambda world: _as_link(
        world.state / WAKE, world.elsewhere / "secret.txt"
    ),
    "jobs is a link outside": lambda world: _as_link(world.state / "jobs", world.elsewhere),
    "claims is a link to itself": lambda world: _as_link(world.state / "claims", Path("claims")),
    "lock is a folder": lambda world: _as_folder(world.state / "lock"),
}
"""The daemon does not start, and says why in a sentence that names the path."""


def _as_written(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.write_bytes(b"x")


def _fill_uploads(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "x").write_bytes(bytes(100))
    (folder / "y").mkdir()


def _placed(place: Callable[[World], object], world: World) -> None:
    world.end()
    place(world)


def _refused(title: str, world: World) -> None:
    world.end()
    world.undo(lambda: shutil.rmtree(world.state))
    REFUSED[title](world)


for title, place in HARMLESS.items():
    case("state", title, stopped=True)(partial(_placed, place))
for title in REFUSED:
    case("state", title, stopped=True, alone=True, exits=(78, 73))(partial(_refused, title))


# Requests.

GOOD = "the id of a job that is done"
REQUESTS: dict[str, dict[str, Any]] = {
    "cancel": {"job": GOOD},
    "finish": {"job": GOOD},
    "dismiss": {"jobs": [GOOD], "until": ""},
    "retry": {"job": GOOD, "new": "x", "settings": {}, "from_stage": 4, "without": [], "added": []},
    "resume": {},
    "delete": {"job": "x"},
    "explode": {},
    "": {},
    "act": {},
    "_class__": {},
    "a\n\x1b[2J": {},
    "v" * 100_000: {},
}
"""Arguments of requests by their verbs, each of which is replaced by an odd one."""

TEXTS = ("null", "[]", '"x"', "7", "[" * 990 + "]" * 990, '{"job": ' + "9" * 100_000 + "}")


def _odd_requests(good: str) -> Iterator[tuple[str, str]]:
    """Yield verbs and arguments; `good` is the id of a job that is done."""
    for verb, arguments in REQUESTS.items():
        yield from ((verb, text) for text in TEXTS)
        usual = {key: json.loads(json.dumps(value).replace(GOOD, good))
                 for key, value in arguments.items()}  # fmt: skip
        for key in (*usual, "unknown"):
            yield from ((verb, json.dumps({**usual, key: odd})) for odd in ODD)
    yield "cancel", json.dumps({"job": "x" * 20_000_000})


def _ask(world: World, requests: Iterable[tuple[str, str]]) -> None:
    """Put requests into the ledger as another program would, and wake the daemon."""
    with closing(sqlite3.connect(world.state / LEDGER, 60)) as ledger, ledger:
        for verb, arguments in requests:
            with suppress(sqlite3.IntegrityError):  # the schema keeps it out
                ledger.execute(
                    "INSERT INTO requests (verb, arguments, made) VALUES (?, ?, ?)",
                    (verb, arguments, "\ufeff"),
                )
    with suppress(OSError):
        _poke(world, b"!")


def _poke(world: World, content: bytes) -> None:
    pipe = os.open(world.state / WAKE, os.O_WRONLY | os.O_NONBLOCK)
    try:
        os.write(pipe, content)
    finally:
        os.close(pipe)


def _are_gone(world: World) -> bool:
    with closing(sqlite3.connect(world.state / LEDGER)) as ledger:
        (count,) = ledger.execute("SELECT count(*) FROM requests").fetchone()
    return not count


def _requests(world: World) -> None:
    with closing(sqlite3.connect(world.state / LEDGER, 60)) as ledger:
        ((good,), *_) = ledger.execute("SELECT id FROM jobs WHERE end = 'done'")
    _ask(world, _odd_requests(good))
    world.expect("requests were left", lambda: _are_gone(world))


case("requests", "requests of garbage, while the daemon runs")(_requests)
case("requests", "requests of garbage, before it starts", stopped=True)(_requests)


@case("requests", "the pipe that wakes the daemon is filled again and again")
def full_pipe(world: World) -> None:
    world.meanwhile(lambda: _poke(world, bytes(65_536)))


# The ledger.


def _remove_ledger(state: Path) -> None:
    for path in state.glob(f"{LEDGER}*"):
        path.unlink()


def _without_ledger(world: World, change: Callable[[World, Path], object]) -> None:
    world.end()
    world.undo(lambda: _remove_ledger(world.state))
    change(world, world.state / LEDGER)


def _sql(*statements: str) -> Callable[[World, Path], object]:
    def change(_: World, path: Path) -> None:
        with closing(sqlite3.connect(path)) as ledger, ledger:
            for statement in statements:
                ledger.execute(statement)

    return change


def _replaced(path: Path, content: bytes) -> None:
    for other in path.parent.glob(f"{LEDGER}-*"):
        other.unlink()
    path.write_bytes(content)


def _of_birds(world: World, path: Path) -> None:
    _replaced(path, b"")
    _sql("CREATE TABLE birds (name TEXT)")(world, path)


LEDGERS: dict[str, Callable[[World, Path], object]] = {
    "is garbage": lambda _, path: _replaced(path, b"garbage" * 2000),
    "has a page of garbage": lambda _, path: _garble(path, 4096),
    "has a log of garbage": lambda _, path: Path(f"{path}-wal").write_bytes(bytes(range(256)) * 99),
    "is of the future": _sql("PRAGMA user_version = 9999"),
    "has lost a table": _sql("DROP TABLE jobs"),
    "is another program's": _of_birds,
    "is a link to itself": lambda _, path: _as_link(path, Path(LEDGER)),
}


def _garble(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xa5" * 4096)


for title, change in LEDGERS.items():
    case("ledger", f"the ledger {title}", stopped=True, alone=True, exits=(78,))(
        partial(_without_ledger, change=change)
    )

COLUMNS = ("name", "inbox", "outbox", "entered", "state", "end", "cause", "reason", "asked",
           "inputs", "bytes", "priority", "needs", "place", "refused_as", "faults",
           "interruptions", "step", "finished", "settings", "retry_of", "dismissed")  # fmt: skip
VALUES = {"bytes": "x'ff00fe'", "a text": "'{\u202e'", "nothing": "NULL", "a number": "-9e999",
          "an object": "'{}'", "a large number": str(2**63 - 1)}  # fmt: skip


def _rows(value: str, world: World) -> None:
    """Write a value that does not belong there into each column of a job of its own."""
    template = world.settled_job()
    world.undo(lambda: _remove_ledger(world.state))
    with closing(sqlite3.connect(world.state / LEDGER)) as ledger, ledger:
        others = ", ".join(COLUMNS)
        for column in COLUMNS:
            copy = world.state / "jobs" / _id()
            shutil.copytree(template, copy)
            plain = json.loads((copy / claims.FILE_NAME).read_bytes())
            (copy / claims.FILE_NAME).write_text(json.dumps({**plain, "id": copy.name}), "ascii")
            ledger.execute(
                f"INSERT INTO jobs (id, {others}) SELECT ?, {others} FROM jobs WHERE id = ?",
                (copy.name, template.name),
            )
            try:
                ledger.execute(f"UPDATE jobs SET {column} = {value} WHERE id = ?", (copy.name,))
            except sqlite3.IntegrityError:  # the schema keeps it out
                ledger.execute("DELETE FROM jobs WHERE id = ?", (copy.name,))
                shutil.rmtree(copy)


for title, value in VALUES.items():
    case("ledger", f"jobs whose columns hold {title}", stopped=True, alone=True, exits=(78,))(
        partial(_rows, value)
    )
