"""A sweep: fields with values, and the members of the series that they make."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from stylewatch_daemon.settings.job import is_of_job
from stylewatch_daemon.settings.sweep import MOST, Sweep, columns, members, said

CHECKED: TypeAdapter[dict[str, tuple[Any, ...]]] = TypeAdapter(Sweep)


def test_a_member_for_each_value_is_called_after_it() -> None:
    assert [one.name for one in members({"strength": (0.25, 0.5)})] == [
        "strength=0.25", "strength=0.5",
    ]  # fmt: skip


def test_two_fields_make_every_pairing_the_last_changing_first() -> None:
    found = members({"strength": (0.2, 0.8), "seed": (1, 2)})
    assert [tuple(one.values.values()) for one in found] == [(0.2, 1), (0.2, 2), (0.8, 1), (0.8, 2)]
    assert found[1].name == "strength=0.2,seed=2"
    assert found[1].label == "strength 0.2\nseed 2"


def test_names_are_safe_and_told_apart() -> None:
    """Without slashes, and two that would be one are numbered."""
    found = members({"recipe": ("a/b", "a:b", None)})
    assert [one.name for one in found] == ["recipe=a_b", "recipe=a_b-2", "recipe=null"]


def test_a_label_names_a_deep_field_by_its_last_part() -> None:
    (one,) = members({"objective.tv.weight": (0.1,)})
    assert (one.name, one.label) == ("objective.tv.weight=0.1", "weight 0.1")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.5"), (2.0, "2"), (True, "yes"), (False, "no"), (None, "null"), ("50%", "50%"),
     ([0.75, 0.25], "0.75,0.25"), ({"conv1_1": 1}, "conv1_1:1")],
)  # fmt: skip
def test_values_are_written_as_people_write_them(value: object, text: str) -> None:
    assert said(value) == text


def test_a_member_is_laid_over_its_jobs_settings() -> None:
    """A field of the job stands by itself, others in `set`; what it says beats the same there."""
    (one,) = members({"strength": (0.5,), "objective.tv.weight": (0.1,)})
    plain = {"size": 64, "sweep": {}, "set": {"objective.strength": 1, "steps": 3}}
    assert one.over(plain, is_of_job) == {
        "size": 64, "strength": 0.5, "set": {"steps": 3, "objective.tv.weight": 0.1},
    }  # fmt: skip


def test_a_field_of_a_section_stands_in_it_beside_what_is_said_there() -> None:
    sweep = {"stages.size": (9,), "mask.feather": (3,), "mask.outside": ("keep",)}
    (one,) = members(sweep)
    assert one.over({"mask": {"feather": 1, "outside": "free"}}, is_of_job) == {
        "stages": {"size": 9}, "mask": {"feather": 3, "outside": "keep"}, "set": {},
    }  # fmt: skip
    assert one.over({"mask": "all"}, is_of_job)["mask"] == {"feather": 3, "outside": "keep"}


def test_a_member_that_says_where_to_start_beats_a_start_in_set() -> None:
    (one,) = members({"init": ("noise",)})
    assert one.over({"set": {"start": "style"}}, is_of_job)["set"] == {}


def test_a_sheet_has_rows_of_the_last_field_or_is_about_a_square() -> None:
    assert columns({"seed": tuple(range(5))}) == 5
    assert columns({"seed": tuple(range(9))}) == 3
    assert columns({"strength": (1, 2), "seed": tuple(range(9))}) == 9


@pytest.mark.parametrize(
    ("sweep", "told"),
    [
        ({"seed": 1}, "seed should have a list of values"),
        ({"seed": []}, "seed should have a list of values"),
        ([1], "should be fields with lists of values"),
        ({"name": ["a", "b"]}, "name is one for a whole series"),
        ({"flat": [True, False]}, "flat is one for a whole series"),
        ({"final": ["a", "b"]}, "final is one for a whole series"),
        ({"sweep": [1]}, "sweep is one for a whole series"),
        ({"seed": list(range(9)), "strength": list(range(8))}, f"72 jobs, .* at most {MOST}"),
    ],
)
def test_what_makes_no_series_is_refused_with_the_reason(sweep: object, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        CHECKED.validate_python(sweep)


def test_a_series_may_have_as_many_jobs_as_it_says() -> None:
    found = CHECKED.validate_python({"seed": list(range(MOST))})
    assert len(members(found)) == MOST
