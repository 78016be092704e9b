"""A hostile state folder: what a crash, a full disk, another version or a person may leave."""

import json
import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from tests.hostile.cases import case
from tests.hostile.world import World, dig

GARBAGE: dict[str, bytes] = {
    "nothing": b"",
    "zeros": bytes(5000),
    "bytes": bytes(range(256)),
    "no JSON": b"{",
    "a list": b"[]",
    "null": b"null",
    "an empty object": b"{}",
    "100,000 brackets": b"[" * 100_000,
    "100,000 objects in one another": b'{"files":' * 100_000,
    "a number of 100,000 digits": b'{"id": ' + b"9" * 100_000 + b"}",
    "not a number": b'{"id": NaN, "files": Infinity}',
}
CHANGES: dict[str, dict[str, Any]] = {
    "a name with a surrogate": {"name": "a\ud800"},
    "a name that leads out": {"name": "../../elsewhere/x"},
    "no name": {"name": ""},
    "a name of 100,000 letters": {"name": "n" * 100_000},
    "a name that is a list": {"name": ["a"]},
    "a name with a NUL": {"name": "a\0b"},
    "another id": {"id": "../x"},
    "an id that is a number": {"id": 7},
    "an outbox that is nowhere": {"outbox": "/proc/nowhere"},
    "an outbox with a NUL": {"outbox": "/\0"},
    "an outbox that is a number": {"outbox": 7},
    "an inbox that is a list": {"inbox": [1]},
    "an inbox with a NUL": {"inbox": "/a\0"},
    "an unknown end": {"after": "burn"},
    "no files": {"files": []},
    "files that are a text": {"files": "content.jpg"},
    "files that are null": {"files": [None]},
    "a folder with a NUL": {"folder": "/a\0"},
    "a folder that is outside": {"folder": "/etc"},
    "an unknown field": {"unknown": 1},
    "attempts that are none": {"attempts": [{"started": 7, "step": "x"}]},
    "a state that is none": {"phase": "asleep"},
    "a series that is none": {"series": "\ud800"},
    "a device that is a text": {"device": "x"},
}
FILE_CHANGES: dict[str, dict[str, Any]] = {
    "a file that leads out": {"name": "../../../../elsewhere/secret.txt"},
    "a file that is absolute": {"name": "/etc/passwd"},
    "a file with a NUL": {"name": "a\0"},
    "a file with a surrogate": {"name": "a\ud800.jpg"},
    "a file that is not there": {"name": "gone.jpg"},
    "a role that is none": {"role": "nonsense"},
    "a role that is a number": {"role": 7},
    "a look of texts": {"look": {"inode": "x", "size": "y", "mtime_ns": None}},
    "a look beyond measure": {"look": {"inode": 10**400, "size": -(10**400), "mtime_ns": 10**400}},
    "a source with a NUL": {"source": "/\0"},
    "a source that is a number": {"source": 7},
    "an owner that is a text": {"own": "maybe"},
}
ROOMS = ("jobs", "claims")


def _id() -> str:
    return f"20260101T000000.000000-{secrets.token_hex(3)}"


def _copy(template: Path, room: Path) -> Path:
    copy = room / _id()
    shutil.copytree(template, copy)
    return copy


def _garbage(room: str, world: World) -> None:
    """Put copies of a real job into a room of the state folder, with no record of theirs."""
    template = world.settled_job()
    for content in GARBAGE.values():
        (_copy(template, world.state / room) / "job.json").write_bytes(content)


def _changed(room: str, world: World) -> None:
    """Put such copies there whose records say something odd."""
    template = world.settled_job()
    for title in (*CHANGES, *FILE_CHANGES):
        copy = _copy(template, world.state / room)
        plain = json.loads((template / "job.json").read_bytes())
        for file in plain["files"]:
            file.update(FILE_CHANGES.get(title, {}))
        plain.update({"id": copy.name, **CHANGES.get(title, {})})
        (copy / "job.json").write_text(json.dumps(plain), encoding="ascii")


