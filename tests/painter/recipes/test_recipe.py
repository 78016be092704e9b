"""What a recipe may say: every field has its bounds, and a mistake its words."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from stylewatch_painter.errors import RecipeError
from stylewatch_painter.recipes.book import change, find, names
from stylewatch_painter.recipes.recipe import GEOMETRY, Schedule


def refusal(changes: Mapping[str, Any]) -> str:
    """What is told of recipe `best` with these changes."""
    with pytest.raises(RecipeError) as caught:
        change(find("best"), changes)
    return str(caught.value).removeprefix("recipe best: ")


@pytest.mark.parametrize(
    "size", [640, "640", "640x480", "x400", "400x", "0.25mp", ".25mp", "2mp", "10.5mp", "0.05mp"]
)
def test_size_forms_are_accepted(size: object) -> None:
    changed = change(find("best"), {"size": size, "style_size": size}).schedule
    assert changed.size == changed.style_size == str(size)


@pytest.mark.parametrize(
    "size",
    ["12y", "", "0", 0, -5, "0x480", "640x0", "x", "x0", "mp", "0mp", "0.0mp", "1.mp", "640 ",
     "640\n", "0640", "640X480", "640x480x3", "1e3", "area", "٦٤٠"],
)  # fmt: skip
def test_other_sizes_list_the_forms(size: object) -> None:
    assert refusal({"size": size}) == (
        "schedule.size: should be 640 (long side), 640x480 (box), x400 (rows), 400x (columns) "
        f"or 0.25mp (area), got {size!r}"
    )


def test_schema_has_the_pattern_of_a_size() -> None:
    pattern = Schedule.model_json_schema()["properties"]["size"]["pattern"]
    assert re.search(pattern, "640x480")
    assert not re.search(pattern, "640x480x3")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"optimizer.kind": "adm"}, "schedule.optimizer: unknown kind 'adm'; did you mean 'adam'?"),
        ({"optimizer.kind": "newton"},
         "schedule.optimizer: unknown kind 'newton'; there are adam, lbfgs, sgd"),
        ({"optimizer.rate": 0}, "schedule.optimizer.rate: input should be greater than 0, got 0"),
        ({"optimizer.histroy": 3},
         "schedule.optimizer: unknown key 'histroy'; did you mean 'history'?"),
        ({"optimizer": {"kind": "sgd", "momentum": 0.9}},
         "schedule.optimizer: unknown key 'momentum'; there are decay, decay_steps, kind, rate"),
        ({"optimizer": 3}, "schedule.optimizer: should be keys with their values, got 3"),
        ({"objective.content.layers": {"conv4_22": 1}},
         "objective.content.layers: unknown key 'conv4_22'; did you mean 'conv4_2'?"),
        ({"objective.content.layers.conv4_2": -1},
         "objective.content.layers.conv4_2: input should be greater than or equal to 0, got -1"),
        ({"objective.content.layers": 3},
         "objective.content.layers: should be keys with their values, got 3"),
        ({"objective.content": 3}, "objective.content: should be keys with their values, got 3"),
        ({"objective": 3}, "objective: should be keys with their values, got 3"),
        ({"objective.content.loss": "l2"}, "objective.content.loss: input should be 'half_sum',"
                                           " 'sum', 'mean' or 'relative', got 'l2'"),
        ({"objective.stile": {}}, "objective: unknown key 'stile'; did you mean 'style'?"),
        ({"objective.content": None, "objective.style": None},
         "objective: the objective names no layer: give content or style at least one"),
        ({"objective.tv": {"loss": "squared", "weight": 1, "gradient_weight": 2}},
         "objective.tv: tv takes a weight or a gradient_weight, not both"),
        ({"objective.tv": {"loss": "smooth"}},
         "objective.tv.loss: input should be 'power', 'absolute', 'isotropic', 'squared'"
         " or 'nine_point', got 'smooth'"),
        ({"objective.style.loss": "wasserstein"},
         "objective.style: gram: moments and loss: wasserstein go together: the distance is"
         " between means and covariances, and no other loss is"),
        ({"objective.style.gram": "moments"},
         "objective.style: gram: moments and loss: wasserstein go together: the distance is"
         " between means and covariances, and no other loss is"),
        ({"objective.network.padding": "mirror"},
         "objective.network.padding: input should be 'zeros', 'reflect' or 'replicate',"
         " got 'mirror'"),
        ({"carry_moments": True},
         "schedule: carry_moments keeps Adam's moments for the next scale, and lbfgs has none:"
         " set carry_moments=false, or optimizer.kind=adam"),
        ({"passes": []}, "unknown key 'passes'; it is now called 'scales'"),
        ({"schedule.carry": True},
         "schedule: unknown key 'carry'; it is now called 'carry_moments'"),
        ({"optimizer.coordinates": 0.5},
         "schedule.optimizer: unknown key 'coordinates'; it is now called 'fourier_power'"),
        ({"ema_decay": 1}, "schedule.ema_decay: input should be less than 1, got 1"),
        ({"strength": 1.5},
         "objective.strength: input should be less than or equal to 1, got 1.5"),
        ({"scales": [{"scale": 0.5}]}, "schedule.scales.0: steps is missing"),
        ({"steps": -1}, "schedule.steps: input should be greater than or equal to 0, got -1"),
        ({"save_every": 0}, "schedule.save_every: input should be greater than 0, got 0"),
        ({"until": "bored"}, "schedule.until: input should be 'steps' or 'converged',"
                             " got 'bored'"),
        ({"keep_detail": 1.5},
         "schedule.keep_detail: input should be less than or equal to 1, got 1.5"),
        ({"start": "nose"}, "schedule.start: input should be 'content', 'style', 'noise', 'mixed'"
                            " or 'picture', got 'nose'"),
    ],
)  # fmt: skip
def test_mistake_names_place_and_remedy(changes: Mapping[str, Any], told: str) -> None:
    assert refusal(changes) == told


@pytest.mark.parametrize("number", [float("inf"), float("nan"), -1.0])
@pytest.mark.parametrize(
    "field",
    ["objective.style.layers.conv1_1", "objective.network.pixel_range", "style_scale",
     "noise_scale", "keep_detail", "tolerance", "optimizer.rate",
     "optimizer.first_step", "optimizer.coordinates"],
)  # fmt: skip
def test_number_out_of_range_is_refused(field: str, number: float) -> None:
    assert field.rpartition(".")[2] in refusal({field: number})


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("loss", ["absolute", "isotropic", "squared"])
def test_smoothness_works_with_every_recipe(name: str, loss: str) -> None:
    """A weight is enough; of a recipe with a gradient_weight that goes."""
    keys = {"objective.tv.weight": 0.5, "objective.tv.gradient_weight": None}
    alone = change(find(name), keys).objective.tv
    formed = change(find(name), {**keys, "objective.tv.loss": loss}).objective.tv
    assert alone is not None and formed is not None
    assert (alone.weight, formed.weight, formed.loss) == (0.5, 0.5, loss)
    had = find(name).objective.tv
    assert alone.loss == ("isotropic" if had is None else had.loss)


def test_most_steps_sums_all_scales() -> None:
    """The first size may have more than it says."""
    best = change(find("best"), {"scales": [{"scale": 0.5, "steps": 7}], "steps": 4})
    assert best.schedule.most_steps == 11
    assert change(best, {"initial_steps": 30}).schedule.most_steps == 41


@pytest.mark.parametrize(("said", "share"), [(True, 1), (False, 0), (0.5, 0.5)])
def test_keep_detail_is_a_share_or_a_boolean(said: object, share: float) -> None:
    assert change(find("best"), {"keep_detail": said}).schedule.keep_detail == share


def test_geometry_and_other_fields_are_disjoint() -> None:
    """`--schedule fast` keeps the one and takes the other from `best`."""
    assert set(Schedule.model_fields) > GEOMETRY
    assert {"start", "scales", "optimizer", "steps"} <= set(Schedule.model_fields) - GEOMETRY
