"""A real child inspects pictures; it is replaced if it dies or hangs, and stopped if it is idle."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from itertools import count
from multiprocessing.connection import wait
from pathlib import Path
from threading import Semaphore
from typing import Any

import pytest
from tests.daemon.ingest.inspection.files import endless_gif, made
from tests.daemon.world import child_pids

from stylewatch_daemon.ingest.inspection import client
from stylewatch_daemon.ingest.inspection.client import INSPECT, NAME, READ_RATE, InspectionClient
from stylewatch_daemon.ingest.inspection.messages import (
    CutOff,
    Fine,
    Question,
    Refused,
    Verdict,
)

FAKES = "tests.daemon.ingest.inspection.fakes"


class Asking:
    """A client, and its verdicts."""

    def __init__(self, root: Path) -> None:
        self.root, self.woken, self.clients = root, Semaphore(0), list[InspectionClient]()

    def start(self, entry: str = f"{FAKES}:fake", **more: Any) -> InspectionClient:
        more = {"seconds": 60.0, **more}
        self.clients.append(InspectionClient(self.woken.release, entry=entry, **more))
        return self.clients[-1]

    def ask(self, *names: str) -> None:
        """Ask about a job for each picture, with the picture's name."""
        for name in names:
            path = self.root / f"{name}.jpg"
            self.clients[-1].ask(Question(name, (path,), 1000, self.root / "thumbs"))

    def wait(self, count: int) -> list[Verdict]:
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
    assert [type(verdict) for verdict in asking.wait(3)] == [Fine, CutOff, Fine]
    (child,) = child_pids(NAME)
    os.kill(child, signal.SIGTERM)
    os.kill(child, signal.SIGINT)
    asking.ask("not there")
    assert [type(verdict) for verdict in asking.wait(1)] == [Refused]
    assert child_pids(NAME) == [child]


def test_others_do_not_wait_for_a_picture_that_takes_long(asking: Asking) -> None:
    """The second child would wait for it for much longer than this test may take."""
    opened = asking.start(seconds=1000.0, quick=0.5)
    asking.ask("endless")
    asking.wait(1)  # for it to be moved
    opened._seconds = 60.0  # time enough to start the first child again
    asking.ask("a")
    assert asking.wait(1) == [Fine("a", ())]
    while len(child_pids(NAME)) < 2:
        time.sleep(0.01)
    opened.close()  # which does not wait for it either
    assert (opened.verdicts(), child_pids(NAME)) == ([], [])


@pytest.mark.usefixtures("children_exit_slowly")
@pytest.mark.parametrize(
    ("fault", "why"),
    [("deadly", "signal 9"), ("endless", "took longer than 3 s"), ("wasteful", "exit code 1"),
     ("large", "exit code 1")],
)  # fmt: skip
def test_a_picture_that_ends_the_child_comes_last_and_is_refused_the_second_time(
    fault: str, why: str, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = count(1)
    # each picture has two messages; the time is over before the second one of the endless one
    over = (4, 8) if fault == "endless" else ()
    monkeypatch.setattr(
        client, "wait", lambda handles, _: [] if next(waits) in over else wait(handles, 60)
    )
    asking.start(seconds=3.0)
    asking.ask("a", fault, "b")
    *others, last = asking.wait(3)
    assert others == [Fine("a", ()), Fine("b", ())]
    assert last.job == fault and isinstance(last, Refused)
    assert last.reason.startswith(f"{fault}.jpg ")
    assert why in last.reason
    assert last.reason.endswith(
        ", 2 times: make it smaller or shorter, or save it in another format"
    )
    assert not [file for file in asking.root.glob("*.filled") if file.stat().st_size > 16 << 20]


def test_a_long_file_may_take_longer(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []

    def noted(handles: Any, seconds: float) -> Any:
        limits.append(seconds)
        return wait(handles, 60)

    monkeypatch.setattr(client, "wait", noted)
    (asking.root / "a.jpg").touch()
    os.truncate(asking.root / "a.jpg", 10 * READ_RATE)
    asking.start(seconds=3.0)
    asking.ask("a")
    assert (asking.wait(1), limits) == ([Fine("a", ())], [3.0, 13.0])


def test_a_child_is_stopped_or_may_die_while_it_is_idle(asking: Asking) -> None:
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
    assert asking.wait(1) == [Fine("deadly once", ())]


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
    assert isinstance(fine, Fine) and [picture.name for picture in fine.pictures] == ["a.jpg"]
    assert opened.trouble == ""