for room in ROOMS:
    case("state", f"{room}/: records of garbage, {len(GARBAGE)} kinds", stopped=True, alone=True)(
        partial(_garbage, room)
    )
    kinds = len(CHANGES) + len(FILE_CHANGES)
    case("state", f"{room}/: records with odd fields, {kinds} kinds", stopped=True, alone=True)(
        partial(_changed, room)
    )


def _spoiled(spoil: Callable[[World, Path], object], world: World) -> None:
    spoil(world, world.settled_job())


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


def _without_inputs(world: World, job: Path) -> None:
    shutil.rmtree(job / "files")


def _of_2_gb(path: Path) -> None:
    with path.open("ab") as file:
        os.truncate(file.fileno(), 2_000_000_000)


JOBS: dict[str, Callable[[World, Path], object]] = {
    "whose record is garbage": lambda _, job: (job / "job.json").write_bytes(b"\xff{"),
    "whose record is gone": lambda _, job: (job / "job.json").unlink(),
    "whose record is a pipe": lambda _, job: _as_pipe(job / "job.json"),
    "whose record is a folder": lambda _, job: _as_folder(job / "job.json"),
    "whose record is a link outside": lambda world, job: _as_link(
        job / "job.json", world.elsewhere / "secret.txt"
    ),
    "whose record is a link to itself": lambda _, job: _as_link(job / "job.json", Path("job.json")),
    "whose record is /dev/zero": lambda _, job: _as_link(job / "job.json", Path("/dev/zero")),
    "whose record has 2 GB": lambda _, job: _of_2_gb(job / "job.json"),
    "whose inputs are gone": _without_inputs,
    "whose inputs are a folder outside": lambda world, job: _as_link(
        job / "files", world.elsewhere
    ),
    "whose content is a pipe": lambda _, job: _as_pipe(job / "files/content.jpg"),
    "whose content is a folder": lambda _, job: _as_folder(job / "files/content.jpg"),
    "whose content is empty": lambda _, job: (job / "files/content.jpg").write_bytes(b""),
    "that is a file": lambda _, job: _as_file(job),
    "that is gone": lambda _, job: shutil.rmtree(job),
    "with a checkpoint of garbage": lambda _, job: (job / "checkpoint.npz").write_bytes(
        b"\x80garbage"
    ),
}
for title, spoil in JOBS.items():
    case("state", f"a job {title}", stopped=True)(partial(_spoiled, spoil))


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


PLACES: dict[str, Callable[[World], object]] = {
    "status.json is a folder": lambda world: _as_folder(world.state / "status.json"),
    "lock.json is garbage": lambda world: (world.state / "lock.json").write_bytes(b"\xff" * 5000),
    "alive is a folder": lambda world: _as_folder(world.state / "alive"),
    "thumbs is a link outside": lambda world: _as_link(world.state / "thumbs", world.elsewhere),
    "trash holds links outside": lambda world: (world.state / "trash/x").symlink_to(
        world.elsewhere
    ),
    "trash holds a deep tree": lambda world: os.close(dig(world.state / "trash", b"d", 1_500)),
    "damaged is a file": lambda world: (world.state / "damaged").write_bytes(b"x"),
    "uploads holds garbage": lambda world: _fill_uploads(world.state / "uploads"),
    "trash is a link outside": lambda world: _as_link(world.state / "trash", world.elsewhere),
    "jobs is a link outside": lambda world: _as_link(world.state / "jobs", world.elsewhere),
    "jobs is a file": lambda world: _as_file(world.state / "jobs"),
    "requests is a file": lambda world: _as_file(world.state / "requests"),
    "lock is a folder": lambda world: _as_folder(world.state / "lock"),
}
HARMLESS = 10
"""So many of PLACES may not keep the daemon from starting; for the others a sentence will do."""


def _fill_uploads(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "x").write_bytes(bytes(100))
    (folder / "y").mkdir()


def _placed(place: Callable[[World], object], world: World, *, fatal: bool) -> None:
    world.end()
    if fatal:
        world.undo(lambda: shutil.rmtree(world.state))
    place(world)


