"""Orders on other machines: their inputs are copied, and a machine that lacks them says so."""

import asyncio
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from tests.daemon.worker import orders
from tests.daemon.worker.listening import order
from tests.daemon.worker.works import WORK

from stylewatch_daemon.base.model import Cause
from stylewatch_daemon.executors.ray.actor import WorkerActor, missing, share
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.worker.messages import Failed
from stylewatch_painter.recipes import book


def test_an_order_whose_inputs_the_machine_lacks_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def events() -> list[object]:
        return [event async for event in actor.run(gone)]

    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    gone = replace(order("paint"), content=tmp_path / ".inputs/0/gone.jpg", staging=tmp_path)
    with closing(WorkerActor(WORK, all_cores=False)) as actor:
        (end,) = asyncio.run(events())
    assert isinstance(end, Failed)
    assert end.cause is Cause.DISK
    assert f"{gone.content} does not exist on" in end.reason


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
