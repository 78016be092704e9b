"""Recipes as the first version wrote them: in receipts, in files of users, in checkpoints.

`first_version.json` has what commit 4bf28d14 wrote of each of its recipes.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from stylewatch_painter.recipes import earlier
from stylewatch_painter.recipes.book import change, find
from stylewatch_painter.recipes.recipe import Recipe

FIRST: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("first_version.json").read_text(encoding="utf-8")
)


def painted_as(recipe: Recipe) -> dict[str, Any]:
    """Everything of a recipe that changes pictures."""
    return recipe.model_dump(include={"objective", "schedule"})


@pytest.mark.parametrize("name", FIRST)
def test_a_receipt_is_read_as_the_recipe_that_it_was(name: str) -> None:
    read = Recipe.model_validate(earlier.of_receipt(FIRST[name]["receipt"]))
    assert painted_as(read) == painted_as(find(name))


def test_a_receipt_of_a_job_that_enlarged_its_picture_enlarges_its_styles() -> None:
    receipt = FIRST["gram"]["receipt"]
    receipt = {**receipt, "schedule": {**receipt["schedule"], "enlarge": True}}
    assert Recipe.model_validate(earlier.of_receipt(receipt)).schedule.enlarge_styles
    assert not change(find("gram"), {"enlarge": True}).schedule.enlarge_styles


@pytest.mark.parametrize("name", FIRST)
def test_checkpoints_know_their_recipe(name: str) -> None:
    assert earlier.identity(find(name)) == FIRST[name]["checkpoint"]


@pytest.mark.parametrize(
    ("neighbors", "losses"),
    [
        ({"each": "column", "layers": {"conv3_1": 1}, "content_share": 0.5}, ["neighbors"]),
        ({"each": "layer", "layers": {"conv3_1": 1}, "dimensions": None}, ["layer_match"]),
    ],
)
def test_a_file_is_read_before_it_is_merged(
    neighbors: dict[str, Any], losses: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    plain = {"about": "mine", "extends": "nnst", "objective": {"neighbors": neighbors}}
    file.write_text(yaml.safe_dump(plain), encoding="utf-8")
    fine = find(str(file)).objective.fine.losses
    assert list(fine) == losses and "conv3_1" in fine[losses[0]].layer_names


@pytest.mark.parametrize(
    ("changes", "fine"),
    [
        ({"neighbors": {"layers": {"conv1_1": None}, "weight": 2.0}}, {"layer_match": 9}),
        ({"neighbors": {"each": "column", "weight": 2.0}}, {"neighbors": 10}),
        ({"neighbors": None, "content": {"loss": "mean", "layers": {"conv4_2": 1}}},
         {"content": 1}),
        ({"neighbors": {"layers": {"conv3_1": 1}}, "layer_match": None}, {"neighbors": 1}),
    ],
)  # fmt: skip
def test_changes_of_neighbors_are_those_of_what_they_were(
    changes: dict[str, Any], fine: dict[str, int], tmp_path: Path
) -> None:
    """In files that extend `nnst`, and by `--set`."""
    file = tmp_path / "mine.yaml"
    plain = {"about": "mine", "extends": "nnst", "objective": changes}
    file.write_text(yaml.safe_dump(plain), encoding="utf-8")
    flat = {f"objective.{name}": value for name, value in changes.items()}
    for recipe in (find(str(file)), change(find("nnst"), flat)):
        losses = recipe.objective.fine.losses
        assert {name: len(loss.layer_names) for name, loss in losses.items()} == fine
        assert recipe.objective.coarse == find("nnst").objective.coarse
