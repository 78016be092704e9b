"""From inbox to queue: pairs are claimed in turn, inspected, and taken once."""

import errno
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import failing, fill, place_of, replaced, tree
from tests.daemon.world import (
    DaemonWorld,
    MoverNow,
    claiming_world,
    run_jobs,
    scan,
)

from stylewatch_daemon.base.errors import ShortageError
from stylewatch_daemon.files import safe_dirs
from stylewatch_daemon.intake import claim as claiming
from stylewatch_daemon.intake import intake
from stylewatch_daemon.intake.intake import AHEAD, REMOVE_EVERY_S
from stylewatch_daemon.ledger.writer import Kept
from stylewatch_daemon.worker.messages import Refused

BROKEN = OSError(errno.EIO, "Input/output error")


@pytest.fixture
def world(tmp_path: Path) -> DaemonWorld:
    return claiming_world(tmp_path)


# -- claiming


def test_a_claimed_job_queues_once_it_is_inspected_which_a_start_repeats(
    world: DaemonWorld,
) -> None:
    fill(world.inbox, "a/init.png", "a/content.mask.png")
    (world.inbox / "a/job.yaml").write_text("priority: 7")
    world.drop("a")
    world.inspector.silent = True
    assert world.work() == ["a"]
    assert (world.loop.intake.is_claiming, world.waiting_for) == (True, {})
    (question,) = world.inspector.asked
    assert question.roles == ("content", "style", "init", "content-mask")
    assert question.max_pixels == world.settings.limits.max_pixels
    assert question.thumbs == world.state.thumbs
    assert (world.work(), world.states) == ([], {"a": "claimed"})
    world.start()
    assert world.work() == ["a"], "it is said again after a start"
    job = world.job("a")
    assert (job.state, job.priority, world.loop.intake.is_claiming) == ("queued", 7, False)
    inputs = [(file.name, file.pixels, len(file.sha256)) for file in job.inputs[:2]]
    assert inputs == [("content.jpg", (4, 4), 64), ("style.jpg", (4, 4), 64)]


@pytest.mark.parametrize("is_completed", [False, True])
def test_a_refused_picture_is_inspected_once_more_a_bit_later_and_holds_up_no_other(
    is_completed: bool, tmp_path: Path
) -> None:
    """Whoever wrote it may have renamed it before the end was written."""
    world = claiming_world(tmp_path, quiet_s=2)
    world.inspector.says["bad"] = "it cannot be decoded"
    world.drop("bad", "good")
    world.loop.scan()
    world.wait(2)
    assert sorted(world.work()) == ["bad", "good"]
    assert world.states == {"bad": "claimed", "good": "queued"}
    world.work()
    assert len(world.inspector.asked) == 2
    if is_completed:
        fill(world.state.files(world.job("bad").id), "content.jpg", "style.jpg")
    world.wait(2)
    world.work()
    assert world.states == {"bad": "queued" if is_completed else "refused", "good": "queued"}
    assert len(world.inspector.asked) == 3


@pytest.mark.parametrize("after", ["archive", "delete"])
def test_each_of_the_jobs_of_one_photograph_publishes_it_with_its_mask(
    after: str, tmp_path: Path
) -> None:
    world = DaemonWorld(tmp_path, after, styles=tmp_path / "styles", default_style="all")
    files = ["sea.jpg", "sea.mask.png"]
    fill(world.inbox, *files)
    fill(tmp_path / "styles", "dawn.jpg", "night.jpg", "wave.jpg")
    world.executor.endings = [Refused("no")]
    world.run()
    published = {path for path, text in world.published.items() if text in files}
    archived = ["sea-night/inputs", "sea-wave/inputs"] if after == "archive" else []
    assert published == {f"{p}/{f}" for p in ["_refused/sea-dawn", *archived] for f in files}
    assert tree(world.inbox) == {}


def test_few_jobs_are_claimed_at_a_time_and_a_lone_picture_is_not_behind_many(
    world: DaemonWorld,
) -> None:
    def names() -> list[str]:
        by_id = {job.id: job.name for job in world.jobs}
        return sorted(by_id[question.files[0].parts[-3]] for question in world.inspector.asked)

    many = [f"{number:03}" for number in range(2 * AHEAD + 1)]
    world.drop(*many)
    world.drop("lone", inbox="other")
    world.inspector.silent = True
    world.work()
    assert names() == [*many[:AHEAD], "lone"]
    assert len(world.held) == AHEAD + 1
    world.drop("late")
    world.work()
    world.loop.wakeup.scan_requested = False
    world.inspector.silent = False
    run_jobs(world.loop)
    assert world.states == dict.fromkeys([*many, "lone"], "queued")
    assert world.loop.wakeup.scan_requested, "there was none while pairs were to be claimed"
    assert world.work() == ["late"]


def test_a_pair_is_claimed_once_its_files_have_their_end_or_their_time_is_over(
    world: DaemonWorld,
) -> None:
    world.drop("a", "b")
    for name in ("a", "b"):
        (world.inbox / name / "content.jpg").write_bytes(bytes(40))
    (world.inbox / "a/job.yaml").touch()  # which may be empty
    waits_for = "the rest of content.jpg: it ends too early, and may still be arriving"
    for _ in range(2):
        assert (world.work(), world.states) == ([], {})
        assert world.waiting_for == {"a": waits_for, "b": waits_for}
        assert not world.loop.intake.is_final
    (world.inbox / "a/content.jpg").write_text("longer than it was before")
    assert (world.work(), world.states) == (["a"], {"a": "queued"})
    world.wait(world.settings.watch.truncated_s)
    assert world.work() == ["b"]


# -- inputs that stay in the inbox


