"""Inputs of a job, copied to where other machines can read them."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.daemon.worker.orders import files, order

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.executors.ray.actor import missing, share
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_painter.recipes import book


def test_each_file_is_copied_once_under_its_name(tmp_path: Path, pictures: Path) -> None:
    given = order(tmp_path, pictures)
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
    assert len(files(given)) == 3
    assert list(outbox.staged("job")) == [], "copies are not outputs"
    assert missing(shared) is None
    shared.styles[0].unlink()
    assert missing(shared) == shared.styles[0]


def test_recipes_of_the_user_are_copied(tmp_path: Path, pictures: Path) -> None:
    folder, path = tmp_path / "book", tmp_path / "single.yaml"
    folder.mkdir()
    (folder / "mine.yaml").write_text("extends: gatys\nschedule: {steps: 7}\n")
    path.write_text("extends: mine\n")
    given = replace(order(tmp_path, pictures, recipe=str(path)), recipe_folders=(folder,))
    shared = share(given)
    for original in (folder / "mine.yaml", path):
        original.unlink()
    recipe = book.find(shared.settings.recipe, *shared.recipe_folders)
    assert recipe.schedule.steps == 7


def test_files_that_cannot_be_read_or_written(tmp_path: Path, pictures: Path) -> None:
    given = order(tmp_path, pictures)
    shared = share(replace(given, content=Path("gone.jpg")))
    assert shared.content == Path("gone.jpg"), "which the worker reports"
    assert missing(shared) is None
    with pytest.raises(OutputError, match="is its disk still mounted"):
        share(replace(given, staging=tmp_path / "gone"))
