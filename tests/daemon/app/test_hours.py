"""`executor.hours`: outside of these hours no job runs, and none is lost or counted as a fault."""

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from tests.daemon.app.test_loop import World
from tests.daemon.world import run_jobs, scan, step
from tests.surface.hours import breaches, changes

from stylewatch_daemon.client import status_json
from stylewatch_daemon.settings.sections import parse_hours


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process live in Newfoundland."""
    monkeypatch.setenv("TZ", "America/St_Johns")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def set_clock(world: World, hour: int, minute: int = 0) -> None:
    """Set the wall clock of a world to an hour of local time."""
    local = datetime(2026, 11, 28, hour, minute).astimezone()
    world.ahead += local - world.now()


def begin(world: World) -> None:
    """Let a job begin, and make its first stage."""
    for _ in range(20):
        if any(worker.step for worker in world.loop.attempts.running.values()):
            return
        step(world.loop)
    raise AssertionError("no job has begun")


@pytest.fixture
def world(tmp_path: Path, zone: None) -> World:
    world = World(tmp_path)
    executor = world.settings.executor.model_copy(update={"hours": "22:00-07:00"})
    world.settings = world.settings.model_copy(update={"executor": executor})
    set_clock(world, 23)
    return world


def test_jobs_run_within_the_hours_and_go_on_in_the_next(world: World) -> None:
    world.started("a", "b")
    begin(world)
    set_clock(world, 7)
    run_jobs(world.loop)
    assert not world.loop.attempts.running
    assert world.counts == {"waiting": 2}
    health = status_json.read(world.state.root)["health"]
    assert datetime.fromisoformat(health["opens"]).strftime("%H:%M") == "22:00"
    set_clock(world, 21, 59)
    world.drop("c")
    scan(world.loop)
    run_jobs(world.loop)
    assert world.counts == {"waiting": 3}, "dropped pictures are claimed all the same"
    assert [said[0] for said in world.record.of("requested")] == [
        "Outside of executor.hours: jobs run from 22:00."
    ]
    set_clock(world, 22)
    run_jobs(world.loop)
    assert world.counts == {"done": 3}
    assert world.executor.started_at[:2] == [0, 1], "it went on from its checkpoint"
    assert status_json.read(world.state.root)["health"]["opens"] is None


def test_a_stop_by_the_hour_costs_no_attempt(world: World) -> None:
    world.started("a")
    for _ in range(10):
        set_clock(world, 22)
        begin(world)
        set_clock(world, 12)
        run_jobs(world.loop)
    assert world.counts == {"waiting": 1}
    set_clock(world, 22)
    run_jobs(world.loop)
    assert world.counts == {"done": 1}


def test_a_job_that_is_to_be_canceled_is_canceled_outside_of_the_hours(world: World) -> None:
    world.started("a")
    begin(world)
    set_clock(world, 12)
    world.ask("cancel", "a")
    run_jobs(world.loop)
    assert world.counts == {"canceled": 1}


def test_a_run_with_once_ends_outside_of_the_hours(world: World) -> None:
    set_clock(world, 12)
    world.drop("a")
    loop = world.start()
    world.sleeping()
    loop.run_once(0, 1)
    assert world.counts == {"waiting": 1}


@pytest.mark.parametrize(
    ("hours", "now", "opens"),
    [
        ("9-17", "2026-11-28 12:00", None),
        ("9-17", "2026-11-28 17:00", "2026-11-29 09:00"),
        ("18:30-24:00", "2026-11-28 23:59", None),
        ("18:30-24:00", "2026-11-29 00:00", "2026-11-29 18:30"),
    ],
)
def test_hours_need_no_minutes_and_may_end_at_midnight(
    hours: str, now: str, opens: str | None
) -> None:
    local = datetime.fromisoformat(now).astimezone()
    found = parse_hours(hours).opens(local)
    assert (found and found.replace(tzinfo=None).isoformat(" ", "minutes")) == opens


@pytest.mark.parametrize(
    "changing",
    ["Europe/Berlin", "Africa/Cairo", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia"],
)
def test_the_clock_on_the_wall_counts_when_it_is_set(changing: str) -> None:
    """A short form of `make surface SURFACE=hours`; Samoa once left out a day."""
    tried = [*changes([changing])]
    assert len(tried) >= 3
    assert [wrong for change in tried for wrong in breaches(change, each=8, moments=6)] == []
