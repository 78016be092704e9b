"""Requests of people: to cancel, finish or dismiss a job, or to run it again as a new one."""

import hashlib
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.daemon.cli.states import entry
from tests.daemon.faults import fill, killed_at, tree
from tests.daemon.queue.world import World
from tests.daemon.world import DaemonWorld, make_settings, run_jobs

from stylewatch_daemon.errors import InputError, OutputError, UsageError
from stylewatch_daemon.outbox.job_files import Input, Spot
from stylewatch_daemon.queue.job_actions import JobActions, settings_for
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.store.journal import Attempt
from stylewatch_daemon.store.ledger import Entry

NEW = "20990101T000000.000000-abcdef"
STEPS = {"steps": 7}


class Actions(World):
    """One job, and what was asked of it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.running, self.ended = set[str](), list[str]()
        self.actions = JobActions(
            self.state,
            self.reporter,
            lambda: make_settings((), self.state.root),
            lambda: self.running,
            lambda job: self.ended.append(job.id),
            lambda: None,
        )

    @property
    def asked(self) -> tuple[str, list[str]]:
        """The wish in the ledger, and the jobs that were ended at once."""
        return self.state.ledger.wish("1"), self.ended


@pytest.fixture
def world(tmp_path: Path) -> Actions:
    return Actions(tmp_path)


def test_a_waiting_job_is_ended_at_once_and_a_running_one_by_its_worker(world: Actions) -> None:
    world.running = {"1"}
    for _ in range(2):
        world.actions.cancel("1")
    assert world.asked == ("cancel", [])
    world.running = set()
    world.actions.cancel("1")
    assert world.asked == ("cancel", ["1"])


@pytest.mark.parametrize("moved", [True, False], ids=["being claimed", "being inspected"])
def test_a_job_that_is_not_queued_yet_keeps_the_wish(moved: bool, world: Actions) -> None:
    world.state.ledger.change("1", state="claimed")
    if moved:
        (world.state.jobs / "1").rename(world.state.claims / "1")
    claimed = world.state.ledger.find("1")
    assert claimed is not None
    world.actions.cancel("1")
    world.state.ledger.enter([claimed])  # as a claim that was cut off is, at the next start
    assert world.asked == ("cancel", [])


def test_a_job_that_has_ended_or_is_not_there_stays_as_it_is(world: Actions) -> None:
    for job in ("2", "job"):  # a name may be that of another job by now
        world.actions.cancel(job)
        world.actions.finish(job)
        world.actions.dismiss([job])
    for state in ("done", "refused", "failed", "cancelled"):
        world.state.ledger.change("1", state=state)
        world.actions.cancel("1")
    assert world.asked == ("", [])


def test_only_a_job_that_was_begun_and_not_cancelled_can_be_finished(world: Actions) -> None:
    world.actions.finish("1")
    assert world.asked == ("", [])
    world.state.ledger.write_attempts("1", (Attempt("2026-01-01T00:00:00+00:00"),))
    world.actions.finish("1")
    assert world.asked == ("finish", [])
    world.running = {"1"}
    world.actions.cancel("1")
    world.actions.finish("1")
    assert world.asked == ("cancel", [])


def test_only_refused_and_failed_jobs_are_dismissed(world: Actions) -> None:
    for state, dismissed in (("queued", False), ("done", False), ("refused", True)):
        world.state.ledger.change("1", state=state)
        for _ in range(2):  # a request may be acted on twice
            world.actions.dismiss(["1"])
        entered = world.state.ledger.find("job")
        assert entered is not None and (entered.state, entered.dismissed) == (state, dismissed)


# -- retries


class Retry(DaemonWorld):
    """An inbox with an album, of which `album/sea` is done."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        fill(self.inbox, "album/sea.jpg", "album/style.jpg")
        self.daemon = self.run()
        (self.first,) = self.state.ledger.latest("done", limit=2)
        content, style = self.first.inputs
        real = hashlib.sha256(b"album/sea.jpg").hexdigest()  # the fake worker reports another
        self.state.ledger.change(self.first.id, inputs=[{**content, "sha256": real}, style])

    def ask(self, new: str = NEW, **more: Any) -> None:
        """Ask for a retry."""
        self.daemon.control.acts["retry"](self.first.id, new, STEPS, **more)

    @property
    def entry(self) -> Entry:
        entry = self.state.ledger.find(NEW)
        assert entry is not None
        return entry

    def check_nothing_is_left(self) -> None:
        assert list(self.state.jobs.iterdir()) == list(self.state.claims.iterdir()) == []
        for _ in range(2):
            self.daemon.scan()
            self.daemon.enter()
        assert self.daemon.next_job() is None


