"""Sizes, and the texts of their rules; `scene/test_scales.py` tests what the rules give."""

import json

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from stylewatch_painter.fields import SizeRule
from stylewatch_painter.size import Fit, Size, size_rule

SIZE = Size(640, 480)


def test_a_size_is_a_tuple_of_width_and_height() -> None:
    assert SIZE == (640, 480) and json.dumps(SIZE) == "[640, 480]" and f"{SIZE}" == "640x480"
    assert (SIZE.area, SIZE.long, SIZE.short, SIZE.shape) == (307_200, 640, 480, (480, 640))
    assert Size.of(np.zeros((480, 640))) == Size.of(np.zeros((480, 640, 3))) == SIZE
    assert SIZE.turned == (480, 640) and SIZE.times(0.001) == (1, 1)


def test_shapes_are_compared_within_a_pixel_of_the_smaller_size() -> None:
    assert SIZE.relative_to(Size(320, 240)) == 2
    assert SIZE.has_shape_of(Size(320, 241)) and not SIZE.has_shape_of(Size(320, 242))
    assert not SIZE.has_shape_of(SIZE.turned)


@pytest.mark.parametrize("text", ["640", "9-short", "64x48", "x48", "64x", "0.25mp", ".5mp"])
def test_every_rule_keeps_its_text_and_is_understood(text: str) -> None:
    assert TypeAdapter(SizeRule).validate_python(text) == text
    assert size_rule(text)(SIZE, Fit(enlarge=False)).area <= SIZE.area


@pytest.mark.parametrize("text", ["", "0", "x", "64X48", "1234567", "0.0mp", "1.mp", "short"])
def test_other_texts_are_no_rules(text: str) -> None:
    with pytest.raises(ValidationError, match="should be 640"):
        TypeAdapter(SizeRule).validate_python(text)
    with pytest.raises(ValueError, match="is not the size of a picture"):
        size_rule(text)
