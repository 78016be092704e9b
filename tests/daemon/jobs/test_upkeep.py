"""Retention: old stages, inputs and jobs go once a day, and nothing that others changed."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill, tree
from tests.daemon.world import DaemonWorld, changed_settings, done, run_jobs, scan

from stylewatch_daemon.app.loop import Loop
from stylewatch_daemon.jobs.wall_clock import DAY, HOUR
from stylewatch_daemon.ledger.ledger import reading


class Kept(DaemonWorld):
    """The jobs `old` and `new` have an age of almost seven and three days."""

    def __init__(self, root: Path, retention: dict[str, Any]) -> None:
        super().__init__(root)
        self.start()
        self.go_on(1)
        self.drop("old")
        self.work()
        self.go_on(4)
        self.drop("new")
        self.work()
        self.go_on(3)
        self.set_retention(**retention)

    def set_retention(self, **retention: Any) -> None:
        """Change the settings, from the next start on."""
        section = self.settings.retention.model_copy(update=retention)
        self.settings = changed_settings(self.settings, retention=section)

    def go_on(self, days: float) -> None:
        """Let the daemon run for some days."""
        for _ in range(round(4 * days)):
            self.wait(DAY / 4)
            scan(self.loop)
            self.loop.scan()
            run_jobs(self.loop)

    def keep(self) -> Loop:
        """Start the daemon, and let it do what is due."""
        loop = self.start()
        loop.scan()
        run_jobs(loop)
        return loop

    def is_kept(self, name: str) -> bool:
        """Return whether a job has its inputs."""
        return (self.outbox / name / "inputs").exists()

    def listed(self, name: str) -> set[str]:
        """The files of a job that the ledger lists."""
        with reading(self.state.ledger) as ledger:
            return {file.path for file in ledger.files(self.job(name).id)}


@pytest.mark.parametrize("part", ["stages", "inputs", ""])
def test_parts_of_jobs_that_ended_long_ago_are_removed_but_what_others_changed(
    part: str, tmp_path: Path
) -> None:
    retention = {name: 5 if name == part else "keep" for name in ("stages", "inputs", "ledger")}
    world = Kept(tmp_path, retention)
    mine = {"old/stages/9.png", "old/stages/1.png"}
    fill(world.outbox, *mine)
    files = done("old", "new") | {name: name for name in mine}
    world.keep()
    removed = {name for name in files if part and name.startswith(f"old/{part}/")}
    gone = {name: text for name, text in files.items() if name in removed - mine}
    assert world.published == {name: text for name, text in files.items() if name not in gone}
    assert world.listed("old") == done("old").keys() - removed, "nor is one looked at again"
    pruned = [(len(gone), sum(map(len, gone.values())))] if part else []
    assert world.record.of("pruned") == pruned


def test_a_job_is_not_forgotten_before_its_stages_are_removed(tmp_path: Path) -> None:
    world = Kept(tmp_path, {"stages": 9, "ledger": 5})
    world.keep()
    assert world.states == {"old": "done", "new": "done"}
    world.settings = changed_settings(
        world.settings, retention=world.settings.retention.model_copy(update={"stages": 5})
    )
    world.keep()
    world.keep()
    assert world.states == {"new": "done"}
    assert not (world.outbox / "old/stages").exists()


def test_old_jobs_are_forgotten_with_the_thumbnails_of_their_pictures(tmp_path: Path) -> None:
    world = Kept(tmp_path, {"ledger": 5})
    digests = {name: world.job(name).inputs[1].sha256 for name in ("old", "new")}
    fill(world.state.thumbs, *(f"{digest}.jpg" for digest in digests.values()))
    world.keep()
    assert world.states == {"new": "done"}
    assert tree(world.state.thumbs).keys() == {f"{digests['new']}.jpg"}
    assert world.published == done("old", "new"), "its files stay"


FIVE = {"stages": "keep", "inputs": 5, "ledger": "keep"}


def start_in_1970(world: Kept) -> None:
    """A machine without a battery runs a job, and then gets the right time."""
    right = world.ahead
    world.ahead = -timedelta(days=365 * 56)
    world.start()
    world.drop("third")
    world.work()
    world.go_on(0.5)
    world.ahead = right


def jump_for_a_moment(world: Kept, days: int = 400) -> None:
    """The clock is ahead when the upkeep is due, and is set right again."""
    world.start()
    world.ahead += timedelta(days=days)
    world.loop.scan()
    world.ahead -= timedelta(days=days)


def go_back(world: Kept) -> None:
    """The clock is set back while the daemon is off, and for good."""
    world.ahead -= timedelta(hours=9)
    world.start()


def stay_off(world: Kept) -> None:
    """The daemon is off for a long time, or the clock was set."""
    world.wait(40 * DAY)
    world.start()


@pytest.mark.parametrize("wrong", [start_in_1970, jump_for_a_moment, go_back, stay_off])
def test_nothing_is_removed_within_a_day_after_a_jump_and_then_by_age(
    wrong: Callable[[Kept], object], tmp_path: Path
) -> None:
    world = Kept(tmp_path, FIVE)
    wrong(world)
    names = [name for name in ("old", "new", "third") if name in world.states]
    world.loop.scan()
    world.go_on(0.75)
    assert all(map(world.is_kept, names))
    world.go_on(0.5)
    assert not world.is_kept("old") and world.is_kept("new") == (wrong is not stay_off)
    assert all(map(world.is_kept, names[2:])), "its age is not counted from 1970"
    world.go_on(6)
    assert not any(map(world.is_kept, names))


def test_a_daemon_that_was_off_for_a_week_removes_what_is_old_a_day_later(tmp_path: Path) -> None:
    world = Kept(tmp_path, FIVE)
    world.wait(7 * DAY)
    world.keep()
    assert world.is_kept("old"), "the clock may be wrong"
    world.go_on(1.25)
    assert not world.is_kept("old") and not world.is_kept("new")


def test_a_laptop_that_runs_two_hours_a_day_removes_in_the_end(tmp_path: Path) -> None:
    """One hour of each night counts; the files' ages are real days."""
    world, days = Kept(tmp_path, {**FIVE, "inputs": 20}), 0
    jump_for_a_moment(world)
    while world.is_kept("old"):
        for _ in range(4):
            world.loop.scan()
            run_jobs(world.loop)
            world.wait(HOUR / 2)
        world.loop.scan()
        world.wait(22 * HOUR)
        world.start()
        days += 1
    assert world.is_kept("new") and 20 - 7 <= days <= 20 - 7 + 2


def test_a_daemon_that_sleeps_or_sets_its_clock_right_goes_on(tmp_path: Path) -> None:
    world = Kept(tmp_path, FIVE)
    world.start()
    world.ahead += timedelta(minutes=50)
    world.loop.scan()
    run_jobs(world.loop)
    assert not world.is_kept("old") and world.is_kept("new")
    before = world.loop.jobs.changes
    for _ in range(100):
        world.wait(HOUR / 5)
        world.loop.scan()
    assert world.loop.jobs.changes == before, "nothing is written by a daemon that is idle"