for number, (title, place) in enumerate(PLACES.items()):
    fatal = number >= HARMLESS
    case("state", f"{title}", stopped=True, alone=fatal, exits=(78, 73) if fatal else ())(
        partial(_placed, place, fatal=fatal)
    )


# Requests.

REQUESTS: dict[str, Any] = {
    "an unknown verb": {"verb": "explode"},
    "no verb": {},
    "a verb that is a list": {"verb": [1], "arguments": {}},
    "wrong arguments": {"verb": "cancel", "arguments": {"x": 1}},
    "a job with a surrogate": {"verb": "cancel", "arguments": {"job": "a\ud800"}},
    "a job that is a list": {"verb": "cancel", "arguments": {"job": [["a"]]}},
    "a job that leads out": {"verb": "retry", "arguments": {"job": "../../elsewhere"}},
    "a job with a NUL": {"verb": "finish", "arguments": {"job": "a\0"}},
    "settings that are none": {
        "verb": "retry",
        "arguments": {"job": "z-good-0", "settings": {"x": 1}},
    },
    "no end": {"verb": "pause", "arguments": {"x": {"y": {"z": None}}}},
}


def _requests(world: World) -> None:
    folder = world.state / "requests"
    for number, content in enumerate([*GARBAGE.values(), *map(_dumped, REQUESTS.values())]):
        (folder / f"r{number}.json").write_bytes(content)
    (folder / "folder.json").mkdir()
    os.mkfifo(folder / "pipe.json")
    (folder / "outside.json").symlink_to(world.elsewhere / "secret.txt")
    (folder / "loop.json").symlink_to("loop.json")
    (folder / "zero.json").symlink_to("/dev/zero")
    (folder / "large.json").write_bytes(b"{}")
    _of_2_gb(folder / "large.json")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\n.json")).write_bytes(b"{}")


def _dumped(plain: Any) -> bytes:
    return json.dumps(plain).encode("ascii")


case("requests", "requests of garbage, while the daemon runs")(_requests)
case("requests", "requests of garbage, before it starts", stopped=True)(_requests)


@case("requests", "5,000 requests of garbage at once", alone=True)
def many_requests(world: World) -> None:
    for number in range(5_000):
        (world.state / "requests" / f"n{number}.json").write_bytes(b"{")


# The ledger.

LEDGER = "ledger.sqlite3"


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
    "is cut in half": lambda _, path: os.truncate(path, path.stat().st_size // 2),
    "has a page of garbage": lambda _, path: _garble(path, 4096),
    "has a head of garbage": lambda _, path: _garble(path, 0),
    "has a log of garbage": lambda _, path: Path(f"{path}-wal").write_bytes(bytes(range(256)) * 99),
    "is of the future": _sql("PRAGMA user_version = 9999"),
    "is of the past": _sql("PRAGMA user_version = -1"),
    "has lost a table": _sql("DROP TABLE jobs"),
    "is another program's": _of_birds,
    "is empty": lambda _, path: _replaced(path, b""),
    "is a pipe": lambda _, path: _as_pipe(path),
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

COLUMNS = ("name", "inbox", "outbox", "state", "entered", "inputs", "bytes", "place", "reason",
           "series", "needs", "shape", "settings", "priority")  # fmt: skip
VALUES = {"bytes": "x'ff00fe'", "a text": "'{\u202e'", "nothing": "NULL", "a number": "-9e999"}


def _rows(value: str, world: World) -> None:
    """Write a value that does not belong there into each column of a job of its own."""
    template = world.settled_job()
    world.undo(lambda: _remove_ledger(world.state))
    with closing(sqlite3.connect(world.state / LEDGER)) as ledger, ledger:
        there = [row[1] for row in ledger.execute("PRAGMA table_info(jobs)")]
        others = ", ".join(name for name in there if name not in ("id", "rowid", "seq"))
        for column in (name for name in COLUMNS if name in there):
            copy = world.state / "jobs" / _id()
            shutil.copytree(template, copy)
            plain = json.loads((copy / "job.json").read_bytes())
            (copy / "job.json").write_text(json.dumps({**plain, "id": copy.name}), "ascii")
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
