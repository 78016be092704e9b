"""The figure of the paper: its pictures, and the layers that each is made from."""

from dataclasses import replace

import pytest

from stylewatch_daemon.base.errors import InputError
from stylewatch_daemon.worker import figure
from stylewatch_daemon.worker.messages import Order
from stylewatch_plugins.contract import Backend, Pixels, Task


def test_rows_begin_with_their_picture_and_have_the_layers_of_the_paper(
    given: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, tasks = figure._run, list[Task]()

    def record(backend: Backend, task: Task) -> Pixels:
        tasks.append(task)
        return run(backend, task)

    monkeypatch.setattr(figure, "_run", record)
    panels = list(figure.panels(given))
    assert [[panel.label for panel in panels if panel.row == row] for row in (0, 1)] == [
        ["the painting", "conv1_1", "+ conv2_1", "+ conv3_1", "+ conv4_1", "+ conv5_1"],
        ["the photograph", "conv1_2", "conv2_2", "conv3_2", "conv4_2", "conv5_2"],
    ]
    objectives = [task.recipe.objective for task in tasks]
    for count, objective in enumerate(objectives[:5], start=1):
        assert objective.content is None
        assert objective.style and tuple(objective.style.layers) == figure.STYLE[:count]
    for layer, objective in zip(figure.CONTENT, objectives[5:], strict=True):
        assert objective.style is None
        assert objective.content and tuple(objective.content.layers) == (layer,)
    assert {(task.recipe.schedule.start, task.final) for task in tasks} == {("noise", (32, 24))}
    height, width, _ = figure.sheet_of(panels, 32).shape
    assert width > 6 * 32 and 2 * 24 < height < width


def test_a_recipe_without_a_side_is_refused(given: Order) -> None:
    settings = given.settings.model_copy(update={"set": {"objective.content": None}})
    with pytest.raises(InputError, match=r"has no content: set job\.recipe in config\.yaml to"):
        list(figure.panels(replace(given, settings=settings)))
