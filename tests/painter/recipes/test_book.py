"""Recipes are found, read, merged over the one they extend, and changed field by field."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from stylewatch_painter.errors import RecipeError
from stylewatch_painter.recipes import book as recipe_book
from stylewatch_painter.recipes.recipe import GEOMETRY, Adam, Schedule

SHIPPED = ["best", "blank-canvas", "crowson", "devos", "gatys", "keras", "neural-style", "pastiche"]


def book(folder: Path, **recipes: str) -> Path:
    for name, text in recipes.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def test_shipped_and_own_recipes_are_listed_and_valid(tmp_path: Path) -> None:
    assert recipe_book.names() == SHIPPED
    for name in SHIPPED:
        recipe = recipe_book.find(name)
        assert recipe.name == name
        assert {*recipe.ours} <= {*recipe_book.dotted(recipe.model_dump())}
    own = book(tmp_path, mine="extends: best\nabout: mine")
    assert recipe_book.names(own) == sorted([*SHIPPED, "mine"])


def test_own_recipe_may_extend_the_shipped_one_of_its_name(tmp_path: Path) -> None:
    folder = book(tmp_path, best="extends: best\nschedule: {steps: 7}")
    changed, shipped = recipe_book.find("best", folder), recipe_book.find("best")
    assert changed.schedule.steps == 7
    assert changed.objective == shipped.objective


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: bset\nabout: x", "did you mean 'best'"),
        ("extends: mine\nabout: x", "there is no recipe 'mine'"),
        ("- a\n- list", "should be a mapping"),
        ("about: [", "is not YAML"),
        ("about: !!bool foo", "mine.*KeyError"),
        (f"about: {'[' * 5000}", "mine.*RecursionError"),
        ("about: &a [*a]", "about"),
        ("about: &a {b: *a}\nschedule: {steps: 1}\nextends: best", "about"),
        ("extends: best\n1: 2", "mine.*1"),
        ('extends: best\nabout: "a\\ud800"', "recipe mine cannot be used"),
        (f"extends: best\nschedule: {{steps: 0x{'f' * 5000}}}", "steps"),
        ("x" * 1_000_001, "longer than 1000000 bytes"),
        ("extends: best\nschedule: {stepps: 3, size: 12y}", "size.*; .*mean 'steps'"),
        ("about: nothing\nobjective: {}\nschedule: {}", "names no layer"),
    ],
)
def test_mistakes_are_reported_together(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe_book.find("mine", book(tmp_path, mine=text))


def test_edited_recipe_is_parsed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed, load = list[str](), yaml.safe_load

    def counted(text: str) -> Any:
        parsed.append(text)
        return load(text)

    monkeypatch.setattr(yaml, "safe_load", counted)
    book(tmp_path, own="extends: gatys\nschedule: {steps: 7}\n")
    for _ in range(3):
        assert recipe_book.find("own", tmp_path).schedule.steps == 7
    assert sum("steps: 7" in text for text in parsed) == 1
    book(tmp_path, own="extends: gatys\nschedule: {steps: 77}\n")
    assert recipe_book.find("own", tmp_path).schedule.steps == 77


def test_circular_extends_is_refused(tmp_path: Path) -> None:
    folder = book(tmp_path, a="extends: b\nabout: x", b="extends: a\nabout: x")
    with pytest.raises(RecipeError, match="extends"):
        recipe_book.find("a", folder)


def test_fast_keeps_objective_and_geometry() -> None:
    """And takes all other fields from `best`."""
    source, best = recipe_book.find("keras"), recipe_book.find("best").schedule
    fast = recipe_book.fast(source)
    assert fast.objective == source.objective
    for field in Schedule.model_fields:
        kept = source.schedule if field in GEOMETRY else best
        assert getattr(fast.schedule, field) == getattr(kept, field)
    assert {"start", "scales", "optimizer", "steps"} <= set(Schedule.model_fields) - GEOMETRY


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("schedule.steps", "schedule.steps"),
        ("steps", "schedule.steps"),
        ("optimizer.history", "schedule.optimizer.history"),
        ("strength", "objective.strength"),
        ("objective.content.layers.conv3_1", "objective.content.layers.conv3_1"),
    ],
)
def test_single_field_is_changed(key: str, path: str) -> None:
    value: Any = recipe_book.change(recipe_book.find("best"), {key: 1}).model_dump()
    for part in path.split("."):
        value = value[part]
    assert value == 1


def test_none_removes_a_layer_or_a_side() -> None:
    best = recipe_book.find("best")
    without = recipe_book.change(best, {"objective.style.layers.conv5_1": None})
    assert "conv5_1" not in without.objective.layers
    assert recipe_book.change(best, {"objective.content": None}).objective.content is None


def test_another_optimizer_kind_inherits_nothing() -> None:
    changed = recipe_book.change(recipe_book.find("best"), {"schedule.optimizer.kind": "adam"})
    assert changed.schedule.optimizer == Adam(kind="adam")


def test_noise_ratio_implies_a_mixed_start() -> None:
    best = recipe_book.find("best")
    assert recipe_book.change(best, {"noise_ratio": 0.3}).schedule.start == "mixed"
    kept = recipe_book.change(best, {"noise_ratio": 0.3, "start": "content"})
    assert kept.schedule.start == "content"
    with pytest.raises(RecipeError, match="starts from noise"):
        recipe_book.change(recipe_book.find("gatys"), {"schedule.noise_ratio": 0.3})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("stepps", 3, "did you mean 'steps'"),
        ("objective.style.layers.conv9_1", 1, "did you mean 'conv"),
        ("objective.contnt", None, "did you mean 'content'"),
        ("steps.more", 3, "steps"),
    ],
)
def test_unknown_key_is_refused(key: str, value: object, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe_book.change(recipe_book.find("best"), {key: value})
