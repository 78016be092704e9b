"""A hostile state folder: what a crash, a full disk, another version or a person may leave."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from tests.hostile.cases import case
from tests.hostile.world import World

GARBAGE: dict[str, bytes] = {
    "nothing": b"",
    "bytes": bytes(range(256)),
    "no JSON": b"{",
    "100,000 brackets": b"[" * 100_000,
    "100,000 objects in one another": b'{"files":' * 100_000,
    "a number of 100,000 digits": b'{"id": ' + b"9" * 100_000 + b"}",
}


def _spoiled(spoil: Callable[[World, Path], object], world: World) -> None:
    spoil(world, world.settled_job())


def _as_link(path: Path, target: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.symlink_to(target)


def _of_2_gb(path: Path) -> None:
    with path.open("ab") as file:
        os.truncate(file.fileno(), 2_000_000_000)


JOBS: dict[str, Callable[[World, Path], object]] = {
    "whose record is a link outside": lambda world, job: _as_link(
        job / "job.json", world.elsewhere / "secret.txt"
    ),
    "whose record is /dev/zero": lambda _, job: _as_link(job / "job.json", Path("/dev/zero")),
    "whose record has 2 GB": lambda _, job: _of_2_gb(job / "job.json"),
    "whose inputs are a folder outside": lambda world, job: _as_link(
        job / "files", world.elsewhere
    ),
    "that is gone": lambda _, job: shutil.rmtree(job),
    "with a checkpoint of garbage": lambda _, job: (job / "checkpoint.npz").write_bytes(b"\x80"),
}
for title, spoil in JOBS.items():
    case("state", f"a job {title}", stopped=True)(partial(_spoiled, spoil))


@case("state", "thumbs is a link outside", stopped=True)
def thumbs(world: World) -> None:
    world.end()
    _as_link(world.state / "thumbs", world.elsewhere)


@case("state", "jobs is a link outside", stopped=True, exits=(78, 73))
def jobs(world: World) -> None:
    world.end()
    world.undo(lambda: shutil.rmtree(world.state))
    _as_link(world.state / "jobs", world.elsewhere)


# Requests.

REQUESTS: dict[str, Any] = {
    "a job with a surrogate": {"verb": "cancel", "arguments": {"job": "a\ud800"}},
    "a job that leads out": {"verb": "retry", "arguments": {"job": "../../elsewhere"}},
    "settings that are none": {
        "verb": "retry",
        "arguments": {"job": "z-good-0", "settings": {"x": 1}},
    },
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
    case("ledger", f"the ledger {title}", stopped=True, exits=(78,))(
        partial(_without_ledger, change=change)
    )
