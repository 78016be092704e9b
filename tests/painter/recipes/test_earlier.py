"""Recipes as the first version wrote them: in receipts, in files of users, in checkpoints.

`first_version.json` has what commit 4bf28d14 wrote of each of its recipes.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from stylewatch_painter.errors import RecipeError
from stylewatch_painter.recipes import earlier
from stylewatch_painter.recipes.book import change, check, find
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
    later = {"match_grain": False, "one_ink": False}
    assert painted_as(read) == painted_as(change(find(name), later))


def test_a_receipt_of_a_job_that_enlarged_its_picture_enlarges_its_styles() -> None:
    receipt = FIRST["gram"]["receipt"]
    receipt = {**receipt, "schedule": {**receipt["schedule"], "enlarge": True}}
    assert Recipe.model_validate(earlier.of_receipt(receipt)).schedule.enlarge_styles
    assert not change(find("gram"), {"enlarge": True}).schedule.enlarge_styles


def test_neighbors_of_each_layer_are_a_layer_match() -> None:
    receipt = FIRST["nnst"]["receipt"]

    def changed(**changes: Any) -> Recipe:
        neighbors = {**receipt["objective"]["neighbors"], **changes}
        return check({**receipt, "objective": {**receipt["objective"], "neighbors": neighbors}})

    (loss,) = changed(weight=2.0, rotations=False, content_share=0.5).objective.fine
    changes = {"weight": 2.0, "rotations": False, "largest": 999_999}
    assert loss.model_dump(exclude={"layers"}) == changes
    with pytest.raises(RecipeError, match="hub_penalty is for each: column"):
        changed(hub_penalty=1.0)


@pytest.mark.parametrize("name", FIRST)
def test_checkpoints_know_their_recipe(name: str) -> None:
    assert earlier.identity(find(name)) == FIRST[name]["checkpoint"]


EARLIER: dict[str, Any] = json.loads(
    Path(__file__).with_name("earlier_changes.json").read_text(encoding="utf-8")
)
"""Recipes as commit dc5d4093~1 resolved changes of `neighbors`, at the fine and coarse scales.

`resolved` has the neighbors of both for each base, level and change, without defaults; null where
the change was refused.
"""

UNKNOWN = [{"weight": 2.0}, {"layers": {"conv3_1": 2}}, {"hub_penalty": 0}, None,
           {"layers": {"conv3_1": 2}, "content_share": 0.1}]  # fmt: skip
"""Changes that, over a recipe with `layer_match` alone, may be meant in the earlier way or not."""


def with_changes(base: str, level: str, changes: Any, tmp_path: Path) -> tuple[Recipe, Recipe]:
    """Return the recipe that extends `base` by a file, and the one that is changed by `--set`."""
    nested = {"neighbors": changes} if level == "fine" else {"coarse": {"neighbors": changes}}
    plain = {"about": "x", "extends": base, "objective": {"strength_by": "weight", **nested}}
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(plain), encoding="utf-8")
    key = "objective.neighbors" if level == "fine" else "objective.coarse.neighbors"
    wanted = {"objective.strength_by": "weight", key: changes}
    return find(str(file)), change(find(base), wanted)


@pytest.mark.parametrize("level", ["fine", "coarse"])
@pytest.mark.parametrize("base", EARLIER["resolved"])
def test_changes_are_what_they_were_or_are_refused(base: str, level: str, tmp_path: Path) -> None:
    """In files, and by `--set`."""
    matched = {"nnst": ["fine"]}.get(base, [])
    for changes, resolved in zip(EARLIER["changes"], EARLIER["resolved"][base][level], strict=True):
        if resolved is None or (level in matched and changes in UNKNOWN):
            with pytest.raises(RecipeError):
                with_changes(base, level, changes, tmp_path)
            continue
        fine, coarse = resolved
        was = earlier.of_receipt(
            {"objective": {"neighbors": fine, "coarse": {"neighbors": coarse}}}
        )
        for recipe in with_changes(base, level, changes, tmp_path):
            plain = recipe.model_dump(mode="json", exclude_defaults=True)["objective"]
            pairs = [
                (expected.get(loss), got.get(loss))
                for expected, got in (
                    (was["objective"], plain),
                    (was["objective"]["coarse"], plain.get("coarse", {})),
                )
                for loss in ("neighbors", "layer_match")
            ]
            assert all(expected == got for expected, got in pairs), (changes, pairs)


@pytest.mark.parametrize("changes", UNKNOWN)
def test_a_change_that_may_be_meant_in_two_ways_is_refused_with_both(
    changes: Any, tmp_path: Path
) -> None:
    with pytest.raises(
        RecipeError, match=r"name layer_match to change it .* or give neighbors each"
    ):
        change(find("nnst"), {"objective.neighbors": changes})
    if changes is not None and "layers" in changes:
        both = change(find("nnst"), {"objective.neighbors": changes, "objective.layer_match": {}})
        assert {"neighbors", "layer_match"} <= both.objective.fine.losses.keys()
        assert both.objective.coarse == find("nnst").objective.coarse
        with pytest.raises(RecipeError, match=r"each is of an earlier version"):
            change(both, {"objective.neighbors.each": "column"})
