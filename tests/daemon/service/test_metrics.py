"""Scans, steps, stages and ends of jobs are counted."""

import os
from pathlib import Path

import pytest

from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.service.metrics import Metrics, why

STARTED = Started("sketch", "cpu", ((8, 8),), (9,))


def step(number: int, seconds: float) -> Progress:
    return Progress(number, 9, (8, 8), 1.0, seconds)


def test_a_step_takes_the_time_since_the_last_one_of_its_attempt() -> None:
    metrics = Metrics()
    metrics.job_started("sea", STARTED)
    metrics.progress("sea", step(1, 5.0))  # with loading
    metrics.progress("wave", step(1, 1.0))
    metrics.progress("sea", step(2, 7.0))
    metrics.progress("wave", step(2, 1.5))
    metrics.job_started("sea", STARTED)
    metrics.progress("sea", step(2, 100.0))
    metrics.stopped("wave", 2)
    metrics.progress("wave", step(3, 9.0))
    plain = metrics.plain()
    assert (plain["steps"], plain["done"], plain["ended"]) == (2, 0, [])
    assert plain["seconds"] == {"scans": 0.0, "steps": 2.5, "stages": 0.0}


def test_the_delay_of_stages_is_counted(tmp_path: Path) -> None:
    stage = tmp_path / "stages/0001.png"
    stage.parent.mkdir()
    for path in (stage, tmp_path / "final.png"):
        path.touch()
        os.utime(path, (1000.0, 1000.0))
    metrics = Metrics(clock=lambda: 1000.25)
    for path in (stage, tmp_path / "final.png", stage.with_name("gone.png")):
        metrics.staged("sea", path)
    plain = metrics.plain()
    assert (plain["stages"], plain["seconds"]["stages"]) == (1, 0.25)


@pytest.mark.parametrize(
    ("state", "reason", "cause"),
    [
        ("refused", "content.jpg is cut off or damaged (x); copy it again", "damaged"),
        ("refused", "c.jpg is 54 MP; the limit is 40 MP (limits.max_pixels)", "too large"),
        ("refused", "job.yaml line 3: steps: should be a number", "settings"),
        ("refused", "style.jpg is no picture", "picture"),
        ("failed", "tried 3 times, the last time: the worker hung: x", "hung"),
        ("failed", "the worker process was ended by signal 9", "killed"),
        ("failed", "something", "fault"),
    ],
)
def test_reasons_have_few_causes(state: str, reason: str, cause: str) -> None:
    assert why(state, reason) == cause


def test_only_failures_for_good_are_ends(tmp_path: Path) -> None:
    metrics = Metrics()
    for for_good in (False, True):
        metrics.failed("sea", "the worker hung", "", for_good=for_good)
    for job in "bc":
        metrics.refused(job, "no picture", tmp_path)
    assert metrics.plain()["ended"] == [
        {"state": "failed", "why": "hung", "count": 1},
        {"state": "refused", "why": "picture", "count": 2},
    ]
