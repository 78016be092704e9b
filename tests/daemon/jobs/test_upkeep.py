"""Retention: old stages, inputs and jobs go once a day, and nothing that others changed."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill, tree
from tests.daemon.jobs.pairs import JobsWorld, done
from tests.daemon.world import changed_settings, run_jobs

from stylewatch_daemon.app.loop import Loop
from stylewatch_daemon.jobs.upkeep import DAY
from stylewatch_daemon.ledger.ledger import reading
from stylewatch_daemon.ledger.writer import LedgerWriter


class Kept(JobsWorld):
    """Jobs that ended so many days ago, by their names."""

    def __init__(self, root: Path, retention: dict[str, Any], **days: float) -> None:
        super().__init__(root)
        run_jobs(self.started(*days))
        for name, ago in days.items():
            self.age(name, ago)
        section = self.settings.retention.model_copy(update=retention)
        self.settings = changed_settings(self.settings, retention=section)

    def age(self, name: str, days: float) -> None:
        """Let a job have ended so many days ago."""
        self.close()
        ended = datetime.now(UTC) - timedelta(days=days)
        with closing(LedgerWriter.open(self.state.ledger)) as ledger:
            ledger.put(replace(self.job(name), finished=ended.isoformat(timespec="seconds")))

    def keep(self) -> Loop:
        """Start the daemon, and let it do what is due."""
        loop = self.start()
        loop.scan()
        run_jobs(loop)
        return loop

    def listed(self, name: str) -> set[str]:
        """The files of a job that the ledger lists."""
        with reading(self.state.ledger) as ledger:
            return {file.path for file in ledger.files(self.job(name).id)}


@pytest.mark.parametrize("part", ["stages", "inputs", ""])
def test_parts_of_jobs_that_ended_long_ago_are_removed(part: str, tmp_path: Path) -> None:
    retention = {name: 5 if name == part else "keep" for name in ("stages", "inputs", "ledger")}
    world = Kept(tmp_path, retention, old=6, new=4)
    world.keep()
    gone = {name: text for name, text in done("old").items() if part and f"/{part}/" in name}
    left = {name: text for name, text in done("old", "new").items() if name not in gone}
    assert world.published == left
    assert world.listed("old") == {name for name in left if name.startswith("old/")}
    pruned = [(2, sum(map(len, gone.values())))] if part else []
    assert world.record.of("pruned") == pruned


def test_a_file_that_somebody_changed_stays_and_is_not_looked_at_again(tmp_path: Path) -> None:
    world = Kept(tmp_path, {"stages": 5}, old=6)
    fill(world.outbox, "old/stages/9.png", "old/stages/1.png")
    world.keep()
    left = {name for name in world.published if "stages" in name}
    assert left == {"old/stages/1.png", "old/stages/9.png"}
    assert not any("stages" in path for path in world.listed("old"))


def test_an_outbox_that_is_away_is_reported_and_tried_the_next_day(
    tmp_path: Path,
) -> None:
    world = Kept(tmp_path, {"stages": 5}, old=6)
    away = world.outbox.rename(tmp_path / "away")
    loop = world.keep()
    ((what, reason),) = world.record.of("waits")
    assert what == "retention" and "is not there" in reason
    assert len(world.listed("old")) == 6
    if world.outbox.exists():
        world.outbox.rename(tmp_path / "empty")
    away.rename(world.outbox)
    world.clock.now += DAY - 1
    loop.scan()
    assert world.published == done("old")
    world.clock.now += 1
    loop.scan()
    assert not any("stages" in name for name in world.published)


def test_old_jobs_are_forgotten_with_the_thumbnails_of_their_pictures(tmp_path: Path) -> None:
    world = Kept(tmp_path, {"ledger": 5}, old=6, new=4)
    digests = {name: world.job(name).inputs[1].sha256 for name in ("old", "new")}
    fill(world.state.thumbs, *(f"{digest}.jpg" for digest in digests.values()))
    world.keep()
    with reading(world.state.ledger) as ledger:
        assert (ledger.find("old"), ledger.counts()["done"]) == (None, 1)
    assert tree(world.state.thumbs).keys() == {f"{digests['new']}.jpg"}
    assert world.published == done("old", "new"), "its files stay"
