"""The settings of a job: values, their way into the recipe, masks, styles, names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from stylewatch_daemon.base.errors import InputError, SettingsError
from stylewatch_daemon.settings.job import (
    JobSettings,
    MaskSettings,
    StyleScale,
    fill_file,
    fill_folder,
    name_fields,
    of_record,
)
from stylewatch_painter.recipes import book

OF_THE_SCHEDULE: Mapping[str, Any] = {
    "size": "321", "preview": "123", "stroke": 2.5, "style_size": "side", "enlarge": True,
    "steps": 7, "save_every": 3,
}  # fmt: skip


def settings(**values: object) -> JobSettings:
    return JobSettings.model_validate(values)


# The recipe


def test_settings_that_are_not_set_leave_the_recipe_as_it_is() -> None:
    for name in book.names():
        assert settings(recipe=name, **dict.fromkeys(OF_THE_SCHEDULE)).resolve() == book.find(name)
    fast, devos = settings(recipe="devos", schedule="fast").resolve(), book.find("devos")
    assert fast.objective == devos.objective
    assert fast.schedule.optimizer == book.find("gram").schedule.optimizer


@pytest.mark.parametrize(
    ("values", "field", "value"),
    [
        *(({key: value}, f"schedule {key}", value) for key, value in OF_THE_SCHEDULE.items()),
        ({"strength": 0.75}, "objective strength", 0.75),
        ({"init": "picture"}, "schedule start", "picture"),
        ({"set": {"objective.content.layers.conv4_2": 2.5}},
         "objective content layers conv4_2", 2.5),
        ({"set": {"optimizer.history": 9}}, "schedule optimizer history", 9),
        ({"set": {"steps": 5}}, "schedule steps", 5),
        ({"recipe": "devos", "schedule": "fast", "steps": 5}, "schedule steps", 5),
        ({"only": "content"}, "objective style", None),
        ({"only": "style"}, "objective content", None),
        ({"only": "content"}, "schedule start", "noise"),
        ({"only": "content", "init": "content"}, "schedule start", "content"),
        ({"only": "content", "set": {"noise_ratio": 0.5}}, "schedule start", "mixed"),
        ({"only": "content", "set": {"schedule": {"noise_ratio": 0.5}}}, "schedule start", "mixed"),
    ],
)  # fmt: skip
def test_a_setting_or_set_reaches_a_field_of_the_recipe(
    values: dict[str, Any], field: str, value: object
) -> None:
    part: Any = settings(**values).resolve().model_dump()
    for name in field.split():
        part = part[name]
    assert part == value


@pytest.mark.parametrize(
    "values",
    [
        {"size": "200", "steps": 7, "strength": 0.3, "set": {"schedule.keep_detail": 0.25}},
        {"only": "content", "content_weight": None},
        {"only": "style", "init": "mixed", "schedule": "fast"},
        {"only": "content", "set": {"noise_ratio": 0.3}},
        {"style_size": "64", "style_weight": 3.0, "init": "style"},
        {"style_size": ("64", "50%"), "enlarge": True, "save_every": 3},
    ],
    ids=repr,
)
def test_a_whole_recipe_is_taken_as_it_is_whatever_else_is_set(
    values: Mapping[str, Any], tmp_path: Path
) -> None:
    settings, file = JobSettings(**values), tmp_path / "whole.yaml"
    recipe = settings.resolve()
    file.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    whole = settings.with_whole_recipe(recipe, file)
    assert whole.resolve() == recipe
    kept = {"only", "style_size", "seed", "backend"}
    assert whole.model_dump(include=kept) == settings.model_dump(include=kept)


def test_own_recipes_come_first_and_are_read_again_once_they_change(tmp_path: Path) -> None:
    for steps in (7, 19):
        (tmp_path / "best.yaml").write_text(f"extends: devos\nschedule: {{steps: {steps}}}\n")
        assert JobSettings().resolve(tmp_path).schedule.steps == steps
    assert JobSettings().resolve().schedule.steps != 19


# Values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"artifacts": ["shet"]}, "."), ({"artifacts": [3]}, "."),
        *(({"mask": {"feather": value}}, ".") for value in ("-1", "60%", "3px", None)),
        ({"style_weights": [0, 0]}, "at least one"),
        ({"depth": 16, "format": "jpg"}, "16 is for png and tiff.* is jpg"),
        *(({"name": name}, r"is unknown; the fields are \{name\}, ")
          for name in ("{nam}", "{stem", "{content:3}")),
        ({"name": " "}, r"a name is required, such as \{name\}"),
        ({"name": "/".join("a" * 17)}, "at most 500 characters and 16 parts"),
        ({"final": "{folder}/{content}"}, "in the job's folder.*not a folder.*`finals`"),
        ({"final": "..\\{content}"}, "names a file in the job's folder"),
        ({"final": "{content}.PNG"}, r"leave \.PNG out"),
        ({"device": "a\nb"}, "no control characters"),
        ({"set": {"x": float("nan")}}, "this cannot be stored"),
        ({"steps": 3, "set": {"schedule": {"steps": 5}}},
         "schedule.steps in `set` is the setting steps, which is given, too: leave one of them"),
        ({"set": {"keep_detail": 0, "schedule.keep_detail": 1}},
         "schedule.keep_detail is the same as keep_detail: leave one of them out"),
        ({"style_size": ["area", "0%"]}, "area, side, stretch, 640 .* or 50%"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_an_impossible_value_is_refused(values: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        JobSettings.model_validate(values)


def test_artifacts_have_short_names_and_a_feather_is_pixels_or_a_share() -> None:
    twice = settings(artifacts=["sheet", "losses", "sheet.png", "losses.png"])
    assert twice.artifacts == ("sheet.png", "losses.svg")
    for feather, reach in ((0, 0), ("8", 0.01), ("1.5 %", 0.015)):
        mask = MaskSettings.model_validate({"feather": feather})
        assert mask.reach(800) == pytest.approx(reach), "a share of the long side"
    wide = MaskSettings.model_validate({"feather": "160"})
    assert wide.reach(320) == 0.5
    with pytest.raises(SettingsError, match=r"160 pixels are more than half .* 319"):
        wide.reach(319)


def test_a_size_for_all_styles_is_the_recipes_and_others_are_the_styles_own() -> None:
    plain = (StyleScale(),) * 2
    own = (StyleScale(rule="320"), StyleScale(scale=0.5))
    for asked, checked, is_of_recipe, scales in (
        (None, None, False, plain), (640, "640", True, plain),
        (["side", "side"], ("side", "side"), True, plain),
        ("150%", "150%", False, (StyleScale(scale=1.5),) * 2),
        ([320, "50%"], ("320", "50%"), False, own),
    ):  # fmt: skip
        job = settings(style_size=asked)
        assert job.style_size == checked
        assert (job.resolve() != book.find("best")) == is_of_recipe
        assert job.style_scales(2) == scales
    with pytest.raises(SettingsError, match="2 sizes for 3 style pictures: give one for each"):
        job.style_scales(3)


# Names in the outbox

PHOTO = name_fields(
    "album/sub/photo", Path("photo.v2.jpg"), [Path("wave.jpg")], recipe="/r/mine.yaml", seed=7
)
LONE = name_fields("photo", Path("photo.jpg"), [], recipe="best", seed=0)


def test_patterns_for_names_are_filled_in_safely_and_a_long_path_is_refused() -> None:
    for pattern, fields, path in (
        ("{name}", PHOTO, "album/sub/photo"), ("{recipe} {seed}", PHOTO, "mine 7"),
        ("{folder}/{content}-{style}", PHOTO, "album/sub/photo.v2-wave"),
        ("../../{content}", PHOTO, "_/_/photo.v2"), ("{folder}/{content}", LONE, "photo"),
        ("{folder}/{style}", LONE, "photo"),
    ):  # fmt: skip
        assert fill_folder(settings(name=pattern).name, fields) == path
    for pattern, fields, name in (
        ("{content}-{style}", PHOTO, "photo.v2-wave"), ("{name}", PHOTO, "album_sub_photo"),
        ("..", PHOTO, "_"), ("{style}", LONE, "final"),
    ):  # fmt: skip
        assert fill_file(settings(final=pattern).final, fields) == name
    long = PHOTO | {"name": "/".join(["b" * 100] * 10)}
    with pytest.raises(InputError, match="path of 3029 bytes; the limit is 2000: shorten `name`"):
        fill_folder("{name}/{name}/{name}", long)


@pytest.mark.parametrize(
    ("recorded", "known"),
    [
        ({"steps": 3, "set": {"schedule.steps": 5}}, {"steps": 5, "set": {}}),
        ({"set": {"steps": 3, "schedule.steps": 5}}, {"steps": 5, "set": {}}),
        ({"preview": "32", "set": {"preview": None}}, {"set": {"preview": None}}),
        ({"init": "content", "set": {"start": "noise", "smallest": 9}},
         {"init": "noise", "set": {"smallest": 9}}),
    ],
)  # fmt: skip
def test_what_earlier_versions_recorded_is_known_as_it_was_painted(
    recorded: dict[str, Any], known: dict[str, Any]
) -> None:
    assert of_record(recorded) == known
    settings(**of_record(recorded)).resolve()
