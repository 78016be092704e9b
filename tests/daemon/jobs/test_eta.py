"""The time that a job has left."""

import pytest

from stylewatch_daemon.base.model import Progress, Started
from stylewatch_daemon.jobs.eta import OVERHEAD_PIXELS, EtaEstimator

# 20 steps at 100x100, then 5 at 200x200
STARTED = Started("sketch", "cpu", ((100, 100), (200, 200)), (20, 5))
LARGER = (40_000 + OVERHEAD_PIXELS) / (10_000 + OVERHEAD_PIXELS)


def step(number: int, seconds: float) -> Progress:
    return Progress(number, 25, (100, 100) if number <= 20 else (200, 200), 0.5, seconds)


def test_steps_at_larger_sizes_take_longer_and_each_size_begins_slowly() -> None:
    """The first step takes 3 s, the others 0.5 s: the targets take 2.5 s, here and later."""
    eta = EtaEstimator(STARTED)
    for number in range(1, 9):
        assert eta.left(step(number, 3.0 + 0.5 * (number - 1))) is None
    expected = 11 * 0.5 + 2.5 + 5 * 0.5 * LARGER
    assert eta.left(step(9, 7.0)) == pytest.approx(expected)
    for number in range(10, 21):
        left = eta.left(step(number, 3.0 + 0.5 * (number - 1)))
    assert left == pytest.approx(2.5 + 5 * 0.5 * LARGER)


def test_slow_steps_are_known_sooner() -> None:
    eta = EtaEstimator(Started("sketch", "cpu", ((100, 100),), (4,)))
    left = [eta.left(Progress(n, 4, (100, 100), 0.5, 6.0 * n)) for n in (1, 2, 3, 4)]
    assert left == [None, 12.0, 6.0, None]


def test_until_a_size_is_known_the_last_estimate_counts_down() -> None:
    eta = EtaEstimator(STARTED)
    for number in range(1, 21):
        left = eta.left(step(number, 0.5 * number))
    expected = 5 * 0.5 * LARGER
    assert left == pytest.approx(expected)
    assert eta.left(step(21, 12.0)) == pytest.approx(expected - 2.0)
    assert eta.left(step(22, 13.0)) == pytest.approx(expected - 3.0)
    assert eta.left(step(23, 99.0)) == pytest.approx(2 * (99.0 - 13.0))
    assert eta.left(step(25, 102.0)) is None


def test_the_recent_steps_count_and_a_frame_is_counted_once() -> None:
    eta, at = EtaEstimator(Started("sketch", "cpu", ((8, 8),), (1000,))), 0.0
    for number in range(1, 601):
        at += 0.1 if number <= 500 else 0.2
        for _ in range(2):
            left = eta.left(Progress(number, 1000, (8, 8), 0.5, at))
    assert left == pytest.approx(400 * 0.2)