def uppercase(path: Path) -> None:
    """Change a file without changing its size."""
    path.write_text(path.read_text().upper())
    os.utime(path, ns=(1, 1))


KEPT: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "nothing": (lambda path: None, []),
    "its time": (lambda path: os.utime(path, ns=(1, 1)), []),
    "its bytes": (uppercase, ["al/2"]),
    "its name": (lambda path: path.rename(path.with_name("4.jpg")), ["al/4"]),
    "a mask is new": (lambda path: fill(path.parent, "2.mask.png"), ["al/2"]),
}


@pytest.mark.parametrize(("change", "again"), KEPT.values(), ids=KEPT)
def test_a_kept_album_is_not_taken_again_and_what_changed_in_it_is(
    change: Callable[[Path], object], again: list[str], tmp_path: Path
) -> None:
    world = claiming_world(tmp_path, after="keep")
    fill(world.inbox, "al/style.jpg", "al/1.jpg", "al/2.jpg", "al/3.jpg")
    assert sorted(world.work()) == ["al/1", "al/2", "al/3"]
    change(world.inbox / "al/2.jpg")
    world.start()
    assert world.work() + world.work() + world.work() == again
    assert len(world.jobs) == 3 + len(again)
    assert len(tree(world.inbox)) >= 4 and world.waiting_for == {}


def test_a_file_whose_time_changed_is_hashed_once_at_a_time(tmp_path: Path) -> None:
    world = claiming_world(tmp_path, after="keep")
    world.drop("a")
    world.work()
    os.utime(world.inbox / "a/content.jpg", ns=(1, 1))
    begun: list[object] = []
    with replaced(MoverNow, do=lambda mover, work, *_: begun.append(work)):
        for _ in range(3):
            scan(world.loop)
    assert len(begun) == 1


@pytest.mark.parametrize("after", ["keep", "archive"])
def test_a_pair_that_is_canceled_while_it_is_claimed_is_not_taken_again(
    after: str, tmp_path: Path
) -> None:
    world = claiming_world(tmp_path, after)
    world.drop("a")
    world.inspector.silent = True
    with world.apart():
        world.work()
        world.ask("cancel", "a")
        run_jobs(world.loop)
        world.inspector.silent = False
        run_jobs(world.loop)
        for _ in range(2):
            assert (world.states, world.work()) == ({"a": "canceled"}, [])
            assert (world.inbox / "a").exists() == (after == "keep")
            world.start()


def test_a_job_whose_inspection_is_blocked_is_canceled_at_once(world: DaemonWorld) -> None:
    world.drop("a")
    with world.apart(), replaced(intake, resolve=failing(BROKEN)):
        world.work()
        assert (world.states, list(world.trouble)) == ({"a": "claimed"}, ["a"])
        world.ask("cancel", "a")
        run_jobs(world.loop)
        assert (world.states, world.trouble) == ({"a": "canceled"}, {})


# -- originals


def read_only(folder: Path) -> AbstractContextManager[None]:
    """Let no file below `folder` be removed."""

    def refuse(path: Any, **more: Any) -> None:
        if "dir_fd" in more and folder in (place_of(more["dir_fd"]) / path).parents:
            raise OSError(errno.EROFS, "Read-only file system")
        unlink(path, **more)

    unlink = os.unlink
    return replaced(os, unlink=refuse)


def test_a_pair_in_a_read_only_inbox_is_painted_once_and_removed_when_that_is_possible(
    world: DaemonWorld,
) -> None:
    world.executor.at_once = 1
    world.drop("a", "b")
    with world.apart():
        with read_only(world.inbox):
            world.run()
            assert world.states == {"a": "done", "b": "done"}
            for _ in range(2):
                assert world.work() == []
                assert f"Notes:\n  {world.inbox}: originals cannot be removed" in world.status
                assert world.trouble == {}
                said = [what for what, reason in world.record.of("waits") if "originals" in reason]
                assert said == [str(world.inbox)], "once for each start"
                world.run()
        world.work()
        assert len(tree(world.inbox)) == 4, "not tried all the time"
        (world.inbox / "b/content.jpg").write_text("a new photograph")
        world.wait(REMOVE_EVERY_S)
        assert world.work() + world.work() == ["b"]
    assert (tree(world.inbox), "originals" in world.status) == ({}, False)
    assert world.loop.jobs.ledger.doomed() == []
    assert (world.outbox / "b-2/inputs/content.jpg").read_text() == "a new photograph"


def test_originals_that_cannot_be_looked_at_are_not_taken_for_gone(world: DaemonWorld) -> None:
    away = OSError(errno.ENOTCONN, "Transport endpoint is not connected")
    world.executor.at_once = 1
    with world.apart():
        world.started("a")
        real = claiming.remove_originals

        def remove(kept: Kept) -> frozenset[str]:
            with replaced(safe_dirs, opened=failing(away)):
                return real(kept)

        with replaced(claiming, remove_originals=remove):
            run_jobs(world.loop)
        assert "originals cannot be removed" in world.status
        world.wait(REMOVE_EVERY_S)
        assert (world.work(), world.states) == ([], {"a": "done"})
    assert (tree(world.inbox), "originals" in world.status) == ({}, False)


def test_pairs_are_claimed_once_no_job_waits_for_the_obstacle(world: DaemonWorld) -> None:
    world.executor.at_once = 1
    vars(world.executor)["submit"] = failing(ShortageError("out of file descriptors"))
    run_jobs(world.started("a"))
    world.drop("b")
    assert (world.work(), list(world.trouble)) == ([], ["a"])
    world.ask("cancel", "a")
    run_jobs(world.loop)
    world.wait(REMOVE_EVERY_S)
    world.work()
    assert world.states == {"a": "canceled", "b": "queued"}
