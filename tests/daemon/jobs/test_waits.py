"""The order of jobs, and the obstacles for which some of them wait and no others."""

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.clock import Clock
from tests.daemon.world import DaemonWorld

from stylewatch_daemon.base.errors import FullError, MemoryShortError, OutputError, UnavailableError
from stylewatch_daemon.base.model import Cause, Job, State
from stylewatch_daemon.base.wakeup import Pauses
from stylewatch_daemon.files import disks
from stylewatch_daemon.files.atomic import PROBE
from stylewatch_daemon.jobs.lifecycle import MACHINE, Effect, Kind, Obstacle
from stylewatch_daemon.jobs.waits import LEEWAY, PAUSE, Waits

RESERVE = 256 << 20
NO_DEVICE = UnavailableError("no such device")


class Queue(DaemonWorld):
    """Queued jobs of two inboxes; all waits are the longest possible."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, inboxes=("hers", "his"))
        self.queue, self.ledger = self.start().jobs, self.loop.jobs.ledger

    def add(self, job_id: str, inbox: str = "in", outbox: str = "out", **more: Any) -> Job:
        """Queue a job."""
        folders = str(self.root / inbox), str(self.root / outbox)
        job = Job(job_id, job_id, *folders, "then", State.QUEUED, **more)
        self.ledger.put(job)
        return job

    def begin(self, count: int) -> list[str]:
        """Begin the next jobs; return their ids."""
        begun = []
        for _ in range(count):
            if (job := self.queue.next()) is not None:
                self.queue.took_turn(job)
                self.ledger.put(replace(job, state=State.RUNNING))
                begun.append(job.id)
        return begun


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Queue]:
    world = Queue(tmp_path)
    yield world
    world.close()


def test_jobs_run_by_priority_and_inboxes_take_turns(world: Queue) -> None:
    for number in range(6):
        world.add(f"1{number}", "hers", priority=number % 2)
        world.add(f"2{number}", "his", priority=100)
    begun = world.begin(9)
    assert [job[0] for job in begun] == list("121212121")
    assert [job for job in begun if job[0] == "1"] == ["11", "13", "15", "10", "12"]
    for number in range(9):
        world.add(f"3{number}", "in")
    assert sorted(job[0] for job in world.begin(3)) == ["1", "2", "3"], "nothing is owed to it"


def test_an_unlearned_style_is_no_trouble_of_one_job_alone() -> None:
    waits, needs = Waits(Clock()), Obstacle(Kind.NEEDS, "a style")
    outbox = Obstacle(Kind.OUTBOX, "out")
    waits.meet("job", outbox)
    waits.forget(outbox)
    assert waits.meet("job", needs, is_common=True) == needs
    waits.forget(needs)
    assert waits.meet("job", needs) == Obstacle(Kind.JOB, "job")


@pytest.mark.parametrize("begun", range(4))
def test_the_queue_that_people_see_is_the_order_in_which_jobs_begin(
    begun: int, world: Queue
) -> None:
    for number in range(4):
        world.add(f"1{number}", "hers", "out", priority=number % 2)
        world.add(f"2{number}", "his", "far", interruptions=number)
        world.add(f"3{number}", "in", "out" if number % 2 else "far", priority=number)
    world.begin(begun)
    outboxes = world.ledger.outboxes_of_waiting()
    shown, count = world.ledger.waiting(outboxes, 99, world.queue.turns)
    assert count == 12 - begun
    assert world.begin(count) == [*shown]


OTHERS = ["alike", "needs", "needs, outbox", "outbox"]
"""Jobs that have other needs, another outbox, or both."""


@pytest.mark.parametrize(
    ("obstacle", "room", "runs"),
    [
        (NO_DEVICE, 1 << 40, ["needs", "needs, outbox"]),
        (OSError(errno.EMFILE, "Too many open files"), 1 << 40, []),
        (OSError(errno.EIO, "odd"), 1 << 40, OTHERS),
        (OutputError("outbox"), 1 << 40, ["needs, outbox", "outbox"]),
        (OutputError("state"), 1 << 40, []),
        ("a crash", 1 << 40, OTHERS),
        ("out", RESERVE + LEEWAY, OTHERS),
        ("out", RESERVE + LEEWAY - 1, ["needs, outbox", "outbox"]),
        ("state", RESERVE, []),
    ],
)
def test_all_that_depends_on_an_obstacle_waits_and_nothing_else(
    obstacle: Any, room: int, runs: list[str], world: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "free", lambda folder: room)
    if str(obstacle) == "outbox":
        (world.root / "out").write_text("in its place")
    if isinstance(obstacle, OutputError) and str(obstacle) == "state":
        (world.root / "state" / PROBE).mkdir()
    job = world.add("1", needs="gpu")
    for other in OTHERS:
        needs = "cpu" if "needs" in other else "gpu"
        world.add(other, outbox="out2" if "outbox" in other else "out", needs=needs)
    if obstacle == "a crash":
        world.queue.lost(job, Cause.WORKER, "it died", "", None)
    elif isinstance(obstacle, str):
        world.queue.block(job, FullError("the disk is full", world.root / obstacle, RESERVE))
    else:
        world.queue.block(job, obstacle)
    world.loop.wakeup.wait(0)  # the lane of its outbox has found out which disk it is
    assert world.begin(5) == runs
    world.wait(2 * PAUSE.most)
    begun = {*runs}
    while found := world.begin(5):
        begun.update(found)
        for each in filter(None, map(world.ledger.get, found)):
            world.queue.got_past_all(each)
            world.queue.waits.release(each.id)
    assert begun == {job.id, *OTHERS}


def test_nothing_begins_in_an_outbox_while_it_is_found_out_which_disk_is_the_obstacle(
    world: Queue,
) -> None:
    job = world.add("1")
    world.add("2")
    world.add("3", outbox="out2")
    world.queue.block(job, OSError(errno.EIO, "odd"))
    assert world.begin(3) == ["3"]
    world.loop.wakeup.wait(0)
    assert world.begin(3) == ["2"], "it was the trouble of that job alone"


def test_a_job_is_not_begun_while_its_obstacle_is_found_out_whoever_used_its_outbox(
    world: Queue,
) -> None:
    job, other = world.add("1"), world.add("2", outbox="out2")
    world.queue.waits.take(other.id, Obstacle(Kind.OUTBOX, job.outbox))
    world.queue.block(job, OSError(errno.EIO, "odd"))
    world.queue.waits.release(other.id)
    assert world.begin(2) == ["2"]


def test_what_a_job_got_past_holds_it_up_no_more_and_its_own_trouble_is_remembered() -> None:
    clock = Clock()
    waits = Waits(clock)
    own, outbox = Obstacle(Kind.JOB, "1"), Obstacle(Kind.OUTBOX, "/out")
    for each in (own, outbox):
        waits.begin(each)
    clock.now += PAUSE.most
    waits.take("1", own, outbox)
    assert waits.held() == {own, outbox}
    waits.passed("1")
    assert (waits.held(), waits.knows(own), waits.knows(outbox)) == (frozenset(), True, False)


def meet_too_little_memory(world: Queue, *job_ids: str) -> None:
    """Let running jobs find that the memory is not enough for them."""
    for job in filter(None, map(world.ledger.get, job_ids)):
        world.ledger.put(replace(job, state=State.QUEUED))
        world.queue.block(job, MemoryShortError("the memory is not enough"))


def test_too_little_memory_for_one_job_keeps_no_smaller_one_from_beginning(world: Queue) -> None:
    for name in ("large", "larger", "small"):
        world.add(name, needs="gpu")
    begun = []
    for _ in range(6):
        for job_id in world.begin(1):
            begun.append(job_id)
            if job_id != "small":
                meet_too_little_memory(world, job_id)
    assert begun == ["large", "larger", "small"]


def test_jobs_with_trouble_of_their_own_keep_no_other_from_being_tried(world: Queue) -> None:
    for number in "123":
        world.add(number)
    world.add("0", priority=1)
    for tried in ("0", "0", "0"):
        assert world.begin(1) == [tried], "what is urgent is tried first"
        meet_too_little_memory(world, tried)
        world.wait(2 * PAUSE.most)
    world.ledger.delete("0")
    begun = []
    for turn in range(6):
        begun += world.begin(1)
        meet_too_little_memory(world, begun[-1])
        world.wait(2 * PAUSE.most)
        if turn == 3:
            world.add("4")
    assert begun == ["1", "2", "3", "1", "2", "3"]
    assert world.begin(3) == ["1", "4", "2"], "4 entered between the second tries of 1 and 2"


def test_a_try_ends_when_its_folder_does_not_answer_but_for_that_folder() -> None:
    clock = Clock()
    waits, outbox = Waits(clock), Obstacle(Kind.OUTBOX, "/out")
    waits.begin(MACHINE)
    clock.now += PAUSE.most
    waits.take("1", MACHINE, outbox)
    assert waits.held() == {MACHINE, outbox}
    waits.give_up("1", outbox)
    assert waits.held() == {outbox}


def test_a_search_in_an_inbox_holds_up_no_job_of_its_outbox(world: Queue) -> None:
    job = world.add("1", "hers")
    world.add("2", "his")
    world.queue.block(job, OSError(errno.EIO, "odd"), root=world.root / "hers")
    assert world.begin(2) == ["2"]


def test_a_job_that_keeps_failing_does_not_block_the_others(world: Queue) -> None:
    bad, good = world.add("1", needs="gpu"), world.add("2", needs="gpu")
    world.queue.block(bad, NO_DEVICE)
    world.wait(PAUSE.first)
    assert world.begin(2) == ["2"], "another job finds out whether the obstacle is gone"
    world.queue.got_past_all(good)
    world.wait(PAUSE.first)
    assert world.begin(2) == ["1"]
    world.ledger.put(bad)
    world.add("3", needs="gpu")
    world.queue.block(bad, NO_DEVICE)
    assert world.begin(2) == ["3"], "it is the trouble of that job alone"
    world.wait(2 * PAUSE.first)
    assert world.begin(2) == ["1"]


def test_no_list_of_all_obstacles_is_made_for_each_job_that_waits(
    world: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With thousands of jobs whose inputs stay, a round would else take their number squared."""
    lists = list[Any]()

    def listed(*args: Any) -> frozenset[Any]:
        lists.append(args)
        return frozenset()

    for owner, name in ((Pauses, "all"), (Pauses, "held"), (Waits, "held")):
        monkeypatch.setattr(owner, name, listed)
    for number in range(9):
        world.queue.hold(f"{number}", "its disk is away", Effect.DISCARD)
    world.queue.repeat()
    assert (len(world.loop.blocked), lists) == (9, [])
