"""What may be said of a job's masks: how soft edges are, and what stands outside of all regions."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from stylewatch_painter.recipes.recipe import Strict

_MOST = 50
"""Percent of the long side."""
_PIXELS = 10_000


def _as_text(value: object) -> object:
    """8 in YAML is a number; what may be said in pixels or percent is text."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else value


def _checked(text: str) -> str:
    number, percent, rest = text.strip().partition("%")
    most = _MOST if percent else _PIXELS
    if rest or not number.strip().replace(".", "", 1).isdecimal() or float(number) > most:
        raise ValueError(
            f"should be pixels of the painting, 0 to {_PIXELS}, or 0% to {_MOST}% of its long side"
        )
    return text


Feather = Annotated[
    str,
    BeforeValidator(_as_text),
    AfterValidator(_checked),
    WithJsonSchema({"type": ["string", "number"]}),
]
"""`8`: pixels of the finished painting; `1.5%`: of its long side."""


class MaskSettings(Strict):
    """How masks are taken; without masks none of it counts."""

    feather: Feather = "0"
    outside: Literal["free", "keep"] = "free"
    """Where no region is: held to the content alone, or the photograph itself."""

    def reach(self, long_side: int) -> float:
        """How far soft edges reach, as a share of the long side (pixels) of the painting."""
        number, percent, _ = self.feather.partition("%")
        return float(number) / (100 if percent else long_side)
