"""The figure of the paper: its pictures, and the layers that each is made from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.daemon.worker.orders import order

from stylewatch_daemon.errors import InputError
from stylewatch_daemon.worker import figure
from stylewatch_daemon.worker.messages import Order
from stylewatch_plugins.contract import Backend, Pixels, Task


@pytest.fixture
def given(tmp_path: Path, pictures: Path) -> Order:
    return order(tmp_path / "job", pictures)


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """The tasks that are run."""
    run, tasks = figure._run, []

    def record(backend: Backend, task: Task) -> Pixels:
        tasks.append(task)
        return run(backend, task)

    monkeypatch.setattr(figure, "_run", record)
    return tasks


def test_rows_begin_with_their_picture_and_have_the_layers_of_the_paper(
    given: Order, tasks: list[Task]
) -> None:
    panels = list(figure.panels(given))
    assert [(panel.row, panel.label) for panel in panels] == [
        *((0, label) for label in (
            "the painting", "conv1_1", "+ conv2_1", "+ conv3_1", "+ conv4_1", "+ conv5_1",
        )),
        *((1, label) for label in (
            "the photograph", "conv1_2", "conv2_2", "conv3_2", "conv4_2", "conv5_2",
        )),
    ]  # fmt: skip
    for count, task in enumerate(tasks[:5], start=1):
        objective = task.recipe.objective
        assert objective.content is None is task.content
        assert objective.style and tuple(objective.style.layers) == figure.STYLE[:count]
    for layer, task in zip(figure.CONTENT, tasks[5:], strict=True):
        objective = task.recipe.objective
        assert objective.style is None and task.styles == ()
        assert objective.content and tuple(objective.content.layers) == (layer,)
    assert {task.recipe.schedule.start for task in tasks} == {"noise"}
    assert {task.final for task in tasks} == {(32, 24)}
    height, width, _ = figure.sheet_of(panels, 32).shape
    assert width > 6 * 32 and 2 * 24 < height < width


def test_transparent_pixels_of_the_style_do_not_count_and_are_white(
    given: Order, tasks: list[Task], tmp_path: Path
) -> None:
    style = np.full((24, 32, 4), 255, dtype=np.uint8)
    style[:, :16] = (250, 0, 0, 0)
    style[:, 16:, :3] = (0, 0, 90)
    Image.fromarray(style).save(tmp_path / "style.png")
    first, *_ = figure.panels(replace(given, styles=(tmp_path / "style.png",)))
    assert np.array_equal(first.picture[0, [0, -1]], [[255, 255, 255], [0, 0, 90]])
    for task in tasks[:5]:
        mask = task.styles[0].mask
        assert mask is not None and np.array_equal(mask[0, [0, -1]], [0, 1])


def test_other_inputs_and_recipes_are_errors(given: Order) -> None:
    with pytest.raises(InputError, match="one photograph and one painting"):
        list(figure.panels(replace(given, styles=given.styles * 2)))
    settings = given.settings.model_copy(update={"set": {"objective.style": None}})
    with pytest.raises(InputError, match="has no style"):
        list(figure.panels(replace(given, settings=settings)))
