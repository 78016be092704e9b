"""A real child inspects pictures; it is replaced if it dies or hangs, and stopped if it is idle."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Semaphore

import pytest
from tests.daemon.ingest.inspection.files import endless_gif, made
from tests.daemon.ingest.inspection.looks import LOOK
from tests.daemon.world import child_pids

from stylewatch_daemon.ingest.inspection import process
from stylewatch_daemon.ingest.inspection.contract import CutOff, Fine, Question, Refused, Verdict
from stylewatch_daemon.ingest.inspection.process import NAME, Intake


class Asking:
    """An intake, and its verdicts."""

    def __init__(self, root: Path) -> None:
        self.root, self.woken, self.intakes = root, Semaphore(0), list[Intake]()

    def start(
        self,
        idle_s: float = 60.0,
        seconds: float = 60.0,
        look: str = LOOK,
        quick: float | None = None,
    ) -> Intake:
        self.intakes.append(Intake(self.woken.release, idle_s, look, seconds, quick))
        return self.intakes[-1]

    def ask(self, *names: str) -> None:
        """Ask about a job for each picture, with the picture's name."""
        for name in names:
            path = self.root / f"{name}.jpg"
            self.intakes[-1].ask(Question(name, (path,), 1000, self.root / "thumbs"))

    def hear(self, count: int) -> list[Verdict]:
        """Wait for `count` wake-ups; return the new verdicts."""
        for _ in range(count):
            assert self.woken.acquire(timeout=60)
        return self.intakes[-1].verdicts()

    def until(self, count: int) -> list[Verdict]:
        """Return the next verdicts, at least so many."""
        verdicts: list[Verdict] = []
        while len(verdicts) < count:
            verdicts += self.hear(1)
        return verdicts


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[Asking]:
    asking = Asking(tmp_path)
    yield asking
    for intake in asking.intakes:
        intake.close()
    assert child_pids(NAME) == []
    assert NAME not in {thread.name for thread in threading.enumerate()}


def test_one_child_inspects_all_pictures_and_ignores_signals(asking: Asking) -> None:
    intake = asking.start(look="stylewatch_daemon.ingest.inspection.inspect:examine")
    for name, data in {"a": made("png"), "b": made("png")[:99], "c": endless_gif(9)}.items():
        (asking.root / f"{name}.jpg").write_bytes(data)
    assert (intake.verdicts(), child_pids(NAME)) == ([], [])
    asking.ask("a", "b", "c")
    assert [type(verdict) for verdict in asking.hear(3)] == [Fine, CutOff, Fine]
    (child,) = child_pids(NAME)
    os.kill(child, signal.SIGTERM)
    os.kill(child, signal.SIGINT)
    asking.ask("not there")
    assert [type(verdict) for verdict in asking.hear(1)] == [Refused]
    assert child_pids(NAME) == [child]
    assert intake.verdicts() == []


@pytest.mark.parametrize("fault", ["deadly once", "endless once"])
def test_a_child_that_dies_or_hangs_is_replaced_and_the_picture_comes_last(
    fault: str, asking: Asking
) -> None:
    asking.start(seconds=5.0 if fault == "endless once" else 60.0)
    asking.ask("a", fault, "b")
    assert [verdict.job for verdict in asking.hear(3)] == ["a", "b", fault]


def test_others_do_not_wait_for_a_picture_that_takes_long(asking: Asking) -> None:
    """The second child would wait for it for much longer than this test may take."""
    asking.start(seconds=1000.0, quick=3.0)
    asking.ask("endless", "a")
    asking.hear(1)  # that the slow one was moved
    assert asking.until(1) == [Fine("a", ())]
    assert len(child_pids(NAME)) == 2


def test_a_picture_that_takes_long_is_answered_by_the_child_for_slow_ones(asking: Asking) -> None:
    asking.start(quick=3.0)
    asking.ask("endless once", "a")
    verdicts = sorted(asking.until(2), key=lambda verdict: verdict.job)
    assert verdicts == [Fine("a", ()), Fine("endless once", ())]


@pytest.mark.parametrize(
    ("fault", "why"),
    [("deadly", "signal 9"), ("endless", "took longer than 3 s"), ("wasteful", "exit code 1")],
)
def test_a_picture_that_does_so_twice_is_refused_and_no_other(
    fault: str, why: str, asking: Asking
) -> None:
    asking.start(seconds=3.0 if fault == "endless" else 60.0)
    asking.ask("a", fault, "b")
    *others, last = asking.hear(3)
    assert others == [Fine("a", ()), Fine("b", ())]
    assert isinstance(last, Refused)
    assert why in last.reason
    assert last.reason.startswith(f"{fault}.jpg ")
    assert "2 times" in last.reason


def test_it_can_leave_no_large_file(asking: Asking) -> None:
    asking.start()
    asking.ask("large")
    assert isinstance(asking.hear(1)[0], Refused)
    assert (asking.root / "large.filled").stat().st_size < 16 << 20


def test_an_idle_child_is_stopped_and_the_next_question_starts_another(asking: Asking) -> None:
    asking.start(idle_s=0.05)
    asking.ask("a")
    asking.hear(1)
    while child_pids(NAME):
        time.sleep(0.01)
    asking.ask("b")
    assert asking.hear(1) == [Fine("b", ())]


def test_no_picture_is_blamed_for_a_child_that_dies_while_idle(asking: Asking) -> None:
    asking.start()
    asking.ask("a")
    asking.hear(1)
    (child,) = child_pids(NAME)
    os.kill(child, signal.SIGKILL)
    asking.ask("deadly once")
    assert asking.hear(1) == [Fine("deadly once", ())]


def test_if_no_child_gets_to_work_pictures_are_let_through(asking: Asking) -> None:
    asking.start(look="no_such_module:look")
    asking.ask("a")
    assert asking.hear(1) == [Fine("a", ())]


@pytest.mark.parametrize("asked", [("endless", "b"), ()])
def test_it_closes_at_once_whatever_is_being_inspected(
    asked: tuple[str, ...], asking: Asking
) -> None:
    intake = asking.start()
    asking.ask(*asked)
    while asked and not child_pids(NAME):
        time.sleep(0.01)
    intake.close()
    assert (intake.verdicts(), child_pids(NAME)) == ([], [])


def test_if_no_process_can_be_started_that_is_tried_again(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        monkeypatch.undo()
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(process, "AGAIN_AFTER", 0.01)
    monkeypatch.setattr("stylewatch_daemon.processes.child.Pipe", fail)
    intake = asking.start()
    asking.ask("a")
    assert asking.hear(1) == []
    assert "Resource temporarily unavailable" in intake.trouble
    assert asking.hear(1) == [Fine("a", ())]
    assert intake.trouble == ""


def test_a_picture_that_the_machine_keeps_from_being_read_is_not_refused(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "AGAIN_AFTER", 0.01)
    (asking.root / "a.jpg").write_bytes(made("png"))
    intake = asking.start(look="tests.daemon.ingest.inspection.looks:first_without_descriptors")
    asking.ask("a")
    assert asking.hear(1) == []
    assert "out of file descriptors" in intake.trouble
    (fine,) = asking.hear(1)
    assert isinstance(fine, Fine)
    assert [picture.name for picture in fine.pictures] == ["a.jpg"]
