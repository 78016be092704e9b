"""How terms are called, and the record made of their values."""

import pytest
from tests.painter import small

from stylewatch_painter.algorithm.objective import as_losses, label_terms
from stylewatch_painter.recipes.recipe import LayerName, Objective


def objective(**changes: object) -> Objective:
    plain = small.task("neural-style").recipe.objective.model_dump()
    return Objective.model_validate({**plain, **changes})


STYLES: list[tuple[str, float, list[LayerName]]] = [
    ("day", 0.25, ["conv1_1", "conv2_1"]),
    ("night", 0.75, ["conv1_1"]),
]


def test_terms_are_content_then_each_style_then_smoothness() -> None:
    labels = list(label_terms(objective(), ["conv4_2"], STYLES))
    named = [(one.side, one.style, one.layer) for one in labels]
    assert named == [
        ("content", "", "conv4_2"),
        ("style", "day", "conv1_1"),
        ("style", "day", "conv2_1"),
        ("style", "night", "conv1_1"),
        ("tv", "", ""),
    ]


def test_a_style_counts_by_its_share_and_smoothness_may_only_pull() -> None:
    """In neural-style: 100 for each style layer, 1e-3 of smoothness on the gradient alone."""
    *_, day, night, tv = label_terms(objective(), [], [(*one[:2], one[2][:1]) for one in STYLES])
    assert (day.weight, night.weight, night.pull) == (25, 75, 75)
    assert (tv.weight, tv.pull) == (0, 1e-3)


def test_the_total_is_the_sum_of_values_by_their_weights() -> None:
    labels = list(label_terms(objective(), ["conv4_2"], STYLES))
    losses = as_losses(labels, [1.0, 2.0, 3.0, 4.0, 5.0])
    assert losses.total == pytest.approx(5 * 1 + 25 * (2 + 3) + 75 * 4)
    assert losses.content["conv4_2"].value == 1
    assert losses.style["night"]["conv1_1"].value == 4
    assert losses.tv is not None
    assert (losses.tv.value, losses.tv.weight, losses.tv.gradient_weight) == (5, 0, 1e-3)
