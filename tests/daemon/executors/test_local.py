"""Worker processes: long-lived, one for each device, replaced when they are no good."""

import os
import signal
import time
from collections.abc import Iterator
from multiprocessing import active_children
from pathlib import Path

import pytest
from tests.daemon.worker.listening import Listener
from tests.daemon.worker.works import WORK

from stylewatch_daemon.executors.local import Local
from stylewatch_daemon.worker.contract import Done, Failed, Lost, Wanted


@pytest.fixture
def made() -> Iterator[list[Local]]:
    """Executors that are closed at the end."""
    made: list[Local] = []
    yield made
    for local in made:
        local.close()


@pytest.fixture
def shared(tmp_path: Path, made: list[Local]) -> Listener:
    made.append(Local(tmp_path / "worker.lock", WORK))
    return Listener(made[0])


def receipt(listener: Listener, ticket: str) -> dict[str, object]:
    end = listener.run(ticket, "paint")[-1]
    assert isinstance(end, Done)
    return dict(end.receipt)


def pid(listener: Listener, ticket: str) -> int:
    return int(str(receipt(listener, ticket)["pid"]))


def test_the_same_process_paints_one_after_the_other_until_it_dies(shared: Listener) -> None:
    first = pid(shared, "1")
    assert first != os.getpid()
    shared.run("2", "bug")
    for number in (signal.SIGINT, signal.SIGTERM):  # for the supervisor alone to hear
        os.kill(first, number)
    assert pid(shared, "3") == first
    lost = shared.run("4", "die")[-1]
    assert isinstance(lost, Lost)
    assert "signal 9" in lost.reason
    assert pid(shared, "5") != first
    lost = shared.run("6", "leave")[-1]
    assert isinstance(lost, Lost)
    assert "exit code 3" in lost.reason


def test_a_worker_that_dies_idle_is_no_trouble(shared: Listener) -> None:
    first = pid(shared, "1")
    os.kill(first, signal.SIGKILL)
    while active_children():
        time.sleep(0.01)
    assert pid(shared, "2") != first


def test_after_a_lost_device_the_next_order_has_a_new_process(shared: Listener) -> None:
    before = pid(shared, "1")
    end = shared.run("2", "lost device")[-1]
    assert isinstance(end, Failed)
    assert (end.exit_code, end.recycle) == (69, True)
    assert active_children() == []
    assert pid(shared, "3") != before


def test_one_that_hangs_is_told_apart(shared: Listener) -> None:
    lost = shared.run("1", "hang")[-1]
    assert isinstance(lost, Lost)
    assert "hung" in lost.reason


def test_a_closed_executor_has_no_process(shared: Listener) -> None:
    pid(shared, "1")
    shared.executor.close()
    assert active_children() == []


def test_work_that_cannot_be_found_is_a_failure_in_words(tmp_path: Path, made: list[Local]) -> None:
    made.append(Local(tmp_path / "lock", "nowhere.at_all:work"))
    (end,) = Listener(made[0]).run("1", "paint")
    assert isinstance(end, Failed)
    assert "nowhere" in end.reason


def test_a_worker_that_has_grown_is_replaced_between_two_orders(
    tmp_path: Path, made: list[Local]
) -> None:
    made.append(Local(tmp_path / "lock", WORK, most_memory=1))
    listener = Listener(made[0])
    assert pid(listener, "1") != pid(listener, "2")


def test_an_idle_worker_is_let_go_and_comes_back(tmp_path: Path, made: list[Local]) -> None:
    made.append(Local(tmp_path / "lock", WORK, idle_s=0.01))
    listener = Listener(made[0])
    first = pid(listener, "1")
    while active_children():
        time.sleep(0.01)
    assert pid(listener, "2") != first


def test_each_device_has_a_worker_of_its_own(tmp_path: Path, made: list[Local]) -> None:
    made.append(Local(tmp_path / "lock", WORK, devices=("gpu:0", "gpu:1")))
    listener = Listener(made[0])
    listener.submit("1", "until stopped")
    listener.until_begun("1")
    assert receipt(listener, "2")["device"] == "gpu:1"
    listener.submit("3", "paint", device="gpu:0")  # which has its hands full
    listener.submit("4", "paint", device="gpu:1")
    listener.until_ended("4")
    assert not listener.events["3"]
    listener.executor.ask("1", Wanted.STOP)
    listener.until_ended("3")


def test_without_a_word_on_devices_there_is_a_worker_for_each_that_is_found(
    tmp_path: Path, made: list[Local]
) -> None:
    made.append(Local(tmp_path / "lock", WORK))
    listener = Listener(made[0])
    assert made[0].free() == 1
    listener.run("1", "find gpus")
    assert made[0].free() == 3
    for ticket in "234":
        listener.submit(ticket, "until stopped")
    listener.until_begun(*"234")
