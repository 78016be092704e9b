"""A few of many: evenly, the first and the last with them."""

import pytest

from stylewatch_daemon.artifacts.sampling import evenly


@pytest.mark.parametrize(
    ("count", "most", "wanted"),
    [
        (0, 3, []),
        (2, 3, [0, 1]),
        (9, 3, [0, 4, 8]),
        (100, 5, [0, 25, 50, 74, 99]),
        (7, 1, [6]),
    ],
)
def test_a_few_of_many_are_chosen_evenly(count: int, most: int, wanted: list[int]) -> None:
    assert evenly(count, most) == wanted
