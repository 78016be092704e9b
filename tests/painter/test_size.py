"""Sizes; `recipes/test_recipe.py` and `scene/test_scales.py` test their rules."""

import json

import numpy as np

from stylewatch_painter.size import Size

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
