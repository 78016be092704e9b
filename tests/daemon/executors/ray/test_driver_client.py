"""The supervisor's side starts the driver when there is work, and can do without it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from queue import SimpleQueue

import pytest
from tests.daemon.children import children
from tests.daemon.worker.listening import order
from tests.daemon.worker.works import WORK

from stylewatch_daemon.executors.ray import driver_client as module
from stylewatch_daemon.executors.ray.driver_client import Office
from stylewatch_daemon.executors.ray.messages import Manner, Room
from stylewatch_daemon.settings.resources import Demand
from stylewatch_daemon.worker.messages import AttemptEvent, Failed, Lost, Wanted

NOWHERE = Demand("127.0.0.1:1")


def test_until_there_is_work_there_is_no_process(tmp_path: Path) -> None:
    told = SimpleQueue[AttemptEvent | Room]()
    office = Office(tmp_path / "lock", NOWHERE, Manner(WORK), told.put)
    office.start()
    office.ask("1", Wanted.STOP)
    assert children() == []
    office.close()
    assert told.empty()


def test_where_the_cluster_is_away_each_attempt_is_told_why(tmp_path: Path) -> None:
    told = SimpleQueue[AttemptEvent | Room]()
    office = Office(tmp_path / "lock", NOWHERE, Manner(WORK), told.put)
    office.start()
    for ticket in "12":
        office.submit({ticket: order("paint")})
        heard = told.get()
        while isinstance(heard, Room):
            heard = told.get()
        assert heard.ticket == ticket
        assert isinstance(heard.event, Failed)
        assert "does not answer" in heard.event.reason
    office.close()
    assert children() == []


def test_what_is_cut_off_by_our_leaving_is_lost(tmp_path: Path) -> None:
    told = SimpleQueue[AttemptEvent | Room]()
    office = Office(tmp_path / "lock", NOWHERE, Manner(WORK), told.put)
    office.submit({"1": order("paint")})
    office._do("leave")
    office.start()
    office._thread.join()
    assert told.get() == AttemptEvent("1", Lost("the daemon left"))


def test_a_driver_that_says_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_TIMEOUT", 1.0)
    told = SimpleQueue[AttemptEvent | Room]()
    office = Office(tmp_path / "lock", NOWHERE, Manner(WORK), told.put)
    office.start()
    office.submit({"1": order("paint")})
    while not (pids := children()):
        time.sleep(0.01)
    os.kill(pids[0], signal.SIGSTOP)
    assert told.get() == Room(0)
    heard = told.get()
    assert isinstance(heard, AttemptEvent) and isinstance(heard.event, Failed)
    assert "is gone: it said nothing for" in heard.event.reason
    assert children() == []
    office.close()


def test_the_supervisor_does_not_load_ray() -> None:
    program = (
        "import sys, stylewatch_daemon.service.service, json; "
        "print(json.dumps([name for name in sys.modules if name.partition('.')[0] == 'ray']))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert json.loads(told.stdout) == []
