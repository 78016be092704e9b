"""The figure of the paper: its pictures, and the layers that each is made from."""

from pathlib import Path

import pytest
from tests.daemon.worker.orders import order

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