@pytest.fixture
def retry(tmp_path: Path) -> Retry:
    return Retry(tmp_path)


def test_a_job_runs_again_with_other_settings_under_the_same_name(retry: Retry) -> None:
    before = tree(retry.outbox / "album/sea")
    retry.ask()
    retry.ask()
    entered = retry.entry
    assert (entered.state, entered.name, entered.retry_of) == ("queued", "album/sea", "album/sea")
    run_jobs(retry.daemon)
    retry.ask()
    assert retry.state.ledger.counts()["done"] == 2, "repeating the request changes nothing"
    retry.check_nothing_is_left()
    assert (retry.entry.state, retry.entry.place) == ("done", "album/sea-2")
    order = retry.executor.orders[-1]
    assert (order.settings.steps, order.retry_of) == (7, "album/sea")
    assert tree(retry.outbox / "album/sea") == before
    archived = retry.outbox / "album/sea-2/inputs"
    assert yaml.safe_load((archived / "job.yaml").read_text()) == STEPS
    assert set(tree(archived)) == {"sea.jpg", "job.yaml"}, "the album's style is in the inbox"
    assert (retry.inbox / "album/style.jpg").exists()


def test_a_retry_may_start_from_a_stage_under_a_name_that_is_free(retry: Retry) -> None:
    fill(retry.outbox, "album/sea/stages/0005.png", "album/sea/inputs/stage-0005.png")
    content, style = retry.first.inputs
    content = {"role": content["role"], "name": "stage-0005.png", "size": 31}
    retry.state.ledger.change(retry.first.id, inputs=[content, style])
    retry.ask(from_stage=5)
    names = [record["name"] for record in retry.entry.inputs]
    assert names == ["stage-0005.png", "style.jpg", "stage-0005-2.png", "job.yaml"]
    run_jobs(retry.daemon)
    archived = retry.outbox / "album/sea-2/inputs/stage-0005-2.png"
    assert archived.read_text() == "album/sea/stages/0005.png"


def test_only_a_finished_job_is_retried_and_its_id_is_no_path(retry: Retry) -> None:
    for new in ("../../x", "", ".x", "a/b"):
        with pytest.raises(InputError, match="no job's id"):
            retry.ask(new=new)
    retry.state.ledger.change(retry.first.id, state="running")
    with pytest.raises(InputError, match="at its end"):
        retry.ask()


def test_a_picture_that_changes_while_it_is_copied_is_not_used(
    retry: Retry, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = Input.find

    def find_and_change(file: Input) -> Spot:
        spot = find(file)
        spot.path.write_text("another")
        return spot

    monkeypatch.setattr(Input, "find", find_and_change)
    with pytest.raises(InputError, match="changed while it was being copied"):
        retry.ask()
    assert retry.state.ledger.counts()["waiting"] == 0


def test_an_outbox_that_is_away_is_waited_for(retry: Retry) -> None:
    retry.outbox.rename(retry.outbox.with_name("away"))
    with pytest.raises(OutputError, match="is not there"):
        retry.ask()
    retry.outbox.with_name("away").rename(retry.outbox)
    retry.ask()
    assert retry.entry.state == "queued"


def test_killed_at_any_moment_it_becomes_one_job(tmp_path: Path) -> None:
    for change in count(1):
        retry = Retry(tmp_path / str(change))
        before = tree(retry.outbox)
        with killed_at(change) as was_killed:
            retry.ask()
        retry.daemon = retry.start()
        retry.ask()  # the request is still there
        run_jobs(retry.daemon)
        assert retry.state.ledger.counts()["done"] == 2, change
        assert (retry.entry.place, retry.entry.retry_of) == ("album/sea-2", "album/sea"), change
        inputs = tree(retry.outbox / "album/sea-2/inputs")
        inputs.pop("job.yaml")
        assert inputs == {"sea.jpg": "album/sea.jpg"}, change
        after = {name: text for name, text in tree(retry.outbox).items() if "sea-2" not in name}
        after.pop("_status.txt"), before.pop("_status.txt")
        assert after == before, change
        retry.check_nothing_is_left()
        retry.state.close()
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
