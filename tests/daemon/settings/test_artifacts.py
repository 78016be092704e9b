"""What may be kept: files by their names, or in one word."""

import pytest
from pydantic import TypeAdapter, ValidationError

from stylewatch_daemon.settings.artifacts import FILES, SHORT, Keep

KEEP: TypeAdapter[tuple[str, ...]] = TypeAdapter(Keep)


def test_each_goes_by_the_name_of_its_file_and_by_a_word() -> None:
    assert KEEP.validate_python(FILES) == FILES
    assert KEEP.validate_python([*SHORT]) == FILES


def test_what_is_named_twice_is_drawn_once() -> None:
    assert KEEP.validate_python(["sheet", "losses", "sheet.png"]) == ("sheet.png", "losses.png")


@pytest.mark.parametrize("wrong", [["shet"], [3], "sheet.png"])
def test_nothing_else_is_taken(wrong: object) -> None:
    with pytest.raises(ValidationError):
        KEEP.validate_python(wrong)


def test_the_schema_for_editors_has_both_ways_to_name_them() -> None:
    assert KEEP.json_schema()["items"] == {"enum": [*FILES, *SHORT]}
