"""A hostile outbox: links, pipes and folders where files belong, and disks that are not its own."""

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.e2e.fault_injection import remount
from tests.hostile.cases import case
from tests.hostile.world import World

READ_ONLY_S = 4.0
WAITS = 120.0
"""Seconds; a pair that could not be taken is tried again after `watch.rescan_s`."""


def _cleared(path: Path) -> Path:
    """Return `path` with nothing there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return path


def _status(world: World) -> Path:
    return _cleared(world.outbox / "_status.txt")


def _refused(world: World) -> Path:
    return _cleared(world.outbox / "_refused")


def _good(world: World) -> Path:
    return _cleared(world.outbox / world.next_good)


def _finished(job: Path) -> None:
    job.mkdir()
    (job / "receipt.json").write_bytes(b"\xff")


THERE: dict[str, Callable[[World], object]] = {
    "_status.txt is a link outside": lambda world: _status(world).symlink_to(
        world.elsewhere / "secret.txt"
    ),
    "_status.txt is a pipe": lambda world: os.mkfifo(_status(world)),
    "_refused is a link outside": lambda world: _refused(world).symlink_to(world.elsewhere),
    "_refused is a file": lambda world: _refused(world).write_bytes(b"x"),
    "the job's folder is there, as a file": lambda world: _good(world).write_bytes(b"x"),
    "the job's folder is there, as a link outside": lambda world: _good(world).symlink_to(
        world.elsewhere
    ),
    "the job's folder is there, with a receipt of garbage": lambda world: _finished(_good(world)),
}


def _placed(place: Callable[[World], object], world: World) -> None:
    place(world)
    world.drop_hostile({"content.jpg": b"no picture"}, ends_within=0)


for title, place in THERE.items():
    for stopped in (False, True):
        when = "before it starts" if stopped else "while the daemon runs"
        case("outbox", f"{title}, {when}", stopped=stopped)(partial(_placed, place))


@case("outbox", "the outbox cannot be written for a while", within=120.0, needs="mounts")
def read_only(world: World) -> None:
    subprocess.run(["mount", "--bind", str(world.outbox), str(world.outbox)], check=True)
    world.undo(lambda: subprocess.run(["umount", "--lazy", str(world.outbox)], check=False))
    subprocess.run(["mount", "-o", "remount,ro,bind", str(world.outbox)], check=True)
    world.later(READ_ONLY_S, lambda: remount(world.outbox, "rw,bind"))


@case("outbox", ".staging is a link outside for a while", within=WAITS)
def staging(world: World) -> None:
    link = _cleared(world.outbox / ".staging")
    link.symlink_to(world.elsewhere)
    world.later(READ_ONLY_S, lambda: link.unlink() if link.is_symlink() else None)
