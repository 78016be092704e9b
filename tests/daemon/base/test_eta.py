"""The time that a job has left."""

from dataclasses import replace

import pytest

from stylewatch_daemon.base.eta import OVERHEAD_PIXELS, EtaEstimator
from stylewatch_daemon.base.model import Progress, Started

# 20 steps at 100x100, then 5 at 200x200
STARTED = Started("sketch", "cpu", ((100, 100), (200, 200)), (20, 5))
LARGER = (40_000 + OVERHEAD_PIXELS) / (10_000 + OVERHEAD_PIXELS)


def step(number: int, seconds: float) -> Progress:
    return Progress(number, 25, (100, 100) if number <= 20 else (200, 200), 0.5, seconds)


def test_steps_at_larger_sizes_take_longer_and_each_size_begins_slowly() -> None:
    """The first step takes 3 s, the others 0.5 s: the targets take 2.5 s, here and later."""
    eta = EtaEstimator(STARTED)
    left = [eta.left(step(number, 2.5 + 0.5 * number)) for number in range(1, 21)]
    assert left[:8] == [None] * 8
    assert left[8] == pytest.approx(11 * 0.5 + 2.5 + 5 * 0.5 * LARGER)
    assert left[19] == pytest.approx(2.5 + 5 * 0.5 * LARGER)
    seconds = 12.5
    for number, took, expected in ((21, 2.0, -2.0), (22, 1.0, -3.0)):  # it counts down
        seconds += took
        counted = eta.left(step(number, seconds))
        assert counted == pytest.approx(2.5 + 5 * 0.5 * LARGER + expected)
    assert eta.left(step(23, seconds + 86.0)) == pytest.approx(2 * 86.0), "once the size is known"
    assert eta.left(step(25, seconds + 90.0)) is None


def test_the_time_before_an_interruption_is_no_part_of_a_step() -> None:
    eta = EtaEstimator(replace(STARTED, step=10))
    left = [eta.left(step(number, 600 + 0.5 * number)) for number in range(11, 21)]
    assert left[-1] == pytest.approx(5 * 0.5 * LARGER)


def test_slow_steps_are_known_sooner_and_the_recent_ones_count_each_once() -> None:
    slow = EtaEstimator(Started("sketch", "cpu", ((100, 100),), (4,)))
    left = [slow.left(Progress(n, 4, (100, 100), 0.5, 6.0 * n)) for n in (1, 2, 3, 4)]
    assert left == [None, 12.0, 6.0, None]
    eta, at = EtaEstimator(Started("sketch", "cpu", ((8, 8),), (1000,))), 0.0
    for number in range(1, 601):
        at += 0.1 if number <= 500 else 0.2
        for _ in range(2):
            recent = eta.left(Progress(number, 1000, (8, 8), 0.5, at))
    assert recent == pytest.approx(400 * 0.2)


PAN = (6.1, 1.5, 1.3, 1.3, 5.2, 1.4, 1.3, 1.3, 5.0, 1.4, 1.2, 1.4, 5.0, 1.3, 1.3, 1.4)
TURNING = (5.9, *[1.2] * 14, 4.9)
CROSSING = (7.0, 1.5, 5.5, 1.5, 1.7, 1.5, 5.9, 1.6, 1.5, 5.9, 1.7, 2.2, 5.8, 1.9, 1.7, 7.5)


@pytest.mark.parametrize("frames", [PAN, TURNING, CROSSING], ids=["pan", "turning", "crossing"])
def test_the_time_left_of_a_clip_is_within_one_and_a_half_from_its_second_frame_on(
    frames: tuple[float, ...],
) -> None:
    """Seconds of frames as they were measured: one in three or four shows much that is new."""
    eta = EtaEstimator(Started("torch", "cpu", ((320, 240),), (len(frames),)))
    painting = Progress(0, len(frames), (320, 240), 0.5, 0.2, "frame")
    assert eta.left(painting) is None
    for number in range(1, len(frames) // 2 + 1):
        painted = replace(painting, step=number, seconds=sum(frames[:number]))
        left = eta.left(painted)
        assert left is not None
        assert eta.left(replace(painted, seconds=painted.seconds + 0.1)) == pytest.approx(
            left - 0.1
        ), "it counts down while the next frame is painted"
        if number > 1:
            true = sum(frames[number:])
            assert true / 1.5 < left < true * 1.5, number


def test_the_time_left_of_a_clip_that_goes_on_is_that_of_its_later_frames() -> None:
    eta = EtaEstimator(Started("torch", "cpu", ((320, 240),), (100,), step=50))
    frame = Progress(50, 100, (320, 240), 0.5, 600.0, "frame")
    assert eta.left(frame) is None
    assert eta.left(replace(frame, step=52, seconds=604.0)) == pytest.approx(48 * 2.0)
