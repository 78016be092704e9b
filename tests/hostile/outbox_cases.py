"""A hostile outbox: links, pipes and folders where files belong, and disks that are not its own."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.daemon.disks import remount
from tests.hostile.cases import case
from tests.hostile.world import World

READ_ONLY_S = 4.0
WAITS = 120.0
"""Seconds; a pair that could not be taken is tried again after `watch.rescan_s`."""


def _cleared(name: str, world: World) -> Path:
    """Return the path `name` in the outbox, with nothing there."""
    path = world.outbox / name
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return path


THINGS: dict[str, Callable[[Path, World], object]] = {
    "a link outside": lambda path, world: path.symlink_to(world.elsewhere / "secret.txt"),
    "a link to itself": lambda path, world: path.symlink_to(path.name),
    "a link to nowhere": lambda path, world: path.symlink_to("gone"),
    "a pipe": lambda path, world: os.mkfifo(path),
    "a folder with a receipt of garbage": lambda path, world: _finished(path),
    "somebody's file": lambda path, world: path.write_bytes(b"x"),
}
"""Kinds of things that lie in the places where the daemon would write."""


def _finished(job: Path) -> None:
    job.mkdir()
    (job / "receipt.json").write_bytes(b"\xff")


def _placed(title: str, name: str, world: World) -> None:
    """Put a thing in place of something in the outbox: of the next job where there is no name."""
    THINGS[title](_cleared(name or world.next_good, world), world)
    world.drop_hostile({"content.jpg": b"no picture"}, ends_within=0)


def _beside(title: str, world: World) -> None:
    """Put a thing where the final picture of the good pair would be linked."""
    world.finals.mkdir(exist_ok=True)
    THINGS[title](world.finals / f"{world.next_good}.png", world)
    other = world.finals / f"{world.next_good}-2.png"
    world.expect("the final picture is not among the finals", other.is_file)


for title in THINGS:
    case("outbox", f"in the finals folder there is {title}")(partial(_beside, title))
    for name, what in {"_status.txt": "", "_refused": "", "": "the job's folder"}.items():
        stopped = title in ("a link outside", "a pipe")
        when = "before it starts" if stopped else "while the daemon runs"
        case("outbox", f"{what or name} is {title}, {when}", stopped=stopped, alone=True)(
            partial(_placed, title, name)
        )


@case("outbox", "links outside in the place of each file of a running job")
def swapped(world: World) -> None:
    job = world.outbox / world.next_good

    def swap() -> None:
        for name in ("receipt.json", "final.png", "losses.csv", "stages", "inputs"):
            if not os.path.lexists(job / name) and job.is_dir():
                (job / name).symlink_to(world.elsewhere / "secret.txt")
                (job / name).unlink()

    world.meanwhile(swap, 0.001)


@case(
    "outbox", "the outbox cannot be written for a while", alone=True, within=120.0, needs="mounts"
)
def read_only(world: World) -> None:
    subprocess.run(["mount", "--bind", str(world.outbox), str(world.outbox)], check=True)
    world.undo(lambda: subprocess.run(["umount", "--lazy", str(world.outbox)], check=False))
    subprocess.run(["mount", "-o", "remount,ro,bind", str(world.outbox)], check=True)
    world.later(READ_ONLY_S, lambda: remount(world.outbox, "rw,bind"))


@case("outbox", ".staging is a link outside for a while", alone=True, within=WAITS)
def staging(world: World) -> None:
    link = _cleared(".staging", world)
    link.symlink_to(world.elsewhere)
    world.later(READ_ONLY_S, lambda: link.unlink() if link.is_symlink() else None)


def _expect_no_repetition(world: World) -> None:
    """Expect no more paintings than pairs, for as long as it takes to see."""
    name = world.next_good

    def is_still() -> bool:
        time.sleep(5)  # in which nothing should happen
        receipts = [path for path in world.root.rglob("receipt.json") if name in path.parts[-2]]
        # a bind mount shows the same file twice
        return len({path.stat().st_ino for path in receipts}) <= 1

    world.expect("its own paintings were painted again", is_still)


def _bind_mount(world: World, folder: str) -> None:
    (world.inbox / folder).mkdir(exist_ok=True)
    source = str(world.inbox / folder)
    subprocess.run(["mount", "--bind", source, str(world.outbox)], check=True)
    world.undo(lambda: subprocess.run(["umount", "--lazy", str(world.outbox)], check=False))
    _expect_no_repetition(world)


REFUSED: dict[str, Any] = {"stopped": True, "alone": True, "exits": (78,)}
MOUNTED: dict[str, Any] = {**REFUSED, "needs": "mounts"}
for text, folder in (("is the inbox", "."), ("lies in the inbox", "painted")):
    case("outbox", f"the outbox {text}, by a bind mount", **MOUNTED)(
        partial(_bind_mount, folder=folder)
    )


@case("outbox", "the outbox is the inbox, by a link", **REFUSED)
def linked(world: World) -> None:
    shutil.rmtree(world.outbox)
    world.outbox.symlink_to(world.inbox)

    def unlink() -> None:
        world.outbox.unlink()
        world.outbox.mkdir()

    world.undo(unlink)
    _expect_no_repetition(world)
