"""Retention: old stages, inputs and jobs go once a day, and nothing that others changed."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill, tree
from tests.daemon.world import DaemonWorld, changed_settings, done, run_jobs

from stylewatch_daemon.app.loop import Loop
from stylewatch_daemon.ledger.ledger import reading
from stylewatch_daemon.ledger.writer import LedgerWriter


class Kept(DaemonWorld):
    """The jobs `old` and `new` ended six and four days ago."""

    def __init__(self, root: Path, retention: dict[str, Any]) -> None:
        super().__init__(root)
        run_jobs(self.started("old", "new"))
        self.close()
        with closing(LedgerWriter.open(self.state.ledger)) as ledger:
            for name, days in (("old", 6), ("new", 4)):
                ended = datetime.now(UTC) - timedelta(days=days)
                ledger.put(replace(self.job(name), finished=ended.isoformat(timespec="seconds")))
        section = self.settings.retention.model_copy(update=retention)
        self.settings = changed_settings(self.settings, retention=section)

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
