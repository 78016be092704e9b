"""A finished job becomes a new one, once, and whatever is killed when."""

import hashlib
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.daemon.cli.states import entry
from tests.daemon.faults import fill, killed_at, tree
from tests.daemon.world import DaemonWorld, run_jobs

from stylewatch_daemon.errors import InputError, OutputError, UsageError
from stylewatch_daemon.outbox.job_files import Input, Spot
from stylewatch_daemon.queue.job_actions import settings_for
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.store.ledger import Entry

NEW = "20990101T000000.000000-abcdef"
STEPS = {"steps": 7}


class World(DaemonWorld):
    """An inbox with an album, of which `album/sea` is done."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        fill(self.inbox, "album/sea.jpg", "album/style.jpg")
        self.daemon = self.run()
        (self.first,) = self.state.ledger.latest("done", limit=2)
        content, style = self.first.inputs
        real = hashlib.sha256(b"album/sea.jpg").hexdigest()  # the fake worker reports another
        self.state.ledger.change(self.first.id, inputs=[{**content, "sha256": real}, style])

    def retry(self, new: str = NEW, **more: Any) -> None:
        self.daemon.control.acts["retry"](self.first.id, new, STEPS, **more)

    def entry(self, job: str = NEW) -> Entry:
        entry = self.state.ledger.find(job)
        assert entry is not None
        return entry

    def check_nothing_is_left(self) -> None:
        assert list(self.state.jobs.iterdir()) == list(self.state.claims.iterdir()) == []
        for _ in range(2):
            self.daemon.scan()
            self.daemon.enter()
        assert self.daemon.next_job() is None


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_job_runs_again_with_other_settings_under_the_same_name(world: World) -> None:
    before = tree(world.outbox / "album/sea")
    world.retry()
    world.retry()
    entered = world.entry()
    assert (entered.state, entered.name, entered.retry_of) == ("queued", "album/sea", "album/sea")
    run_jobs(world.daemon)
    world.retry()
    assert world.state.ledger.counts()["done"] == 2, "repeating the request changes nothing"
    world.check_nothing_is_left()
    assert (world.entry().state, world.entry().place) == ("done", "album/sea-2")
    order = world.executor.orders[-1]
    assert (order.settings.steps, order.retry_of) == (7, "album/sea")
    assert tree(world.outbox / "album/sea") == before
    archived = world.outbox / "album/sea-2/inputs"
    assert yaml.safe_load((archived / "job.yaml").read_text()) == STEPS
    assert set(tree(archived)) == {"sea.jpg", "job.yaml"}, "the album's style is in the inbox"
    assert (world.inbox / "album/style.jpg").exists()


def test_a_retry_may_start_from_a_stage_under_a_name_that_is_free(world: World) -> None:
    fill(world.outbox, "album/sea/stages/0005.png", "album/sea/inputs/stage-0005.png")
    content, style = world.first.inputs
    content = {"role": content["role"], "name": "stage-0005.png", "size": 31}
    world.state.ledger.change(world.first.id, inputs=[content, style])
    world.retry(from_stage=5)
    names = [record["name"] for record in world.entry().inputs]
    assert names == ["stage-0005.png", "style.jpg", "stage-0005-2.png", "job.yaml"]
    run_jobs(world.daemon)
    archived = world.outbox / "album/sea-2/inputs/stage-0005-2.png"
    assert archived.read_text() == "album/sea/stages/0005.png"


def test_only_a_finished_job_is_retried_and_its_id_is_no_path(world: World) -> None:
    for new in ("../../x", "", ".x", "a/b"):
        with pytest.raises(InputError, match="no job's id"):
            world.retry(new=new)
    world.state.ledger.change(world.first.id, state="running")
    with pytest.raises(InputError, match="at its end"):
        world.retry()


def test_a_picture_that_changes_while_it_is_copied_is_not_used(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = Input.find

    def find_and_change(file: Input) -> Spot:
        spot = find(file)
        spot.path.write_text("another")
        return spot

    monkeypatch.setattr(Input, "find", find_and_change)
    with pytest.raises(InputError, match="changed while it was being copied"):
        world.retry()
    assert world.state.ledger.counts()["waiting"] == 0


def test_an_outbox_that_is_away_is_waited_for(world: World) -> None:
    world.outbox.rename(world.outbox.with_name("away"))
    with pytest.raises(OutputError, match="is not there"):
        world.retry()
    world.outbox.with_name("away").rename(world.outbox)
    world.retry()
    assert world.entry().state == "queued"


def test_killed_at_any_moment_it_becomes_one_job(tmp_path: Path) -> None:
    for change in count(1):
        world = World(tmp_path / str(change))
        before = tree(world.outbox)
        with killed_at(change) as was_killed:
            world.retry()
        world.daemon = world.start()
        world.retry()  # the request is still there
        run_jobs(world.daemon)
        assert world.state.ledger.counts()["done"] == 2, change
        assert (world.entry().place, world.entry().retry_of) == ("album/sea-2", "album/sea"), change
        inputs = tree(world.outbox / "album/sea-2/inputs")
        inputs.pop("job.yaml")
        assert inputs == {"sea.jpg": "album/sea.jpg"}, change
        after = {name: text for name, text in tree(world.outbox).items() if "sea-2" not in name}
        after.pop("_status.txt"), before.pop("_status.txt")
        assert after == before, change
        world.check_nothing_is_left()
        world.state.close()
        if not was_killed():
            break


def test_a_job_keeps_the_settings_it_had_except_those_that_are_asked_for_now() -> None:
    had = entry("sea", settings={"steps": 999, "from_step": 100, "seed": 7})
    wanted = settings_for(had, Config(), {"job.seed": 8}, 5)
    assert (wanted["steps"], wanted["seed"]) == (999, 8)
    assert (wanted["init"], wanted["from_step"]) == ("picture", 105)
    with pytest.raises(UsageError, match="nothing to do"):
        settings_for(had, Config(), {}, 999_999)
    with pytest.raises(UsageError, match="where to start"):
        settings_for(had, Config(), {"job.init": "noise"}, 5)
