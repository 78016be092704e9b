"""Recipes are found, read, merged over the one they extend, and changed field by field."""

import errno
import os
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from stylewatch_painter import regular_file
from stylewatch_painter.errors import RecipeError, RecipesAwayError
from stylewatch_painter.optimizers.adam import AdamSettings
from stylewatch_painter.optimizers.lbfgs import LbfgsSettings
from stylewatch_painter.recipes import book as recipe_book
from stylewatch_painter.recipes.recipe import GEOMETRY, Recipe, Schedule


def book(folder: Path, **recipes: str) -> Path:
    for name, text in recipes.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def test_shipped_and_own_recipes_are_listed_and_valid(tmp_path: Path) -> None:
    """An own recipe may extend the shipped one of its name."""
    shipped = recipe_book.names()
    for name in shipped:
        recipe = recipe_book.find(name)
        assert recipe.name == name
        assert {*recipe.ours} <= {*dict(recipe_book.dotted(recipe.model_dump()))}
    own = book(tmp_path, mine="extends: best", best="extends: best\nschedule: {steps: 7}")
    assert recipe_book.names(own) == sorted([*shipped, "mine"])
    changed = recipe_book.find("mine", own)
    assert changed.schedule.steps == 7
    assert changed.objective == recipe_book.find("best").objective


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("about: x\nextends: bset", "mine.yaml line 2: there is no recipe .* mean 'best'"),
        ("extends: mine\nabout: x", "there is no recipe 'mine'"),
        ("extends: other\nabout: x", "extends"),  # which extends `mine`
        ("about: [", "line 1: this is not YAML: expected"),
        ("extends: best\nschedule: {steps: 3, steps: 4}", "mine.yaml line 2: 'steps' occurs"),
        (f"about: {'[' * 5000}", "mine.yaml line 1: this is too large or too deep"),
        (
            'extends: best\nabout: "a\\ud800"',
            "mine.yaml line 2: text cannot have the character U.D800",
        ),
        ("x" * 1_000_001, "longer than 1000000 bytes"),
        (
            "extends: best\nschedule: {stepps: 3, size: 12y}",
            "yaml line 2: schedule.size.*; .*yaml line 2: schedule: .*mean 'steps'",
        ),
        (
            "about: nothing\nobjective: {}\nschedule: {}",
            "mine.yaml line 2: objective: .*names no layer",
        ),
        ("about: nothing", "mine.yaml line 1: objective is missing"),
        (
            "extends: best\nobjective:\n  1: a",
            'mine.yaml line 3: a key should be text: write "1", in',
        ),
    ],
)
def test_mistakes_are_reported_together(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe_book.find("mine", book(tmp_path, mine=text, other="extends: mine\nabout: x"))


def test_recipes_of_one_name_extend_one_another_from_folder_to_folder(tmp_path: Path) -> None:
    """The first folder's extends the second's, and that the shipped one."""
    texts = {
        "a": "extends: best\nobjective: {strength: 0.9}",
        "b": "extends: best\nobjective: {strength: 0.2}\nschedule: {steps: 7}",
        "c": "extends: middle.yaml",
    }
    folders = [tmp_path / name for name in texts]
    for folder in folders:
        folder.mkdir()
        book(folder, best=texts[folder.name], middle="extends: best")
    recipe = recipe_book.find("best", *folders[:2])
    assert (recipe.objective.strength, recipe.schedule.steps) == (0.9, 7)
    recipe = recipe_book.find("best", folders[1], folders[0])
    assert (recipe.objective.strength, recipe.schedule.steps) == (0.2, 7)
    with pytest.raises(
        RecipeError, match=r"c/middle\.yaml line 1: this way a recipe extends itself"
    ):
        recipe_book.find("best", folders[2])


@pytest.mark.parametrize(
    "extends", ["loop.yaml", f"{'x' * 300}.yaml", "mine.yaml/x.yaml", "no.yaml"]
)
def test_what_is_extended_and_is_no_file_is_a_mistake(extends: str, tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    with pytest.raises(RecipeError, match=r"\.yaml cannot be read: "):
        recipe_book.find("mine", book(tmp_path, mine=f"extends: {extends}"))


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
@pytest.mark.parametrize(("owner", "call"), [(os, "open"), (Path, "iterdir"), (os, "stat")])
def test_a_recipe_that_cannot_be_read_now_is_neither_absent_nor_wrong(
    owner: Any, call: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever call meets an error, a shipped recipe does not take its place (law 2)."""
    real = getattr(owner, call)
    book(tmp_path, best="extends: gram\nabout: Mine.")

    def fail(path: Any, *args: Any, **more: Any) -> Any:
        if str(path).startswith(str(tmp_path)):
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *args, **more)

    monkeypatch.setattr(owner, call, fail)
    with pytest.raises(RecipesAwayError, match=os.strerror(number)):
        recipe_book.find("best", tmp_path)


@pytest.mark.parametrize(
    ("mine", "message"),
    [
        ("extends: other.yaml\nabout: x", r"other.yaml line 3: objective.tv.weight: "),
        (
            "extends: other.yaml\nobjective:\n  strength: 2\n",
            r"other.yaml line 3: objective.tv.weight: .*; .*mine.yaml line 3: objective.strength: ",
        ),
        (
            "extends: nnst\nobjective:\n  neighbors:\n    each: layer\n    largst: 3\n",
            r"mine.yaml line 5: objective.layer_match: unknown key 'largst'",
        ),
        (
            "extends: best\nschedule:\n  steps: 1\n  optimizer: {kind: adam,\n    rat: 3}\n",
            r"mine.yaml line 5: schedule.optimizer: unknown key 'rat'",
        ),
    ],
)
def test_a_mistake_is_found_in_the_file_and_the_line_that_has_it(
    mine: str, message: str, tmp_path: Path
) -> None:
    other = "extends: best\nobjective:\n  tv: {loss: squared, weight: -1}\n"
    with pytest.raises(RecipeError, match=message) as caught:
        recipe_book.find("mine", book(tmp_path, mine=mine, other=other))
    assert str(caught.value).count(str(tmp_path)) == message.count("line")


def test_hidden_files_are_no_recipes(tmp_path: Path) -> None:
    """As macOS leaves them on shares."""
    own = book(tmp_path, **{"._mine": "x", "mine": "extends: best"})
    assert {*recipe_book.names(own)} - {*recipe_book.names()} == {"mine"}


@pytest.mark.parametrize("make", [lambda path: path.symlink_to(path), Path.mkdir, os.mkfifo])
def test_a_file_that_cannot_be_read_is_named(
    make: Callable[[Path], object], tmp_path: Path
) -> None:
    make(tmp_path / "mine.yaml")
    with pytest.raises(
        RecipeError, match=r"mine\.yaml cannot be read: (Too many|Is a dir|it is a pipe)"
    ):
        recipe_book.find("mine", tmp_path)


def test_a_name_that_leads_nowhere_may_lead_to_a_disk_that_is_away(tmp_path: Path) -> None:
    """No other recipe of that name takes its place."""
    (tmp_path / "best.yaml").symlink_to(tmp_path / "share/best.yaml")
    for name in ("best", str(tmp_path / "best.yaml")):
        with pytest.raises(RecipesAwayError, match="leads to a file that is not there"):
            recipe_book.find(name, tmp_path)


def test_a_folder_that_hangs_is_away_and_nothing_else_begins_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, over, began = book(tmp_path, mine="extends: best"), Event(), []

    def listed(folder: Path) -> list[Path]:
        began.append(folder)
        over.wait()
        return [folder / "mine.yaml"]

    monkeypatch.setattr(recipe_book, "ANSWER_WITHIN", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(regular_file, "listed", listed)
        for _ in range(3):
            with pytest.raises(RecipesAwayError, match="does not answer"):
                recipe_book.find("best", own)
        assert began == [own]
        over.set()
        answer = recipe_book._readers[own]._latest
        assert answer is not None
        answer.exception()
    assert recipe_book.find("mine", own).name == "mine"


def test_a_number_with_a_zero_in_front_is_not_octal_and_a_time_is_text(tmp_path: Path) -> None:
    text = "extends: best\nname: 2024-01-31\nabout: 12:30\nschedule: {steps: 0100}\n"
    recipe = recipe_book.find("mine", book(tmp_path, mine=text))
    assert (recipe.name, recipe.about, recipe.schedule.steps) == ("2024-01-31", "12:30", 100)


def test_fast_keeps_objective_and_geometry() -> None:
    """And takes all other fields from `best`."""
    source, best = recipe_book.find("keras"), recipe_book.find("gram").schedule
    fast = recipe_book.fast(source)
    assert fast.objective == source.objective
    for field in Schedule.model_fields:
        kept = source.schedule if field in GEOMETRY else best
        assert getattr(fast.schedule, field) == getattr(kept, field)
    assert {"start", "scales", "optimizer", "steps"} <= set(Schedule.model_fields) - GEOMETRY


def test_single_field_is_changed() -> None:
    """A key is the path of a field in the recipe, or in the schedule."""
    keys = {"schedule.steps": 1, "save_every": 2, "optimizer.history": 3, "strength": 0.4,
            "objective.content.layers.conv3_1": 5}  # fmt: skip
    recipe = recipe_book.change(recipe_book.find("best"), keys)
    schedule, objective = recipe.schedule, recipe.objective
    assert (schedule.steps, schedule.save_every, objective.strength) == (1, 2, 0.4)
    assert isinstance(schedule.optimizer, LbfgsSettings) and schedule.optimizer.history == 3
    assert set(objective.fine.losses["content"].layer_names) == {"conv3_1", "conv4_2"}


@pytest.mark.parametrize(
    ("name", "changes", "start"),
    [
        ("best", {"noise_ratio": 0.5}, "mixed"),
        ("best", {"schedule": {"noise_ratio": 0.5}}, "mixed"),
        ("best", {"noise_ratio": 0.5, "start": "content"}, None),
        ("best", {"noise_ratio": 0.5, "schedule": {"start": "noise"}}, None),
        ("best", {"noise_ratio": 0.5, "start": "picture"}, "picture"),
        ("gatys", {"schedule": {"noise_ratio": 0.5}}, None),
        ("gatys", {"noise_ratio": 0.5, "start": "mixed"}, "mixed"),
        ("devos", {"noise_ratio": 0.5}, "mixed"),
    ],
)
def test_noise_ratio_has_an_effect_or_is_refused(
    name: str, changes: dict[str, Any], start: str | None
) -> None:
    """A picture to start from may be a stage of a job that began with noise."""
    if start is not None:
        assert recipe_book.change(recipe_book.find(name), changes).schedule.start == start
        return
    with pytest.raises(RecipeError, match="noise_ratio mixes noise into the content"):
        recipe_book.change(recipe_book.find(name), changes)


def test_none_removes_a_layer_or_a_side_and_another_optimizer_inherits_nothing() -> None:
    best = recipe_book.find("best")
    without = recipe_book.change(best, {"objective.style.layers.conv4_1": None})
    assert "conv4_1" in best.objective.fine.layers
    assert "conv4_1" not in without.objective.fine.layers
    no_content = recipe_book.change(best, {"objective.content": None})
    assert "content" not in no_content.objective.fine.losses
    changed = recipe_book.change(best, {"schedule.optimizer.kind": "adam"})
    assert changed.schedule.optimizer == AdamSettings(kind="adam")


@pytest.mark.parametrize(
    ("name", "key", "factor"),
    [
        ("best", "objective.content.layers.conv4_2", 3),
        ("best", "objective.coarse.neighbors.weight", 2),
        ("strotss", "objective.transport.content_weight", 3 / 2),
        ("keras", "objective.tv.weight", 1),
    ],
)
def test_weights_of_a_side_are_multiplied_at_all_scales(name: str, key: str, factor: float) -> None:
    def value(recipe: Recipe) -> Any:
        return reduce(lambda inner, part: inner[part], key.split("."), recipe.model_dump())

    recipe = recipe_book.find(name)
    assert recipe_book.weigh(recipe, None, None) is recipe
    assert value(recipe_book.weigh(recipe, 3, 2)) == factor * value(recipe)


def test_a_field_has_one_bare_name_however_people_spell_it() -> None:
    spellings = {
        "size": ("size", "schedule.size"),
        "strength": ("strength", "objective.strength"),
        "start": ("start", "schedule.start", "init"),
        "tv.weight": ("objective.tv.weight",),
    }
    for name, keys in spellings.items():
        assert {*map(recipe_book.bare_name, keys)} == {name}
