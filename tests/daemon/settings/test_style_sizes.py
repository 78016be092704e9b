"""The sizes that styles are looked at: one for all or one for each, by rules and by shares."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.settings import style_sizes
from stylewatch_daemon.settings.style_sizes import LookedAt, of_all, of_each

CHECKED: TypeAdapter[Any] = TypeAdapter(style_sizes.Asked)


@pytest.mark.parametrize(
    ("asked", "found"),
    [(640, "640"), ("area", "area"), ("50%", "50%"), (None, None), ("0.25mp", "0.25mp"),
     ([640, "50%"], ("640", "50%")), (["side"], ("side",))],
)  # fmt: skip
def test_a_rule_may_be_a_number_and_a_list_has_one_for_each(asked: object, found: object) -> None:
    assert CHECKED.validate_python(asked) == found


@pytest.mark.parametrize("asked", ["big", "0%", "%", [], ["area", "big"], {"a": 1}, [[640]], 1.5])
def test_what_is_no_size_is_refused_with_the_choice(asked: object) -> None:
    with pytest.raises(ValidationError, match=r"area, side, stretch, 640 .* or 50%"):
        CHECKED.validate_python(asked)


def test_one_rule_for_all_is_the_recipes_and_a_share_is_not() -> None:
    assert of_all("640") == of_all(("640", "640")) == "640"
    assert of_all("50%") is None is of_all(("640", "50%"))
    assert of_all(None) is None


def test_each_style_has_its_own_rule_or_its_own_scale() -> None:
    assert of_each(("320", "50%"), 2) == (
        LookedAt(rule="320", asked="320"),
        LookedAt(scale=0.5, asked="50%"),
    )


def test_a_share_alone_is_for_every_style() -> None:
    assert of_each("150%", 2) == (LookedAt(scale=1.5, asked="150%"),) * 2


@pytest.mark.parametrize("asked", [None, "area", ("area", "area")])
def test_where_one_rule_holds_styles_have_nothing_of_their_own(asked: Any) -> None:
    assert of_each(asked, 2) == (LookedAt(),) * 2


def test_a_wrong_count_is_refused_with_both_numbers() -> None:
    with pytest.raises(SettingsError, match="2 sizes for 3 style pictures: give one for each"):
        of_each(("50%", "area"), 3)
