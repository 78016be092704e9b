"""The figure of the paper: which pictures it has, and of which layers each is made."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.daemon.worker.orders import order

from stylewatch_daemon.errors import InputError
from stylewatch_daemon.worker import figure
from stylewatch_daemon.worker.contract import Order
from stylewatch_plugins.contract import Backend, Pixels, Task


@pytest.fixture
def given(tmp_path: Path, pictures: Path) -> Order:
    return order(tmp_path / "job", pictures)


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """What is painted, as it is asked for."""
    real, asked = figure._run, []

    def painted(backend: Backend, task: Task) -> Pixels:
        asked.append(task)
        return real(backend, task)

    monkeypatch.setattr(figure, "_run", painted)
    return asked


def test_each_row_begins_with_its_picture_and_goes_through_the_layers(given: Order) -> None:
    found = list(figure.panels(given))
    assert [one.label for one in found if one.row == 0] == [
        "the painting", "conv1_1", "+ conv2_1", "+ conv3_1", "+ conv4_1", "+ conv5_1",
    ]  # fmt: skip
    assert [one.label for one in found if one.row == 1] == [
        "the photograph", "conv1_2", "conv2_2", "conv3_2", "conv4_2", "conv5_2",
    ]  # fmt: skip


def test_the_content_is_asked_of_one_layer_and_the_style_of_one_more_each_time(
    given: Order, tasks: list[Task]
) -> None:
    list(figure.panels(given))
    styles, contents = tasks[:5], tasks[5:]
    for count, task in enumerate(styles, start=1):
        objective = task.recipe.objective
        assert objective.content is None is task.content
        assert objective.style and tuple(objective.style.layers) == figure.STYLE[:count]
    for layer, task in zip(figure.CONTENT, contents, strict=True):
        objective = task.recipe.objective
        assert objective.style is None and task.styles == ()
        assert objective.content and tuple(objective.content.layers) == (layer,)
    assert {task.recipe.schedule.start for task in tasks} == {"noise"}
    assert {task.final for task in tasks} == {(32, 24)}


def test_what_is_transparent_in_the_style_does_not_count_and_is_white_in_the_figure(
    given: Order, tasks: list[Task], tmp_path: Path
) -> None:
    style = np.full((24, 32, 4), 255, dtype=np.uint8)
    style[:, :16] = (250, 0, 0, 0)
    style[:, 16:, :3] = (0, 0, 90)
    Image.fromarray(style).save(tmp_path / "style.png")
    shown, *_ = figure.panels(replace(given, styles=(tmp_path / "style.png",)))
    assert np.array_equal(shown.picture[0, [0, -1]], [[255, 255, 255], [0, 0, 90]])
    for task in tasks[:5]:
        (used,) = task.styles
        assert used.mask is not None
        assert np.array_equal(used.mask[0, [0, -1]], [0, 1])
        assert np.array_equal(used.picture[0, -1], [0, 0, 90])


def test_the_sheet_has_two_rows(given: Order) -> None:
    height, width, _ = figure.sheet_of(list(figure.panels(given)), 32).shape
    assert width > 6 * 32 and 2 * 24 < height < width


def test_it_takes_one_photograph_and_one_painting(given: Order) -> None:
    with pytest.raises(InputError, match="one photograph and one painting"):
        list(figure.panels(replace(given, styles=given.styles * 2)))


def test_a_recipe_without_a_side_is_told(given: Order) -> None:
    settings = given.settings.model_copy(update={"set": {"objective.style": None}})
    with pytest.raises(InputError, match="has no style"):
        list(figure.panels(replace(given, settings=settings)))
