"""A worker process and what comes of it, one event after the other."""

from collections.abc import Iterator
from itertools import chain
from multiprocessing import active_children
from multiprocessing.connection import wait
from pathlib import Path

import pytest
from tests.daemon.execute.listening import order
from tests.daemon.execute.works import WORK

from stylewatch_daemon.execute.contract import Done, Event, Lost, Progress
from stylewatch_daemon.execute.slot import Slot


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[Slot]:
    slot = Slot("gpu:1", tmp_path / "lock", WORK, most_memory=1 << 40)
    yield slot
    list(slot.drop("the test is over"))
    slot.let_go()
    assert active_children() == []


def events(slot: Slot, what: str, backend: str = "torch") -> list[Event]:
    """All that comes of an attempt."""
    heard = list(slot.begin("1", order(what, backend=backend)))
    while slot.ticket:
        wait(slot.handles)
        heard += slot.hear()
    return heard


def test_there_is_no_process_until_there_is_work(slot: Slot) -> None:
    assert (slot.manned, slot.handles, list(slot.hear())) == (False, [], [])
    step, end = events(slot, "paint")
    assert isinstance(step, Progress)
    assert isinstance(end, Done)
    assert end.receipt["device"] == "gpu:1"
    assert slot.manned
    slot.let_go()
    assert not slot.manned


def test_what_a_worker_said_before_it_died_is_heard_before_its_death(slot: Slot) -> None:
    step, lost = events(slot, "die")
    assert isinstance(step, Progress)
    assert isinstance(lost, Lost)
    assert not slot.manned


def test_silence_is_borne_for_as_long_as_the_order_says(slot: Slot) -> None:
    list(slot.begin("1", order("hang")))
    wait(slot.handles)
    assert len(list(slot.hear())) == 1
    silent = chain.from_iterable(slot.waited(0.5) for _ in range(9))
    assert isinstance(next(silent), Lost)
    assert list(silent) == []


def test_no_worker_to_be_had_is_an_end_too(slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Slot, backend: str) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(Slot, "_ready", fail)
    (lost,) = slot.begin("1", order("paint"))
    assert isinstance(lost, Lost)
    assert "no more processes" in lost.reason
    assert slot.ticket == ""


def test_an_idle_one_has_nothing_to_drop(slot: Slot) -> None:
    events(slot, "paint")
    assert list(slot.drop("we leave")) == []
    assert slot.manned


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("close files", "the worker process "),  # it may find out by itself, and end
        ("close the line", "cut itself off"),
        ("write into the line", "a message that makes no sense"),
    ],
)
def test_a_worker_that_spoils_the_line_to_us_is_lost_and_no_longer_there(
    slot: Slot, how: str, why: str
) -> None:
    step, lost = events(slot, how)
    assert isinstance(step, Progress)
    assert isinstance(lost, Lost)
    assert why in lost.reason
    assert not slot.manned


def test_a_process_is_for_one_backend(slot: Slot) -> None:
    """What a backend does to its process stays with its own jobs."""
    pids = []
    for backend in ("one", "one", "other"):
        *_, end = events(slot, "paint", backend)
        assert isinstance(end, Done)
        pids.append(end.receipt["pid"])
    assert pids[0] == pids[1] != pids[2]
