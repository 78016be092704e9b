"""A worker process and what comes of it, one event after the other."""

from collections.abc import Iterator
from itertools import chain
from multiprocessing.connection import wait
from pathlib import Path

import pytest
from tests.daemon.children import children
from tests.daemon.worker.listening import order
from tests.daemon.worker.works import WORK

from stylewatch_daemon.executors import worker_process
from stylewatch_daemon.executors.worker_process import Slot
from stylewatch_daemon.model import Progress
from stylewatch_daemon.worker.messages import (
    AttemptEvent,
    Done,
    Event,
    Failed,
    Lost,
    Stopped,
    Wanted,
)


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[Slot]:
    slot = Slot("gpu:1", tmp_path / "lock", WORK, most_memory=1 << 40)
    yield slot
    slot.end("the test is over")
    slot.let_go()
    assert children() == []


def events(slot: Slot, what: str, backend: str = "torch") -> list[Event]:
    """Make an attempt; return its events."""
    heard = slot.begin({"1": order(what, backend=backend)})
    while slot.tickets:
        wait(slot.handles)
        heard += slot.hear()
    return [one.event for one in heard]


def first(slot: Slot) -> list[AttemptEvent]:
    """Wait for events; return them."""
    while not (heard := slot.hear()):
        wait(slot.handles)
    return heard


def test_there_is_no_process_until_there_is_work(slot: Slot) -> None:
    assert (slot.manned, slot.handles, slot.hear()) == (False, [], [])
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
    slot.begin({"1": order("hang")})
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
    assert slot.end("we leave") == []
    assert slot.manned


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("close files", "the worker process "),  # it may find out by itself, and end
        ("close the line", "cut itself off"),
        ("write into the line", "an invalid message"),
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


def begin(slot: Slot, *whats: str) -> list[AttemptEvent]:
    """Begin attempts together; return the first events."""
    assert slot.begin({str(number): order(what) for number, what in enumerate(whats)}) == []
    return first(slot)


def test_a_worker_of_no_more_use_is_replaced_once_all_its_attempts_have_ended(slot: Slot) -> None:
    heard, ends = begin(slot, "lost device", "until stopped"), {}
    while slot.tickets:
        for one in heard:
            if isinstance(one.event, Failed | Stopped):
                ends[one.ticket] = one.event
            if isinstance(one.event, Failed):
                assert one.event.recycle
                assert slot.manned
                slot.ask("1", Wanted.STOP)
        heard = first(slot)
    assert heard[-1] == AttemptEvent("1", Stopped(1))
    assert isinstance(ends["0"], Failed)
    assert not slot.manned


def test_dropped_beside_others_it_is_stopped_and_as_the_last_it_is_lost(slot: Slot) -> None:
    heard = begin(slot, "until stopped", "until stopped")
    assert slot.drop("0", "given up") == []
    while AttemptEvent("0", Stopped(1)) not in heard:
        heard = first(slot)
    assert [one.event for one in slot.drop("1", "given up")] == [Lost("given up")]
    assert not slot.manned


def test_while_any_of_them_is_heard_of_none_hangs(slot: Slot) -> None:
    begin(slot, "until stopped", "until stopped")
    for _ in range(9):
        first(slot)
        assert slot.waited(40.0) == []
    silent = chain.from_iterable(slot.waited(40.0) for _ in range(99))
    assert [one.ticket for one in silent] == ["0", "1"]


def test_a_flood_of_events_does_not_keep_the_slot_busy(
    slot: Slot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "MAX_EVENTS", 1)
    begin(slot, "until stopped")
    assert [len(first(slot)) for _ in range(5)] == [1] * 5


def test_an_event_of_an_attempt_that_is_not_being_made_is_invalid(
    slot: Slot, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot.begin({"0": order("until stopped")})
    monkeypatch.setattr(slot, "_tickets", ())
    (lost,) = first(slot)
    assert lost.ticket == "0"
    assert isinstance(lost.event, Lost)
    assert "that is not being made" in lost.event.reason


def test_an_attempt_that_waits_while_others_are_painted_counts_as_alive(slot: Slot) -> None:
    heard = begin(slot, "until stopped", "until stopped")
    while len({one.ticket for one in heard}) < 2:
        heard += first(slot)
    assert slot.waited(50.0) == []
    while "0" not in [one.ticket for one in first(slot)]:
        pass
    slot._going.pop("0")  # as if that were done
    assert slot.waited(50.0) == []
    assert [one.ticket for one in slot.waited(50.0)] == ["1"]
