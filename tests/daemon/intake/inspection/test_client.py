"""A real child inspects pictures; it is replaced if it dies or hangs, and ended if it is idle."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from tests.daemon.faults import failing
from tests.daemon.intake.inspection.files import endless_gif, made
from tests.daemon.world import child_pids

from stylewatch_daemon.base.errors import ShortageError
from stylewatch_daemon.base.lanes import LONG
from stylewatch_daemon.base.model import Cause
from stylewatch_daemon.intake.inspection import client
from stylewatch_daemon.intake.inspection.client import INSPECT, NAME, SECONDS, Inspector
from stylewatch_daemon.intake.inspection.messages import Answer, Question

FAKES = "tests.daemon.intake.inspection.fakes"


class Asking:
    """An inspector, and its answers."""

    def __init__(self, root: Path) -> None:
        self.root, self.calls = root, SimpleQueue[Any]()
        self.answers: list[tuple[str, Any]] = []
        self.inspectors: list[Inspector] = []

    def start(self, entry: str = f"{FAKES}:fake", idle_s: float = 60.0) -> Inspector:
        self.inspectors.append(Inspector(self.calls.put, idle_s, entry))
        return self.inspectors[-1]

    def ask(self, *names: str, size: int = 0) -> None:
        """Ask about a job for each picture, with pictures of that size."""
        for name in names:
            files = (self.root / f"{name}.jpg",)
            question = Question(files, 1000, self.root / "thumbs", size=size)
            self.inspectors[-1].ask(question, partial(self._note, name))

    def _note(self, name: str, answer: Any) -> None:
        self.answers.append((name, answer))

    def answers_to(self, *names: str) -> list[Any]:
        """Ask, wait for all answers, and return them."""
        self.answers.clear()
        self.ask(*names)
        for _ in names:
            self.calls.get(timeout=60)()
        assert [name for name, _ in self.answers] == list(names)
        return [answer for _, answer in self.answers]


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[Asking]:
    asking = Asking(tmp_path)
    yield asking
    for inspector in asking.inspectors:
        inspector.close()
    assert child_pids(NAME) == []


def test_one_child_inspects_all_pictures_ignores_signals_and_ends_if_it_is_idle(
    asking: Asking,
) -> None:
    inspector = asking.start(INSPECT, idle_s=0)
    for name, data in {"a": made("png"), "b": made("png")[:99], "c": endless_gif(9)}.items():
        (asking.root / f"{name}.jpg").write_bytes(data)
    assert child_pids(NAME) == []
    verdicts = asking.answers_to("a", "b", "c")
    assert [verdict.cause for verdict in verdicts] == [None, Cause.PICTURE, None]
    (child,) = child_pids(NAME)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(child, number)
    (missing,) = asking.answers_to("not there")
    assert (missing.cause, "is not there" in missing.reason) == (Cause.PICTURE, True)
    assert child_pids(NAME) == [child]
    inspector.end_if_idle()
    asking.calls.get(timeout=60)()
    assert child_pids(NAME) == []


@pytest.mark.usefixtures("children_exit_slowly")
@pytest.mark.parametrize(("fault", "why"), [("deadly", "(signal 9"), ("wasteful", "(exit code 1)")])
def test_a_picture_that_ends_the_child_is_refused_the_second_time(
    fault: str, why: str, asking: Asking
) -> None:
    asking.start()
    first, refused, last, survivor = asking.answers_to("a", fault, "b", "deadly once")
    assert [first, last, survivor] == [Answer()] * 3
    assert (refused.cause, refused.is_final) == (Cause.PICTURE, True)
    assert refused.reason.startswith(f"{fault}.jpg ended the process that decodes pictures {why}")


@pytest.mark.parametrize(("name", "over"), [("slow", {2}), ("endless", {2, 4})])
def test_a_picture_that_takes_too_long_twice_is_refused(
    name: str, over: set[int], asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inspector waits for two messages about each picture; some never come in time."""
    limits: list[float] = []

    def noted(handles: Any, seconds: float) -> Any:
        limits.append(seconds)
        return [] if len(limits) in over else wait(handles, 60)

    monkeypatch.setattr(client, "wait", noted)
    monkeypatch.setattr(client, "READ_RATE", 1 << 20)
    (asking.root / f"{name}.jpg").write_bytes(bytes(range(1, 129)) * (10 << 13))
    asking.start()
    verdict, other = asking.answers_to(name, "a")
    assert limits == [SECONDS, SECONDS + 10, SECONDS, SECONDS + 10, SECONDS, SECONDS]
    assert other == Answer()
    is_refused = verdict.reason.startswith("endless.jpg took longer than 40 s to decode")
    assert is_refused == (verdict.cause == Cause.PICTURE) == (name == "endless")


def test_a_sparse_file_has_no_more_time_than_what_it_takes_on_the_disk(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[float] = []

    def noted(handles: Any, seconds: float) -> Any:
        limits.append(seconds)
        return wait(handles, 60)

    monkeypatch.setattr(client, "wait", noted)
    (asking.root / "a.jpg").write_bytes(b"the head of a film")
    os.truncate(asking.root / "a.jpg", 1 << 40)
    asking.start()
    asking.answers_to("a")
    assert max(limits) < SECONDS + 1


def test_a_picture_is_not_refused_for_the_memory_that_others_have_taken(asking: Asking) -> None:
    asking.start()
    assert asking.answers_to("a", "huge", "huge", "b") == [Answer()] * 4


def test_a_large_file_holds_up_no_small_one(asking: Asking) -> None:
    asking.start()
    asking.ask("endless", size=LONG + 1)
    assert asking.answers_to("a", "b") == [Answer()] * 2
    assert len(child_pids(NAME)) == 2


def test_a_shortage_of_the_machine_is_the_answer_and_the_next_child_may_have_none(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking.start()
    with monkeypatch.context() as patch:
        patch.setattr(client, "Child", failing(ShortageError("no process")))
        (answer,) = asking.answers_to("a")
    assert isinstance(answer, ShortageError)
    assert asking.answers_to("a") == [Answer()]
