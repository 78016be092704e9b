"""Styles are learned for the jobs that wait for them, in a process of its own, if the owner allows.

The processes are real; what they call in place of a backend's function is here.
"""

import errno
import logging
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from tests.daemon.app import test_tries
from tests.daemon.faults import fill
from tests.daemon.world import DaemonWorld, FakeExecutor, changed_settings, run_jobs, scan, step

from stylewatch_daemon.app import learner, learning_main
from stylewatch_daemon.app.learner import LOOK_S, MOST_PHOTOGRAPHS, SILENT_S, STEADY_S
from stylewatch_daemon.app.learning_main import Learned, NotLearned, Report
from stylewatch_daemon.base import child
from stylewatch_daemon.base.errors import LockedError
from stylewatch_daemon.base.model import Cause
from stylewatch_daemon.client import status_json
from stylewatch_daemon.worker.messages import AttemptRequest, Event, Failed, Order
from stylewatch_painter import installed
from stylewatch_painter.errors import PictureError
from stylewatch_plugins.learning import LearnRequest


class Unlearned(FakeExecutor):
    """Cannot paint jobs with `learn: true` until the style is learned, which `state` shows."""

    state = Path()

    def paint(self, order: Order, wanted: Callable[[], AttemptRequest]) -> Iterator[Event]:
        if order.settings.learn and not (self.state / "done").exists():
            self.orders.append(order)
            yield Failed("waves is not learned", Cause.LEARNING)
        else:
            yield from super().paint(order, wanted)


def slow(pipe: Connection, backend: str, wanted: LearnRequest) -> None:
    """Report what was given; go on once the test says so by a file beside the style."""
    counts = f"{len(wanted.styles)}, {len(wanted.photographs)}"
    child.send(pipe, Report(f"{backend}, {counts}, {wanted.minutes:g}"))
    (style,) = wanted.styles
    (style.parents[3] / "pid").write_text(str(os.getpid()))
    while not (style.parents[3] / "learned").exists():
        time.sleep(0.01)
    how = (style.parents[3] / "learned").read_text()
    if how == "dies":
        os._exit(3)
    if how == "never":
        child.send(pipe, NotLearned("waves is too narrow", is_final=True))
        return
    (style.parents[3] / "done").touch()
    child.send(pipe, Learned())


def world_of(root: Path, photographs: int = 3, minutes: float = 2.0) -> DaemonWorld:
    """Return a world with an album that has to be learned; all its jobs wait."""
    world = DaemonWorld(root, learn_minutes=minutes)
    fill(world.inbox / "album", "style.jpg", *(f"{number}.jpg" for number in range(photographs)))
    (world.inbox / "album/job.yaml").write_text("learn: true\n")
    world.executor = Unlearned()
    world.executor.state = world.state.root
    scan(world.start())
    run_jobs(world.loop, again=False)
    assert not world.trouble, "it will be learned"
    world.wait(LOOK_S)
    step(world.loop)
    return world


@pytest.fixture(autouse=True)
def _slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner, "LEARN", f"{__name__}:slow")


def until(world: DaemonWorld, holds: Callable[[], bool]) -> None:
    """Let rounds pass until something holds, for ten seconds at most."""
    end = time.monotonic() + 10
    while not holds() and time.monotonic() < end:
        world.wait(1)
        step(world.loop)
        time.sleep(0.005)
    assert holds()


def has_begun(world: DaemonWorld) -> bool:
    return "learned, 1," in "".join(world.loop.learner.told)


def learning_world(root: Path) -> DaemonWorld:
    """Return a world with an album of three photographs whose style is learned now."""
    world = world_of(root)
    world.wait(STEADY_S)
    until(world, partial(has_begun, world))
    return world


