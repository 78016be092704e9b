"""Progress of a job, and the time it has left."""

import pytest

from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.outbox.status_txt import Running
from stylewatch_daemon.queue.eta import Clock, JobProgress
from stylewatch_daemon.worker.messages import Staged

# 10 steps at 8x8, then 5 at 16x16: 640 and 1280 pixels
STARTED = Started("sketch", "cpu", ((8, 8), (16, 16)), (10, 5))


def step(number: int, seconds: float) -> Progress:
    return Progress(number, 15, (8, 8) if number <= 10 else (16, 16), 0.5, seconds)


def test_the_time_left_goes_by_pixels_and_not_by_steps() -> None:
    clock = Clock(STARTED)
    assert clock.left(step(1, 3.0)) is None
    # Nine steps of 64 pixels took 5.76 s: a hundred pixels a second, and 1536 to go, as the first
    # step at a size takes twice as long.
    assert clock.left(step(10, 3.0 + 5.76)) == pytest.approx((5 + 1) * 256 / 100)
    assert clock.left(step(12, 3.0 + 5.76 + 7.68)) == pytest.approx(3 * 256 / 100)
    assert clock.left(step(15, 20.0)) is None


@pytest.mark.parametrize(
    ("steps", "made", "slow", "pace", "last_pace"),
    [(100, 8, 4, 5.0, 0.1), (1000, 600, 500, 0.1, 0.2), (100, 10, 1, 0.5, 0.1)],
    ids=["slow first steps", "slower since", "after a tenth"],
)
def test_the_recent_steps_count(
    steps: int, made: int, slow: int, pace: float, last_pace: float
) -> None:
    clock, at = Clock(Started("sketch", "cpu", ((8, 8),), (steps,))), 0.0
    for number in range(1, made + 1):
        at += pace if number <= slow else last_pace
        left = clock.left(Progress(number, steps, (8, 8), 0.5, at))
    assert left == pytest.approx((steps - made) * last_pace)


def test_the_progress_of_a_job_is_known_from_its_events() -> None:
    progress = JobProgress()
    assert progress.running("sea") == Running("sea")
    progress.add(Started("sketch", "cpu", ((8, 8),), (10,), step=4))
    assert progress.running("sea", "7") == Running("sea", 4, 10, device="cpu", id="7")
    progress.add(STARTED)
    progress.add(step(1, 1.0))
    assert progress.running("sea-2").seconds_left is None
    progress.add(step(10, 10.0))
    progress.add(Staged("stages/10.png", "12ab"))
    running = progress.running("sea-2", "7")
    assert running == Running("sea-2", 10, 15, 0.5, (8, 8), running.seconds_left, "cpu", "7")
    assert running.seconds_left == pytest.approx((5 + 1) * 256 / 64)
