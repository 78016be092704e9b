"""Fields of a recipe: their bounds, and the messages about mistakes."""

from collections.abc import Mapping
from typing import Any

import pytest

from stylewatch_painter import losses
from stylewatch_painter.errors import RecipeError
from stylewatch_painter.recipes.book import change, find


def refusal(changes: Mapping[str, Any]) -> str:
    """The message about recipe `best` with these changes."""
    with pytest.raises(RecipeError) as caught:
        change(find("best"), changes)
    return str(caught.value).removeprefix("recipe best: ")


def test_size_has_one_of_six_forms() -> None:
    for size in (640, "640x480", "x400", "400x", "512-short", "0.25mp", ".25mp"):
        changed = change(find("best"), {"size": size, "style_size": size}).schedule
        assert changed.size == changed.style_size == str(size)
    for size in ("12y", "", 0, "0x480", "x", "0.0mp", "640\n", "area", "٦٤٠", "640x480-short"):
        assert refusal({"size": size}) == (
            "schedule.size: should be 640 (long side), 512-short (short side), 640x480 (box), x400 "
            f"(rows), 400x (columns) or 0.25mp (area), got {size!r}"
        )


def test_boolean_is_no_number_except_for_all_or_none_of_the_detail() -> None:
    for key in ("schedule.steps", "objective.style.layers.conv1_1", "objective.tv.weight"):
        for value, written in ((True, "yes, on or true"), (False, "no, off or false")):
            assert refusal({key: value}).startswith(f"{key}: should be a number, got {written}")
    schedule = change(find("best"), {"keep_detail": True, "final_detail": False}).schedule
    assert (schedule.keep_detail, schedule.final_detail) == (1.0, 0.0)


def test_neighbors_alone_reach_to_the_largest_scale_that_has_them() -> None:
    neighbors = "objective.coarse.neighbors.largest"
    for largest in (200, 300):
        changed = change(find("best"), {"objective.coarse.largest": 200, neighbors: largest})
        assert changed.objective.coarse is not None
    assert "neighbors.largest leaves larger sizes without a layer" in refusal({neighbors: 300})


def test_losses_of_packages_that_are_not_set_are_not_written() -> None:
    """Another installation may not have them."""
    for name, some in (("best", set[str]()), ("nnst", {"layer_match"}), ("strotss", {"transport"})):
        objective = find(name).model_dump(mode="json")["objective"]
        assert losses.kinds().keys() & objective.keys() == losses.own().keys() | some


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer.kind": "adm"}, "schedule.optimizer: unknown kind 'adm'; did you mean 'adam'?"),
        ({"objective.content.layers": {"conv4_22": 1}},
         "objective.content.layers: unknown key 'conv4_22'; did you mean 'conv4_2'?"),
        ({"objective.content.layers.conv4_2": -1},
         "objective.content.layers.conv4_2: should be greater than or equal to 0, got -1"),
        ({"optimizer.fourier": 0.5},
         "schedule.optimizer: unknown key 'fourier'; did you mean 'fourier_power'?"),
        ({"objective.coarse": {"transport": {"layers": {}}}},
         "objective.coarse.transport.layers: there is no layer to compare: name one, or set the"
         " loss itself to null"),
        ({"objective.tv": {"loss": "squared", "weight": 1, "gradient_weight": 2}},
         "objective.tv: tv takes a weight or a gradient_weight, not both"),
        ({"objective.network.architecture": "vgg16", "objective.content.layers": {"conv4_4": 1}},
         "objective: network.architecture vgg16 has no layer conv4_4: it has conv1_1, conv1_2,"
         " conv2_1, conv2_2, conv3_1, conv3_2, conv3_3, conv4_1, conv4_2, conv4_3, conv5_1,"
         " conv5_2, conv5_3"),
        ({"objective.protect_detail": 11},
         "objective.protect_detail: should be less than or equal to 10, got 11"),
        ({"objective.layer_match": {"layers": {"conv1_1": 1}}},
         "objective: strength_by: blend mixes the targets of a style with the content, which"
         " layer_match cannot do: set strength_by: weight"),
        ({"objective.content.layers": {"conv5_1": 1}},
         "objective: network.border 8 is smaller than a position of conv5_1: set network.border:"
         " 16"),
        ({"carry_moments": True},
         "schedule: carry_moments keeps Adam's moments for the next scale, and lbfgs has none:"
         " set carry_moments=false, or optimizer.kind=adam"),
        ({"scales": [{"scale": scale, "steps": 1} for scale in (0.1, 0.5, 0.5)]},
         "schedule: scales run from coarse to fine, and 0.5 comes after 0.5: give the smallest"
         " scale first, and each scale once"),
    ],
)  # fmt: skip
def test_mistake_names_place_and_remedy(changes: Mapping[str, Any], message: str) -> None:
    assert refusal(changes) == message
