"""A job's settings: what is said reaches the recipe, what is not is left to it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stylewatch_daemon.settings.job import JobSettings, is_of_job
from stylewatch_painter.errors import RecipeError
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Adam, Schedule

IN_THE_SCHEDULE: Mapping[str, Any] = {
    "size": "321",
    "preview": "123",
    "stroke": 2.5,
    "style_size": "side",
    "fit": "stretch",
    "enlarge": True,
    "steps": 7,
    "save_every": 3,
    "noise_ratio": 0.25,
}
ELSEWHERE = {"strength", "init"}
OF_THE_JOB = {
    "backend", "device", "recipe", "schedule", "seed", "style_weights", "format", "quality",
    "name", "priority", "set", "from_step", "only", "sweep", "depth", "metadata", "stages", "color",
    "color_space", "mask", "final", "flat", "keep",
}  # fmt: skip


def test_every_setting_is_of_the_recipe_or_of_the_job_alone() -> None:
    """One that is added belongs to one of these, and is tested with it."""
    assert set(JobSettings.model_fields) == {*IN_THE_SCHEDULE, *ELSEWHERE, *OF_THE_JOB}
    assert set(IN_THE_SCHEDULE) <= set(Schedule.model_fields)


@pytest.mark.parametrize("name", book.names())
def test_a_job_that_says_nothing_leaves_every_recipe_as_it_is(name: str) -> None:
    assert JobSettings(recipe=name).resolve() == book.find(name)


def test_none_leaves_the_recipe_alone() -> None:
    nothing = dict.fromkeys((*IN_THE_SCHEDULE, *ELSEWHERE))
    assert JobSettings.model_validate(nothing).resolve() == book.find("best")


@pytest.mark.parametrize("field", IN_THE_SCHEDULE)
def test_a_setting_of_the_schedule_reaches_it_and_changes_nothing_else(field: str) -> None:
    wanted = IN_THE_SCHEDULE[field]
    best = book.find("best")
    assert getattr(best.schedule, field) != wanted
    said = {field: wanted} | ({"start": "mixed"} if field == "noise_ratio" else {})
    found = JobSettings.model_validate({field: wanted}).resolve()
    assert found == best.model_copy(update={"schedule": best.schedule.model_copy(update=said)})


def test_strength_reaches_the_objective() -> None:
    assert JobSettings(strength=0.75).resolve().objective.strength == 0.75


@pytest.mark.parametrize("start", ["content", "style", "noise", "mixed", "picture"])
def test_init_says_where_to_start(start: str) -> None:
    settings = JobSettings.model_validate({"init": start})
    assert settings.resolve().schedule.start == start


def test_the_fast_schedule_keeps_what_is_painted() -> None:
    best, devos = book.find("best"), book.find("devos")
    found = JobSettings(recipe="devos", schedule="fast").resolve()
    assert found.objective == devos.objective
    assert found.schedule.optimizer == best.schedule.optimizer
    assert found.schedule.resample == devos.schedule.resample
    assert JobSettings(recipe="devos", schedule="fast", steps=5).resolve().schedule.steps == 5


@pytest.mark.parametrize(
    ("key", "value", "field"),
    [
        ("objective.content.layers.conv4_2", 2.5, "objective content layers conv4_2"),
        ("objective.network.pool", "average", "objective network pool"),
        ("schedule.optimizer.history", 9, "schedule optimizer history"),
        ("optimizer.history", 9, "schedule optimizer history"),
        ("smallest", 16, "schedule smallest"),
        ("strength", 0.25, "objective strength"),
    ],
)
def test_set_reaches_any_field_of_the_recipe(key: str, value: object, field: str) -> None:
    found: Any = JobSettings(set={key: value}).resolve().model_dump()
    for part in field.split():
        found = found[part]
    assert found == value


def test_set_may_bring_another_optimizer_of_which_nothing_is_taken_over() -> None:
    said = {"optimizer.kind": "adam", "optimizer.rate": 5}
    for order in (said, dict(reversed(said.items()))):
        found = JobSettings(set=order).resolve()
        assert found.schedule.optimizer == Adam(kind="adam", rate=5)


def test_set_takes_a_layer_or_a_side_away() -> None:
    found = JobSettings(set={"objective.style.layers.conv1_1": None}).resolve().objective
    assert found.style is not None and "conv1_1" not in found.style.layers
    assert JobSettings(set={"objective.content": None}).resolve().objective.content is None


def test_set_beats_a_setting_of_the_same_name() -> None:
    """It names the field of the recipe itself."""
    assert JobSettings(steps=3, set={"steps": 5}).resolve().schedule.steps == 5


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"set": {"stepps": 3}}, "unknown key 'stepps'; did you mean 'steps'?"),
        ({"set": {"objective.stile": 3}}, "objective: unknown key 'stile'; did you mean 'style'?"),
        ({"set": {"steps": "many"}}, "schedule.steps: input should be a valid integer"),
        ({"recipe": "bset"}, "there is no recipe 'bset'; did you mean 'best'?"),
        ({"recipe": "keras", "noise_ratio": 0.5, "init": "noise", "set": {"noise_ratio": 2}},
         "schedule.noise_ratio: input should be less than or equal to 1, got 2"),
    ],
)  # fmt: skip
def test_what_the_recipe_cannot_take_is_told_when_it_is_settled(
    settings: Mapping[str, Any], told: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        JobSettings.model_validate(settings).resolve()
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": -1}, {"save_every": 0}, {"seed": -1}, {"seed": 2**64}, {"strength": 1.1},
        {"size": "big"}, {"quality": 0}, {"quality": 101}, {"format": "gif"}, {"init": "here"},
        {"schedule": "slow"}, {"style_weights": [1, -1]}, {"style_weights": [0, 0]},
        {"style_size": "50 %"}, {"only": "both"}, {"style_weights": [float("inf")]},
        {"priority": 1001}, {"set": [1]}, {"color": "red"}, {"colour": "keep"}, {"depth": 12},
        {"color_space": "xyz"}, {"metadata": "some"}, {"stages": {"size": 0}}, {"stages": 100},
    ],
    ids=str,
)  # fmt: skip
def test_what_no_job_can_have_is_refused_at_once(settings: Mapping[str, Any]) -> None:
    with pytest.raises(ValidationError):
        JobSettings.model_validate(settings)


def test_recipes_of_ones_own_come_before_those_that_ship(tmp_path: Path) -> None:
    (tmp_path / "best.yaml").write_text("extends: devos\nabout: Mine.\n")
    assert JobSettings().resolve(tmp_path).about == "Mine."
    assert JobSettings().resolve().about != "Mine."


def test_settings_do_not_share_what_was_set() -> None:
    assert JobSettings().set is not JobSettings().set


def test_one_style_alone_of_several_may_weigh_nothing() -> None:
    """An interpolation begins and ends there."""
    assert JobSettings.model_validate({"style_weights": [1, 0]}).style_weights == (1.0, 0.0)


def test_sizes_of_single_styles_are_not_the_recipes() -> None:
    for asked in ("50%", ["320", "50%"]):
        found = JobSettings.model_validate({"style_size": asked}).resolve()
        assert found.schedule == book.find("best").schedule


@pytest.mark.parametrize(("only", "other"), [("content", "style"), ("style", "content")])
def test_one_side_alone_leaves_the_other_out_and_starts_from_noise(only: str, other: str) -> None:
    found = JobSettings.model_validate({"only": only}).resolve()
    assert getattr(found.objective, other) is None
    assert getattr(found.objective, only) == getattr(book.find("best").objective, only)
    assert (found.schedule.start, found.schedule.keep_detail) == ("noise", 0.0)


@pytest.mark.parametrize(
    ("settings", "start"),
    [({"init": "content"}, "content"), ({"noise_ratio": 0.5}, "mixed"),
     ({"set": {"start": "picture"}}, "picture")],
)  # fmt: skip
def test_one_side_alone_starts_where_it_is_said(settings: dict[str, Any], start: str) -> None:
    found = JobSettings.model_validate({"only": "content", **settings}).resolve()
    assert found.schedule.start == start


def test_one_side_alone_that_a_recipe_does_not_have_is_told() -> None:
    settings = JobSettings(only="content", set={"objective.content": None})
    with pytest.raises(RecipeError, match="the objective names no layer"):
        settings.resolve()


@pytest.mark.parametrize("format", ["jpg", "webp"])
def test_16_bits_go_into_no_format_of_8(format: str) -> None:
    with pytest.raises(ValidationError, match=f"depth: 16 is for png and tiff.* is {format}"):
        JobSettings.model_validate({"depth": 16, "format": format})
    assert JobSettings.model_validate({"depth": 16, "format": "tiff"}).depth == 16


@pytest.mark.parametrize(
    ("key", "of_job"),
    [("strength", True), ("mask.feather", True), ("stages.sizes", True), ("schedule", True),
     ("schedule.steps", False), ("objective.tv.weight", False), ("keep_detail", False)],
)  # fmt: skip
def test_what_stands_in_a_section_of_the_job_is_the_jobs(key: str, *, of_job: bool) -> None:
    assert is_of_job(key) == of_job


def test_a_painting_of_a_flat_album_has_one_name_only() -> None:
    with pytest.raises(ValidationError, match="flat: a painting is called as `name` has it"):
        JobSettings(flat=True, final="{stem}")
    with pytest.raises(ValidationError, match=r"leave \.png out"):
        JobSettings(flat=True, name="{stem}.png")
    assert JobSettings(flat=True, final="final").flat


def test_a_recipe_of_your_own_that_was_changed_holds_from_the_next_job_on(tmp_path: Path) -> None:
    own, settings = tmp_path / "own.yaml", JobSettings(recipe="own")
    own.write_text("extends: best\nschedule: {steps: 7}\n")
    first = settings.resolve(tmp_path)
    assert settings.resolve(tmp_path) is first
    own.write_text("extends: best\nschedule: {steps: 18}\n")
    assert (first.schedule.steps, settings.resolve(tmp_path).schedule.steps) == (7, 18)
