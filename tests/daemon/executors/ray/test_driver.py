"""The driver, and the executor that starts it when there is work, where no cluster answers."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import nodes
from tests.daemon.worker.listening import Listener
from tests.daemon.worker.works import WORK
from tests.daemon.world import child_pids

from stylewatch_daemon.executors.ray import driver_client
from stylewatch_daemon.executors.ray.driver_client import DRIVER, Cluster
from stylewatch_daemon.executors.ray.messages import ActorOptions, Capacity, unpack
from stylewatch_daemon.files import lock
from stylewatch_daemon.processes.child import Child
from stylewatch_daemon.settings.sections import Demand
from stylewatch_daemon.worker.messages import Failed

pytestmark = nodes.TIME_ENOUGH


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(Cluster(tmp_path / "lock", Demand("127.0.0.1:1"), WORK))
    yield listener
    listener.executor.close()
    assert child_pids() == []


def test_where_the_cluster_does_not_answer_each_attempt_fails_with_the_reason(
    listener: Listener,
) -> None:
    for ticket in "12":
        (end,) = listener.run(ticket, "paint")
        assert isinstance(end, Failed)
        assert "127.0.0.1:1 does not answer" in end.reason


def test_a_silent_driver_is_given_up(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_client, "START_TIMEOUT", 1.0)
    listener.submit("1", "paint")
    while not (pids := child_pids()):
        pass
    os.kill(pids[0], signal.SIGSTOP)
    listener.until_ended("1")
    (end,) = listener.events["1"]
    assert isinstance(end, Failed)
    assert "is gone: it sent nothing for" in end.reason


def test_a_driver_reports_the_places_and_leaves_when_the_connection_closes(
    tmp_path: Path,
) -> None:
    demand = Demand(nodes.shared().address, gpus=0.5)
    driver = Child(DRIVER, tmp_path / "lock", demand, ActorOptions(WORK), name="cluster")
    try:
        assert unpack(driver.line.recv_bytes())[1] == Capacity(4)
        with pytest.raises(TimeoutError), lock.held(tmp_path / "lock"):
            pass
        driver.line.close()
        assert driver._process.wait(60) == 0
    finally:
        driver.kill()


def test_the_daemon_does_not_load_ray() -> None:
    program = "import sys, stylewatch_daemon.service.daemon; sys.exit('ray' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
