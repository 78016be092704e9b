"""The settings of a job: allowed values, their way into the recipe, masks, sizes of styles."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.settings.job import (
    ARTIFACT_WORDS,
    ARTIFACTS,
    JobSettings,
    MaskSettings,
    StyleScale,
    is_of_job,
)
from stylewatch_painter.errors import RecipeError
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Adam, Schedule

OF_THE_SCHEDULE: Mapping[str, Any] = {
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
OF_THE_RECIPE = {"strength", "init", *OF_THE_SCHEDULE}
OF_THE_JOB = {
    "backend", "device", "recipe", "schedule", "seed", "style_weights", "format", "quality",
    "name", "priority", "set", "from_step", "only", "sweep", "depth", "metadata", "stages", "color",
    "color_space", "mask", "final", "flat", "artifacts",
}  # fmt: skip


def settings(**values: object) -> JobSettings:
    return JobSettings.model_validate(values)


# The recipe


def test_each_setting_is_of_the_recipe_or_of_the_job() -> None:
    """A new setting belongs to one of these, and is tested with it."""
    assert set(JobSettings.model_fields) == OF_THE_RECIPE | OF_THE_JOB
    assert set(OF_THE_SCHEDULE) <= set(Schedule.model_fields)


@pytest.mark.parametrize("name", book.names())
def test_unset_settings_leave_each_recipe_as_it_is(name: str) -> None:
    assert JobSettings(recipe=name).resolve() == book.find(name)
    assert settings(recipe=name, **dict.fromkeys(OF_THE_RECIPE)).resolve() == book.find(name)


@pytest.mark.parametrize("field", OF_THE_SCHEDULE)
def test_a_setting_of_the_schedule_changes_that_field_alone(field: str) -> None:
    value = OF_THE_SCHEDULE[field]
    best = book.find("best")
    assert getattr(best.schedule, field) != value
    update = {field: value} | ({"start": "mixed"} if field == "noise_ratio" else {})
    schedule = best.schedule.model_copy(update=update)
    assert settings(**{field: value}).resolve() == best.model_copy(update={"schedule": schedule})


@pytest.mark.parametrize(
    ("values", "field", "value"),
    [
        ({"strength": 0.75}, "objective strength", 0.75),
        *(({"init": start}, "schedule start", start)
          for start in ("content", "style", "noise", "mixed", "picture")),
        ({"set": {"objective.content.layers.conv4_2": 2.5}},
         "objective content layers conv4_2", 2.5),
        ({"set": {"objective.network.pool": "average"}}, "objective network pool", "average"),
        ({"set": {"schedule.optimizer.history": 9}}, "schedule optimizer history", 9),
        ({"set": {"optimizer.history": 9}}, "schedule optimizer history", 9),
        ({"set": {"smallest": 16}}, "schedule smallest", 16),
        ({"set": {"strength": 0.25}}, "objective strength", 0.25),
        ({"steps": 3, "set": {"steps": 5}}, "schedule steps", 5),
        ({"set": {"objective.content": None}}, "objective content", None),
        ({"recipe": "devos", "schedule": "fast", "steps": 5}, "schedule steps", 5),
    ],
)  # fmt: skip
def test_a_setting_or_set_reaches_a_field_of_the_recipe(
    values: dict[str, Any], field: str, value: object
) -> None:
    part: Any = settings(**values).resolve().model_dump()
    for name in field.split():
        part = part[name]
    assert part == value


def test_set_can_remove_a_layer_and_replace_the_optimizer() -> None:
    objective = settings(set={"objective.style.layers.conv1_1": None}).resolve().objective
    assert objective.style is not None and "conv1_1" not in objective.style.layers
    adam = {"optimizer.kind": "adam", "optimizer.rate": 5}
    for fields in (adam, dict(reversed(adam.items()))):
        assert settings(set=fields).resolve().schedule.optimizer == Adam(kind="adam", rate=5)


def test_the_fast_schedule_keeps_the_objective() -> None:
    best, devos = book.find("best"), book.find("devos")
    fast = JobSettings(recipe="devos", schedule="fast").resolve()
    assert fast.objective == devos.objective
    assert fast.schedule.optimizer == best.schedule.optimizer
    assert fast.schedule.resample == devos.schedule.resample


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"set": {"stepps": 3}}, "unknown key 'stepps'; did you mean 'steps'?"),
        ({"set": {"objective.stile": 3}}, "objective: unknown key 'stile'; did you mean 'style'?"),
        ({"set": {"steps": "many"}}, "schedule.steps: input should be a valid integer"),
        ({"recipe": "bset"}, "there is no recipe 'bset'; did you mean 'best'?"),
        ({"recipe": "keras", "noise_ratio": 0.5, "init": "noise", "set": {"noise_ratio": 2}},
         "schedule.noise_ratio: input should be less than or equal to 1, got 2"),
        ({"only": "content", "set": {"objective.content": None}},
         "the objective names no layer"),
    ],
)  # fmt: skip
def test_a_setting_that_the_recipe_cannot_take_is_an_error(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        settings(**values).resolve()
    assert message in str(caught.value)


def test_own_recipes_come_first_and_are_read_again_once_they_change(tmp_path: Path) -> None:
    own = tmp_path / "best.yaml"
    own.write_text("extends: devos\nabout: Mine.\nschedule: {steps: 7}\n")
    first = JobSettings().resolve(tmp_path)
    assert (first.about, first.schedule.steps) == ("Mine.", 7)
    assert JobSettings().resolve(tmp_path) is first
    assert JobSettings().resolve().about != "Mine."
    own.write_text("extends: devos\nabout: Mine.\nschedule: {steps: 18}\n")
    assert JobSettings().resolve(tmp_path).schedule.steps == 18


@pytest.mark.parametrize(("only", "other"), [("content", "style"), ("style", "content")])
def test_only_one_side_removes_the_other_and_starts_from_noise(only: str, other: str) -> None:
    recipe = settings(only=only).resolve()
    assert getattr(recipe.objective, other) is None
    assert getattr(recipe.objective, only) == getattr(book.find("best").objective, only)
    assert (recipe.schedule.start, recipe.schedule.keep_detail) == ("noise", 0.0)


@pytest.mark.parametrize(
    ("values", "start"),
    [({"init": "content"}, "content"), ({"noise_ratio": 0.5}, "mixed"),
     ({"set": {"start": "picture"}}, "picture")],
)  # fmt: skip
def test_only_one_side_can_start_elsewhere(values: dict[str, Any], start: str) -> None:
    assert settings(only="content", **values).resolve().schedule.start == start


# Values


@pytest.mark.parametrize(
    "values",
    [
        {"steps": -1}, {"save_every": 0}, {"seed": -1}, {"seed": 2**64}, {"strength": 1.1},
        {"size": "big"}, {"quality": 0}, {"quality": 101}, {"format": "gif"}, {"init": "here"},
        {"schedule": "slow"}, {"style_weights": [1, -1]}, {"style_weights": [0, 0]},
        {"style_weights": [float("inf")]}, {"only": "both"}, {"priority": 1001}, {"set": [1]},
        {"color": "red"}, {"colour": "style"}, {"depth": 12}, {"color_space": "xyz"},
        {"metadata": "some"}, {"stages": {"size": 0}}, {"stages": 100},
        {"artifacts": ["shet"]}, {"artifacts": [3]}, {"artifacts": "sheet.png"}, {"keep": []},
        *({"mask": {"feather": value}}
          for value in ("soft", "-1", "60%", "3px", "2%%", "", True, None, "1e3", 99999)),
    ],
    ids=str,
)  # fmt: skip
def test_an_impossible_value_is_refused(values: Mapping[str, Any]) -> None:
    with pytest.raises(ValidationError):
        JobSettings.model_validate(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"depth": 16, "format": "jpg"}, "depth: 16 is for png and tiff.* is jpg"),
        ({"depth": 16, "format": "webp"}, "depth: 16 is for png and tiff.* is webp"),
        ({"flat": True, "final": "{stem}"}, "flat: the final image is named by `name`"),
        ({"flat": True, "name": "{stem}.png"}, r"leave \.png out"),
        ({"device": "a\nb"}, "no control characters"),
        ({"set": {"x": "a\ud800"}}, r"set: the character U\+D800 cannot be stored"),
        ({"set": {"x": float("nan")}}, "set: this cannot be stored"),
        ({"set": {"x": {1}}}, "set: this cannot be stored"),
    ],
)
def test_settings_that_do_not_go_together_or_cannot_be_stored_are_refused(
    values: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        JobSettings.model_validate(values)


def test_settings_at_the_edge_are_accepted() -> None:
    assert settings(style_weights=[1, 0]).style_weights == (1.0, 0.0)
    assert settings(depth=16, format="tiff").depth == 16
    assert settings(flat=True, final="final").flat
    assert JobSettings().set is not JobSettings().set
    assert JobSettings().mask == MaskSettings(feather="0", outside="free")


def test_recorded_settings_of_an_earlier_version_are_read() -> None:
    plain = JobSettings(artifacts=("sheet.png",), steps=5).model_dump(mode="json")
    assert JobSettings.from_record(plain).artifacts == ("sheet.png",)
    plain["keep"] = plain.pop("artifacts")
    assert JobSettings.from_record(plain) == JobSettings(artifacts=("sheet.png",), steps=5)


@pytest.mark.parametrize(
    ("key", "of_job"),
    [("strength", True), ("mask.feather", True), ("stages.sizes", True), ("schedule", True),
     ("schedule.steps", False), ("objective.tv.weight", False), ("keep_detail", False)],
)  # fmt: skip
def test_a_key_is_of_the_job_or_of_its_recipe(key: str, *, of_job: bool) -> None:
    assert is_of_job(key) == of_job


def test_artifacts_have_a_file_name_and_a_short_name() -> None:
    assert settings(artifacts=ARTIFACTS).artifacts == ARTIFACTS
    assert settings(artifacts=[*ARTIFACT_WORDS]).artifacts == ARTIFACTS
    twice = settings(artifacts=["sheet", "losses", "sheet.png"])
    assert twice.artifacts == ("sheet.png", "losses.png")
    schema = JobSettings.model_json_schema()["properties"]["artifacts"]
    assert schema["items"] == {"enum": [*ARTIFACTS, *ARTIFACT_WORDS]}


@pytest.mark.parametrize(
    ("feather", "reach"),
    [(0, 0), (8, 0.01), ("8", 0.01), (2.5, 1 / 320), ("2%", 0.02), ("1.5 %", 0.015)],
)  # fmt: skip
def test_feather_is_a_share_of_the_long_side(feather: object, reach: float) -> None:
    assert MaskSettings.model_validate({"feather": feather}).reach(800) == pytest.approx(reach)


# Sizes of styles


@pytest.mark.parametrize(
    ("asked", "checked", "of_recipe", "scales"),
    [
        (None, None, False, (StyleScale(),) * 2),
        (640, "640", True, (StyleScale(),) * 2),
        ("0.25mp", "0.25mp", True, (StyleScale(),) * 2),
        (["side", "side"], ("side", "side"), True, (StyleScale(),) * 2),
        ("150%", "150%", False, (StyleScale(scale=1.5, asked="150%"),) * 2),
        ([320, "50%"], ("320", "50%"), False,
         (StyleScale(rule="320", asked="320"), StyleScale(scale=0.5, asked="50%"))),
    ],
)  # fmt: skip
def test_a_size_for_all_styles_is_the_recipes_and_others_are_the_styles_own(
    asked: object, checked: object, of_recipe: bool, scales: tuple[StyleScale, ...]
) -> None:
    job = settings(style_size=asked)
    assert job.style_size == checked
    assert (job.resolve() != book.find("best")) == of_recipe
    assert job.style_scales(2) == scales


def test_sizes_must_be_as_many_as_styles() -> None:
    with pytest.raises(SettingsError, match="2 sizes for 3 style pictures: give one for each"):
        settings(style_size=["50%", "area"]).style_scales(3)


@pytest.mark.parametrize(
    "asked",
    ["big", "0%", "50 %", [], ["area", "big"], {"a": 1}, [[640]], 1.5, ["area"] * 1001],
)
def test_an_impossible_size_is_refused_with_the_choice(asked: object) -> None:
    with pytest.raises(ValidationError, match=r"area, side, stretch, 640 .* or 50%|1000 sizes"):
        settings(style_size=asked)
