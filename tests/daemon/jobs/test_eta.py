"""The time that a job has left."""

import pytest

from stylewatch_daemon.base.model import Progress, Started
from stylewatch_daemon.jobs.eta import EtaEstimator

# 10 steps at 8x8, then 5 at 16x16: 640 and 1280 pixels
STARTED = Started("sketch", "cpu", ((8, 8), (16, 16)), (10, 5))


def step(number: int, seconds: float) -> Progress:
    return Progress(number, 15, (8, 8) if number <= 10 else (16, 16), 0.5, seconds)


def test_the_time_left_goes_by_pixels_and_not_by_steps() -> None:
    eta = EtaEstimator(STARTED)
    assert eta.left(step(1, 3.0)) is None
    # Nine steps of 64 pixels took 5.76 s: a hundred pixels a second, and 1536 to go, as the first
    # step at a size takes twice as long.
    assert eta.left(step(10, 3.0 + 5.76)) == pytest.approx((5 + 1) * 256 / 100)
    assert eta.left(step(12, 3.0 + 5.76 + 7.68)) == pytest.approx(3 * 256 / 100)
    assert eta.left(step(15, 20.0)) is None


def test_the_recent_steps_count() -> None:
    eta, at = EtaEstimator(Started("sketch", "cpu", ((8, 8),), (1000,))), 0.0
    for number in range(1, 601):
        at += 0.1 if number <= 500 else 0.2
        left = eta.left(Progress(number, 1000, (8, 8), 0.5, at))
    assert left == pytest.approx(400 * 0.2)
