"""What people ask of a job is written down, and done at once where the job waits."""

from pathlib import Path

import pytest
from tests.daemon.queue.world import World
from tests.daemon.world import make_settings

from stylewatch_daemon.queue.job_actions import JobActions
from stylewatch_daemon.store.journal import Attempt


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
    world.actions.cancel("1")
    entered = world.state.ledger.find("1")
    assert entered is not None
    world.state.ledger.enter([entered])
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
