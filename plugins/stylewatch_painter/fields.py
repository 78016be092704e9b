"""Types of the fields of recipes, and the base class of all settings.

This module does not import torch.
"""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from stylewatch_painter.size import SIZE_RULE
from stylewatch_painter.vgg import LayerName

MAX_FLOAT = 1e30
"""Maximum weight or rate. The painter computes in float32, whose largest value is 3.4e38."""

MOST_STEPS = 10_000_000
"""Maximum number of steps at one size."""

ANY_SIDE = 999_999
"""Maximum length of a side, in pixels."""


class Strict(BaseModel):
    """Base class of frozen models that refuse unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _without_removed(layers: object) -> object:
    if not isinstance(layers, dict):
        return layers
    return {layer: weight for layer, weight in layers.items() if weight is not None}


def _refuse_boolean(value: object) -> object:
    """Return `value` unchanged; raise ValueError if it is a boolean.

    YAML reads a plain `no` as False, which would count as 0.
    """
    if isinstance(value, bool):
        raise ValueError("should be a number")
    return value


Real = Annotated[float, BeforeValidator(_refuse_boolean)]
Whole = Annotated[int, BeforeValidator(_refuse_boolean)]
Weight = Annotated[Real, Field(ge=0, le=MAX_FLOAT)]
Weights = Annotated[dict[LayerName, Weight], BeforeValidator(_without_removed)]
"""Weight of each layer; layers with the weight None are removed."""
Positive = Annotated[Real, Field(gt=0, le=MAX_FLOAT)]
Share = Annotated[Real, Field(ge=0, le=1)]
ShareOrTrue = Annotated[float, Field(ge=0, le=1)]
Steps = Annotated[Whole, Field(ge=0, le=MOST_STEPS)]
SomeSteps = Annotated[Whole, Field(gt=0, le=MOST_STEPS)]
SideLength = Annotated[Whole, Field(gt=0, le=ANY_SIDE)]
"""Length of a side, in pixels."""


Stroke = Annotated[Real, Field(ge=0.0625, le=16)]
"""Size of strokes relative to the picture; 2 makes them twice as large."""


def _number_as_text(value: object) -> object:
    """Convert a number, such as 640 as YAML reads it, to text; return other values unchanged."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def written_as(pattern: str, choice: str) -> tuple[BeforeValidator, AfterValidator, Any]:
    """Return metadata for Annotated that restricts a type to text that matches `pattern`.

    Numbers become text before the check. `choice` completes the message `should be ...`.
    """

    def check(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(f"should be {choice}")
        return text

    schema = WithJsonSchema({"type": ["string", "number"], "pattern": f"^({pattern})$"})
    return BeforeValidator(_number_as_text), AfterValidator(check), schema


_SIZES = (
    "640 (long side), 512-short (short side), 640x480 (box), x400 (rows), 400x (columns) or 0.25mp "
    "(area)"
)

SizeRule = Annotated[str, *written_as(SIZE_RULE, _SIZES)]
"""Size of a picture. In pixels, `640` is the long side, `512-short` the short side, `640x480` a
box, `x400` the rows and `400x` the columns; `0.25mp` is the area in megapixels."""

STYLE_SIZE = f"{SIZE_RULE}|area|side|stretch"
STYLE_SIZES = f"area, side, stretch, {_SIZES}"

StyleSize = Annotated[str, *written_as(STYLE_SIZE, STYLE_SIZES)]
"""Size of a style. `area`: as many pixels as the painting; `side`: the long side of the painting;
`stretch`: the exact size of the painting. Otherwise a SizeRule."""
