"""What styles look like is worked out once, for as long as there is room to keep it."""

import torch

from stylewatch_painter.algorithm.caches import Looks
from stylewatch_painter.algorithm.losses import Look, Sums


def grams() -> Look:
    """A hundred floats."""
    return {"conv1_1": (Sums(torch.ones(10, 10), None, 1.0),)}


def test_what_was_worked_out_is_there_the_next_time() -> None:
    looks = Looks()
    first = looks.find("a", grams)
    assert looks.find("a", grams) is first
    assert looks.find("b", grams) is not first
    assert (looks.worked_out, looks.used_again, looks.bytes) == (2, 1, 800)


def test_what_was_not_asked_for_longest_goes_first() -> None:
    looks = Looks(most=800)
    for key in ("a", "b", "a", "c", "a", "b"):
        looks.find(key, grams)
        assert looks.bytes <= 800
    assert (looks.worked_out, looks.used_again) == (4, 2)


def test_what_is_larger_than_all_the_room_is_handed_out_all_the_same() -> None:
    looks = Looks(most=399)
    assert looks.find("a", grams)["conv1_1"][0].products.shape == (10, 10)
    assert looks.bytes == 0
