"""A real child inspects pictures; it is replaced if it dies or hangs, and ended if it is idle."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import wait
from pathlib import Path
from threading import Semaphore
from typing import Any

import pytest
from tests.daemon.intake.inspection.files import endless_gif, made
from tests.daemon.world import child_pids

from stylewatch_daemon.base.model import Cause
from stylewatch_daemon.intake.inspection import client
from stylewatch_daemon.intake.inspection.client import (
    INSPECT,
    NAME,
    READ_RATE,
    SECONDS,
    InspectionClient,
)
from stylewatch_daemon.intake.inspection.messages import Inspected, Question

FAKES = "tests.daemon.intake.inspection.fakes"


class Asking:
    """A client, and its verdicts."""

    def __init__(self, root: Path) -> None:
        self.root, self.woken, self.clients = root, Semaphore(0), list[InspectionClient]()

    def start(self, entry: str = f"{FAKES}:fake", idle_s: float = 60.0) -> InspectionClient:
        self.clients.append(InspectionClient(self.woken.release, idle_s, entry))
        return self.clients[-1]

    def ask(self, *names: str) -> None:
        """Ask about a job for each picture, with the picture's name."""
        for name in names:
            path = self.root / f"{name}.jpg"
            self.clients[-1].ask(Question(name, (path,), 1000, self.root / "thumbs"))

    def wait(self, count: int) -> list[Inspected]:
        """Wait for `count` wake-ups; return the new verdicts."""
        for _ in range(count):
            assert self.woken.acquire(timeout=60)
        return self.clients[-1].verdicts()


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[Asking]:
    asking = Asking(tmp_path)
    yield asking
    for opened in asking.clients:
        opened.close()
    assert child_pids(NAME) == []
    assert NAME not in {thread.name for thread in threading.enumerate()}


def test_one_child_inspects_all_pictures_and_ignores_signals(asking: Asking) -> None:
    opened = asking.start(INSPECT)
    for name, data in {"a": made("png"), "b": made("png")[:99], "c": endless_gif(9)}.items():
        (asking.root / f"{name}.jpg").write_bytes(data)
    assert (opened.verdicts(), child_pids(NAME)) == ([], [])
    asking.ask("a", "b", "c")
    assert [verdict.cause for verdict in asking.wait(3)] == [None, Cause.PICTURE, None]
    (child,) = child_pids(NAME)
    os.kill(child, signal.SIGTERM)
    os.kill(child, signal.SIGINT)
    asking.ask("not there")
    (missing,) = asking.wait(1)
    assert (missing.cause, "is not there" in missing.reason) == (Cause.PICTURE, True)
    assert child_pids(NAME) == [child]


@pytest.mark.usefixtures("children_exit_slowly")
@pytest.mark.parametrize(
    ("fault", "why"),
    [("deadly", "(signal 9"), ("wasteful", "(exit code 1)"), ("large", "(exit code 1)")],
)
def test_a_picture_that_ends_the_child_comes_last_and_is_refused_the_second_time(
    fault: str, why: str, asking: Asking
) -> None:
    asking.start()
    asking.ask("a", fault, "b")
    *others, last = asking.wait(3)
    assert others == [Inspected("a"), Inspected("b")]
    assert (last.job, last.cause, last.is_final) == (fault, Cause.PICTURE, True)
    assert last.reason.startswith(f"{fault}.jpg ended the process that decodes pictures {why}")
    assert last.reason.endswith("make it smaller or shorter, or save it in another format")
    assert not [file for file in asking.root.glob("*.filled") if file.stat().st_size > 16 << 20]


@pytest.mark.parametrize(("name", "over"), [("slow", {2}), ("endless", {2, 6})])
def test_a_picture_that_takes_too_long_twice_is_refused(
    name: str, over: set[int], asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client waits for two messages about each picture; some never come in time."""
    limits: list[float] = []

    def noted(handles: Any, seconds: float) -> Any:
        limits.append(seconds)
        return [] if len(limits) in over else wait(handles, 60)

    monkeypatch.setattr(client, "wait", noted)
    (asking.root / f"{name}.jpg").touch()
    os.truncate(asking.root / f"{name}.jpg", 10 * READ_RATE)
    asking.start()
    asking.ask(name, "a")
    first, last = asking.wait(2)
    assert limits == [SECONDS, SECONDS + 10, SECONDS, SECONDS, SECONDS, SECONDS + 10]
    assert (first, last.job) == (Inspected("a"), name)
    is_refused = last.reason.startswith("endless.jpg took longer than 40 s to decode")
    assert is_refused == (last.cause == Cause.PICTURE) == (name == "endless")


def test_closing_does_not_wait_for_a_picture(asking: Asking) -> None:
    opened = asking.start()
    asking.ask("endless", "a")
    while not (asking.root / "endless.sign").exists():
        time.sleep(0.01)
    opened.close()
    assert (opened.verdicts(), child_pids(NAME)) == ([], [])


def test_a_child_is_ended_or_may_die_while_it_is_idle(asking: Asking) -> None:
    asking.start(idle_s=0.05)
    asking.ask("a")
    asking.wait(1)
    while child_pids(NAME):
        time.sleep(0.01)
    asking.start()
    asking.ask("b")
    asking.wait(1)
    (child,) = child_pids(NAME)
    os.kill(child, signal.SIGKILL)
    asking.ask("deadly once")  # for the first death no picture is blamed
    assert asking.wait(1) == [Inspected("deadly once")]


def test_a_shortage_of_the_machine_is_reported_and_the_picture_tried_again(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    (asking.root / "a.jpg").write_bytes(made("png"))
    monkeypatch.setattr(client, "RETRY_S", 0.01)
    opened = asking.start(f"{FAKES}:without_descriptors")
    asking.ask("a")
    assert asking.wait(1) == []
    assert "out of file descriptors" in opened.trouble
    (asking.root / "a.sign").touch()
    (fine,) = asking.wait(1)
    assert [picture.name for picture in fine.pictures] == ["a.jpg"]
    assert opened.trouble == ""
