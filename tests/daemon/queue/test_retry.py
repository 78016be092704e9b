"""A finished job becomes a new one, once, and whatever is killed when."""

from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.daemon.cli.states import entry
from tests.daemon.faults import fill, killed_at, tree
from tests.daemon.world import DaemonWorld, make_inbox, run_jobs

from stylewatch_daemon.errors import InputError, OutputError, UsageError
from stylewatch_daemon.outbox.job_files import Input, Spot
from stylewatch_daemon.queue.job_actions import check_at_end, settings_for
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.store.ledger import Entry

NEW = "20990101T000000.000000-abcdef"
STEPS = {"steps": 7}


class World(DaemonWorld):
    """An inbox with an album, of which `album/sea` is done."""

    def __init__(self, root: Path, after: Any = "archive") -> None:
        super().__init__(root)
        inboxes = (make_inbox(self.inbox, self.outbox, after),)
        vars(self.settings)["inboxes"] = inboxes
        fill(self.inbox, "album/sea.jpg", "album/style.jpg")
        self.daemon = self.run()
        (self.first,) = self.state.ledger.latest("done", limit=2)
        # the fake worker reports no real checksum
        plain = [
            {key: value for key, value in record.items() if key != "sha256"}
            for record in self.first.inputs
        ]
        self.state.ledger.change(self.first.id, inputs=plain)

    def retry(self, job: str = "", new: str = NEW, **more: Any) -> None:
        self.daemon.control.acts["retry"](job or self.first.id, new, STEPS, **more)

    def finish(self) -> None:
        run_jobs(self.daemon)

    def entry(self, job: str = NEW) -> Entry:
        found = self.state.ledger.find(job)
        assert found is not None
        return found

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
    world.finish()
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


def test_inputs_that_are_deleted_cannot_be_retried(tmp_path: Path) -> None:
    world = World(tmp_path, "delete")
    with pytest.raises(InputError, match=r"sea\.jpg"):
        world.retry()
    world.check_nothing_is_left()


def test_a_retry_may_start_from_a_stage_under_a_name_that_is_free(world: World) -> None:
    fill(world.outbox, "album/sea/stages/0005.png", "album/sea/inputs/stage-0005.png")
    content, *others = world.entry(world.first.id).inputs
    content = {**content, "name": "stage-0005.png", "size": 31}
    world.state.ledger.change(world.first.id, inputs=[content, *others])
    world.retry(from_stage=5)
    names = [record["name"] for record in world.entry().inputs]
    assert names == ["stage-0005.png", "style.jpg", "stage-0005-2.png", "job.yaml"]
    world.finish()
    init = world.executor.orders[-1].init
    assert init is not None and init.name == "stage-0005-2.png"
    archived = world.outbox / "album/sea-2/inputs" / init.name
    assert archived.read_text() == "album/sea/stages/0005.png"


def test_only_a_finished_job_is_retried_and_its_id_is_no_path(world: World) -> None:
    for new in ("../../x", "", ".x", "a/b"):
        with pytest.raises(InputError, match="no job's id"):
            world.retry(new=new)
    world.state.ledger.change(world.first.id, state="running")
    with pytest.raises(InputError, match="at its end"):
        world.retry()
    check_at_end(entry("sea", "failed"))
    with pytest.raises(UsageError, match="not at its end yet"):
        check_at_end(entry("sea", "running"))


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


def test_an_outbox_that_is_away_or_a_full_ledger_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OutputError("the disk is full")

    world.outbox.rename(world.outbox.with_name("away"))
    with pytest.raises(OutputError, match="is not there"):
        world.retry()
    world.outbox.with_name("away").rename(world.outbox)
    with monkeypatch.context() as patch:
        patch.setattr(world.state.ledger, "enter", full)
        with pytest.raises(OutputError):
            world.retry()
    world.retry()
    world.finish()
    assert (world.entry().state, world.entry().retry_of) == ("done", "album/sea")


def test_killed_at_any_moment_it_becomes_one_job(tmp_path: Path) -> None:
    for change in count(1):
        world = World(tmp_path / str(change))
        before = tree(world.outbox)
        with killed_at(change) as was_killed:
            world.retry()
        world.daemon = world.start()
        world.retry()  # the request is still there
        world.finish()
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


HAD = {"backend": "sketch", "steps": 9, "seed": 7}
NEVER_BEGUN = ({"role": "content", "name": "a.jpg", "size": 1},
               {"role": "style", "name": "b.jpg", "size": 1})  # fmt: skip


def test_a_job_keeps_the_settings_it_had_except_those_that_are_asked_for_now() -> None:
    wanted = settings_for(entry("sea", settings=HAD), Config(), {"job.seed": 8}, None)
    assert (wanted["steps"], wanted["seed"], wanted["backend"]) == (9, 8, "sketch")
    wanted = settings_for(entry("sea", inputs=NEVER_BEGUN), Config(), {}, None)
    assert wanted["recipe"] == Config().job.recipe
    had = {**HAD, "from_step": 100, "steps": 999}
    wanted = settings_for(entry("sea", settings=had), Config(), {}, 5)
    assert (wanted["init"], wanted["from_step"]) == ("picture", 105)


@pytest.mark.parametrize(
    ("had", "overrides", "from_stage", "reason"),
    [
        (HAD, {"job.init": "noise"}, 5, "where to start"),
        (HAD, {}, 999_999, "nothing to do"),
        ({"long_gone": 1}, {}, None, "drop the pair again"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    had: dict[str, Any], overrides: dict[str, Any], from_stage: int | None, reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        settings_for(entry("sea", settings=had), Config(), overrides, from_stage)