def test_an_album_is_learned_once_and_then_painted(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    assert set(world.states.values()) == {"queued"}
    assert world.loop.learner.in_work
    assert len(world.attempts("album/0")) == 1 and not world.job("album/0").faults
    tried = len(world.executor.orders)
    world.wait(STEADY_S)
    until(world, partial(has_begun, world))
    (told,) = world.loop.learner.told
    assert told == "style.jpg, for which 3 photographs wait: learned, 1, 3, 2"
    world.loop.update_status()
    assert "Learning:\n  style.jpg, for which" in world.status
    assert status_json.read(world.state.root)["health"]["condition"] == "learning"
    assert len(world.executor.orders) == tried, "nobody tries meanwhile"
    (world.state.root / "learned").touch()
    until(world, lambda: not world.loop.learner.in_work)
    run_jobs(world.loop)
    assert world.states == {f"album/{number}": "done" for number in range(3)}
    assert not world.loop.learner.told and not world.loop.attempts.lent
    fill(world.inbox / "album", "later.jpg")
    world.work()
    assert world.states["album/later"] == "done"


def test_it_waits_for_more_photographs_while_an_album_grows(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    for number in range(3, MOST_PHOTOGRAPHS):
        assert "it begins soon" in world.loop.learner.told[0]
        fill(world.inbox / "album", f"{number}.jpg")
        world.wait(STEADY_S / 2)
        scan(world.loop)
        run_jobs(world.loop, again=False)
    until(world, partial(has_begun, world))
    assert f"learned, 1, {MOST_PHOTOGRAPHS}, 2" in world.loop.learner.told[0]
    world.loop.learner.end()


def test_a_training_keeps_the_place_of_a_worker(tmp_path: Path) -> None:
    world = learning_world(tmp_path)
    world.drop("pair")
    world.work()
    assert world.states["pair"] == "queued"
    (world.state.root / "learned").touch()
    until(world, lambda: not world.loop.learner.in_work)
    run_jobs(world.loop)
    assert set(world.states.values()) == {"done"}


@pytest.mark.parametrize("how", ["no jobs", "paused", "stopped", "a preview is due"])
def test_it_ends_if_nobody_wants_it(how: str, tmp_path: Path) -> None:
    world = learning_world(tmp_path)
    pid = int((world.state.root / "pid").read_text())
    if how == "no jobs":
        for number in range(3):
            world.ask("cancel", f"album/{number}")
    elif how == "paused":
        world.ask("pause")
    elif how == "a preview is due":
        fill(world.root / "styles", "night.jpg")
        test_tries.ask(world)
    else:
        world.loop.wakeup.stop()
        world.loop.stop()
    if how != "stopped":
        until(world, lambda: not has_begun(world))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not world.loop.attempts.lent
    if how == "paused":
        world.ask("resume")
    if how in ("paused", "a preview is due"):
        until(world, partial(has_begun, world))
        world.loop.learner.end()


def test_a_training_that_dies_is_told_and_repeated(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    (world.state.root / "learned").write_text("dies")
    world.wait(STEADY_S)
    until(world, lambda: "exit code 3" in world.loop.learner.told[0])
    assert world.trouble, "now it is"
    (world.state.root / "learned").write_text("")
    until(world, lambda: (world.state.root / "done").exists() and not world.loop.learner.in_work)
    run_jobs(world.loop)
    assert set(world.states.values()) == {"done"}


def test_pictures_that_can_never_be_learned_from_are_refused(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    (world.state.root / "learned").write_text("never")
    world.wait(STEADY_S)
    until(world, lambda: set(world.states.values()) == {"refused"})
    run_jobs(world.loop)
    reasons = {text for name, text in world.published.items() if name.endswith("reason.txt")}
    assert reasons == {"waves is too narrow\n"}


def test_a_photograph_that_came_too_late_is_not_refused(tmp_path: Path) -> None:
    world = learning_world(tmp_path)
    fill(world.inbox / "album", "late.jpg")
    scan(world.loop)
    until(world, lambda: "4 photographs" in world.loop.learner.told[0])
    (world.state.root / "learned").write_text("never")
    until(world, lambda: "refused" in world.states.values())
    assert world.states == {f"album/{n}": "refused" for n in range(3)} | {"album/late": "queued"}


def test_a_training_that_hangs_gives_its_place_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "stylewatch_daemon.app.learner")
    world = learning_world(tmp_path)
    world.wait(SILENT_S)
    step(world.loop)
    assert world.loop.attempts.lent, "the machine may have been asleep"
    for _ in range(round(SILENT_S / 10)):
        world.wait(10)
        world.loop.learner.go_on()
    assert not world.loop.attempts.lent
    assert "the training was silent for 1810 s" in world.loop.learner.told[0]
    assert "training -> ended: it hangs" in caplog.messages


def test_a_training_that_dies_after_its_lead_was_canceled_has_another_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "stylewatch_daemon.app.learner")
    world = learning_world(tmp_path)
    *_, lead = world.loop.jobs.ledger.queued_for(Cause.LEARNING)
    world.ask("cancel", lead.name)
    until(world, lambda: "for which 2" in world.loop.learner.told[0])
    (world.state.root / "learned").write_text("dies")
    for _ in range(50):  # seconds, fewer than the pause after a failure
        world.wait(1)
        step(world.loop)
        time.sleep(0.05)
    assert sum("training with" in message for message in caplog.messages) <= 2
    (world.state.root / "learned").write_text("")
    until(world, lambda: (world.state.root / "done").exists() and not world.loop.learner.in_work)
    run_jobs(world.loop)
    assert sorted(world.states.values()) == ["canceled", "done", "done"]


def test_a_style_that_fails_does_not_end_the_learning_of_another(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    fill(world.inbox / "later", "style.jpg", "0.jpg")
    (world.inbox / "later/job.yaml").write_text("learn: true\n")
    (world.inbox / "later/style.jpg").write_text("another style")
    scan(world.loop)
    run_jobs(world.loop, again=False)
    (world.state.root / "learned").write_text("dies")
    world.wait(STEADY_S)
    failed = world.loop.learner._failures
    until(world, lambda: len(failed.all()) == 1)
    assert world.loop.learner.in_work, "another one is next"
    until(world, lambda: len(failed.all()) == 2)


@pytest.mark.parametrize("verb", ["drain", "pause"])
def test_a_run_with_once_ends_although_a_style_would_be_learned(verb: str, tmp_path: Path) -> None:
    world = learning_world(tmp_path)
    world.ask(verb)
    wait, end = world.loop.wakeup.wait, time.monotonic() + 20

    def passing(seconds: float) -> bool:
        world.wait(1)
        assert time.monotonic() < end, "it does not end"
        return wait(0)

    vars(world.loop.wakeup)["wait"] = passing
    world.loop.run_once(0.0, 1.0)
    assert set(world.states.values()) == {"queued"} and not world.loop.attempts.lent


def test_a_ledger_that_is_locked_for_a_moment_ends_no_training(tmp_path: Path) -> None:
    world = learning_world(tmp_path)
    world.loop.jobs.note_trouble(LockedError("another program has locked it"))
    world.loop.learner.go_on()
    assert world.loop.attempts.lent == 1
    world.loop.learner.end()


@pytest.mark.parametrize("values", [{"learn_minutes": 0.0}, {"cluster": {"address": "auto"}}])
def test_nothing_is_learned_unless_the_owner_allows_it(
    values: dict[str, object], tmp_path: Path
) -> None:
    world = DaemonWorld(tmp_path, learn_minutes=2.0)
    world.settings = changed_settings(world.settings, **values)
    fill(world.inbox / "album", "style.jpg", "0.jpg")
    (world.inbox / "album/job.yaml").write_text("learn: true\n")
    world.executor = Unlearned()
    world.executor.state = world.state.root
    scan(world.start())
    run_jobs(world.loop, again=False)
    assert world.trouble == {"album/0": "waves is not learned"}
    world.wait(STEADY_S)
    step(world.loop)
    assert not world.loop.learner.in_work


def test_the_function_of_the_backend_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = list[object]()
    monkeypatch.setattr(child, "send", lambda pipe, message: messages.append(message))

    class Entry:
        name = "odd"
        module = "odd"
        dist = None

        def load(self) -> Callable[..., object]:
            return learns

    def learns(wanted: LearnRequest, report: Callable[[str], object]) -> None:
        report(f"{wanted.minutes}")
        if wanted.minutes < 0:
            raise PictureError("no picture")
        if wanted.minutes == 0:
            raise ZeroDivisionError("oh")
        if wanted.minutes == 2:
            raise PictureError("p.jpg cannot be read") from OSError(errno.EIO, "an error")

    monkeypatch.setattr(installed, "entries", lambda group: [Entry()])
    pipe, _ = Pipe()
    for minutes in (3.0, -1.0, 0.0, 2.0):
        learning_main.learn(pipe, "odd", LearnRequest((), (), minutes, 1, {}))
    learning_main.learn(pipe, "other", LearnRequest((), (), 1.0, 1, {}))
    ends = [message for message in messages if not isinstance(message, Report)]
    assert messages[0] == Report("3.0")
    assert ends[0] == Learned()
    assert ends[1:] == [
        NotLearned("no picture", is_final=True),
        NotLearned("a fault of stylewatch, ZeroDivisionError: oh"),
        NotLearned("p.jpg cannot be read"),
        NotLearned("backend other does not learn styles: leave out learn: true"),
    ]
