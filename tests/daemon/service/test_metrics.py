"""What is counted: looks, steps, stages, and why jobs were not painted."""

import os
from pathlib import Path

import pytest

from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.service.metrics import Metrics, why

STARTED = Started("sketch", "cpu", ((8, 8),), (9,))


def step(number: int, seconds: float) -> Progress:
    return Progress(number, 9, (8, 8), 1.0, seconds)


def test_nothing_was_counted_before_there_is_anything() -> None:
    plain = Metrics().plain()
    assert plain["steps"] == plain["done"] == 0 and plain["ended"] == []
    assert plain["seconds"] == {"scans": 0.0, "steps": 0.0, "stages": 0.0}


def test_a_step_takes_the_time_since_the_one_before_of_the_same_attempt() -> None:
    meters = Metrics()
    meters.job_started("sea", STARTED)
    meters.progress("sea", step(1, 5.0))  # with loading, and what not
    meters.progress("wave", step(1, 1.0))
    meters.progress("sea", step(2, 7.0))
    meters.progress("wave", step(2, 1.5))
    meters.job_started("sea", STARTED)
    meters.progress("sea", step(2, 100.0))
    plain = meters.plain()
    assert (plain["steps"], plain["seconds"]["steps"]) == (2, 2.5)


def test_a_job_at_its_end_is_forgotten(tmp_path: Path) -> None:
    meters = Metrics()
    meters.progress("sea", step(1, 5.0))
    meters.stopped("sea", 1)
    meters.progress("sea", step(2, 9.0))
    assert meters.plain()["steps"] == 0


def test_a_stage_is_as_late_as_it_lay_ready_before(tmp_path: Path) -> None:
    stage = tmp_path / "stages/0001.png"
    stage.parent.mkdir()
    stage.touch()
    os.utime(stage, (1000.0, 1000.0))
    (tmp_path / "final.png").touch()
    meters = Metrics(clock=lambda: 1000.25)
    meters.staged("sea", stage)
    meters.staged("sea", tmp_path / "final.png")
    meters.staged("sea", stage.with_name("gone.png"))
    plain = meters.plain()
    assert (plain["stages"], plain["seconds"]["stages"]) == (1, 0.25)


@pytest.mark.parametrize(
    ("state", "reason", "word"),
    [
        ("refused", "content.jpg is cut off or damaged (x); copy it again", "damaged"),
        ("refused", "c.jpg is 81 pixels; the limit is 9 pixels (limits.max_pixels)", "too large"),
        ("refused", "job.yaml line 3: steps: should be a number", "settings"),
        ("refused", "style.jpg is no picture", "picture"),
        ("failed", "tried 3 times, the last time: the worker hung: x", "hung"),
        ("failed", "the worker process was ended by signal 9", "killed"),
        ("failed", "something", "fault"),
    ],
)
def test_reasons_come_to_a_few_words(state: str, reason: str, word: str) -> None:
    assert why(state, reason) == word


def test_failures_that_are_tried_again_are_no_end(tmp_path: Path) -> None:
    meters = Metrics()
    meters.failed("sea", "the worker hung", "", for_good=False)
    meters.failed("sea", "the worker hung", "", for_good=True)
    meters.refused("b", "no picture", tmp_path)
    meters.refused("c", "no picture", tmp_path)
    assert meters.plain()["ended"] == [
        {"state": "failed", "why": "hung", "count": 1},
        {"state": "refused", "why": "picture", "count": 2},
    ]
