"""Retention: old stages, inputs and jobs go once a day, and nothing that others changed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.clock import Clock
from tests.daemon.faults import fill, tree
from tests.daemon.world import DaemonWorld, changed_settings, done, run_jobs, scan

from stylewatch_daemon.app.loop import Loop
from stylewatch_daemon.jobs.wall_clock import DAY, WallClock
from stylewatch_daemon.ledger.ledger import Sight, reading

HOUR = DAY / 24
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


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


def ended(root: Path, ahead: float = 0.0) -> Kept:
    """Return a world whose job `third` has just ended; its clock is so many days ahead."""
    world = Kept(root, FIVE)
    world.ahead += timedelta(days=ahead)
    world.start()
    world.drop("third")
    world.work()
    return world


def check_goes(world: Kept, kept: float, within: float) -> None:
    """Check that the inputs are kept for some days, and are gone soon after."""
    world.go_on(kept)
    assert world.is_kept("third")
    world.go_on(within)
    assert not world.is_kept("third")


@pytest.mark.parametrize(("ahead", "days"), [(-365 * 56, 0.5), (-0.4, 2), (3, 2), (300, 0)])
def test_inputs_stay_for_their_days_whatever_the_clock_shows(
    ahead: float, days: float, tmp_path: Path
) -> None:
    """The clock is wrong when a job ends, for these `days`, and is then set right."""
    world = ended(tmp_path, ahead)
    world.go_on(days)
    world.ahead -= timedelta(days=ahead)
    check_goes(world, 5 - days, within=1.25)


@pytest.mark.parametrize(("on", "off"), [(2, 22), (0.1, 7 * 24)])
def test_a_machine_that_runs_for_minutes_a_day_or_a_week_removes_what_is_old(
    on: float, off: float, tmp_path: Path
) -> None:
    """Also if its clock was once ahead."""
    world, hours = ended(tmp_path), 0.0
    world.go_on(0.25)
    for days in (300, -300):
        world.ahead += timedelta(days=days)
        world.loop.scan()
    while world.is_kept("third") and hours < 14 * 24:
        world.wait(off * HOUR)
        world.keep()
        world.wait(on * HOUR)
        world.loop.scan()
        hours += on + off
    assert 5 <= hours / 24 <= 5 + max(2, 2 * (off + on) / 24)


@pytest.mark.parametrize(
    ("ahead", "is_seen"), [(-400, False), (20, False), (400, False), (7, True), (-7, True)]
)
def test_neither_a_long_time_without_a_daemon_nor_a_jump_before_counts(
    ahead: int, is_seen: bool, tmp_path: Path
) -> None:
    """The clock may have been set meanwhile, or a daemon has seen that it was."""
    world = ended(tmp_path)
    world.go_on(0.25)
    world.ahead += timedelta(days=ahead)
    if is_seen:
        world.loop.scan()
    world.start()
    check_goes(world, 4.5, within=2)


def test_a_clock_that_is_ahead_at_each_start_counts_once(tmp_path: Path) -> None:
    world = ended(tmp_path)
    world.go_on(0.25)
    for _ in range(3):
        world.ahead += timedelta(days=3)
        world.keep()
        world.ahead -= timedelta(days=3)
        world.loop.scan()
        world.wait(HOUR)
    check_goes(world, 0, within=3)


def test_an_idle_daemon_writes_nothing_for_a_day(tmp_path: Path) -> None:
    world = Kept(tmp_path, FIVE)
    world.start()
    world.ahead += timedelta(minutes=50)
    world.loop.scan()
    run_jobs(world.loop)
    before = world.loop.jobs.changes
    for _ in range(100):
        world.wait(HOUR / 5)
        world.loop.scan()
    assert world.loop.jobs.changes == before


def test_a_clock_that_was_just_set_is_not_believed_after_a_restart() -> None:
    """Neither if the daemon before has seen it, nor if it was set between the two."""
    boot, ahead = Clock(), timedelta()

    def started(last: Sight | None) -> WallClock:
        clock = WallClock(lambda: BEGAN + timedelta(seconds=boot()) + ahead, boot)
        clock.restore(last)
        return clock

    first = started(None)
    sight = first.look(None)
    assert first.seconds_since_set() is None
    ahead = timedelta(days=5)
    assert started(sight).seconds_since_set() == 0.0, "it was set while none ran"
    sight = first.look(sight)
    boot.now += 20
    again = started(sight)
    assert again.seconds_since_set() == pytest.approx(20)
    boot.now += 20
    assert started(again.look(sight)).seconds_since_set() == pytest.approx(40)
    boot.now = 1.0
    assert started(sight).seconds_since_set() == 0.0, "after a boot nobody knows"
