"""Mistakes in settings as sentences: where, which value, what was likely meant."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, SecretStr, ValidationError

from stylewatch_painter.fields import Strict
from stylewatch_painter.validation import LONGEST, MOST, brief, mistakes


class Brush(Strict):
    """A member of a union."""

    kind: Literal["brush"]
    width: int = 3


class Knife(Strict):
    """Another one, of two kinds."""

    kind: Literal["knife", "spatula"]
    angle: float


class Color(Strict):
    """A model in a list."""

    name: str


class Safe(Strict):
    """A model with secrets."""

    codes: tuple[SecretStr, ...] = ()


class Canvas(Strict):
    """The model that is validated here; the rest of the messages is in tests of recipes."""

    tool: Annotated[Brush | Knife, Field(discriminator="kind")] = Brush(kind="brush")
    colors: tuple[Color, ...] = ()
    ground: Color | None = None
    coats: Literal["auto"] | Annotated[int, Field(le=64)] | None = None
    safe: Safe = Safe()


def messages(plain: Mapping[Any, Any]) -> list[str]:
    """The messages about a mapping that is not a valid Canvas."""
    with pytest.raises(ValidationError) as caught:
        Canvas.model_validate(plain)
    return [str(mistake) for mistake in mistakes(caught.value, Canvas)]


@pytest.mark.parametrize(
    ("plain", "sentence"),
    [
        ({"colors": [{"name": "red"}, {}]}, "colors.1: name is missing"),
        ({"tool": {"kind": "x"}}, "tool: unknown kind 'x'; there are brush, knife, spatula"),
        # `width` belongs to a brush
        ({"tool": {"kind": "knife", "angle": 1, "widht": 2}},
         "tool: unknown key 'widht'; there are angle, kind"),
        ({"coats": 99}, "coats: should be 'auto' or less than or equal to 64, got 99"),
        ({"colors": [{"name": True}]},
         "colors.0.name: should be text, got yes, on or true, which YAML reads as true: put it in "
         "quotes, in a shell as '\"...\"'"),
        ({"safe": {"codes": "hush"}},
         "safe.codes: should be a list, such as [a, b], got something that is not shown here"),
        ({"safe": {"code://hush": 1}}, "safe: unknown key '...'; there are codes"),
    ],
)  # fmt: skip
def test_mistake_names_place_and_remedy(plain: Mapping[Any, Any], sentence: str) -> None:
    assert messages(plain) == [sentence]


def test_values_are_shortened_and_long_lists_of_mistakes_counted() -> None:
    for value in ("x" * 50_000, ["x" * 1000] * 1000, {"x" * 50_000: 1}, 10**5000):
        for key in ("tool", "ground", "x" * 50_000):
            assert max(map(len, messages({key: value}))) < LONGEST + 10
    assert len(brief("x" * 3000)) <= LONGEST == len(brief("y" * LONGEST))
    *first, last = messages({f"key{number:03}": 1 for number in range(300)})
    assert len(first) == MOST
    assert last == f"there are {300 - MOST} more mistakes"
