"""Jobs that can share a batch have the same shape."""

from typing import Any

import pytest

from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.resolve import batch_shape

SIZES = ((640, 480), (500, 500))


def shape(sizes: tuple[tuple[int, int], ...] = SIZES, **settings: Any) -> str:
    said = JobSettings(**settings)
    return batch_shape(said, said.resolve(), sizes)


@pytest.mark.parametrize(
    "settings",
    [
        {"strength": 0.9},
        {"seed": 7},
        {"format": "jpg", "name": "{seed}", "priority": 9},
        {"set": {"objective.content.layers.conv4_2": 3.0}},
    ],
)
def test_what_each_job_has_of_its_own_changes_no_shape(settings: dict[str, Any]) -> None:
    recipe = "neural-style"
    assert shape(recipe=recipe, **settings) == shape(recipe=recipe) != ""


@pytest.mark.parametrize(
    "settings",
    [
        {"backend": "sketch"},
        {"device": "cpu"},
        {"recipe": "devos"},
        {"schedule": "fast"},
        {"steps": 3},
        {"save_every": 3},
        {"size": 320},
        {"init": "noise"},
        {"style_size": "50%"},
        {"only": "content"},
        {"set": {"objective.style.layers.conv5_1": None}},
        {"set": {"objective.tv": {"loss": "power"}}},
        {"set": {"objective.network.pool": "average"}},
    ],
)
def test_what_changes_the_way_of_a_painting_changes_the_shape(settings: dict[str, Any]) -> None:
    assert shape(**{"recipe": "neural-style", **settings}) != shape(recipe="neural-style")


def test_photographs_of_one_shape_that_are_painted_at_one_size_are_alike() -> None:
    larger = ((1280, 960), (500, 500))
    assert shape(larger) == shape()
    assert shape(((1280, 900), (500, 500))) != shape()
    assert shape((*SIZES, (500, 500))) != shape()


def test_what_goes_on_from_a_stage_has_no_known_size_or_searches_lines_is_for_itself() -> None:
    assert shape(recipe="gatys") == ""
    assert shape(()) == ""
    assert shape(init="picture", from_step=5) == ""
