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


def events(slot: Slot, what: str) -> list[Event]:
    """All that comes of an attempt."""
    heard = list(slot.begin("1", order(what)))
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
    def fail(self: Slot) -> None:
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
