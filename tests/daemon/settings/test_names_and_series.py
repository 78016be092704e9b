"""Patterns for names in the outbox, and the jobs of a series."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from stylewatch_daemon.errors import InputError
from stylewatch_daemon.settings import patterns
from stylewatch_daemon.settings.job import is_of_job
from stylewatch_daemon.settings.sweep import MOST, Sweep, as_text, columns, members

FOLDER: TypeAdapter[str] = TypeAdapter(patterns.Folder)
FILE: TypeAdapter[str] = TypeAdapter(patterns.File)
SWEEP: TypeAdapter[dict[str, tuple[Any, ...]]] = TypeAdapter(Sweep)
PLACES = patterns.values(
    "album/sub/photo", Path("photo.v2.jpg"), [Path("wave.jpg")], recipe="/r/mine.yaml", seed=7
)
LONE = patterns.values("photo", Path("photo.jpg"), [], recipe="best", seed=0)


@pytest.mark.parametrize(
    ("pattern", "places", "path"),
    [
        ("{name}", PLACES, "album/sub/photo"),
        ("{folder}/{content}-{style}", PLACES, "album/sub/photo.v2-wave"),
        ("{recipe} {seed}", PLACES, "mine 7"),
        ("../../{stem}", PLACES, "_/_/photo.v2"),
        ("{folder}/{stem}", LONE, "photo"),
        ("{folder}/{style}", LONE, "photo"),
    ],
)
def test_a_folder_is_filled_in_safely(pattern: str, places: dict[str, str], path: str) -> None:
    assert set(places) == set(patterns.PLACES)
    assert patterns.folder(FOLDER.validate_python(pattern), places) == path


@pytest.mark.parametrize(
    ("pattern", "places", "name"),
    [
        ("final", PLACES, "final"),
        ("{stem}-{style}", PLACES, "photo.v2-wave"),
        ("{name}", PLACES, "album_sub_photo"),
        ("..", PLACES, "_"),
        ("{style}", LONE, "final"),
    ],
)
def test_a_file_has_one_part(pattern: str, places: dict[str, str], name: str) -> None:
    assert patterns.file(FILE.validate_python(pattern), places) == name


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        *((field, r"is unknown; the fields are \{name\}, ")
          for field in ("{nam}", "{}-x", "{stem", "stem}", "{content:3}", "{{stem}}")),
        (" ", r"a name is required, as \{name\}"),
        ("a" * 501, "at most 500 characters and 16 parts"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [FOLDER, FILE], ids=["folder", "file"])
def test_a_wrong_pattern_is_refused(kind: TypeAdapter[str], pattern: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        kind.validate_python(pattern)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{folder}/{stem}", "names a file in the job's folder, and no folders.*`flat`"),
        ("..\\{stem}", "names a file in the job's folder"),
        ("{stem}.PNG", r"leave \.PNG out"),
        ("sea.jpeg", r"leave \.jpeg out"),
    ],
)
def test_a_file_with_a_folder_or_an_extension_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FILE.validate_python(pattern)


def test_a_path_that_is_too_deep_or_too_long_is_refused() -> None:
    with pytest.raises(ValidationError, match="16 parts"):
        FOLDER.validate_python("/".join("a" * 17))
    long = PLACES | {"name": "/".join(["b" * 100] * 10)}
    with pytest.raises(InputError, match="path of 3029 bytes; the limit is 2000: shorten `name`"):
        patterns.folder("{name}/{name}/{name}", long)


@pytest.mark.parametrize(
    ("sweep", "names"),
    [
        ({"strength": (0.25, 0.5)}, ["strength=0.25", "strength=0.5"]),
        ({"strength": (0.2, 0.8), "seed": (1, 2)},
         ["strength=0.2,seed=1", "strength=0.2,seed=2", "strength=0.8,seed=1",
          "strength=0.8,seed=2"]),
        ({"recipe": ("a/b", "a:b", None)}, ["recipe=a_b", "recipe=a_b-2", "recipe=null"]),
        ({"objective.tv.weight": (0.1,)}, ["objective.tv.weight=0.1"]),
    ],
)  # fmt: skip
def test_members_have_safe_unique_names(sweep: dict[str, Any], names: list[str]) -> None:
    assert [member.name for member in members(sweep)] == names


def test_a_label_has_a_line_for_each_field() -> None:
    (member,) = members({"objective.tv.weight": (0.1,), "seed": (2,)})
    assert member.label == "weight 0.1\nseed 2"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.5"), (2.0, "2"), (True, "yes"), (False, "no"), (None, "null"), ("50%", "50%"),
     ([0.75, 0.25], "0.75,0.25"), ({"conv1_1": 1}, "conv1_1:1")],
)  # fmt: skip
def test_values_are_written_as_people_write_them(value: object, text: str) -> None:
    assert as_text(value) == text


@pytest.mark.parametrize(
    ("sweep", "plain", "merged"),
    [
        (
            {"strength": (0.5,), "objective.tv.weight": (0.1,)},
            {"size": 64, "sweep": {}, "set": {"objective.strength": 1, "steps": 3}},
            {"size": 64, "strength": 0.5, "set": {"steps": 3, "objective.tv.weight": 0.1}},
        ),
        (
            {"stages.size": (9,), "mask.feather": (3,), "mask.outside": ("keep",)},
            {"mask": {"feather": 1, "outside": "free"}},
            {"stages": {"size": 9}, "mask": {"feather": 3, "outside": "keep"}, "set": {}},
        ),
        ({"mask.feather": (3,)}, {"mask": "all"}, {"mask": {"feather": 3}, "set": {}}),
        ({"init": ("noise",)}, {"set": {"start": "style"}}, {"init": "noise", "set": {}}),
    ],
)
def test_a_member_beats_the_settings_of_its_job(
    sweep: dict[str, Any], plain: dict[str, Any], merged: dict[str, Any]
) -> None:
    (member,) = members(sweep)
    assert member.over(plain, is_of_job) == merged


def test_a_sheet_has_rows_of_the_last_field_or_is_about_a_square() -> None:
    assert columns({"seed": tuple(range(5))}) == 5
    assert columns({"seed": tuple(range(9))}) == 3
    assert columns({"strength": (1, 2), "seed": tuple(range(9))}) == 9


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ({"seed": 1}, "seed should have a list of values"),
        ({"seed": []}, "seed should have a list of values"),
        ([1], "should be fields with lists of values"),
        *(({key: ["a", "b"]}, f"{key} is the same for a whole series")
          for key in ("name", "flat", "final", "sweep", "priority", "set")),
        ({"seed": list(range(9)), "strength": list(range(8))}, f"72 jobs, .* at most {MOST}"),
    ],
)  # fmt: skip
def test_a_wrong_sweep_is_refused(sweep: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SWEEP.validate_python(sweep)


def test_a_series_can_have_the_most_jobs() -> None:
    assert len(members(SWEEP.validate_python({"seed": list(range(MOST))}))) == MOST
