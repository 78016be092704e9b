"""Nothing that lies in the state folder keeps the daemon from running a good pair."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tests.daemon.disks import deep_tree
from tests.daemon.faults import fill, tree
from tests.daemon.world import DaemonWorld

from stylewatch_daemon.files import atomic

THINGS: dict[str, Callable[[Path], object]] = {
    "jobs/1": Path.touch,
    "jobs/2": Path.mkdir,
    "jobs/3": lambda path: path.symlink_to("/etc"),
    "jobs/4/claim.json": os.mkfifo,
    "jobs/5/files/a.jpg": Path.touch,
    os.fsdecode(b"jobs/\xff\xfe"): Path.mkdir,
    "claims/6": Path.touch,
    "claims/7": lambda path: path.symlink_to("/etc"),
    "claims/8": Path.mkdir,
    os.fsdecode(b"claims/\xff\xfe"): Path.mkdir,
    "thumbs/a": Path.mkdir,
    "uploads/x": os.mkfifo,
    "ledger.sqlite3.v0.bak": Path.mkdir,
    "core": Path.touch,
}


def paint(world: DaemonWorld, *places: str) -> None:
    """Paint a good pair in each start of the daemon."""
    for place in places:
        fill(world.inbox, "good/content.jpg", "good/style.jpg")
        loop = world.run()
        assert (world.outbox / place / "receipt.json").exists()
        assert (tree(world.inbox), loop.blocked) == ({}, {})
    world.close()


@pytest.fixture
def world(tmp_path: Path) -> DaemonWorld:
    world = DaemonWorld(tmp_path)
    world.state.make()
    return world


def test_good_pairs_are_painted_whatever_lies_in_the_state_folder(world: DaemonWorld) -> None:
    for name, make in THINGS.items():
        path = world.state.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)
    paint(world, "good", "good-2")


def test_good_pairs_are_painted_beside_folders_that_are_deeper_than_a_path_reaches(
    world: DaemonWorld, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(partial(atomic.remove, world.state.root))  # pytest fails at deep folders
    for folder in (world.state.jobs, world.state.trash):
        with deep_tree(world.state.root.parent / "deep") as deep:
            deep.rename(folder / "1")
    paint(world, "good")
    assert list(world.state.trash.iterdir()) == []
