"""The driver says where the cluster is away, and leaves with the supervisor."""

from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from tests import nodes
from tests.daemon.worker.works import WORK

from stylewatch_daemon.executors.ray.driver import serve
from stylewatch_daemon.executors.ray.messages import Away, Manner, Room, heard
from stylewatch_daemon.files import lock
from stylewatch_daemon.settings.sections import Demand

pytestmark = nodes.TIME_ENOUGH


class Driver:
    """A driver, and our end of its pipe."""

    def __init__(self, root: Path, demand: Demand) -> None:
        spawn = get_context("spawn")
        self.lock = root / "lock"
        self.pipe, theirs = spawn.Pipe()
        given = (theirs, self.lock, demand, Manner(WORK))
        self.process: BaseProcess = spawn.Process(target=serve, args=given)
        self.process.start()
        theirs.close()


@pytest.fixture
def made() -> Iterator[list[Driver]]:
    made: list[Driver] = []
    yield made
    for one in made:
        one.process.kill()
        one.process.join()
        one.pipe.close()


def said(pipe: Connection) -> object:
    return heard(pipe.recv_bytes())[1]


def test_it_says_how_many_places_there_are_and_leaves_when_told_no_more(
    tmp_path: Path, made: list[Driver]
) -> None:
    made.append(Driver(tmp_path, Demand(nodes.shared().address, gpus=0.5)))
    (driver,) = made
    assert said(driver.pipe) == Room(4)
    with pytest.raises(TimeoutError), lock.held(driver.lock):
        pass
    driver.pipe.close()
    driver.process.join()
    assert driver.process.exitcode == 0


def test_where_the_cluster_is_away_that_is_its_last_word(
    tmp_path: Path, made: list[Driver]
) -> None:
    made.append(Driver(tmp_path, Demand("127.0.0.1:1")))
    word = said(made[0].pipe)
    assert isinstance(word, Away)
    assert "127.0.0.1:1 does not answer" in word.reason
    made[0].process.join()
    with pytest.raises(EOFError):
        said(made[0].pipe)
