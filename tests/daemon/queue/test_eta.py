"""How fast a painting gets on, and when it will be done."""

import pytest

from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.outbox.status_txt import Running
from stylewatch_daemon.queue.eta import Clock, JobProgress
from stylewatch_daemon.worker.contract import Staged

# 10 steps at 8x8, then 5 at 16x16: 640 and 1280 pixels
STARTED = Started("sketch", "cpu", ((8, 8), (16, 16)), (10, 5))


def step(number: int, seconds: float) -> Progress:
    return Progress(number, 15, (8, 8) if number <= 10 else (16, 16), 0.5, seconds)


def test_the_time_left_goes_by_pixels_and_not_by_steps() -> None:
    clock = Clock(STARTED)
    assert clock.left(step(1, 3.0)) is None
    # nine steps of 64 pixels took 5.76 s: a hundred pixels a second, and 1536 to go:
    # the size that is to come is looked at before its first step, as long as a step takes
    assert clock.left(step(10, 3.0 + 5.76)) == pytest.approx((5 + 1) * 256 / 100)
    assert clock.left(step(12, 3.0 + 5.76 + 7.68)) == pytest.approx(3 * 256 / 100)


def test_slow_first_steps_and_a_machine_that_was_busy_are_soon_forgotten() -> None:
    clock = Clock(Started("sketch", "cpu", ((8, 8),), (100,)))
    at = 0.0
    for number in range(1, 9):
        at += 5.0 if number <= 4 else 0.1
        left = clock.left(Progress(number, 100, (8, 8), 0.5, at))
    assert left == pytest.approx(92 * 0.1)


def test_of_a_long_painting_the_last_hundred_steps_count() -> None:
    clock = Clock(Started("sketch", "cpu", ((8, 8),), (1000,)))
    at = 0.0
    for number in range(1, 601):
        at += 0.1 if number <= 500 else 0.2  # it got slower
        left = clock.left(Progress(number, 1000, (8, 8), 0.5, at))
    assert left == pytest.approx(400 * 0.2)


def test_at_the_end_no_time_is_left_to_tell() -> None:
    clock = Clock(STARTED)
    clock.left(step(1, 3.0))
    assert clock.left(step(15, 9.0)) is None


def test_what_runs_is_told_from_its_events() -> None:
    progress = JobProgress()
    assert progress.running("sea") == Running("sea")
    progress.hear(STARTED)
    assert progress.running("sea-2", "7") == Running("sea-2", 0, 15, device="cpu", id="7")
    progress.hear(step(1, 1.0))
    assert progress.running("sea-2").seconds_left is None
    progress.hear(step(10, 10.0))
    running = progress.running("sea-2", "7")
    assert running == Running("sea-2", 10, 15, 0.5, (8, 8), running.seconds_left, "cpu", "7")
    assert running.seconds_left == pytest.approx((5 + 1) * 256 / 64)
    progress.hear(Staged("stages/10.png", "12ab"))
    assert progress.running("sea-2", "7") == running


def test_what_goes_on_from_a_checkpoint_starts_at_its_step() -> None:
    progress = JobProgress()
    progress.hear(Started("sketch", "cpu", ((8, 8),), (10,), step=4))
    running = progress.running("sea")
    assert (running.step, running.loss) == (4, None)
