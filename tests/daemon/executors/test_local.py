"""Worker processes on this machine: long-lived, one for each device, replaced when unusable."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.worker.listening import Listener
from tests.daemon.worker.works import WORK
from tests.daemon.world import child_pids

from stylewatch_daemon.executors.local import Local
from stylewatch_daemon.executors.worker_process import WorkerProcess
from stylewatch_daemon.worker.messages import AttemptEvent, Done, Lost, Wanted

Make = Callable[..., Listener]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes executors that are closed at the end of the test."""
    made: list[Local] = []

    def make(**options: Any) -> Listener:
        made.append(Local(tmp_path / "worker.lock", WORK, **options))
        return Listener(made[-1])

    yield make
    for local in made:
        local.close()


def receipt(listener: Listener, ticket: str) -> dict[str, Any]:
    end = listener.run(ticket, "paint")[-1]
    assert isinstance(end, Done)
    return dict(end.receipt)


def test_a_process_runs_all_orders_until_it_is_lost(make: Make) -> None:
    listener = make()
    assert child_pids() == [], "there is no process before the first order"
    first = receipt(listener, "1")["pid"]
    listener.run("2", "bug")
    assert receipt(listener, "3")["pid"] == first
    os.kill(first, signal.SIGKILL)  # while it is idle
    while Path(f"/proc/{first}").exists():  # until its end was noticed
        time.sleep(0.01)
    assert receipt(listener, "4")["pid"] != first


@pytest.mark.parametrize("options", [{"most_memory": 1}, {"idle_s": 0.01}])
def test_a_large_worker_is_replaced_and_an_idle_one_ended(
    options: dict[str, Any], make: Make
) -> None:
    listener = make(**options)
    first = receipt(listener, "1")["pid"]
    while "idle_s" in options and child_pids():
        time.sleep(0.01)
    assert receipt(listener, "2")["pid"] != first


def test_each_device_has_its_own_worker(make: Make) -> None:
    listener = make(devices=("gpu:0", "gpu:1"))
    listener.submit("1", "until stopped")
    listener.until_begun("1")
    listener.submit("2", "paint", device="gpu:0")  # which is busy
    assert receipt(listener, "3")["device"] == "gpu:1"
    assert not listener.events["2"]
    listener.executor.ask("1", Wanted.STOP)
    listener.until_ended("2")


def test_by_default_there_is_a_worker_for_each_device_that_the_first_finds(make: Make) -> None:
    listener = make()
    assert listener.executor.free() == 1
    listener.run("1", "find gpus")
    assert listener.executor.free() == 3


def test_a_fault_of_ours_loses_what_runs_and_no_more(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive, faults = WorkerProcess.receive, [ZeroDivisionError("by zero")]

    def broken(worker: WorkerProcess) -> list[AttemptEvent]:
        if faults:
            raise faults.pop()
        return receive(worker)

    monkeypatch.setattr(WorkerProcess, "receive", broken)
    listener = make()
    lost = listener.run("1", "until stopped")[-1]
    assert isinstance(lost, Lost)
    assert "ZeroDivisionError" in lost.reason
    assert isinstance(listener.run("2", "paint")[-1], Done)
