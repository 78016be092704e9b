"""A worker process and what comes of it, one event after the other."""

from collections.abc import Iterator
from itertools import chain
from multiprocessing import active_children
from multiprocessing.connection import wait
from pathlib import Path

import pytest
from tests.daemon.worker.listening import order
from tests.daemon.worker.works import WORK

from stylewatch_daemon.executors.worker_process import Slot
from stylewatch_daemon.model import Progress
from stylewatch_daemon.worker.contract import Done, Event, Failed, Heard, Lost, Stopped, Wanted


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[Slot]:
    slot = Slot("gpu:1", tmp_path / "lock", WORK, most_memory=1 << 40)
    yield slot
    list(slot.end("the test is over"))
    slot.let_go()
    assert active_children() == []


def events(slot: Slot, what: str, backend: str = "torch") -> list[Event]:
    """All that comes of an attempt."""
    heard = list(slot.begin({"1": order(what, backend=backend)}))
    while slot.tickets:
        wait(slot.handles)
        heard += slot.hear()
    return [one.event for one in heard]


def first(slot: Slot) -> list[Heard]:
    """The first that is heard of a worker."""
    while not (heard := list(slot.hear())):
        wait(slot.handles)
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
    list(slot.begin({"1": order("hang")}))
    assert len(first(slot)) == 1
    silent = chain.from_iterable(slot.waited(0.5) for _ in range(9))
    assert isinstance(next(silent).event, Lost)
    assert list(silent) == []


def test_a_worker_that_ends_before_it_begins_says_nothing_about_its_order(
    slot: Slot, tmp_path: Path
) -> None:
    (tmp_path / "lock").symlink_to("lock")  # which no worker can hold
    (end,) = events(slot, "paint")
    assert isinstance(end, Failed)
    assert end.exit_code == 75
    assert "before it could begin" in end.reason
    (tmp_path / "lock").unlink()
    assert isinstance(events(slot, "paint")[-1], Done)


def test_no_worker_to_be_had_costs_no_attempt(slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Slot, backend: str) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(Slot, "_ready", fail)
    (failed,) = slot.begin({"1": order("paint")})
    assert isinstance(failed.event, Failed)
    assert failed.event.exit_code == 75
    assert "no more processes" in failed.event.reason
    assert slot.tickets == set()


def test_an_idle_one_has_nothing_to_drop(slot: Slot) -> None:
    events(slot, "paint")
    assert list(slot.end("we leave")) == []
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


def both(slot: Slot, *whats: str) -> Iterator[Heard]:
    """What comes of attempts that are made together, as it comes."""
    yield from slot.begin({str(number): order(what) for number, what in enumerate(whats)})
    while slot.tickets:
        wait(slot.handles)
        yield from slot.hear()


def test_a_worker_of_no_more_use_is_replaced_once_all_that_it_has_in_hand_are_ended(
    slot: Slot,
) -> None:
    ends = {}
    for heard in both(slot, "lost device", "until stopped"):
        if isinstance(heard.event, Failed | Stopped):
            ends[heard.ticket] = heard.event
        if isinstance(heard.event, Failed):
            assert heard.event.recycle
            assert slot.manned
            slot.ask("1", Wanted.STOP)
    assert ends["1"] == Stopped(1)
    assert not slot.manned


def test_dropped_beside_others_it_is_stopped_and_as_the_last_it_is_lost(slot: Slot) -> None:
    heard = both(slot, "until stopped", "until stopped")
    next(heard)
    assert list(slot.drop("0", "given up")) == []
    assert Heard("0", Stopped(1)) in heard
    assert [one.event for one in slot.drop("1", "given up")] == [Lost("given up")]
    assert not slot.manned


def test_while_any_of_them_is_heard_of_none_hangs(slot: Slot) -> None:
    heard = both(slot, "until stopped", "until stopped")
    next(heard)
    for _ in range(9):
        assert list(slot.waited(40.0)) == []
        next(heard)
    silent = chain.from_iterable(slot.waited(40.0) for _ in range(99))
    assert [one.ticket for one in silent] == ["0", "1"]


def test_word_of_an_attempt_that_is_not_being_made_makes_no_sense(
    slot: Slot, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(slot.begin({"0": order("until stopped")}))
    monkeypatch.setattr(slot, "_tickets", ())
    (lost,) = first(slot)
    assert lost.ticket == "0"
    assert isinstance(lost.event, Lost)
    assert "that is not being made" in lost.event.reason


def test_one_that_waits_while_others_are_painted_counts_as_alive_with_them(slot: Slot) -> None:
    heard = both(slot, "until stopped", "until stopped")
    assert [next(heard).ticket for _ in range(2)] == ["0", "1"]
    assert list(slot.waited(50.0)) == []
    assert next(heard).ticket == "0"
    slot._going.pop("0")  # as if that were done
    assert list(slot.waited(50.0)) == []
    assert [one.ticket for one in slot.waited(50.0)] == ["1"]
