"""A real child is asked, replaced when it dies or hangs, and let go when nothing is asked."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing import active_children
from pathlib import Path
from threading import Semaphore

import pytest
from tests.daemon.ingest.inspection.files import endless_gif, made
from tests.daemon.ingest.inspection.looks import LOOK

from stylewatch_daemon.ingest.inspection.contract import CutOff, Fine, Question, Refused, Verdict
from stylewatch_daemon.ingest.inspection.process import NAME, Intake


class Asking:
    """An intake, and one who waits for what it says."""

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
        """Ask about a job for each picture, called like it."""
        for name in names:
            path = self.root / f"{name}.jpg"
            self.intakes[-1].ask(Question(name, (path,), 1000, self.root / "thumbs"))

    def hear(self, count: int) -> list[Verdict]:
        """The next verdicts, as they come."""
        for _ in range(count):
            assert self.woken.acquire(timeout=60)
        return self.intakes[-1].verdicts()


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[Asking]:
    asking = Asking(tmp_path)
    yield asking
    for intake in asking.intakes:
        intake.close()
    assert children() == []
    assert NAME not in {thread.name for thread in threading.enumerate()}


def children() -> list[int]:
    return [child.pid or 0 for child in active_children() if child.name == NAME]


def test_real_pictures_are_looked_at_and_the_next_ones_by_the_same_child(asking: Asking) -> None:
    intake = asking.start(look="stylewatch_daemon.ingest.inspection.inspect:examine")
    for name, data in {"a": made("png"), "b": made("png")[:99], "c": endless_gif(9)}.items():
        (asking.root / f"{name}.jpg").write_bytes(data)
    assert intake.verdicts() == []
    assert children() == []
    asking.ask("a", "b", "c", "not there")
    first, second, third, fourth = asking.hear(4)
    assert isinstance(first, Fine)
    assert isinstance(second, CutOff)
    assert isinstance(third, Fine)
    assert isinstance(fourth, Refused)
    assert len(children()) == 1
    assert intake.verdicts() == []


@pytest.mark.parametrize("fault", ["deadly once", "endless once"])
def test_a_child_that_dies_or_hangs_is_replaced_and_the_picture_comes_last(
    fault: str, asking: Asking
) -> None:
    asking.start(seconds=5.0 if fault == "endless once" else 60.0)
    asking.ask("a", fault, "b")
    assert [one.job for one in asking.hear(3)] == ["a", "b", fault]


def test_others_do_not_wait_for_a_picture_that_takes_long(asking: Asking) -> None:
    """The second child would wait for it for much longer than this test may take."""
    asking.start(seconds=1000.0, quick=3.0)
    asking.ask("endless", "a")
    asking.hear(1)  # that the slow one was handed over
    found: list[Verdict] = []
    while not found:
        found = asking.hear(1)
    assert [one.job for one in found] == ["a"]
    assert len(children()) == 2


def test_a_picture_that_takes_long_is_answered_by_the_child_for_slow_ones(asking: Asking) -> None:
    asking.start(quick=3.0)
    asking.ask("endless once", "a")
    found: list[Verdict] = []
    while len(found) < 2:
        found += asking.hear(1)
    assert sorted(found, key=lambda one: one.job) == [Fine("a", ()), Fine("endless once", ())]


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


def test_an_idle_child_is_let_go_and_the_next_question_gets_another(asking: Asking) -> None:
    asking.start(idle_s=0.05)
    asking.ask("a")
    asking.hear(1)
    while children():
        time.sleep(0.01)
    asking.ask("b")
    assert asking.hear(1) == [Fine("b", ())]


def test_a_child_that_dies_while_it_is_idle_is_laid_to_nobodys_charge(asking: Asking) -> None:
    asking.start()
    asking.ask("a")
    asking.hear(1)
    (child,) = children()
    os.kill(child, signal.SIGKILL)
    asking.ask("deadly once")
    assert asking.hear(1) == [Fine("deadly once", ())]


def test_where_no_child_comes_to_anything_pictures_are_let_through(asking: Asking) -> None:
    asking.start(look="no_such_module:look")
    asking.ask("a")
    assert asking.hear(1) == [Fine("a", ())]


def test_signals_are_for_the_supervisor_alone(asking: Asking) -> None:
    asking.start()
    asking.ask("a")
    asking.hear(1)
    (child,) = children()
    os.kill(child, signal.SIGTERM)
    os.kill(child, signal.SIGINT)
    asking.ask("b")
    asking.hear(1)
    assert children() == [child]


def test_it_closes_at_once_whatever_is_being_looked_at(asking: Asking) -> None:
    intake = asking.start()
    asking.ask("endless", "b")
    while not children():
        time.sleep(0.01)
    intake.close()
    assert intake.verdicts() == []
    assert children() == []


def test_one_that_was_never_asked_closes_too(asking: Asking) -> None:
    intake = asking.start()
    intake.close()
    assert (intake.verdicts(), children()) == ([], [])


def test_where_no_process_can_be_started_it_is_tried_again(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def too_many(*_: object) -> None:
        tried.append(1)
        monkeypatch.undo()
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("stylewatch_daemon.ingest.inspection.process.AGAIN_AFTER", 0.01)
    monkeypatch.setattr("stylewatch_daemon.processes.child.get_context", too_many)
    intake = asking.start()
    asking.ask("a")
    assert asking.hear(1) == []
    assert "Resource temporarily unavailable" in intake.trouble
    assert asking.hear(1) == [Fine("a", ())]
    assert intake.trouble == ""
    assert tried


def test_a_picture_that_the_machine_keeps_from_being_read_is_not_refused(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stylewatch_daemon.ingest.inspection.process.AGAIN_AFTER", 0.01)
    (asking.root / "a.jpg").write_bytes(made("png"))
    intake = asking.start(look="tests.daemon.ingest.inspection.looks:first_without_descriptors")
    asking.ask("a")
    assert asking.hear(1) == []
    assert "out of file descriptors" in intake.trouble
    (fine,) = asking.hear(1)
    assert isinstance(fine, Fine)
    assert [one.name for one in fine.pictures] == ["a.jpg"]
