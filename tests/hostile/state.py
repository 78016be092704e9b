"""A hostile state folder: what a crash, a full disk, another version or a person may leave."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

from tests.hostile.world import Case, World, cleared, dig

from stylewatch_daemon.ledger import claim as claims
from stylewatch_daemon.ledger.state_dir import LEDGER, WAKE

ODD: tuple[Any, ...] = (
    None, True, 7, -1, 10**400, "", "a\ud800", "a\0", "../../elsewhere/x", "/etc/passwd",
    "n" * 100_000, [["a"]], [None], ["../../x", 7], {"x": {"y": None}}, {"\ud800": 1},
    {"inode": 10**400, "size": "y", "mtime_ns": None},
)  # fmt: skip
"""Arguments of requests, in turn."""

# -- jobs

Change = Callable[[World, Path], object]
JOBS: dict[str, Change] = {
    "whose claim is a pipe": lambda _, job: os.mkfifo(cleared(job / claims.FILE_NAME)),
    "whose claim is a link outside": lambda world, job: cleared(job / claims.FILE_NAME).symlink_to(
        world.elsewhere / "secret.txt"
    ),
    "whose claim has 2 GB": lambda _, job: os.truncate(job / claims.FILE_NAME, 2 * 10**9),
    "whose inputs are a folder outside": lambda world, job: cleared(job / "files").symlink_to(
        world.elsewhere
    ),
    "that is a file": lambda _, job: cleared(job).write_bytes(b"x"),
}
"""Each of these jobs fails or is refused, with a reason; its pictures are there if it has any."""


def refused(change: Change, title: str, world: World) -> None:
    """Change a job that waits, and expect its reason, and its inputs if only the claim is lost."""
    job = world.settled_job(title)
    change(world, job)
    inputs = ("content.jpg", "style.jpg") if "claim" in title else ()
    for file in ("reason.txt", *inputs):
        path = world.outbox / "_refused" / title / file
        world.expect(f"{title}: no {file} in _refused", path.is_file)


def strangers(world: World) -> None:
    for room in ("jobs", "claims"):
        folder = world.state / room
        for name in (b"\xff\xfe", b"a\nb", b"-o", b" ", b"n" * 255, b".hidden"):
            Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).mkdir()
        (folder / "file").write_bytes(b"x")
        (folder / "outside").symlink_to(world.elsewhere)
        (folder / "loop").symlink_to("loop")
        os.mkfifo(folder / "pipe")
    (world.state / "uploads/x").mkdir(parents=True)
    (world.state / "trash/x").symlink_to(world.elsewhere)
    os.close(dig(world.state / "trash", b"d", 1_500))


# -- folders and the ledger that the daemon does not start with, or sets right


def garble(ledger: Path) -> None:
    with ledger.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 4096)


def in_sql(statement: str) -> Change:
    def change(_: World, state: Path) -> None:
        with closing(sqlite3.connect(state / LEDGER)) as ledger, ledger:
            ledger.execute(statement)

    return change


BROKEN: dict[str, Change] = {
    "wake is a link outside": lambda world, state: cleared(state / WAKE).symlink_to(
        world.elsewhere / "secret.txt"
    ),
    "jobs is a link outside": lambda world, state: cleared(state / "jobs").symlink_to(
        world.elsewhere
    ),
    "lock is a folder": lambda _, state: cleared(state / "lock").mkdir(),
    "the ledger is garbage": lambda _, state: (state / LEDGER).write_bytes(b"garbage" * 2000),
    "the ledger has a page of garbage": lambda _, state: garble(state / LEDGER),
    "the ledger has a log of garbage": lambda _, state: (state / f"{LEDGER}-wal").write_bytes(
        bytes(range(256)) * 99
    ),
    "the ledger is of the future": in_sql("PRAGMA user_version = 9999"),
    "the ledger has lost a table": in_sql("DROP TABLE jobs"),
    "the ledger is a link to itself": lambda _, state: cleared(state / LEDGER).symlink_to(LEDGER),
}
"""A daemon that does not start says why in a sentence that names the path."""


def broken(change: Change, world: World) -> None:
    """Change the state folder, which is made anew after that."""
    world.end()
    world.undo(lambda: shutil.rmtree(world.state))
    change(world, world.state)


# -- requests

REQUESTS: dict[str, tuple[str, ...]] = {
    "cancel": ("job",),
    "dismiss": ("jobs",),
    "retry": ("job", "new", "settings", "from_stage", "without", "added"),
    **dict.fromkeys(("explode", "", "_class__", "a\n\x1b[2J", "v" * 100_000), ("job",)),
}
"""Arguments of requests by their verbs, each of which is an odd one in turn."""

TEXTS = ("null", "[]", '"x"', "7", "[" * 990 + "]" * 990, '{"job": ' + "9" * 100_000 + "}")


def odd_requests(good: str) -> Iterator[tuple[str, str]]:
    """Yield verbs and arguments; `good` is the id of a job that is done."""
    for verb, keys in REQUESTS.items():
        yield from ((verb, text) for text in TEXTS)
        for key in keys:
            yield from ((verb, json.dumps({"job": good, key: odd})) for odd in ODD)
    yield "cancel", json.dumps({"job": "x" * 20_000_000})


def asked(world: World) -> None:
    """Put requests into the ledger as another program would, and wake the daemon."""
    with closing(sqlite3.connect(world.state / LEDGER, timeout=60)) as ledger, ledger:
        ((good,), *_) = ledger.execute("SELECT id FROM jobs WHERE end = 'done'")
        for request in odd_requests(good):
            with suppress(sqlite3.IntegrityError):  # the schema keeps it out
                ledger.execute("INSERT INTO requests (verb, arguments, made) VALUES (?, ?, '')",
                               request)  # fmt: skip
    with suppress(OSError):
        pipe = os.open(world.state / WAKE, os.O_WRONLY | os.O_NONBLOCK)
        os.write(pipe, bytes(65_536))
        os.close(pipe)
    world.expect("requests were left", lambda: not world.count("requests"))


def cases() -> Iterator[Case]:
    """Yield the cases of the state folder."""
    for title, change in JOBS.items():
        yield Case("state", f"a job {title}", partial(refused, change, title), stopped=True)
    yield Case("state", "strangers in jobs/, claims/, trash/, uploads/", strangers, stopped=True)
    for title, change in BROKEN.items():
        act = partial(broken, change)
        yield Case("state", title, act, stopped=True, alone=True, exits=(78, 73))
    for stopped, when in ((True, "before it starts"), (False, "while the daemon runs")):
        yield Case("state", f"requests of garbage, {when}", asked, stopped=stopped)
