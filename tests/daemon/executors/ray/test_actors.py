"""Actors: started for orders that wait, given work, and given up; without a cluster."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.daemon.executors.ray.fakes import FIRST, SECOND, World, run
from tests.daemon.worker import orders
from tests.daemon.worker.listening import order

from stylewatch_daemon.base.model import Cause, Progress
from stylewatch_daemon.executors.ray.actor import WorkerActor, missing, share
from stylewatch_daemon.executors.scheduler import Ask, Drop, Submit
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.worker.messages import (
    AttemptEvent,
    AttemptRequest,
    Done,
    Failed,
    Lost,
    Stopped,
)
from stylewatch_painter.recipes import book


def test_actors_start_once_the_machines_are_known_and_as_many_as_are_needed() -> None:
    async def scenario(world: World) -> None:
        world.submit(**dict.fromkeys("abcde", "until stopped"))
        world.pool.obey(Ask("d", AttemptRequest.CANCEL))
        world.pool.obey(Drop("e"))
        assert world.events == [
            AttemptEvent("d", Stopped(0)),
            AttemptEvent("e", Lost("it was given up")),
        ]
        assert not world.actors
        world.pool.look([FIRST, SECOND])
        for ticket in "ab":
            await world.until(ticket, Progress)
        assert (world.pool.places, len(world.actors)) == (2, 2)
        world.pool.obey(Ask("a", AttemptRequest.STOP))
        await world.until("c", Progress)
        assert len(world.actors) == 2
        world.pool.obey(Drop("c"))
        assert await world.until("c", Lost) == Lost("it was given up")

    run(scenario)


def test_an_actor_of_another_version_fails_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hello(self: WorkerActor) -> tuple[str, ...]:
        return "host-7", "9.9", "3.11"

    async def scenario(world: World) -> None:
        world.pool.look([FIRST])
        world.submit(a="paint")
        end = await world.until("a", Failed)
        assert isinstance(end, Failed)
        assert "host-7 of the cluster has stylewatch 9.9" in end.reason
        assert "install the same on all" in end.reason

    monkeypatch.setattr(WorkerActor, "hello", hello)
    run(scenario)


def test_an_order_whose_inputs_the_machine_lacks_fails_and_others_run(tmp_path: Path) -> None:
    gone = replace(order("paint"), content=tmp_path / ".inputs/0/gone.jpg", staging=tmp_path)

    async def scenario(world: World) -> None:
        world.pool.look([FIRST])
        world.pool.obey(Submit("a", gone))
        world.submit(b="until stopped")
        world.pool.obey(Ask("b", AttemptRequest.FINISH))
        assert await world.until("b", Done) == Done({"state": "stopped early"}), "asked before"
        (end,) = world.of("a")
        assert isinstance(end, Failed)
        assert end.cause is Cause.DISK
        assert f"{gone.content} does not exist on" in end.reason

    run(scenario)


# -- inputs, copied to where other machines can read them


def test_each_file_is_copied_once_under_its_name(tmp_path: Path, pictures: Path) -> None:
    given = orders.order(tmp_path, pictures)
    mask = pictures / "content.mask.png"
    mask.write_bytes(b"mask")
    outbox = Outbox(tmp_path / "outbox")
    staging = outbox.staging("job")
    given = replace(given, init=given.main, masks={"content-mask": mask}, staging=staging)
    shared = share(given)
    assert shared.main == shared.init
    assert shared.main.read_bytes() == given.main.read_bytes()
    copies = {shared.main, *shared.styles, *shared.masks.values()}
    assert all(path.is_relative_to(staging) for path in copies)
    assert sorted(path.name for path in copies) == ["content.jpg", "content.mask.png", "style.jpg"]
    assert len(orders.files(given)) == 3
    assert list(outbox.staged("job")) == [], "copies are not outputs"
    assert missing(shared) is None
    shared.styles[0].unlink()
    assert missing(shared) == shared.styles[0]


def test_recipes_of_the_user_are_copied(tmp_path: Path, pictures: Path) -> None:
    folder, path = tmp_path / "book", tmp_path / "single.yaml"
    folder.mkdir()
    (folder / "mine.yaml").write_text("extends: gatys\nschedule: {steps: 7}\n")
    path.write_text("extends: mine\n")
    given = replace(orders.order(tmp_path, pictures, recipe=str(path)), recipe_folders=(folder,))
    shared = share(given)
    for original in (folder / "mine.yaml", path):
        original.unlink()
    recipe = book.find(shared.settings.recipe, *shared.recipe_folders)
    assert recipe.schedule.steps == 7
