"""Inputs of a job, copied to where other machines can read them."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.daemon.worker.orders import files, order

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.executors.ray.inputs import missing, share
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_painter.recipes import book as recipe_book


def test_all_pictures_are_copied_once_under_their_names(tmp_path: Path, pictures: Path) -> None:
    given = order(tmp_path, pictures)
    mask = pictures / "content.mask.png"
    mask.write_bytes(b"mask")
    given = replace(given, init=given.content, masks={"content-mask": mask})
    shared = share(given)
    assert shared.content is not None and given.content is not None
    assert shared.content == shared.init
    copies = {shared.content, *shared.styles, *shared.masks.values()}
    assert all(path.is_relative_to(given.staging) for path in copies)
    assert shared.content.read_bytes() == given.content.read_bytes()
    assert sorted(path.name for path in copies) == ["content.jpg", "content.mask.png", "style.jpg"]
    assert len(files(given)) == 3
    assert replace(shared, content=given.content, styles=given.styles, init=given.init,
                   masks=given.masks) == given  # fmt: skip
    assert missing(shared) is None
    shared.styles[0].unlink()
    assert missing(shared) == shared.styles[0]


def test_own_recipes_are_copied(tmp_path: Path, pictures: Path) -> None:
    folder = tmp_path / "book"
    folder.mkdir()
    (folder / "mine.yaml").write_text("extends: gatys\nschedule: {steps: 7}\n")
    path = tmp_path / "single.yaml"
    path.write_text("extends: mine\n")
    given = replace(order(tmp_path, pictures, recipe=str(path)), recipe_folders=(folder,))
    shared = share(given)
    for original in (folder / "mine.yaml", path):
        original.unlink()
    recipe = recipe_book.find(shared.settings.recipe, *shared.recipe_folders)
    assert recipe.schedule.steps == 7


def test_a_file_that_cannot_be_read_keeps_its_path(tmp_path: Path, pictures: Path) -> None:
    gone = replace(order(tmp_path, pictures), content=Path("gone.jpg"))
    shared = share(gone)
    assert shared.content == Path("gone.jpg")
    assert missing(shared) is None


def test_copies_are_not_outputs(tmp_path: Path, pictures: Path) -> None:
    outbox = Outbox(tmp_path / "outbox")
    share(replace(order(tmp_path, pictures), staging=outbox.staging("job")))
    assert list(outbox.staged("job")) == []


def test_a_staging_folder_that_is_gone_is_named(tmp_path: Path, pictures: Path) -> None:
    given = order(tmp_path, pictures)
    given.staging.rmdir()
    with pytest.raises(OutputError, match="is its disk still mounted"):
        share(given)
