"""Numbers and tables as people read them."""

import pytest

from stylewatch_daemon.views.formatting import columns, duration, losses, memory, size


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (190, "3 min 10 s"), (7500, "2 h 5 min")],
)
def test_a_duration_is_told_in_two_units_at_most(seconds: float, told: str) -> None:
    assert duration(seconds) == told


@pytest.mark.parametrize(
    ("count", "told"), [(3_400_000, "3 MB"), (999_000_000, "999 MB"), (1_234_000_000, "1.2 GB")]
)
def test_memory_is_told_in_the_unit_that_fits(count: int, told: str) -> None:
    assert memory(count) == told


def test_a_size_is_width_by_height() -> None:
    assert size((640, 480)) == "640x480"


def test_cells_stand_under_one_another_without_trailing_spaces() -> None:
    assert columns([("a", "bb"), ("ccc", "d")]) == "a    bb\nccc  d"
    assert columns([]) == ""


def test_losses_are_a_table_of_every_term_with_the_total_last() -> None:
    table = losses(
        {
            "total": 2.5,
            "content": {"conv4_2": {"value": 4.0, "weight": 0.5}},
            "style": {"style-1": {"conv1_1": {"value": 1.0, "weight": 0.5}}},
            "tv": {"value": 3.0, "weight": 0.0, "gradient_weight": 0.001},
        }
    )
    cells = [line.split() for line in table.splitlines()]
    assert cells == [
        ["term", "value", "weight", "value", "x", "weight"],
        ["content", "conv4_2", "4", "0.5", "2"],
        ["style", "style-1", "conv1_1", "1", "0.5", "0.5"],
        ["tv", "3", "0.001", "on", "the", "gradient", "only"],
        ["total", "2.5"],
    ]
