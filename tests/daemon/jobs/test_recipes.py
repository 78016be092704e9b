"""Folders of recipes that are away: no other recipe is painted, and no job is refused."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from tests.daemon.world import CRASH, DaemonWorld, run_jobs

from stylewatch_daemon.app.loop import Loop

Away = Callable[[Loop, Path], AbstractContextManager[None]]


@contextmanager
def missing(loop: Loop, folder: Path) -> Iterator[None]:
    folder.rename(folder.with_name("elsewhere"))
    yield
    folder.with_name("elsewhere").rename(folder)


@contextmanager
def empty(loop: Loop, folder: Path) -> Iterator[None]:
    with missing(loop, folder):
        folder.mkdir()
        yield
        folder.rmdir()


@contextmanager
def unmounted(loop: Loop, folder: Path) -> Iterator[None]:
    """Some files lie below the mount point of a disk that was there."""
    guard = loop.jobs.mount_guard
    with empty(loop, folder):
        (folder / "other.yaml").write_text("extends: gram\nabout: Other.\n")
        guard.roots |= {folder}
        yield
        guard.roots -= {folder}
        (folder / "other.yaml").unlink()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[DaemonWorld]:
    share = tmp_path / "share"
    share.mkdir()
    for name in ("best", "mine"):
        (share / f"{name}.yaml").write_text(f"extends: gram\nabout: Our {name}.\n")
    world = DaemonWorld(tmp_path, recipes=(share,))
    yield world
    world.close()


def painted(world: DaemonWorld) -> list[str]:
    """Return what the recipes of the orders say of themselves."""
    return sorted(order.recipe["about"] for order in world.executor.orders)


AWAY = pytest.mark.parametrize("away", [missing, empty, unmounted])


@AWAY
@pytest.mark.parametrize("have_begun", [False, True])
def test_jobs_wait_for_recipes_that_are_away_and_go_on_by_themselves(
    have_begun: bool, away: Away, world: DaemonWorld
) -> None:
    """Also one whose recipe has the name of a shipped one, and one that no other folder has."""
    world.drop("a", "b")
    (world.inbox / "b/job.yaml").write_text("recipe: mine\n")
    world.start()
    if have_begun:
        world.executor.endings = [CRASH, CRASH]
        world.work()
    with away(world.loop, world.root / "share"):
        world.wait(120)
        world.work(again=True)
        assert world.states == {"a": "queued", "b": "queued"}
        assert any("share" in reason for reason in world.trouble.values())
        assert len(world.executor.orders) == 2 * have_begun
    world.wait(240)
    run_jobs(world.loop)
    assert world.states == {"a": "done", "b": "done"}
    assert {*painted(world)} == {"Our best.", "Our mine."}


def test_a_job_that_has_begun_waits_for_its_recipe_if_that_cannot_be_used_any_more(
    world: DaemonWorld,
) -> None:
    """It could be used, so that a package or a file is missing now."""
    world.executor.endings = [CRASH]
    world.drop("a")
    world.run()
    file = world.root / "share/best.yaml"
    text = file.read_text()
    file.write_text("extends: gram\nobjective: {histogram: {}}\n")
    world.wait(120)
    run_jobs(world.loop)
    assert world.states == {"a": "queued"}
    assert "unknown key 'histogram'" in world.job("a").reason
    file.write_text(text)
    world.wait(240)
    run_jobs(world.loop)
    assert world.states == {"a": "done"}


@AWAY
def test_a_daemon_starts_without_its_recipes(away: Away, world: DaemonWorld) -> None:
    job = world.settings.job.model_copy(update={"recipe": "mine"})
    world.settings = world.settings.model_copy(update={"job": job})
    world.drop("a")
    with away(world.start(), world.root / "share"):
        guard = world.loop.jobs.mount_guard
        world.start().jobs.mount_guard.roots |= guard.roots
        world.work(again=True)
        assert world.states == {"a": "queued"}
    world.loop.jobs.mount_guard.roots = guard.roots
    world.wait(120)
    run_jobs(world.loop)
    assert world.states == {"a": "done"} and painted(world) == ["Our mine."]
