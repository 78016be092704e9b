"""Jobs that can be painted at once are told by their shape; how many are, by who paints them."""

from typing import Any

import pytest

from stylewatch_daemon.model import Started
from stylewatch_daemon.queue.batching import MANY, Company
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


def started(device: str = "cuda:0", **more: Any) -> Started:
    return Started("torch", device, ((4, 4),), (2,), paints_many=True, **more)


def test_until_a_first_one_has_begun_each_is_begun_alone() -> None:
    company = Company("auto")
    assert company.most("torch  12ab") == 1
    company.hear("torch  12ab", started())
    assert company.most("torch  12ab") == company.most("torch  34cd") == MANY
    assert company.most("torch cpu 12ab") == company.most("sketch  12ab") == company.most("") == 1


@pytest.mark.parametrize(
    ("batch", "begun", "most"),
    [
        ("auto", started(), MANY),
        ("auto", started("cpu"), 1),
        (3, started("cpu"), 3),
        (3, started(), 3),
        (1, started(), 1),
        ("auto", Started("onnx", "cuda:0", (), ()), 1),
        (3, Started("onnx", "cpu", (), ()), 1),
    ],
)
def test_how_many_there_are_is_said_or_goes_by_the_device(
    batch: Any, begun: Started, most: int
) -> None:
    company = Company(batch)
    company.hear("torch  12ab", begun)
    assert company.most("torch  12ab") == most


def test_where_memory_did_not_suffice_half_as_many_are_begun_from_then_on() -> None:
    company = Company("auto")
    for _ in range(8):
        company.hear("torch  12ab", started(too_many=8))
    assert (company.most("torch  12ab"), company.most("torch  34cd")) == (4, 8)
    company.hear("torch  12ab", started(too_many=2))
    company.hear("torch  12ab", started())
    assert company.most("torch  12ab") == 1
