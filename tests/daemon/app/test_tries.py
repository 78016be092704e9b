"""A photograph in every style: jobs yield for it and lose nothing; it ends with its page."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.app.test_hours import begin
from tests.daemon.app.test_loop import World
from tests.daemon.faults import failing, fill, tree
from tests.daemon.world import CRASH, DaemonWorld, changed_settings, done, run_jobs, step

from stylewatch_daemon.app.tries import (
    AHEAD,
    ALIVE,
    BUSY,
    PAUSED_FOR,
    RESULT,
    SILENT_S,
    STALE_S,
    VERB,
)
from stylewatch_daemon.base.errors import FullError, ShortageError
from stylewatch_daemon.client import status_json
from stylewatch_daemon.files import disks
from stylewatch_daemon.ledger import requests
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.worker.messages import Order

FIRST, SECOND = "1" * 32, "2" * 32


@pytest.fixture
def world(tmp_path: Path) -> World:
    fill(tmp_path / "styles", "night.jpg", "wave.jpg", "mill.jpg")
    return World(tmp_path)


def ask(world: DaemonWorld, name: str = FIRST, *styles: str) -> None:
    """Let the page leave a photograph to be tried, or ask for more styles of it."""
    fill(world.state.tries / name, "content.jpg", ALIVE)
    paths = {style: str(world.root / f"styles/{style}.jpg") for style in styles or ("night",)}
    settings = JobSettings().model_dump(mode="json")
    more = {"content": "content.jpg", "settings": settings, "styles": paths}
    requests.leave(world.state.root, VERB, name=name, **more)


def run(world: World) -> None:
    """Paint all previews, and then all jobs."""
    for _ in range(60):
        step(world.loop)
    assert not world.executor.going
    run_jobs(world.loop)


def copy(world: World) -> None:
    """Take the requests, and copy the styles, before a worker makes another step."""
    world.loop.commands.act()
    for _ in range(3):
        world.loop.wakeup.wait(0)


def result(world: World, name: str = FIRST) -> Any:
    return json.loads((world.state.tries / name / RESULT).read_text())


def shown(world: World) -> dict[str, bool | str]:
    """Say of each preview whether it is done, or why it cannot be."""
    return {each["name"]: each["reason"] or each["done"] for each in result(world)["previews"]}


def test_a_running_job_yields_and_goes_on_to_the_same_bytes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies, submit = list[bytes](), world.executor.submit

    def note(ticket: str, order: Order) -> None:
        copies.append(order.styles[0].read_bytes())
        submit(ticket, order)

    monkeypatch.setattr(world.executor, "submit", note)
    world.started("a", "b")
    begin(world)
    ask(world, FIRST, "night", "wave")
    copy(world)
    seen = set[str]()
    for _ in range(18):
        step(world.loop)
        world.loop.update_status(leaving=False)
        seen.add(status_json.read(world.state.root)["health"]["condition"])
        if world.loop.tries.in_work:
            assert len(world.executor.going) <= 1
    assert "trying" in seen
    run(world)
    assert shown(world) == {"night": True, "wave": True}
    ask(world, FIRST, "wave", "mill")
    run(world)
    assert shown(world) == {"night": True, "wave": True, "mill": True}
    assert tree(world.outbox).items() >= done("a", "b").items()
    first = world.executor.orders[0].name
    assert world.executor.orders[3].name == first and world.executor.started_at[3] == 1
    painted = [order.styles[0] for order in world.executor.orders[1:3]]
    assert [path.parent for path in painted] == [world.state.tries / FIRST / "1",
                                                 world.state.tries / FIRST / "2"]  # fmt: skip
    library = [(world.root / f"styles/{name}.jpg").read_bytes() for name in ("night", "wave")]
    assert copies[1:3] == library and not any(path.exists() for path in painted), "its own copies"
    assert [attempt.reason for attempt in world.attempts(first)] == [PAUSED_FOR, ""]
    assert world.job(first).faults == world.job(first).interruptions == 0


def test_a_job_that_is_canceled_while_it_yields_was_not_paused(world: World) -> None:
    world.started("a")
    begin(world)
    ask(world)
    copy(world)
    world.loop.tries.go_on()
    (job,) = world.executor.orders
    world.ask("cancel", "a")
    run(world)
    assert world.executor.orders[1].name == VERB, "it had yielded"
    assert [attempt.reason for attempt in world.attempts(job.name)] == [""]


def test_few_styles_are_copied_ahead_and_none_that_the_disk_has_no_room_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.start()
    world.executor.at_once = 0  # no worker is free
    ask(world, FIRST, "night", "wave", "mill")
    for _ in range(9):
        step(world.loop)
    copied = [*(world.state.tries / FIRST).glob("*/style.jpg")]
    assert len(copied) == AHEAD
    full = failing(FullError("it is full", world.root, 0))
    monkeypatch.setattr(disks, "check", full)
    world.executor.at_once = 1
    run(world)
    assert shown(world) == {"night": True, "wave": True, "mill": "it is full"}


def test_jobs_go_on_while_the_library_hangs_and_yield_once_for_all_previews(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.started("a", "b")
    begin(world)
    lanes, held = world.loop.jobs.lanes, list[Callable[[], None]]()
    do = lanes.do

    def slowly(root: Path, work: Any, done: Any, size: int = 0) -> None:
        if root == world.root / "styles":
            held.append(lambda: do(root, work, done, size))
        else:
            do(root, work, done, size)

    monkeypatch.setattr(lanes, "do", slowly)
    ask(world, FIRST, "night", "wave")
    copy(world)
    world.loop.tries.go_on()
    assert held and not world.executor.wanted, "no job waits for the library (law 9)"
    for _ in range(2):
        held.pop()()
        world.loop.wakeup.wait(0)
    run(world)
    assert shown(world) == {"night": True, "wave": True}
    names = [order.name for order in world.executor.orders]
    assert names[1:3] == [VERB, VERB] and names.count(names[0]) == 2, "it was stopped once"
    assert tree(world.outbox).items() >= done("a", "b").items()


def test_a_try_that_ends_while_a_style_is_copied_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.start()
    lanes, held = world.loop.jobs.lanes, list[Callable[[], None]]()
    do = lanes.do
    monkeypatch.setattr(lanes, "do", lambda *words: held.append(lambda: do(*words)))
    ask(world)
    step(world.loop)
    monkeypatch.setattr(lanes, "do", do)
    (world.state.tries / FIRST / ALIVE).unlink()
    step(world.loop)
    assert held and not world.loop.tries.is_open
    held.pop()()
    run(world)
    assert not any(world.state.tries.iterdir()) and not world.executor.orders


def test_a_try_ends_with_its_page_at_once_or_when_it_is_silent(world: World) -> None:
    world.start()
    folder = world.state.tries / FIRST
    for is_in_work in (False, True):
        for is_closed in (False, True):
            ask(world)
            step(world.loop) if is_in_work else run(world)
            world.wait(SILENT_S)
            step(world.loop)
            assert world.loop.tries.is_open
            if is_closed:
                (folder / ALIVE).unlink()
            world.wait(1)
            run(world)
            assert not world.loop.tries.is_open and not world.executor.going
            assert not folder.exists()
    world.drop("a")
    world.work()
    assert world.counts == {"done": 1}, "no worker is kept for it"


def test_one_photograph_is_tried_at_a_time(world: World) -> None:
    world.start()
    ask(world)
    step(world.loop)
    ask(world, SECOND)
    step(world.loop)
    assert result(world, SECOND) == {"reason": BUSY}
    run(world)
    assert shown(world) == {"night": True}
    ask(world, SECOND)
    run(world)
    assert result(world, SECOND)["previews"][0]["done"]
    assert [path.name for path in world.state.tries.iterdir()] == [SECOND]


def test_nothing_of_a_try_outlives_the_daemon(world: World) -> None:
    world.started("a")
    ask(world)
    step(world.loop)
    world.loop.stop()
    ask(world, SECOND)
    world.run()
    assert not any(world.state.tries.iterdir()), "its page asks again"
    assert world.counts == {"done": 1} and not world.loop.tries.is_open


def test_what_the_page_could_not_remove_goes_with_the_next_try(world: World) -> None:
    """Ages are those of the clock of the disk, which may be hours behind."""
    world.start()
    tries, now = world.state.tries, time.time() - 9 * 3600
    fill(tries / "old", "content.jpg")
    fill(tries / "new", "content.jpg")
    ask(world)
    for name, age in (("old", STALE_S + 9), ("new", STALE_S - 9), (FIRST, 0)):
        for path in (*(tries / name).iterdir(), tries / name):
            os.utime(path, (now - age, now - age))
    run(world)
    assert {path.name for path in tries.iterdir()} == {"new", FIRST}
    assert shown(world) == {"night": True}


def test_a_preview_that_fails_says_why_and_the_others_are_painted(world: World) -> None:
    world.start()
    world.executor.endings = [CRASH]
    ask(world, FIRST, "night", "wave", "mill")
    (world.state.tries / FIRST / "2").write_text("a file in its way")
    run(world)
    reasons = shown(world)
    assert reasons["night"] == "it broke" and reasons["mill"] is True
    assert "Not a directory" in str(reasons["wave"])


def test_previews_wait_while_paused_and_need_an_executor_on_this_machine(world: World) -> None:
    world.start()
    world.ask("pause")
    ask(world)
    run_jobs(world.loop)
    assert shown(world) == {"night": False}
    world.ask("resume")
    run(world)
    assert shown(world) == {"night": True}
    world.settings = changed_settings(world.settings, cluster={})
    world.start()
    ask(world)
    run(world)
    assert "executor" in result(world)["reason"]


def test_a_preview_says_that_no_thread_is_left_for_it_and_the_next_one_is_tried(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = failing(ShortageError("no thread is left"), 1, world.executor.submit)
    monkeypatch.setattr(world.executor, "submit", short)
    world.start()
    ask(world, FIRST, "night", "wave")
    run(world)
    assert shown(world) == {"night": "no thread is left", "wave": True}
