"""What styles look like is worked out once, for as long as there is room to keep it."""

import torch

from stylewatch_painter.algorithm.caches import StyleCache
from stylewatch_painter.algorithm.losses import Look, Sums


def grams() -> Look:
    """A hundred floats."""
    return {"conv1_1": (Sums(torch.ones(10, 10), None, 1.0),)}


def test_what_was_computed_is_there_the_next_time() -> None:
    looks = StyleCache()
    first = looks.get("a", grams)
    assert looks.get("a", grams) is first
    assert looks.get("b", grams) is not first
    assert (looks.computed, looks.reused, looks.nbytes) == (2, 1, 800)


def test_what_was_not_asked_for_longest_goes_first() -> None:
    looks = StyleCache(max_bytes=800)
    for key in ("a", "b", "a", "c", "a", "b"):
        looks.get(key, grams)
        assert looks.nbytes <= 800
    assert (looks.computed, looks.reused) == (4, 2)
